//! How the device is, for scripts: one snapshot, written to `health.json` in the state
//! folder, told as metrics, and judged by `medfocus health`. Tells of no case and no patient.

mod metrics;
mod monitor;
mod process;

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use monitor::{LastWord, Monitor};
pub use process::boot_id;

use super::cases::{Cases, Vitals};
use super::counts::Ends;
use super::device_fault::DeviceFault;
use super::self_test::machine;
use super::sinks::Account;
use crate::bundle::IntendedUse;
use crate::device_key::KeyFacts;
use crate::engine;
use crate::files::Folder;
use crate::finding::BundleId;
use crate::journal::{Because, SelfCheck, Verdict};
use crate::report::SOFTWARE;

/// The snapshot's file in the state folder.
pub const FILE: &str = "health.json";

/// Far more bytes than it has.
const LARGEST: u64 = 4 << 20;

/// A snapshot that is older than so many seconds is of a device that stands still or is gone.
const STALE: f64 = 60.0;

/// What the device does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It tests itself before its first case.
    Starting,
    /// Cases are accepted and answered.
    Ready,
    /// Cases are accepted and kept; none is answered.
    Safe,
    /// The journal cannot be written, or the disk is nearly full.
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

/// How the device is. `docs/health.schema.json` is its schema.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What it does.
    pub state: Condition,
    /// Why it does not answer, where it does not.
    #[serde(rename = "trouble")]
    pub device_fault: Option<DeviceFault>,
    /// Codes of what needs a person before long.
    pub warnings: Vec<String>,
    /// When this was written, by the wall's clock.
    pub written: Timestamp,
    /// The system's start that this was written since.
    pub boot_id: Option<String>,
    /// Seconds from that start to when this was written.
    pub boot_s: Option<f64>,
    /// The device's process.
    pub pid: u32,
    /// Seconds since the device started.
    pub uptime_s: u64,
    /// The device's own number.
    pub device: String,
    /// Its key; `None` as told by a program of before there was one.
    #[serde(default)]
    pub device_key: Option<KeyFacts>,
    /// Name and version of the program.
    pub software: String,
    /// What answers.
    pub bundle: BundleId,
    /// What for.
    pub intended_use: IntendedUse,
    /// The cases.
    pub queue: Queue,
    /// The processes that decode images; a device of before says nothing of them.
    #[serde(default)]
    pub decoding: Decoding,
    /// What became of the cases since the device started.
    pub ends: Ends,
    /// The last self-test; `None` where there was none yet.
    pub self_test: Option<Tested>,
    /// How the sinks stand; the first is the serial link.
    pub sinks: Vec<Sink>,
    /// The state folder's disk.
    pub disk: Option<Disk>,
    /// Memory.
    pub memory: Memory,
    /// Of the hottest part that the system tells of.
    pub temperature_c: Option<f64>,
    /// How often the clock was set since the device started.
    pub clock_sets: u64,
}

/// The cases that wait and run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Queue {
    /// How many wait.
    pub waiting: usize,
    /// Seconds that the case which runs has been running.
    pub running_s: Option<f64>,
    /// How many were answered since the state folder was made.
    pub answered: usize,
}

/// What decoders took.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    /// Seconds of a processor since the device started.
    pub processor_s: f64,
    /// Senders whose cases wait behind all others, since they had more than their share.
    pub held_back: usize,
}

/// What a self-test came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// When.
    pub time: Timestamp,
    /// Why.
    pub because: Because,
    /// Whether cases may be answered.
    pub passed: bool,
    /// What it looked at.
    pub checks: Vec<SelfCheck>,
}

/// How a sink stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// Its name.
    pub name: String,
    /// Cases that it has not delivered.
    pub owed: usize,
    /// Cases that it has delivered since the device started.
    pub delivered: u64,
    /// What its last try failed of, as a stable word.
    #[serde(rename = "obstacle")]
    pub delivery_error: Option<String>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Bytes that may be written.
    pub free_bytes: u64,
    /// Bytes that it holds.
    pub total_bytes: u64,
    /// Bytes that images of answered cases take.
    pub kept_bytes: u64,
}

/// Memory, in bytes; `None` where the system does not say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What the device itself has.
    pub device_bytes: Option<u64>,
    /// What its worker has, which runs the cases.
    pub worker_bytes: Option<u64>,
    /// What can still be had.
    pub available_bytes: Option<u64>,
}

