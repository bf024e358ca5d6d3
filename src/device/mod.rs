//! The running device. Cases come in on a serial line, on the control socket, by DICOM or from a
//! folder. They are run one after the other, and sinks, displays and whoever asks get the
//! answers. [`Device::start`] puts it together.
//!
//! `serial -> line -> console or link -> cases -> supervisor -> worker -> run -> pipeline`, and
//! the answer comes back to the cases, which write it to the journal. The worker is a process of
//! its own, so that the device survives its end. An answer is durable before anyone can see it,
//! and a case that was accepted is answered even after a restart. Displays and links hear of all
//! this by [`Event`]s.
//!
//! The modules from the highest to the lowest; none names one above it:
//!
//! | module | what it is for |
//! |---|---|
//! | `running` | a device from its start to its end; the configuration read again |
//! | `intake` | where cases come from: lines, socket, folders, DICOM |
//! | [`sinks`] | where answers go: result folders, archives, HL7 |
//! | [`doctor`] | what on this machine would hinder a device |
//! | [`health`] | the state file and the metrics |
//! | [`config`] | everything that the device is told before it starts |
//! | `work` | supervisor and worker: who answers the cases |
//! | `self_test` | whether this device may answer on this machine |
//! | `display` | what people see |
//! | `cases` | all cases: accepted, waiting, answered; their images |
//! | [`status`] | the state of the device: the one status that every channel shows |
//! | `events`, `lifecycle`, [`dicom`] and smaller ones | what all of them share |

mod case_error;
mod cases;
pub mod config;
mod counts;
mod device_fault;
pub mod dicom;
mod disk_space;
mod display;
pub mod doctor;
mod events;
pub mod health;
mod intake;
mod lifecycle;
mod lock;
mod log_throttle;
mod running;
mod self_test;
pub mod sinks;
mod spawner;
pub mod status;
#[cfg(test)]
mod tests;
mod work;
mod worker_memory;

pub use case_error::CaseError;
pub use cases::images::path as stored;
pub use cases::kept::path as kept;
pub use cases::{Reach, State};
pub use device_fault::DeviceFault;
pub use events::{Answer, Event, Health, Listener, Preview};
pub use health::boot_id;
pub use lifecycle::Lifecycle;
pub use running::device_error::DeviceError;
pub use running::reload::{Reload, Reread, bundle_folder};
pub use running::start::Setup;
pub use running::{Device, Ended};
pub use work::in_hand::case as case_in_hand;
pub use work::run::case_of_file as run_case;
pub use work::worker::{SUBCOMMAND as WORKER, work_as_child};
