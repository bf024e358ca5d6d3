//! How much space the disk of the state folder has, and whether it is there at all: asked each
//! time, never remembered.

use std::sync::Arc;

use crate::storage::{Space, Storage};

/// The disk that the state folder lies on, and what must be left free on it.
#[derive(Debug, Clone)]
pub struct DiskSpace {
    storage: Arc<dyn Storage>,
    least_free: u64,
}

impl DiskSpace {
    /// The disk of this state folder, on which so many bytes must be left.
    pub fn new(storage: Arc<dyn Storage>, least_free: u64) -> Self {
        Self {
            storage,
            least_free,
        }
    }

    /// Whether the folder is gone, or another lies at its path: a card was pulled. What is
    /// written into the one that was opened is lost then.
    pub fn is_away(&self) -> bool {
        !self.storage.is_there() || self.space().is_none()
    }

    /// How much there is; `None` where nobody can say, or the folder is gone.
    pub fn space(&self) -> Option<Space> {
        self.storage.space()
    }

    /// Bytes that there are too few.
    pub fn lacking(&self) -> u64 {
        let free = self.space().map(|space| space.free);
        free.map_or(0, |free| self.least_free.saturating_sub(free))
    }

    /// Whether so many bytes can be written and enough is left: not where nobody can say.
    pub fn takes(&self, bytes: u64) -> bool {
        let free = self.space().map(|space| space.free);
        free.is_some_and(|free| {
            let left = free.checked_sub(bytes);
            left.is_some_and(|left| left >= self.least_free)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;

    #[test]
    fn what_must_be_left_free_is_not_given_away() {
        let folder = tempfile::tempdir().unwrap();
        let room = |least_free| DiskSpace::new(Disk::make(folder.path()).unwrap(), least_free);
        let Space { free, total: whole } = room(0).space().unwrap();
        assert!(free <= whole);
        assert!(room(0).takes(0) && room(0).lacking() == 0);
        assert!(!room(whole + 1).takes(0) && room(whole + 1).lacking() > 0);
        assert!(!room(0).takes(whole + 1));
    }

    #[test]
    fn a_folder_that_another_took_the_place_of_is_away() {
        let folder = tempfile::tempdir().unwrap();
        let [state, pulled] = ["state", "pulled"].map(|name| folder.path().join(name));
        std::fs::create_dir(&state).unwrap();
        let room = DiskSpace::new(Disk::make(&state).unwrap(), 0);
        assert!(!room.is_away());
        std::fs::rename(&state, &pulled).unwrap();
        assert!(room.is_away() && !room.takes(0) && room.space().is_none());
        std::fs::create_dir(&state).unwrap();
        assert!(room.is_away());
        std::fs::remove_dir(&state).unwrap();
        std::fs::rename(&pulled, &state).unwrap();
        assert!(!room.is_away() && room.takes(0));
    }
}
