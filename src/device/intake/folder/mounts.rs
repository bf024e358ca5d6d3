//! Whether a folder still lies on what it lay on: a path comes in, an error where a share, a
//! stick or a disk that was mounted on the way to it is there no longer, or where nothing is mounted
//! that must be. What is left then is an empty folder like any other, and images would be waited for
//! in vain. Called at each look.

use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;

/// What a folder was seen to lie on.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    most: usize,
    /// Where something must be mounted, even if it never was.
    mounted: Option<PathBuf>,
}

impl Mounts {
    /// Of a folder that was not looked at yet.
    pub fn new(mounted: Option<PathBuf>) -> Self {
        Self { most: 0, mounted }
    }

    /// Looks at what a folder lies on now.
    ///
    /// # Errors
    /// Where it is less than before, or what the system says.
    pub fn look(&mut self, folder: &Path) -> Result<()> {
        if let Some(place) = &self.mounted
            && !is_mounted(place)?
        {
            let what = format!("nothing is mounted at {}", place.display());
            return Err(Error::new(ErrorKind::NotFound, what));
        }
        let now = mounts(folder)?;
        if now < self.most {
            return Err(Error::new(
                ErrorKind::NotFound,
                "what was mounted there is gone, and the folder below it is another",
            ));
        }
        self.most = now;
        Ok(())
    }
}

/// Whether something is mounted at a place.
fn is_mounted(place: &Path) -> Result<bool> {
    let root = StatxAttributes::MOUNT_ROOT;
    match statx(CWD, place, AtFlags::empty(), StatxFlags::empty()) {
        Ok(about) if about.stx_attributes_mask.contains(root) => {
            return Ok(about.stx_attributes.contains(root));
        }
        // A system that does not tell (Linux before 5.8): another file system begins there.
        Ok(_) | Err(Errno::NOSYS) => {}
        Err(error) => return Err(error.into()),
    }
    let place = place.canonicalize()?;
    let above = place.parent().unwrap_or(&place);
    Ok(place.metadata()?.dev() != above.metadata()?.dev())
}

/// How often one file system ends and another begins on the way to a folder.
fn mounts(folder: &Path) -> Result<usize> {
    let folder = folder.canonicalize()?;
    let devices: Vec<u64> = folder
        .ancestors()
        .map(|above| Ok(above.metadata()?.dev()))
        .collect::<Result<_>>()?;
    Ok(devices.windows(2).filter(|two| two[0] != two[1]).count())
}

/// Whether an error says that what something lies on is gone, not that it is closed.
pub(super) fn is_away(error: &Error) -> bool {
    const GONE: [Errno; 11] = [
        Errno::NOENT,
        Errno::NOTCONN,
        Errno::STALE,
        Errno::HOSTDOWN,
        Errno::HOSTUNREACH,
        Errno::NETUNREACH,
        Errno::CONNREFUSED,
        Errno::TIMEDOUT,
        Errno::IO,
        Errno::NODEV,
        Errno::NXIO,
    ];
    match Errno::from_io_error(error) {
        Some(errno) => GONE.contains(&errno),
        None => error.kind() == ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_lies_on_less_than_before_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let mut mounts = Mounts::default();
        mounts.look(folder.path()).unwrap();
        mounts.most += 1;
        assert!(is_away(&mounts.look(folder.path()).unwrap_err()));
    }

    #[test]
    fn where_something_must_be_mounted_and_is_not_the_folder_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let share = folder.path().join("share");
        std::fs::create_dir(&share).unwrap();
        let error = Mounts::new(Some(share.clone())).look(&share).unwrap_err();
        assert!(is_away(&error), "{error}");
        assert!(
            error.to_string().contains("nothing is mounted at"),
            "{error}"
        );
        assert!(
            Mounts::new(Some(share.join("missing")))
                .look(&share)
                .is_err()
        );
        let proc = Path::new("/proc");
        if proc.join("self").exists() {
            let mut mounts = Mounts::new(Some(proc.to_owned()));
            mounts.look(&proc.join("sys")).unwrap();
        }
    }

    #[test]
    fn closed_is_not_away() {
        for (errno, is_so) in [
            (Errno::NOENT, true),
            (Errno::STALE, true),
            (Errno::IO, true),
            (Errno::ACCESS, false),
            (Errno::NOTDIR, false),
            (Errno::LOOP, false),
        ] {
            assert_eq!(is_away(&errno.into()), is_so, "{errno:?}");
        }
        assert!(!is_away(&Error::other("it leads into the state folder")));
    }
}
