//! The running device: cases come in on a serial line, by DICOM or from a folder, are run one
//! after the other, and their answers can be asked for.
//!
//! `serial -> line -> console or link -> cases -> supervisor -> worker -> run -> pipeline`, and
//! back by the journal. The worker is a process of its own, so that the device outlives it. A
//! finding is durable before anyone can see it, and a case that was accepted is answered,
//! whatever happens in between. What happens is told to displays and links as [`Event`]s.

mod cases;
pub mod config;
mod console;
mod counts;
mod device_fault;
pub mod dicom;
mod disk_space;
mod display;
pub mod doctor;
mod events;
pub mod folder;
pub mod health;
mod images;
mod in_hand;
mod kept;
mod lifecycle;
mod line;
mod link;
mod nameable;
mod now_and_then;
mod run;
mod seats;
mod self_test;
mod serial;
mod share;
pub mod sinks;
pub mod socket;
pub mod status;
mod supervisor;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use cases::{Afterwards, Bounds, Cases, Reach, State, Wanted};
pub use console::Console;
pub use device_fault::DeviceFault;
pub use display::{Asked, Displays, Manner, PanelError, place};
pub use events::{Answer, Event, Events, Health, Listener, Preview};
pub use health::boot_id;
pub use images::path as stored;
pub use in_hand::case as case_in_hand;
pub use kept::{Keeping, path as kept};
pub use lifecycle::Lifecycle;
pub use nameable::Nameable;
pub use run::case_of_file as run_case;
pub use self_test::Environment;
pub use serial::{Port, talk};
pub use supervisor::Supervisor;
pub use worker::{
    Lost, NotStarted, SUBCOMMAND as WORKER, Settings as WorkerSettings, Started, Starting, Step,
    Worker, work_as_child,
};

/// Every change under this module's locks is whole at each step, so a lock that a panic left
/// behind still guards good data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
