//! The state folder on the system's disk: folders that are held open, in which nothing follows a
//! link ([`files`](crate::files)).

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata, TryLockError};
use std::io::{Result as IoResult, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustix::fs::{FallocateFlags, Mode, fallocate, fstatvfs};
use rustix::io::Errno;

use super::{About, Area, Draft, Name, Open, Over, Space, Storage, StoredFile};
use crate::files::{self, Cause, FileError, Folder, Fresh, OPEN_TO_ALL, Result};

/// A state folder on the disk.
#[derive(Debug)]
pub struct Disk {
    state: Folder,
    /// The folders in it that are held.
    held: Mutex<Vec<(Area, Folder)>>,
    /// What its path led to at first.
    place: Option<(u64, u64)>,
}

impl Disk {
    /// The state folder at a path, which is made where it is missing.
    ///
    /// # Errors
    /// It cannot be opened or made.
    pub fn make(path: &Path) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(Self::of(Folder::make(path)?)))
    }

    /// One that is open already.
    pub fn of(state: Folder) -> Self {
        let place = place_of(state.path());
        let held = Mutex::default();
        Self { state, held, place }
    }

    fn folder(&self, area: Area) -> Result<Folder> {
        let Some(word) = area.word() else {
            return Ok(self.state.clone());
        };
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.iter().find(|(of, _)| *of == area) {
            Some((_, folder)) => Ok(folder.clone()),
            // Whoever makes it may have put it on another disk, by a link of the operator's.
            None => Folder::open(&self.state.path_of(word)),
        }
    }

    fn two(
        &self,
        from: Name<'_>,
        to: Name<'_>,
        work: impl FnOnce(&Folder, &OsStr, &Folder, &OsStr) -> Result<()>,
    ) -> Result<()> {
        work(
            &self.folder(from.area)?,
            from.name,
            &self.folder(to.area)?,
            to.name,
        )
    }
}

impl Storage for Disk {
    fn path(&self) -> &Path {
        self.state.path()
    }

    fn make(&self, area: Area) -> Result<()> {
        let Some(word) = area.word() else {
            return Ok(());
        };
        let folder = self.state.make_folder(word, OPEN_TO_ALL)?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|(of, _)| *of != area);
        held.push((area, folder));
        Ok(())
    }

    fn names(&self, area: Area) -> Result<Vec<OsString>> {
        self.folder(area)?.names()
    }

    fn about(&self, name: Name<'_>) -> Result<About> {
        let about = self.folder(name.area)?.about(name.name)?;
        Ok(About::from(&about))
    }

    fn open(&self, name: Name<'_>) -> Result<Open> {
        Ok(Arc::new(self.folder(name.area)?.open_file(name.name)?))
    }

    fn append(&self, name: Name<'_>) -> Result<Open> {
        let folder = self.folder(name.area)?;
        Ok(Arc::new(folder.append(name.name, OPEN_TO_ALL)?))
    }

    fn create(&self, name: Name<'_>) -> Result<Open> {
        let folder = self.folder(name.area)?;
        Ok(Arc::new(folder.create(name.name, OPEN_TO_ALL)?))
    }

    fn draft(&self, mode: Mode) -> Result<Box<dyn Draft>> {
        let fresh = self.state.fresh(mode)?;
        let folder = self.state.clone();
        Ok(Box::new(DiskDraft { folder, fresh }))
    }

    fn rename(&self, from: Name<'_>, to: Name<'_>) -> Result<()> {
        self.two(from, to, |from, name, to, new| from.rename(name, to, new))
    }

    fn rename_new(&self, from: Name<'_>, to: Name<'_>) -> Result<()> {
        self.two(from, to, |from, name, to, new| {
            from.rename_new(name, to, new)
        })
    }

    fn link(&self, from: Name<'_>, to: Name<'_>) -> Result<()> {
        self.two(from, to, |from, name, to, new| from.link(name, to, new))
    }

    fn remove(&self, name: Name<'_>) -> Result<()> {
        self.folder(name.area)?.remove(name.name)
    }

    fn sync(&self, area: Area) -> Result<()> {
        self.folder(area)?.sync()
    }

    fn space(&self) -> Option<Space> {
        // What was written into a folder that is gone would be lost.
        let disk = self.is_there().then(|| fstatvfs(&self.state).ok())??;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Some(Space {
            free: bytes(disk.f_bavail),
            total: bytes(disk.f_blocks),
        })
    }

    fn is_there(&self) -> bool {
        self.place.is_some() && self.place == place_of(self.path())
    }
}

fn place_of(folder: &Path) -> Option<(u64, u64)> {
    let about = folder.metadata().ok()?;
    Some(files::place(&about))
}

/// A file of the disk that is being made.
#[derive(Debug)]
struct DiskDraft {
    folder: Folder,
    fresh: Fresh,
}

impl Draft for DiskDraft {
    fn write_all(&mut self, bytes: &[u8]) -> IoResult<()> {
        self.fresh.write_all(bytes)
    }

    fn allocate(&mut self, bytes: u64) -> IoResult<()> {
        match fallocate(self.fresh.file(), FallocateFlags::empty(), 0, bytes) {
            Err(Errno::NOTSUP | Errno::NOSYS) => {
                let zeros = usize::try_from(bytes).unwrap_or(usize::MAX);
                self.fresh.write_all(&vec![0; zeros])
            }
            done => Ok(done?),
        }
    }

    fn keep(self: Box<Self>, name: &OsStr, over: Over) -> Result<Open> {
        let Self { folder, fresh } = *self;
        let file = fresh.file().try_clone().map_err(|error| FileError {
            path: folder.path_of(name),
            cause: Cause::Io(error),
        })?;
        match over {
            Over::Existing => fresh.keep_durably(name)?,
            Over::Nothing => fresh.keep_new(name)?,
        }
        Ok(Arc::new(file))
    }
}

impl From<&Metadata> for About {
    fn from(about: &Metadata) -> Self {
        let modified = about.modified().ok();
        Self {
            place: files::place(about),
            bytes: about.len(),
            is_file: about.is_file(),
            mode: Mode::from_raw_mode(about.mode() & 0o777),
            modified: modified.and_then(|time| Timestamp::try_from(time).ok()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

impl StoredFile for File {
    fn about(&self) -> IoResult<About> {
        Ok(About::from(&self.metadata()?))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> IoResult<usize> {
        FileExt::read_at(self, into, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> IoResult<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> IoResult<()> {
        Self::set_len(self, bytes)
    }

    fn sync_data(&self) -> IoResult<()> {
        Self::sync_data(self)
    }

    fn sync_all(&self) -> IoResult<()> {
        Self::sync_all(self)
    }

    fn try_lock(&self) -> std::result::Result<(), TryLockError> {
        Self::try_lock(self)
    }
}
