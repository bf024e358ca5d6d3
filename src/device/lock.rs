//! How every lock of the device is taken, also after a thread failed while it held one. Called
//! everywhere in the device.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Every change under the device's locks is whole at each step, so a lock that a panic left
/// behind still guards good data.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
