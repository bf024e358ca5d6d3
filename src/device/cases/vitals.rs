//! What the cases know of the device's health.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Cases;
use crate::device::counts::Ends;
use crate::device::device_fault::DeviceFault;
use crate::device::lock;
use crate::device::sinks::Account;
use crate::journal::{Because, LINK, SelfCheck};

/// What the cases know of the device's health.
#[derive(Debug)]
pub(in crate::device) struct Vitals {
    pub is_on: bool,
    pub storage_fault: bool,
    pub device_fault: Option<Arc<DeviceFault>>,
    /// The last self-test: when, why, and what it came to.
    pub tested: Option<(Timestamp, Because)>,
    pub checks: Arc<[SelfCheck]>,
    pub warnings: Vec<String>,
    pub waiting: usize,
    pub running_for: Option<Duration>,
    pub answered: usize,
    pub ends: Ends,
    /// The link's first.
    pub sinks: Vec<Account>,
    pub uptime: Duration,
}

impl Cases {
    /// How everything stands, at one moment.
    pub(in crate::device) fn vitals(&self) -> Vitals {
        let board = lock(&self.board);
        let link = Account {
            name: LINK.to_owned(),
            owed: board.standings.undelivered(),
            delivered: board.delivered,
            delivery_error: None,
        };
        Vitals {
            is_on: self.lifecycle.is_on(),
            storage_fault: board.storage_fault,
            device_fault: board.device_fault.clone(),
            tested: board.tested,
            checks: Arc::clone(&board.checks),
            warnings: board.warnings(),
            waiting: board.waiting.len(),
            running_for: board.counts.running_for(),
            answered: board.answered,
            ends: board.counts.ends.clone(),
            sinks: std::iter::once(link)
                .chain(board.outbox.accounts())
                .collect(),
            uptime: self.since.elapsed(),
        }
    }

    /// Bytes that images of answered cases take.
    pub(in crate::device) fn kept_bytes(&self) -> u64 {
        lock(&self.kept).bytes()
    }

    /// How often the clock was set since the device started.
    pub(in crate::device) fn clock_sets(&self) -> u64 {
        lock(&self.ledger).journal.clock_sets()
    }
}
