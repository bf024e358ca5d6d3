//! Every file that the program makes, reads by a name that others may give, moves or deletes.
//!
//! In goes a folder, which is opened once and held, and the name of something in it; out
//! comes an open file, its bytes, or what was done with it. Called by whoever touches the
//! disk: state folder, bundles, journal, sinks, watched folders, the command line.
//!
//! Others may write many of these folders, and may put a link, a pipe, a folder or a file of
//! somebody else's under any name at any time. So nothing here takes a path on from a held
//! folder: one name at a time, and never through a link. What is written is made anew, under
//! a name by chance that nobody can put something at before, and then renamed: it never opens
//! what lies there to write over it. What is deleted is named by the caller, or has a
//! temporary name of this module's own form and belongs to this user. How the operator's
//! own path is followed to the folder stands in `walk`.
//!
//! Single names need no `openat2`, so that all of this holds on old kernels as well.

mod error;
mod fresh;
mod list;
mod readers;
mod remove;
mod walk;
mod write;

#[cfg(test)]
mod tests;

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

pub use error::{Cause, FileError};
pub use fresh::Fresh;
pub use list::{Entry, Kind};
pub use readers::Readers;
pub use remove::remove;
pub use write::{OPEN_TO_ALL, OWN, put, replace, swap, swap_for};

/// What files of this module return.
pub type Result<T> = std::result::Result<T, FileError>;

/// A folder that is held open: what is done in it is done in this one, whatever comes under
/// its path meanwhile. Clones hold the same one.
#[derive(Debug, Clone)]
pub struct Folder {
    held: Arc<File>,
    /// How it was named, for messages and for who only looks; nothing here opens it again.
    path: Arc<PathBuf>,
}

impl Folder {
    /// Opens a folder by the path that the operator gave. A link on the way is followed where
    /// its owner is root, this user, or the one user who may write the folder that it lies in.
    ///
    /// # Errors
    /// There is none, it may not be read, or the way leads over somebody else's link.
    pub fn open(path: &Path) -> Result<Self> {
        walk::open(path, false).map_err(FileError::at(path))
    }

    /// Opens a folder, and makes it and those above it where they are missing.
    ///
    /// # Errors
    /// As [`Folder::open`], and where one cannot be made.
    pub fn make(path: &Path) -> Result<Self> {
        walk::open(path, true).map_err(FileError::at(path))
    }

    /// The folder that a path's last name lies in, and this name.
    ///
    /// # Errors
    /// As [`Folder::open`], and where the path ends in no name.
    pub fn above(path: &Path) -> Result<(Self, OsString)> {
        let name = path.file_name().ok_or(Cause::Name);
        let name = name.map_err(FileError::at(path))?.to_owned();
        let above = path.parent().filter(|above| *above != Path::new(""));
        Ok((Self::open(above.unwrap_or(Path::new(".")))?, name))
    }

    /// What decides where a path leads: each folder and link on the way, from the first folder
    /// on, as far as they are there. Nothing is read in them.
    ///
    /// # Errors
    /// The way leads over somebody else's link, or the system says no.
    pub fn way_to(path: &Path) -> Result<Vec<Metadata>> {
        walk::passed_by(path).map_err(FileError::at(path))
    }

    fn of(held: OwnedFd, path: &Path) -> Self {
        Self {
            held: Arc::new(held.into()),
            path: Arc::new(path.to_owned()),
        }
    }

    /// How the folder was named. Only to be shown: another may lie there by now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How something in it is named, likewise only to be shown.
    pub fn path_of(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.path.join(name.as_ref())
    }

    /// Opens a folder in it.
    ///
    /// # Errors
    /// Nothing has this name, or no folder; a link to one is none.
    pub fn folder(&self, name: impl AsRef<OsStr>) -> Result<Self> {
        let name = name.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |name: &OsStr| {
            open_at(&self.held, name, flags, Mode::empty()).map_err(|error| match error {
                Errno::NOTDIR | Errno::LOOP => self.no_folder(name),
                other => other.into(),
            })
        };
        let held = self.with(name, open)?;
        Ok(Self::of(held, &self.path_of(name)))
    }

    /// Opens a folder in it, and makes it where it is missing.
    ///
    /// # Errors
    /// As [`Folder::folder`], and where it cannot be made.
    pub fn make_folder(&self, name: impl AsRef<OsStr>, mode: Mode) -> Result<Self> {
        match self.new_folder(name.as_ref(), mode) {
            Err(error) if !error.is_taken() => Err(error),
            _ => self.folder(name),
        }
    }

    /// Makes a folder in it, and opens it.
    ///
    /// # Errors
    /// Something has this name, or none can be made.
    pub fn new_folder(&self, name: impl AsRef<OsStr>, mode: Mode) -> Result<Self> {
        let make = |name: &OsStr| Ok(fs::mkdirat(&self.held, name, mode)?);
        self.with(name.as_ref(), make)?;
        self.folder(name)
    }

    /// Opens a regular file to read, without waiting for anybody.
    ///
    /// # Errors
    /// Nothing has this name, or no regular file: a link is none.
    pub fn open_file(&self, name: impl AsRef<OsStr>) -> Result<File> {
        self.with(name.as_ref(), |name| {
            // Looked at before as well: some devices do something when they are opened.
            list::regular(&self.look(name)?)?;
            let flags = OFlags::RDONLY | QUIETLY;
            let file = File::from(open_at(&self.held, name, flags, Mode::empty())?);
            list::regular(&file.metadata()?)?;
            Ok(file)
        })
    }

