//! A file that is being made: it has a temporary name by chance until it is whole.
//!
//! Its maker holds a lock on it, so that who [sweeps](Folder::sweep) tells what a program
//! left behind, which was killed, from what one writes now.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{self, AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::write::FILE;
use super::{Cause, FileError, Folder, QUIETLY, Result, list, open_at, place};

/// The form of temporary names: no watcher of folders takes such a file for a whole one.
const BEFORE: &str = ".medfocus-";
const AFTER: &str = ".part";

/// So many names are tried: that one is taken is chance or an attack.
const TRIES: usize = 16;

/// A file that is being made. It is removed unless it is [kept](Fresh::keep).
#[derive(Debug)]
pub struct Fresh {
    folder: Folder,
    name: OsString,
    file: File,
    is_kept: bool,
}

impl Folder {
    /// Begins a file, open to write and to read.
    ///
    /// # Errors
    /// What the system says.
    pub fn fresh(&self, mode: Mode) -> Result<Fresh> {
        let (name, file) = self.at_a_new_name(|name| {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | QUIETLY;
            open_at(self, name, flags, mode & FILE)
        })?;
        // Where the file system has no locks, nothing is swept either.
        let _ = fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(Fresh {
            folder: self.clone(),
            name,
            file: file.into(),
            is_kept: false,
        })
    }

    /// Makes something at a temporary name that nothing has.
    pub(super) fn at_a_new_name<T>(
        &self,
        make: impl Fn(&OsStr) -> std::result::Result<T, Errno>,
    ) -> Result<(OsString, T)> {
        let mut tries = 0;
        loop {
            let name = temporary_name();
            match make(&name) {
                Ok(made) => return Ok((name, made)),
                Err(Errno::EXIST) if tries < TRIES => tries += 1,
                Err(error) => return Err(FileError::at(self.path())(error.into())),
            }
        }
    }

    /// Removes what programs left half made, which were killed: regular files with a temporary
    /// name of this form that belong to this user and that nobody writes now. Says how many.
    ///
    /// # Errors
    /// What the system says.
    pub fn sweep(&self) -> Result<usize> {
        let mut swept = 0;
        for name in self.names()? {
            if is_temporary(&name) && self.is_left_behind(&name) {
                self.remove_if_there(&name)?;
                swept += 1;
            }
        }
        Ok(swept)
    }

    fn is_left_behind(&self, name: &OsStr) -> bool {
        let own = rustix::process::geteuid().as_raw();
        let is_free =
            |file: &File| fs::flock(file, FlockOperation::NonBlockingLockExclusive).is_ok();
        self.open_file(name).is_ok_and(|file| {
            let is_own = file.metadata().is_ok_and(|about| about.uid() == own);
            is_own && is_free(&file)
        })
    }
}

impl Fresh {
    /// The open file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The open file, to be written.
    pub fn file_mut(&mut self) -> &mut File {
        &mut self.file
    }

    /// Gives the file its name, in place of what has it: whole at once. Nothing waits for the
    /// disk; see [`Fresh::keep_durably`].
    ///
    /// # Errors
    /// What the system says; a folder is not replaced.
    pub fn keep(self, name: impl AsRef<OsStr>) -> Result<()> {
        let name = name.as_ref();
        let (folder, part) = (self.folder.clone(), self.name.clone());
        self.keep_by(name, |_| folder.rename(&part, &folder, name))
    }

    /// The same; once this returns, the file outlasts a power failure.
    ///
    /// # Errors
    /// As [`Fresh::keep`].
    pub fn keep_durably(self, name: impl AsRef<OsStr>) -> Result<()> {
        let (folder, name) = (self.folder.clone(), name.as_ref());
        folder.with(name, |_| Ok(self.file.sync_all()?))?;
        self.keep(name)?;
        folder.sync()
    }

    /// Gives the file a name that nothing has; once this returns, it outlasts a power failure.
    ///
    /// # Errors
    /// Something has the name, or what the system says.
    pub fn keep_new(self, name: impl AsRef<OsStr>) -> Result<()> {
        let (folder, part, name) = (self.folder.clone(), self.name.clone(), name.as_ref());
        folder.with(name, |_| Ok(self.file.sync_all()?))?;
        self.keep_by(name, |_| folder.rename_new(&part, &folder, name))?;
        folder.sync()
    }

    fn keep_by(mut self, name: &OsStr, rename: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        // The temporary name says nothing to anybody.
        let named = self.folder.path_of(name);
        rename(&self).map_err(|error| FileError {
            path: named,
            ..error
        })?;
        self.is_kept = true;
        // Who may write the folder may have put another file at the temporary name.
        self.folder.with(name, |name| {
            let about = self.folder.look(name)?;
            list::regular(&about).map_err(|_| Cause::Swapped)?;
            let is_it = place(&about) == place(&self.file.metadata()?);
            is_it.then_some(()).ok_or(Cause::Swapped)
        })
    }
}

impl Write for Fresh {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed now is swept later.
            let _ = fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

fn temporary_name() -> OsString {
    // Keyed by chance from the system, so that nobody can be there before.
    let chance = RandomState::new().hash_one(std::process::id());
    format!("{BEFORE}{chance:016x}{AFTER}").into()
}

/// Whether a name has the form of this module's temporary names.
fn is_temporary(name: &OsStr) -> bool {
    let chance = name
        .as_bytes()
        .strip_prefix(BEFORE.as_bytes())
        .and_then(|rest| rest.strip_suffix(AFTER.as_bytes()));
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    chance.is_some_and(|chance| chance.len() == 16 && chance.iter().all(is_digit))
}
