//! The state folder as the device's core uses it: a value that is handed down, behind a trait of
//! as few operations as the core needs.
//!
//! In goes a [`Name`] in one of its folders; out comes an open file, what is known of it, or what
//! was done with it. Called by the journal, the image store, kept images and the device's key.
//! [`Disk`] is the state folder on the system's disk, by way of [`files`](crate::files). A
//! simulation hands in one in memory, which fills up, fails, and forgets at a power cut what
//! nobody waited for.
//!
//! There is one durable write, [`Draft::keep`], or `keep` for a file that came piece by piece: the
//! bytes are on the disk before the file has its name, and the name is before it returns. A file
//! that lines are appended to is waited for with [`StoredFile::sync_data`].

mod disk;
#[cfg(test)]
pub(crate) mod memory;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::TryLockError;
use std::io::{Read, Result as IoResult};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::Mode;

pub use disk::Disk;

use crate::files::{Cause, FileError, OPEN_TO_ALL, Result};

/// A folder of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Area {
    /// The state folder itself.
    State,
    /// The store: images of cases that wait, and what is coming.
    Images,
    /// Images of answered cases.
    Kept,
    /// Instances that came by DICOM.
    Dicom,
}

impl Area {
    /// Those that lie in the state folder.
    const INNER: [Self; 3] = [Self::Images, Self::Kept, Self::Dicom];

    /// What it is called in the state folder; `None` for the state folder itself.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Self::State => None,
            Self::Images => Some("images"),
            Self::Kept => Some("kept"),
            Self::Dicom => Some("dicom"),
        }
    }

    /// What has this name in it, or would.
    pub fn named<'a>(self, name: &'a (impl AsRef<OsStr> + ?Sized)) -> Name<'a> {
        let name = name.as_ref();
        Name { area: self, name }
    }
}

/// What a file is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    /// The folder that it lies in.
    pub area: Area,
    /// Its name there.
    pub name: &'a OsStr,
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// What tells it from every other: device and inode.
    pub place: (u64, u64),
    /// How long it is.
    pub bytes: u64,
    /// It is a regular file: no link, no folder.
    pub is_file: bool,
    /// Who may use it.
    pub mode: Mode,
    /// When it was written last, where the file system has that.
    pub modified: Option<Timestamp>,
    /// The last change of any kind, which no program can set.
    pub changed: (i64, i64),
}

/// How much the disk has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What may be written.
    pub free: u64,
    /// All that it holds.
    pub total: u64,
}

/// Whether a file that gets its name may take the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// It takes the place of what has the name.
    Existing,
    /// Nothing has the name, else it is an error.
    Nothing,
}

/// An open file. Clones are the same one.
pub type Open = Arc<dyn StoredFile>;

/// A state folder.
pub trait Storage: fmt::Debug + Send + Sync {
    /// How the state folder is named, to be shown, and for who reads images in it.
    fn path(&self) -> &Path;

    /// Makes one of its folders where it is missing, and holds it from now on: what is done in it
    /// is done in this one, whatever comes under its name.
    ///
    /// # Errors
    /// It cannot be made.
    fn make(&self, area: Area) -> Result<()>;

    /// The names in a folder, in no order.
    ///
    /// # Errors
    /// It cannot be read.
    fn names(&self, area: Area) -> Result<Vec<OsString>>;