    /// All bytes of a regular file.
    ///
    /// # Errors
    /// As [`Folder::open_file`], and where there are more than `most`.
    pub fn read(&self, name: impl AsRef<OsStr>, most: u64) -> Result<Vec<u8>> {
        let name = name.as_ref();
        let file = self.open_file(name)?;
        self.with(name, |_| {
            let mut bytes = Vec::new();
            file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > most {
                return Err(Cause::TooLarge { most });
            }
            Ok(bytes)
        })
    }

    /// What has this name: a link is told as one.
    ///
    /// # Errors
    /// Nothing has it.
    pub fn about(&self, name: impl AsRef<OsStr>) -> Result<Metadata> {
        self.with(name.as_ref(), |name| Ok(self.look(name)?))
    }

    /// What the folder itself is.
    ///
    /// # Errors
    /// What the system says.
    pub fn about_itself(&self) -> Result<Metadata> {
        let about = self.held.metadata().map_err(Cause::from);
        about.map_err(FileError::at(&self.path))
    }

    /// Whether anything has this name, be it a link that leads nowhere.
    ///
    /// # Errors
    /// What the system says.
    pub fn has(&self, name: impl AsRef<OsStr>) -> Result<bool> {
        match self.about(name) {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the path that it was opened by still leads to it.
    pub fn is_still_at_its_path(&self) -> bool {
        Self::open(&self.path).is_ok_and(|now| now.is(self))
    }

    /// Whether both are the same folder.
    pub fn is(&self, other: &Self) -> bool {
        let places = (self.place(), other.place());
        matches!(places, (Ok(one), Ok(another)) if one == another)
    }

    /// Whether this folder is `other` or lies in it, however deep.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_within(&self, other: &Self) -> Result<bool> {
        let sought = other.place()?;
        let climb = || -> std::result::Result<bool, Cause> {
            let mut here = self.held.try_clone()?;
            loop {
                let place = place(&here.metadata()?);
                if place == sought {
                    return Ok(true);
                }
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let above = File::from(open_at(&here, "..", flags, Mode::empty())?);
                // Above the root lies the root.
                if self::place(&above.metadata()?) == place {
                    return Ok(false);
                }
                here = above;
            }
        };
        climb().map_err(FileError::at(&self.path))
    }

    /// Waits until nobody else holds the folder's lock, and holds it until what this gives is
    /// dropped.
    ///
    /// # Errors
    /// What the system says.
    pub fn lock(&self) -> Result<File> {
        let lock = || {
            // A lock is of the opened folder: clones of it would share one.
            let own = open_at(self, ".", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            let own = File::from(own);
            own.lock()?;
            Ok(own)
        };
        lock().map_err(FileError::at(&self.path))
    }

    /// Waits until the names in it are on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&self) -> Result<()> {
        let synced = self.held.sync_all().map_err(Cause::from);
        synced.map_err(FileError::at(&self.path))
    }

    fn place(&self) -> Result<(u64, u64)> {
        Ok(place(&self.about_itself()?))
    }

    /// Does something with one name, and says which in an error.
    fn with<T>(
        &self,
        name: &OsStr,
        work: impl FnOnce(&OsStr) -> std::result::Result<T, Cause>,
    ) -> Result<T> {
        single(name)
            .and_then(work)
            .map_err(FileError::at(&self.path_of(name)))
    }

    /// Nothing is opened by this but the name itself: not what a link leads to, no device.
    fn look(&self, name: &OsStr) -> std::io::Result<Metadata> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        File::from(open_at(&self.held, name, flags, Mode::empty())?).metadata()
    }

    fn no_folder(&self, name: &OsStr) -> Cause {
        self.look(name)
            .map_or_else(Cause::from, |about| match Kind::of(about.file_type()) {
                Kind::Link => Cause::Link,
                kind => Cause::NoFolder(kind),
            })
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.held.as_fd()
    }
}

/// The text of a regular file of at most so many bytes, by a path whose links are followed, as
/// the operator's own are. Nothing is waited for, and nothing but a regular file is opened.
///
/// # Errors
/// There is none, it is no regular file or no text, or it is too long.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    let read = || {
        // Looked at before as well: some devices do something when they are opened.
        list::regular(&std::fs::metadata(path)?)?;
        let flags = (OFlags::RDONLY | QUIETLY).difference(OFlags::NOFOLLOW);
        let file = File::from(open_at(fs::CWD, path, flags, Mode::empty())?);
        list::regular(&file.metadata()?)?;
        let mut text = String::new();
        file.take(most.saturating_add(1))
            .read_to_string(&mut text)?;
        if text.len() as u64 > most {
            return Err(Cause::TooLarge { most });
        }
        Ok(text)
    };
    read().map_err(FileError::at(path))
}

/// How files are opened: never through a link, never waiting, never as the program's terminal.
const QUIETLY: OFlags = OFlags::NOFOLLOW
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// Opens a name; where a signal came first, again, as the standard library does.
fn open_at(
    folder: impl AsFd,
    name: impl AsRef<OsStr>,
    flags: OFlags,
    mode: Mode,
) -> rustix::io::Result<OwnedFd> {
    let (folder, name) = (folder.as_fd(), name.as_ref());
    retry_on_intr(|| fs::openat(folder, name, flags, mode))
}

/// What tells one file or folder from every other: device and inode.
pub fn place(about: &Metadata) -> (u64, u64) {
    (about.dev(), about.ino())
}

/// A name of one step, which leads nowhere else.
fn single(name: &OsStr) -> std::result::Result<&OsStr, Cause> {
    let bytes = name.as_bytes();
    let is_single =
        !matches!(bytes, b"" | b"." | b"..") && !bytes.iter().any(|b| matches!(b, b'/' | 0));
    is_single.then_some(name).ok_or(Cause::Name)
}
