//! Space on the disk that is held back, and given up when the disk is full: what was accepted can
//! then still be answered. Called by the writer. Never more than one file of a fixed size.

use std::ffi::OsStr;
use std::sync::Arc;

use rustix::fs::Mode;

use super::file;
use crate::storage::{Over, Storage};

/// The file that takes the room.
const FILE: &str = "reserve";
/// Some hundred answers.
const BYTES: u64 = 2 << 20;
/// It is held back again where so much is free: not what was just given up.
const PLENTY: u64 = 4 * BYTES;

#[derive(Debug)]
pub(super) struct Reserve {
    folder: Arc<dyn Storage>,
    is_held: bool,
}

impl Reserve {
    /// Holds room back, where there is some.
    pub fn hold(folder: &Arc<dyn Storage>) -> Self {
        let about = folder.about(file(FILE));
        let is_held = about.is_ok_and(|about| about.is_file && about.bytes >= BYTES);
        let mut reserve = Self {
            folder: Arc::clone(folder),
            is_held,
        };
        reserve.restore();
        reserve
    }

    /// Holds the room back again, where it was given up and there is plenty.
    pub fn restore(&mut self) {
        if self.is_held || self.free() < PLENTY {
            return;
        }
        // Half a reserve would only be in the way: what is not kept goes.
        self.is_held = self.take().is_ok();
    }

    /// Gives the room up; whether there was any.
    pub fn give_up(&mut self) -> bool {
        std::mem::take(&mut self.is_held) && self.folder.remove(file(FILE)).is_ok()
    }

    fn free(&self) -> u64 {
        self.folder.space().map_or(0, |space| space.free)
    }

    fn take(&self) -> std::io::Result<()> {
        let mut draft = self.folder.draft(Mode::RUSR | Mode::WUSR)?;
        draft.allocate(BYTES)?;
        draft.keep(OsStr::new(FILE), Over::Existing)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_held_until_it_is_given_up_and_then_again() {
        let folder = tempfile::tempdir().unwrap();
        let length = || std::fs::metadata(folder.path().join(FILE)).map_or(0, |f| f.len());
        let held = crate::storage::Disk::make(folder.path()).unwrap();
        let mut reserve = Reserve::hold(&held);
        assert_eq!(length(), BYTES);
        assert!(reserve.give_up() && !reserve.give_up());
        assert_eq!(length(), 0);
        reserve.restore();
        assert_eq!(length(), BYTES);
        assert!(Reserve::hold(&held).is_held);
    }
}
