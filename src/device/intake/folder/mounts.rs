//! Whether a folder still lies on what it lay on: a path comes in, an error where a share, a
//! stick or a disk that was mounted on the way to it is there no longer. What is left then is an
//! empty folder like any other, and images would be waited for in vain. Called at each look.

use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;

/// What a folder was seen to lie on.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    most: usize,
}

impl Mounts {
    /// Looks at what a folder lies on now.
    ///
    /// # Errors
    /// Where it is less than before, or what the system says.
    pub fn look(&mut self, folder: &Path) -> Result<()> {
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
