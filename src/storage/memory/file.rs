//! Open files in memory, and those that are being made.

use std::ffi::OsStr;
use std::fs::TryLockError;
use std::io::{ErrorKind, Result as IoResult};

use super::{Change, Memory};
use crate::files::Result;
use crate::storage::{About, Area, Draft, Open, Over, Storage, StoredFile};

/// A file in memory that is being made.
#[derive(Debug)]
pub(super) struct MemoryDraft {
    pub disk: Memory,
    pub inode: usize,
}

impl Draft for MemoryDraft {
    fn write_all(&mut self, bytes: &[u8]) -> IoResult<()> {
        self.disk.file(self.inode, true).write_all_at(bytes, 0)
    }

    fn allocate(&mut self, bytes: u64) -> IoResult<()> {
        let zeros = vec![0; usize::try_from(bytes).unwrap()];
        self.write_all(&zeros)
    }

    fn keep(self: Box<Self>, name: &OsStr, over: Over) -> Result<Open> {
        let Self { disk, inode } = *self;
        let name = Area::State.named(name);
        let synced = disk.sync_file(inode);
        synced.map_err(|error| disk.failed(name, error))?;
        disk.within(name, |state, key| {
            if over == Over::Nothing && state.names.contains_key(&key) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            state.change(Change::Put(key, inode));
            Ok(())
        })?;
        disk.sync(Area::State)?;
        Ok(disk.file(inode, false))
    }
}

/// An open file in memory.
#[derive(Debug)]
pub(super) struct MemoryFile {
    pub disk: Memory,
    pub inode: usize,
    pub appends: bool,
}

impl StoredFile for MemoryFile {
    fn about(&self) -> IoResult<About> {
        Ok(self.disk.begin()?.about(self.inode))
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> IoResult<usize> {
        let state = self.disk.begin()?;
        let bytes = &state.inodes[self.inode].bytes;
        let left = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or(&[]);
        let count = left.len().min(into.len());
        into[..count].copy_from_slice(&left[..count]);
        Ok(count)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> IoResult<()> {
        let now = self.disk.clock.wall();
        let mut state = self.disk.begin()?;
        let free = self.disk.free(&state);
        let length = state.inodes[self.inode].bytes.len();
        let at = if self.appends {
            length
        } else {
            usize::try_from(offset).unwrap()
        };
        let more = (at + bytes.len()).saturating_sub(length);
        let lacking = more.saturating_sub(usize::try_from(free).unwrap());
        // As much as there is room for.
        let fits = bytes.len() - lacking.min(bytes.len());
        state.inodes[self.inode].write(&bytes[..fits], at, now);
        if lacking > 0 {
            return Err(ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> IoResult<()> {
        let mut state = self.disk.begin()?;
        let inode = &mut state.inodes[self.inode];
        inode.resize(usize::try_from(bytes).unwrap());
        inode.changes += 1;
        Ok(())
    }

    fn sync_data(&self) -> IoResult<()> {
        self.disk.sync_file(self.inode)
    }

    fn sync_all(&self) -> IoResult<()> {
        self.disk.sync_file(self.inode)
    }

    fn try_lock(&self) -> std::result::Result<(), TryLockError> {
        Ok(())
    }
}
