//! Room that is held back on the disk and given up where there is no other: what was
//! accepted can then still be answered.

use std::fs::File;
use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::io::Errno;

/// The file that takes the room.
const FILE: &str = "reserve";
/// Some hundred answers.
const BYTES: u64 = 2 << 20;
/// It is held back again where so much is free: not what was just given up.
const PLENTY: u64 = 4 * BYTES;

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    is_held: bool,
}

impl Reserve {
    /// Holds room back, where there is some.
    pub fn hold(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let is_held = std::fs::metadata(&path).is_ok_and(|about| about.len() >= BYTES);
        let mut reserve = Self { path, is_held };
        reserve.restore();
        reserve
    }

    /// Holds the room back again, where it was given up and there is plenty.
    pub fn restore(&mut self) {
        if self.is_held || self.free() < PLENTY {
            return;
        }
        self.is_held = self.take().is_ok();
        if !self.is_held {
            // Half a reserve would only be in the way.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Gives the room up; whether there was any.
    pub fn give_up(&mut self) -> bool {
        std::mem::take(&mut self.is_held) && std::fs::remove_file(&self.path).is_ok()
    }

    fn free(&self) -> u64 {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        statvfs(folder).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn take(&self) -> Result<()> {
        let mut file = File::create(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, BYTES) {
            Err(Errno::NOTSUP | Errno::NOSYS) => file.write_all(&vec![0; BYTES as usize])?,
            done => done?,
        }
        file.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_held_until_it_is_given_up_and_then_again() {
        let folder = tempfile::tempdir().unwrap();
        let length = || std::fs::metadata(folder.path().join(FILE)).map_or(0, |f| f.len());
        let mut reserve = Reserve::hold(folder.path());
        assert_eq!(length(), BYTES);
        assert!(reserve.give_up() && !reserve.give_up());
        assert_eq!(length(), 0);
        reserve.restore();
        assert_eq!(length(), BYTES);
        assert!(Reserve::hold(folder.path()).is_held);
    }
}
