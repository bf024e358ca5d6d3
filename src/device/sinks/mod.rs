//! Where answers go. Each sink has a thread, an outbox and a time limit of its own, so that a sink
//! that is away delays no other.
//!
//! `cases -> runner -> sink`. What a sink is owed is in the journal before the sink is given it,
//! and is owed until the journal has an entry of its delivery. So a sink goes on after a restart
//! where it was. An answer may come twice, if power fails between its delivery and that entry. It
//! then comes with the same content and the same name, so that the receiver can drop the second.
//! No path and nothing about a patient goes to a log here.

mod archive;
mod backoff;
mod ended;
mod hl7;
mod mllp;
mod results;
mod runner;

use std::fmt;

pub use crate::device::cases::{AnsweredCase, Spec};
pub use archive::{Archive, ArchiveOptions};
pub use ended::Drawn;
pub use hl7::{Hl7, Hl7Options};
pub use results::{Results, ResultsOptions};
pub(crate) use runner::work;

/// One place where answers go.
pub trait Sink: Send {
    /// What it is and takes.
    fn spec(&self) -> Spec;

    /// Gives one answer away; once this returns it is safe there. May wait for as long as
    /// the other end may be silent, and no longer.
    ///
    /// # Errors
    /// [`NotDelivered`] says whether it is tried again.
    fn deliver(&mut self, answered: &AnsweredCase<'_>) -> Result<(), NotDelivered>;
}

/// Why an answer is not with a sink.
#[derive(Debug)]
pub enum NotDelivered {
    /// Nothing goes there now, neither this case nor another.
    Away(DeliveryError),
    /// This case does not go there now; others may.
    Refused(DeliveryError),
    /// This case never goes there, and it is no fault: a stable word says why.
    Never(&'static str),
}

/// What is wrong: a stable word, and a sentence that tells nothing of a patient.
#[derive(Debug)]
pub struct DeliveryError {
    /// Stable word.
    pub code: &'static str,
    /// For people.
    pub why: String,
}

impl DeliveryError {
    fn new(code: &'static str, why: impl fmt::Display) -> Self {
        let why = why.to_string();
        Self { code, why }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.why, self.code)
    }
}
