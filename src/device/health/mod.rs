//! The state of the device, for scripts: its [`DeviceStatus`] and figures of the machine are
//! written to `health.json`, served as metrics, and judged by `medfocus health`. Tells of no case
//! and no patient.

mod health_at;
mod metrics;
mod monitor;
mod page_writer;
mod place;
mod process;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use monitor::{LastWord, Monitor};
use place::Worth;
pub use place::{Places, StateFile, file_of};
pub use process::boot_id;

use crate::case::{BundleId, IntendedUse, SOFTWARE};
use crate::device::cases::Cases;
use crate::device::counts::Ends;
use crate::device::device_fault::DeviceFault;
use crate::device::self_test::machine;
use crate::device::status::Account;
pub use crate::device::status::Condition;
use crate::device::status::{DeviceStatus, Warning};
use crate::device_key::KeyFacts;
use crate::engine;
use crate::files::Folder;
use crate::journal::{Because, SelfCheck};

/// The name of the snapshot's file.
pub const FILE: &str = "health.json";

/// Far more bytes than it has.
const LARGEST: u64 = 4 << 20;

/// A snapshot that is older than so many seconds is of a device that stands still or is gone.
const STALE: f64 = 60.0;

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
    /// What each of them is about, and what to do; a device of before says neither.
    #[serde(default)]
    pub warning_help: Vec<Warning>,
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
    /// By what the state folder is known; `None` as told by a program of before.
    #[serde(default)]
    pub state_folder: Option<String>,
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
    /// Cases that it will never have by a fault, since the device started.
    #[serde(default)]
    pub failed: usize,
    /// What the answer that was delivered last went without, as `part: code`.
    #[serde(default)]
    pub without: Vec<String>,
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

/// Why there is nothing to read of a device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unread {
    /// There is no state file.
    #[error("no device is at work")]
    Nobody,
    /// It lies where the device noted, and another device wrote it.
    #[error("no device is at work: {} is of the device {device}, which is another", file.display())]
    OfAnother {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        device: String,
    },
    /// The system does not let it be read, or another version wrote it.
    #[error("its health cannot be read: {}: {error}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

impl From<Account> for Sink {
    fn from(account: Account) -> Self {
        Self {
            name: account.name,
            owed: account.owed,
            delivered: account.delivered,
            delivery_error: account.delivery_error.map(|why| why.code.to_owned()),
            failed: account.failed.map_or(0, |(count, _)| count),
            without: account
                .without
                .iter()
                .map(|(part, why)| format!("{part}: {}", why.code))
                .collect(),
        }
    }
}

impl Snapshot {
    /// How a device is now.
    pub fn of(cases: &Cases) -> Self {
        let status = cases.status();
        let disk = cases.disk().space();
        let codes = status.warning_codes().into_iter();
        Self {
            state: status.condition,
            warnings: codes.map(str::to_owned).collect(),
            device_fault: status.fault.as_deref().cloned(),
            written: cases.clock().wall(),
            boot_id: process::boot_id(),
            boot_s: process::boot_seconds(),
            pid: std::process::id(),
            uptime_s: status.uptime.as_secs(),
            device: format!("{:016x}", status.device),
            device_key: Some(status.key.into()),
            state_folder: Some(place::name_of(cases.state_folder())),
            software: SOFTWARE.to_owned(),
            bundle: status.bundle.id.clone(),
            intended_use: status.bundle.intended_use,
            queue: Queue {
                waiting: status.waiting,
                running_s: status.running_for.map(|time| time.as_secs_f64()),
                answered: status.answered,
            },
            decoding: Decoding {
                processor_s: cases.decoding().0.as_secs_f64(),
                held_back: cases.decoding().1,
            },
            self_test: tested(&status),
            warning_help: status.warnings,
            ends: status.ends,
            sinks: status.sinks.into_iter().map(Sink::from).collect(),
            disk: disk.map(|space| Disk {
                free_bytes: space.free,
                total_bytes: space.total,
                kept_bytes: cases.kept_bytes(),
            }),
            memory: Memory {
                device_bytes: process::resident(std::process::id()),
                worker_bytes: cases.worker_memory().bytes(),
                available_bytes: engine::available_memory(),
            },
            temperature_c: machine::hottest(Path::new("/")),
            clock_sets: cases.clock_sets(),
        }
    }

    /// What to do about the warnings, where it is known.
    pub fn cures(&self) -> impl Iterator<Item = (&str, &str)> {
        let told = self.warning_help.iter();
        told.map(|warning| (warning.code.as_str(), warning.help.as_str()))
    }

    /// Reads what the device on this state folder wrote last, wherever that may lie.
    ///
    /// # Errors
    /// [`Unread`].
    pub fn read(places: &Places<'_>) -> Result<Self, Unread> {
        let mut found: Option<(Worth, Self)> = None;
        let mut why = Unread::Nobody;
        for place in places.all() {
            match Self::read_file(&place.file) {
                Ok(snapshot) => {
                    let worth = place.worth(&snapshot);
                    let best = found.as_ref().map(|(best, _)| *best);
                    if worth > best.unwrap_or(Worth::OfAnother) {
                        found = Some((worth, snapshot));
                    } else if worth == Worth::OfAnother && place.device.is_some() {
                        why = Unread::OfAnother {
                            file: place.file,
                            device: snapshot.device,
                        };
                    }
                }
                Err(Unread::Nobody) => {}
                Err(_) if place.is_of_service => {}
                Err(error) => why = error,
            }
        }
        found.map(|(_, snapshot)| snapshot).ok_or(why)
    }

    /// Reads one state file.
    ///
    /// # Errors
    /// As [`Snapshot::read`].
    pub fn read_file(file: &Path) -> Result<Self, Unread> {
        let read = || -> std::io::Result<Self> {
            let (folder, name) = Folder::above(file)?;
            let bytes = folder.read(name, LARGEST)?;
            Ok(serde_json::from_slice(&bytes)?)
        };
        read().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Unread::Nobody,
            _ => Unread::Unreadable {
                file: file.to_owned(),
                error,
            },
        })
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

fn tested(status: &DeviceStatus) -> Option<Tested> {
    let (time, because) = status.tested?;
    Some(Tested {
        time,
        because,
        passed: status.passed()?,
        checks: status.checks.to_vec(),
    })
}
