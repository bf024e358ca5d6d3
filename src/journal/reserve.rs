//! Space on the disk that is held back, and given up when the disk is full: what was accepted can
//! then still be answered. Called by the writer. Never more than one file of a fixed size.

use std::io::Write;

use rustix::fs::{FallocateFlags, Mode, fallocate, fstatvfs};
use rustix::io::Errno;

use crate::files::Folder;

/// The file that takes the room.
const FILE: &str = "reserve";
/// Some hundred answers.
const BYTES: u64 = 2 << 20;
/// It is held back again where so much is free: not what was just given up.
const PLENTY: u64 = 4 * BYTES;

#[derive(Debug)]
pub(super) struct Reserve {
    folder: Folder,
    is_held: bool,
}

impl Reserve {
    /// Holds room back, where there is some.
    pub fn hold(folder: &Folder) -> Self {
        let about = folder.about(FILE);
        let is_held = about.is_ok_and(|about| about.is_file() && about.len() >= BYTES);
        let mut reserve = Self {
            folder: folder.clone(),
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
        std::mem::take(&mut self.is_held) && self.folder.remove(FILE).is_ok()
    }

    fn free(&self) -> u64 {
        fstatvfs(&self.folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn take(&self) -> std::io::Result<()> {
        let mut fresh = self.folder.fresh(Mode::RUSR | Mode::WUSR)?;
        match fallocate(fresh.file(), FallocateFlags::empty(), 0, BYTES) {
            Err(Errno::NOTSUP | Errno::NOSYS) => fresh.write_all(&vec![0; BYTES as usize])?,
            done => done?,
        }
        Ok(fresh.keep_durably(FILE)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_held_until_it_is_given_up_and_then_again() {
        let folder = tempfile::tempdir().unwrap();
        let length = || std::fs::metadata(folder.path().join(FILE)).map_or(0, |f| f.len());
        let held = Folder::open(folder.path()).unwrap();
        let mut reserve = Reserve::hold(&held);
        assert_eq!(length(), BYTES);
        assert!(reserve.give_up() && !reserve.give_up());
        assert_eq!(length(), 0);
        reserve.restore();
        assert_eq!(length(), BYTES);
        assert!(Reserve::hold(&held).is_held);
    }
}
