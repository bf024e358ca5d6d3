//! The state of the device at one moment: one [`DeviceStatus`], made by the cases. The state file,
//! `medfocus health`, `STAT?`, the metrics, the displays, the link and the control socket show
//! parts of it. None of them measures anything by itself, so that no two can disagree. It tells of
//! no patient, no image and no image's path.

mod warning;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use warning::Warning;
pub(super) use warning::{HANGS, Warned, Warner};

use crate::bundle::Outline;
use crate::device::counts::Ends;
use crate::device::device_fault::DeviceFault;
use crate::device_key::PublicKey;
use crate::journal::{Because, SelfCheck, Verdict};

/// How often what can change by itself (disk, clock, folders) is looked at, and how soon every
/// channel tells of it.
pub const TICK: Duration = Duration::from_secs(1);

/// What the device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Condition {
    /// It tests itself before its first case.
    Starting,
    /// Cases are accepted and answered.
    Ready,
    /// Cases are accepted and kept; none is answered.
    Safe,
    /// The journal cannot be written, the disk is nearly full, or the state folder is gone.
    StorageFault,
    /// It is being switched off.
    Stopping,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Starting,
        Self::Ready,
        Self::Safe,
        Self::StorageFault,
        Self::Stopping,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Safe => "safe",
            Self::StorageFault => "storage_fault",
            Self::Stopping => "stopping",
        }
    }
}

/// What is in the way of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obstacle {
    /// Stable word.
    pub code: &'static str,
    /// What a person can do about it.
    pub help: &'static str,
}

/// How one sink stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The sink.
    pub name: String,
    /// Cases that it still owes.
    pub owed: usize,
    /// Cases that it has delivered since the device started.
    pub delivered: u64,
    /// What its last try failed of; `None` where it did not.
    pub delivery_error: Option<Obstacle>,
    /// How many it will never have by a fault, since the device started, and the last one's.
    pub failed: Option<(usize, Obstacle)>,
    /// The parts that the answer which was delivered last went without.
    pub without: Vec<(&'static str, Obstacle)>,
}

/// How the device is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceStatus {
    /// What it does.
    pub condition: Condition,
    /// Why no case is answered now; they are accepted and kept.
    pub fault: Option<Arc<DeviceFault>>,
    /// Whether the last write to the journal failed, the disk has hardly any space left, or the
    /// state folder is gone.
    pub storage_fault: bool,
    /// What needs a person before long, the most urgent first.
    pub warnings: Vec<Warning>,
    /// Cases that wait.
    pub waiting: usize,
    /// The case that runs.
    pub running: Option<u64>,
    /// How long it has been running.
    pub running_for: Option<Duration>,
    /// Cases that ended in a finding or refusal, since the state folder was made.
    pub answered: usize,
    /// What became of the cases since the device started.
    pub ends: Ends,
    /// The last self-test: when, and why.
    pub tested: Option<(Timestamp, Because)>,
    /// What it came to.
    pub checks: Arc<[SelfCheck]>,
    /// How the sinks stand; the serial link's comes first.
    pub sinks: Vec<Account>,
    /// Since the device started.
    pub uptime: Duration,
    /// The device's own number.
    pub device: u64,
    /// The public half of its key.
    pub key: PublicKey,
    /// What answers.
    pub bundle: Arc<Outline>,
}

impl DeviceStatus {
    /// Codes of what needs a person before long, each once.
    pub fn warning_codes(&self) -> Vec<&str> {
        let mut codes = Vec::new();
        for warning in &self.warnings {
            if !codes.contains(&warning.code.as_str()) {
                codes.push(warning.code.as_str());
            }
        }
        codes
    }

    /// Whether the last self-test lets cases be answered; `None` where there was none.
    pub fn passed(&self) -> Option<bool> {
        self.tested?;
        Some(self.checks.iter().all(|c| c.verdict != Verdict::Failed))
    }
}

/// From what it follows what the device does.
#[derive(Debug, Clone, Copy)]
pub(super) struct DeviceFacts {
    pub is_on: bool,
    pub storage_fault: bool,
    pub has_fault: bool,
    pub is_tested: bool,
}

impl From<DeviceFacts> for Condition {
    fn from(facts: DeviceFacts) -> Self {
        let DeviceFacts {
            is_on,
            storage_fault,
            has_fault,
            is_tested,
        } = facts;
        if !is_on {
            Self::Stopping
        } else if storage_fault {
            Self::StorageFault
        } else if has_fault {
            Self::Safe
        } else if is_tested {
            Self::Ready
        } else {
            Self::Starting
        }
    }
}
