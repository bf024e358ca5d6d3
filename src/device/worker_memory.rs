//! How much memory the worker uses, as it said last: of a confined process, nobody else is told.
//! Written by whoever hears the worker, read for the device's status.

use std::sync::Mutex;

use crate::device::lock::lock;

/// Which process said it, and how many bytes.
#[derive(Debug, Default)]
pub(crate) struct WorkerMemory(Mutex<Option<(u32, u64)>>);

impl WorkerMemory {
    /// A worker says so.
    pub fn note(&self, pid: u32, bytes: u64) {
        *lock(&self.0) = Some((pid, bytes));
    }

    /// A worker has ended; another may have said something since.
    pub fn forget(&self, pid: u32) {
        let mut said = lock(&self.0);
        if said.is_some_and(|(whose, _)| whose == pid) {
            *said = None;
        }
    }

    /// Bytes of memory that the worker used when it last ended a case or a self-test; `None`
    /// where there is none.
    pub fn bytes(&self) -> Option<u64> {
        lock(&self.0).map(|(_, bytes)| bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_worker_said_is_forgotten_with_it_and_not_with_another() {
        let memory = WorkerMemory::default();
        assert_eq!(memory.bytes(), None);
        memory.note(1, 100);
        memory.note(2, 200);
        memory.forget(1);
        assert_eq!(memory.bytes(), Some(200));
        memory.forget(2);
        assert_eq!(memory.bytes(), None);
    }
}
