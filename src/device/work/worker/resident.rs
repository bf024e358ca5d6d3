//! How much memory the worker uses, as it said last: of a confined process, nobody else is told.

use std::sync::Mutex;

use crate::device::lock::lock;

/// Which process said it, and how many bytes.
static SAID: Mutex<Option<(u32, u64)>> = Mutex::new(None);

/// A worker says so.
pub(super) fn note(pid: u32, bytes: u64) {
    *lock(&SAID) = Some((pid, bytes));
}

/// A worker has ended; another may have said something since.
pub(super) fn forget(pid: u32) {
    let mut said = lock(&SAID);
    if said.is_some_and(|(whose, _)| whose == pid) {
        *said = None;
    }
}

/// Bytes of memory that the worker used when it last ended a case or a self-test; `None` where
/// there is none.
pub fn resident() -> Option<u64> {
    lock(&SAID).map(|(_, bytes)| bytes)
}
