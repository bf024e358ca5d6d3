//! How a journal is opened: its file is locked for this process, and whose journal it is, is found
//! out. Called by the writer first of all. The file and the device's key are made where they are
//! missing; no entry is written yet.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::entry::Origin;
use super::integrity::{self, Integrity};
use super::{FILE, JournalError, failed, file, mark};
use crate::case::Identity;
use crate::clock::Clock;
use crate::device_key::DeviceKey;
use crate::hex::Hex;
use crate::identity;
use crate::storage::{Open, Storage, StoredFile};

/// How long the lock of a device that was killed may last: a process that it had just begun
/// holds it until that is a program of its own, which takes a busy machine milliseconds.
const LINGERS: Duration = Duration::from_secs(2);

/// A journal that only this process has.
#[derive(Debug)]
pub(super) struct Held {
    pub folder: Arc<dyn Storage>,
    pub path: PathBuf,
    pub file: Open,
    pub key: DeviceKey,
    /// Whose it would be, were it begun now.
    pub origin: Origin,
    pub marked: mark::Found,
    pub integrity: Integrity,
}

impl Held {
    /// Takes the journal in a state folder; it is made where it is missing.
    pub fn take(folder: Arc<dyn Storage>, clock: &Clock) -> Result<Self, JournalError> {
        let path = folder.path_of(file(FILE));
        let file = folder.append(file(FILE))?;
        lock(&*file, &path, LINGERS, clock)?;
        let key = DeviceKey::of(&*folder)?;
        let origin = Origin {
            device: Identity(identity::of(&*folder).map_err(failed(folder.path()))?),
            key: key.public(),
            nonce: Hex::by_chance().map_err(failed(&path))?,
        };
        let marked = mark::read(&*folder, &origin.key)?;
        let integrity = integrity::of(&*file, &marked, &origin.key).map_err(failed(&path))?;
        Ok(Self {
            folder,
            path,
            file,
            key,
            origin,
            marked,
            integrity,
        })
    }

    /// Whose it is, where it is not this device's.
    pub fn foreign(&self) -> Option<String> {
        let other = self.integrity.history.origin?;
        if other.is_of(&self.origin) {
            return None;
        }
        let said =
            |origin: &Origin| format!("device {}, key {}", origin.device, origin.key.fingerprint());
        Some(format!(
            "it is of {}, and this is {}",
            said(&other),
            said(&self.origin)
        ))
    }

    /// # Errors
    /// [`JournalError::Foreign`] where it is another device's.
    pub fn refuse_foreign(&self) -> Result<(), JournalError> {
        match self.foreign() {
            None => Ok(()),
            Some(whose) => Err(JournalError::Foreign {
                path: self.path.clone(),
                whose,
            }),
        }
    }
}

/// Takes the journal for this process, and waits so long for the one that has it to end.
pub(super) fn lock(
    file: &dyn StoredFile,
    path: &Path,
    patience: Duration,
    clock: &Clock,
) -> Result<(), JournalError> {
    let begin = clock.now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if clock.since(begin) < patience => {
                clock.sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let path = path.to_owned();
                return Err(JournalError::InUse { path });
            }
            Err(TryLockError::Error(error)) => return Err(failed(path)(error)),
        }
    }
}