    /// What has a name; a link is told as one.
    ///
    /// # Errors
    /// Nothing has it.
    fn about(&self, name: Name<'_>) -> Result<About>;

    /// Opens a regular file to read.
    ///
    /// # Errors
    /// There is none.
    fn open(&self, name: Name<'_>) -> Result<Open>;

    /// Opens a file to read and to write at its end, and makes it where it is missing.
    ///
    /// # Errors
    /// Something else has the name.
    fn append(&self, name: Name<'_>) -> Result<Open>;

    /// Makes a file, open to write and to read.
    ///
    /// # Errors
    /// Something has the name.
    fn create(&self, name: Name<'_>) -> Result<Open>;

    /// Begins a file that will lie in the state folder itself once it is whole.
    ///
    /// # Errors
    /// The disk is full.
    fn draft(&self, mode: Mode) -> Result<Box<dyn Draft>>;

    /// Renames a file, in place of what has the new name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: Name<'_>, to: Name<'_>) -> Result<()>;

    /// Renames a file, unless something has the new name.
    ///
    /// # Errors
    /// What the system says.
    fn rename_new(&self, from: Name<'_>, to: Name<'_>) -> Result<()>;

    /// Gives a file a second name, which nothing has.
    ///
    /// # Errors
    /// What the system says.
    fn link(&self, from: Name<'_>, to: Name<'_>) -> Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: Name<'_>) -> Result<()>;

    /// Waits until the names in a folder are on the disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync(&self, area: Area) -> Result<()>;

    /// How much the disk has; `None` where the system does not say.
    fn space(&self) -> Option<Space>;

    /// Whether the state folder is still at its path: a card that was pulled is not.
    fn is_there(&self) -> bool;
}

/// A file that is being made: it has its name once it is whole, or is gone.
pub trait Draft: fmt::Debug {
    /// Writes more of it.
    ///
    /// # Errors
    /// What the system says.
    fn write_all(&mut self, bytes: &[u8]) -> IoResult<()>;

    /// Has the disk hold so many bytes for it.
    ///
    /// # Errors
    /// What the system says.
    fn allocate(&mut self, bytes: u64) -> IoResult<()>;

    /// Gives it its name; once this returns, it outlasts a power failure.
    ///
    /// # Errors
    /// What the system says.
    fn keep(self: Box<Self>, name: &OsStr, over: Over) -> Result<Open>;
}

/// An open file of the state.
pub trait StoredFile: fmt::Debug + Send + Sync {
    /// What is known of it.
    ///
    /// # Errors
    /// What the system says.
    fn about(&self) -> IoResult<About>;

    /// Reads from some place on; gives how many bytes, 0 at the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, into: &mut [u8], offset: u64) -> IoResult<usize>;

    /// Writes all bytes at this place; one that was opened to be written at its end writes there.
    ///
    /// # Errors
    /// What the system says; some of it may be written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> IoResult<()>;

    /// Cuts it to this length.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, bytes: u64) -> IoResult<()>;

    /// Waits until its bytes and its length are on the disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync_data(&self) -> IoResult<()>;

    /// Waits until all that is known of it is on the disk.
    ///
    /// # Errors
    /// What the system says.
    fn sync_all(&self) -> IoResult<()>;

    /// Takes it for this process alone.
    ///
    /// # Errors
    /// Another has it.
    fn try_lock(&self) -> std::result::Result<(), TryLockError>;
}

impl dyn Storage + '_ {
    /// How a file is named, to be shown, and for who reads images.
    pub fn path_of(&self, name: Name<'_>) -> PathBuf {
        match name.area.word() {
            Some(folder) => self.path().join(folder).join(name.name),
            None => self.path().join(name.name),
        }
    }

    /// What a path leads to, where that lies in a folder of the state.
    pub fn name_of<'a>(&self, path: &'a Path) -> Option<Name<'a>> {
        let (folder, name) = (path.parent()?, path.file_name()?);
        let mut inner = Area::INNER.into_iter();
        let is_it =
            |area: &Area| area.word().map(|word| self.path().join(word)).as_deref() == Some(folder);
        inner.find(is_it).map(|area| Name { area, name })
    }

    /// Whether something has a name.
    ///
    /// # Errors
    /// What the system says.
    pub fn has(&self, name: Name<'_>) -> Result<bool> {
        match self.about(name) {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All bytes of a file.
    ///
    /// # Errors
    /// There is none, or it has more than `most`.
    pub fn read(&self, name: Name<'_>, most: u64) -> Result<Vec<u8>> {
        let file = self.open(name)?;
        let mut bytes = Vec::new();
        let read = Reading::of(&*file)
            .take(most.saturating_add(1))
            .read_to_end(&mut bytes);
        let read = read.map_err(Cause::Io).and_then(|_| {
            let is_too_large = bytes.len() as u64 > most;
            (!is_too_large)
                .then_some(())
                .ok_or(Cause::TooLarge { most })
        });
        read.map_err(|cause| self.error(name, cause))?;
        Ok(bytes)
    }

    /// Puts bytes in the place of a file of the state folder itself; once this returns they
    /// outlast a power failure.
    ///
    /// # Errors
    /// What the system says; the file is then as it was.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut draft = self.draft(OPEN_TO_ALL)?;
        let wrote = draft.write_all(bytes);
        wrote.map_err(|error| self.error(Area::State.named(name), Cause::Io(error)))?;
        draft.keep(OsStr::new(name), Over::Existing).map(drop)
    }

    /// Gives a file that is whole the name that it is known by, in place of what has it; once this
    /// returns it outlasts a power failure.
    ///
    /// # Errors
    /// What the system says; the file may have either name then.
    pub fn keep(&self, file: &dyn StoredFile, from: Name<'_>, to: Name<'_>) -> IoResult<()> {
        file.sync_all()?;
        self.rename(from, to)?;
        Ok(self.sync(to.area)?)
    }

    /// Removes a name, where it is still there.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_if_there(&self, name: Name<'_>) -> Result<()> {
        match self.remove(name) {
            Err(error) if error.is_missing() => Ok(()),
            done => done,
        }
    }

    /// This was in the way with this file.
    pub fn error(&self, name: Name<'_>, cause: Cause) -> FileError {
        let path = self.path_of(name);
        FileError { path, cause }
    }
}

/// Reads a file from some place on, without moving whoever else reads or writes it.
#[derive(Debug)]
pub struct Reading<'a> {
    file: &'a dyn StoredFile,
    offset: u64,
}

impl<'a> Reading<'a> {
    /// From its first byte on.
    pub fn of(file: &'a dyn StoredFile) -> Self {
        Self::from(file, 0)
    }

    /// From this byte on.
    pub fn from(file: &'a dyn StoredFile, offset: u64) -> Self {
        Self { file, offset }
    }
}

impl Read for Reading<'_> {
    fn read(&mut self, into: &mut [u8]) -> IoResult<usize> {
        let read = self.file.read_at(into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
