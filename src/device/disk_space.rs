//! How much space the disk of the state folder has: asked each time, never remembered.

use std::path::PathBuf;

/// The disk that the state folder lies on, and what must be left free on it.
#[derive(Debug, Clone)]
pub struct DiskSpace {
    folder: PathBuf,
    least_free: u64,
}

impl DiskSpace {
    /// The disk of this folder, on which so many bytes must be left.
    pub fn new(folder: PathBuf, least_free: u64) -> Self {
        Self { folder, least_free }
    }

    /// Bytes that may be written, and all that the disk holds; `None` where the system does
    /// not say.
    pub fn bytes(&self) -> Option<(u64, u64)> {
        let disk = rustix::fs::statvfs(&self.folder).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Some((bytes(disk.f_bavail), bytes(disk.f_blocks)))
    }

    /// Bytes that there are too few.
    pub fn lacking(&self) -> u64 {
        let free = self.bytes().map(|(free, _)| free);
        free.map_or(0, |free| self.least_free.saturating_sub(free))
    }

    /// Whether so many bytes can be written and enough is left.
    pub fn takes(&self, bytes: u64) -> bool {
        let free = self.bytes().map(|(free, _)| free);
        free.is_none_or(|free| {
            let left = free.checked_sub(bytes);
            left.is_some_and(|left| left >= self.least_free)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_left_free_is_not_given_away() {
        let folder = tempfile::tempdir().unwrap();
        let room = |least_free| DiskSpace::new(folder.path().to_owned(), least_free);
        let (free, whole) = room(0).bytes().unwrap();
        assert!(free <= whole);
        assert!(room(0).takes(0) && room(0).lacking() == 0);
        assert!(!room(whole + 1).takes(0) && room(whole + 1).lacking() > 0);
        assert!(!room(0).takes(whole + 1));
        let nowhere = DiskSpace::new(folder.path().join("none"), u64::MAX);
        assert!(nowhere.takes(1) && nowhere.bytes().is_none());
    }
}
