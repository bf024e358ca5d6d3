//! How the device is, as the cases know it: they make the one [`DeviceStatus`] that every
//! channel shows, and take down what others notice. Nothing here waits for a disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Cases;
use crate::bundle::clock_is_set;
use crate::case::Giver;
use crate::device::case_error::CaseError;
use crate::device::lock::lock;
use crate::device::status::Account;
use crate::device::status::{DeviceFacts, DeviceStatus, Warner, Warning};
use crate::device::worker_memory::WorkerMemory;
use crate::journal::{Entry, LINK};

impl Cases {
    /// How the device is now.
    pub fn status(&self) -> DeviceStatus {
        let bundle = self.bundle();
        let now = self.clock().now();
        let board = lock(&self.board);
        let link = Account {
            name: LINK.to_owned(),
            owed: board.table.undelivered(),
            delivered: board.delivered,
            delivery_error: None,
            failed: None,
            without: Vec::new(),
        };
        let facts = DeviceFacts {
            is_on: self.lifecycle.is_on(),
            storage_fault: board.storage_fault,
            has_fault: board.device_fault.is_some(),
            is_tested: board.tested.is_some(),
        };
        DeviceStatus {
            condition: facts.into(),
            fault: board.device_fault.clone(),
            storage_fault: board.storage_fault,
            warnings: board.warnings(self.clock()),
            waiting: board.waiting.len(),
            running: board.running,
            running_for: board.counts.running_for(now),
            answered: board.answered,
            ends: board.counts.ends.clone(),
            tested: board.tested,
            checks: Arc::clone(&board.checks),
            sinks: std::iter::once(link)
                .chain(board.outbox.accounts(now))
                .collect(),
            uptime: self.clock().since(self.since),
            device: self.device,
            key: self.key,
            bundle,
        }
    }

    /// A DICOM instance was refused before it was stored.
    pub(crate) fn note_unstored(&self, code: &str) {
        let unstored = &mut lock(&self.board).counts.ends.unstored;
        *unstored.entry(code.to_owned()).or_default() += 1;
    }

    /// From now on these are what `who` warns of.
    pub(crate) fn set_warnings(&self, who: Warner, warnings: Vec<Warning>) {
        lock(&self.board).warned.set(who, warnings);
    }

    /// A folder is being looked into, and something came of it just now: where nothing more
    /// comes of it for long, it is away.
    pub(crate) fn looks_into(&self, folder: &str) {
        lock(&self.board).warned.begin(folder, self.clock().now());
    }

    /// A look into a folder came to its end, and these are what is to be warned of there.
    pub(crate) fn looked_into(&self, folder: &str, warnings: Vec<Warning>) {
        let warned = &mut lock(&self.board).warned;
        warned.end(folder);
        warned.set(Warner::Folder(folder.to_owned()), warnings);
    }

    /// Has everybody who waits look whether the device has ended.
    pub(crate) fn wake_all(&self) {
        // Whoever looked just before waits by now, and is woken.
        drop(lock(&self.board));
        for waiting in [&self.arrived, &self.tested, &self.owing] {
            waiting.notify_all();
        }
    }

    /// Waits so long, or until the device has ended.
    pub(crate) fn rest(&self, patience: Duration) {
        let board = lock(&self.board);
        let goes_on = |_: &mut _| !self.lifecycle.has_ended();
        // Whoever wakes this looks at nothing that is behind the lock.
        let clock = self.clock();
        drop(clock.wait_while(&self.owing, board, patience, goes_on));
    }

    /// Looks at what changes by itself: whether the state folder is still there, and how full its
    /// disk is.
    pub(crate) fn look_at_disk(&self) {
        let is_away = self.disk.is_away();
        self.set_storage_away(is_away);
        self.set_storage_full(!is_away && !self.disk.takes(0));
    }

    /// How much memory the worker uses, as it says itself.
    pub(crate) fn worker_memory(&self) -> &Arc<WorkerMemory> {
        &self.worker_memory
    }

    /// Bytes that images of answered cases take.
    pub(crate) fn kept_bytes(&self) -> u64 {
        latest(&self.kept, &self.kept_bytes, |kept| kept.bytes())
    }

    /// Somebody says what time it is. From now on the device's own clock shows it, by an offset from the system's; the
    /// order of the journal stays that of its numbers.
    ///
    /// # Errors
    /// [`CaseError::TimeRefused`] for a time before there was this program, which no clock is set to;
    /// [`CaseError::Storage`], and then the clock shows what it showed.
    pub(crate) fn set_time(&self, time: Timestamp, by: &Giver) -> Result<(), CaseError> {
        let (clock, before, since) = (self.clock(), self.clock().wall(), self.clock().now());
        if !clock_is_set(time) || !clock.set_wall(time) {
            return Err(CaseError::TimeRefused);
        }
        let by = by.to_string();
        self.write(Entry::TimeGiven { to: time, by })
            .map(drop)
            .inspect_err(|_| {
                let passed = SignedDuration::try_from(clock.since(since)).unwrap_or_default();
                clock.set_wall(before.saturating_add(passed).unwrap_or(before));
            })
    }

    /// How often the clock was set since the device started.
    pub(crate) fn clock_sets(&self) -> u64 {
        latest(&self.ledger, &self.clock_sets, |ledger| {
            ledger.journal.clock_sets()
        })
    }
}

/// What lies behind a lock, or what lay there last where somebody holds it: a disk may be slow.
fn latest<T>(behind: &Mutex<T>, last: &AtomicU64, of: impl Fn(&T) -> u64) -> u64 {
    if let Ok(value) = behind.try_lock() {
        last.store(of(&value), Ordering::Relaxed);
    }
    last.load(Ordering::Relaxed)
}
