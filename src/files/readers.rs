//! Who may use a file or folder beside the user that made it: rights and group, as the operator
//! configured them. Set on what is held open, before it gets its name; a `umask` changes nothing of
//! it. Called where the device writes for others: results, metrics, the socket. Never takes rights
//! away from a folder that was there.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{Mode, fchmod, fchown};
use rustix::io::Errno;
use rustix::process::{Gid, geteuid};

use super::{Cause, FileError, Folder, Result};

/// What of a file is for others; what is not said stays as the system made it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Readers {
    /// The rights of owner, group and everybody.
    pub mode: Option<Mode>,
    /// The number of the group that it belongs to.
    pub group: Option<u32>,
}

impl Readers {
    /// Sets them on an open file of this user's.
    pub(super) fn let_in(&self, file: &File) -> std::result::Result<(), Cause> {
        self.give_to_group(file)?;
        // After the group: changing that one may take rights away.
        match self.mode {
            Some(mode) => Ok(fchmod(file, mode)?),
            None => Ok(()),
        }
    }

    fn give_to_group(&self, file: &File) -> std::result::Result<(), Cause> {
        match self.group {
            Some(group) if file.metadata()?.gid() != group => {
                fchown(file, None, Some(Gid::from_raw(group))).map_err(|error| match error {
                    Errno::PERM => Cause::NotInGroup(group),
                    other => other.into(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Whoever may read files may look into their folder.
    fn of_folder(&self) -> Option<Mode> {
        let files = self.mode?.as_raw_mode();
        Some(Mode::from_raw_mode(files | (files & 0o444) >> 2))
    }
}

impl Folder {
    /// Lets readers into this folder, where it is this user's; one of somebody else's is as they
    /// want it. What others may already is not taken away.
    ///
    /// # Errors
    /// This user is not in the group, or what the system says.
    pub fn open_to(&self, readers: &Readers) -> Result<()> {
        let open = || -> std::result::Result<(), Cause> {
            let about = self.held.metadata()?;
            if *readers == Readers::default() || about.uid() != geteuid().as_raw() {
                return Ok(());
            }
            readers.give_to_group(&self.held)?;
            let has = Mode::from_raw_mode(about.mode() & 0o7777);
            match readers.of_folder() {
                Some(wants) if !has.contains(wants) => Ok(fchmod(&self.held, has | wants)?),
                _ => Ok(()),
            }
        };
        open().map_err(FileError::at(self.path()))
    }

    /// Lets readers to a file in it, where it is this user's.
    ///
    /// # Errors
    /// As [`Folder::open_to`].
    pub fn let_read(&self, name: impl AsRef<std::ffi::OsStr>, readers: &Readers) -> Result<()> {
        let name = name.as_ref();
        if *readers == Readers::default() || self.about(name)?.uid() != geteuid().as_raw() {
            return Ok(());
        }
        let file = self.open_file(name)?;
        self.with(name, |_| readers.let_in(&file))
    }
}