impl From<Account> for Sink {
    fn from(account: Account) -> Self {
        Self {
            name: account.name,
            owed: account.owed,
            delivered: account.delivered,
            delivery_error: account.delivery_error.map(str::to_owned),
        }
    }
}

impl Snapshot {
    /// How a device is now.
    pub fn of(cases: &Cases) -> Self {
        let vitals = cases.vitals();
        let bundle = cases.bundle();
        let disk = cases.disk().bytes();
        Self {
            state: vitals.condition(),
            warnings: vitals.warnings.clone(),
            device_fault: vitals.device_fault.as_deref().cloned(),
            written: Timestamp::now(),
            boot_id: process::boot_id(),
            boot_s: process::boot_seconds(),
            pid: std::process::id(),
            uptime_s: vitals.uptime.as_secs(),
            device: format!("{:016x}", cases.device()),
            device_key: Some(cases.key().into()),
            software: SOFTWARE.to_owned(),
            bundle: bundle.id.clone(),
            intended_use: bundle.intended_use,
            queue: Queue {
                waiting: vitals.waiting,
                running_s: vitals.running_for.map(|time| time.as_secs_f64()),
                answered: vitals.answered,
            },
            decoding: Decoding {
                processor_s: cases.decoding().0.as_secs_f64(),
                held_back: cases.decoding().1,
            },
            self_test: vitals.self_test(),
            ends: vitals.ends,
            sinks: vitals.sinks.into_iter().map(Sink::from).collect(),
            disk: disk.map(|(free_bytes, total_bytes)| Disk {
                free_bytes,
                total_bytes,
                kept_bytes: cases.kept_bytes(),
            }),
            memory: Memory {
                device_bytes: process::resident(std::process::id()),
                worker_bytes: super::worker::resident(),
                available_bytes: engine::available_memory(),
            },
            temperature_c: machine::hottest(Path::new("/")),
            clock_sets: cases.clock_sets(),
        }
    }

    /// What to do about the warnings, where it is known.
    pub fn cures(&self) -> impl Iterator<Item = (&str, &str)> {
        let checks = self.self_test.iter().flat_map(|tested| &tested.checks);
        let of_check = move |code: &str| {
            let mut checks = checks.clone();
            let check = checks.find(|check| check.name == code);
            check.map(|check| check.help.as_str())
        };
        let warnings = self.warnings.iter().map(String::as_str);
        warnings.filter_map(move |code| Some((code, cure_of(code).or_else(|| of_check(code))?)))
    }

    /// Reads what the device on this state folder wrote last.
    ///
    /// # Errors
    /// What the system says, and `InvalidData` where another version wrote it.
    pub fn read(state: &Path) -> std::io::Result<Self> {
        let bytes = Folder::open(state)?.read(FILE, LARGEST)?;
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Seconds since it was written; `None` where the system was started since. A clock that
    /// was set changes nothing.
    pub fn age(&self) -> Option<f64> {
        if self.boot_id != process::boot_id() {
            return None;
        }
        Some(process::boot_seconds()? - self.boot_s?)
    }

    /// Whether there is no device that still writes this.
    pub fn is_stale(&self) -> bool {
        self.age().is_none_or(|age| age > STALE)
    }
}

/// What to do about a warning that is no check of the self-test.
fn cure_of(code: &str) -> Option<&'static str> {
    match code {
        "images_short" => Some("see to the sinks that are away: images that they need will go"),
        "store_full" => {
            Some("wait for cases to end, and see in the log or journal which source sends so many")
        }
        "inbox_full" => {
            Some("see in the log which DICOM sender found the inbox full, and why cases wait")
        }
        "inbox_held" => Some(
            "a received DICOM image cannot become a case: see the log and medfocus journal verify",
        ),
        _ => None,
    }
}

impl Vitals {
    /// What the device does.
    pub(in crate::device) fn condition(&self) -> Condition {
        if !self.is_on {
            Condition::Stopping
        } else if self.storage_fault {
            Condition::StorageFault
        } else if self.device_fault.is_some() {
            Condition::Safe
        } else if self.tested.is_none() {
            Condition::Starting
        } else {
            Condition::Ready
        }
    }

    fn self_test(&self) -> Option<Tested> {
        let (time, because) = self.tested?;
        Some(Tested {
            time,
            because,
            passed: self.checks.iter().all(|c| c.verdict != Verdict::Failed),
            checks: self.checks.to_vec(),
        })
    }
}
