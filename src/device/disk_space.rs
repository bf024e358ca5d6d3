//! How much space the disk of the state folder has, and whether it is there at all: asked each
//! time, never remembered.

use std::path::{Path, PathBuf};

use crate::files;

/// The disk that the state folder lies on, and what must be left free on it.
#[derive(Debug, Clone)]
pub struct DiskSpace {
    folder: PathBuf,
    /// Device and inode of the folder that was there at first; `None` where there was none.
    place: Option<(u64, u64)>,
    least_free: u64,
}

impl DiskSpace {
    /// The disk of this folder, on which so many bytes must be left.
    pub fn new(folder: PathBuf, least_free: u64) -> Self {
        let place = place_of(&folder);
        Self {
            folder,
            place,
            least_free,
        }
    }

    /// Whether the folder is gone, or another lies at its path: a card was pulled. What is
    /// written into the one that was opened is lost then.
    pub fn is_away(&self) -> bool {
        self.place.is_none() || self.place != place_of(&self.folder) || self.bytes().is_none()
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

    /// Whether so many bytes can be written and enough is left: not where nobody can say.
    pub fn takes(&self, bytes: u64) -> bool {
        let free = self.bytes().map(|(free, _)| free);
        free.is_some_and(|free| {
            let left = free.checked_sub(bytes);
            left.is_some_and(|left| left >= self.least_free)
        })
    }
}

fn place_of(folder: &Path) -> Option<(u64, u64)> {
    let about = folder.metadata().ok()?;
    Some(files::place(&about))
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
        assert!(!nowhere.takes(1) && nowhere.bytes().is_none() && nowhere.is_away());
    }

    #[test]
    fn a_folder_that_another_took_the_place_of_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let [state, pulled] = ["state", "pulled"].map(|name| folder.path().join(name));
        std::fs::create_dir(&state).unwrap();
        let room = DiskSpace::new(state.clone(), 0);
        assert!(!room.is_away());
        std::fs::rename(&state, &pulled).unwrap();
        assert!(room.is_away() && !room.takes(0));
        std::fs::create_dir(&state).unwrap();
        assert!(room.is_away());
        std::fs::remove_dir(&state).unwrap();
        std::fs::rename(&pulled, &state).unwrap();
        assert!(!room.is_away() && room.takes(0));
    }
}
