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
use crate::device::status::Obstacle;
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
    fn deliver(&mut self, answered: &AnsweredCase<'_>) -> Result<Delivered, NotDelivered>;
}

/// An answer is safe with a sink.
#[derive(Debug, Default)]
pub struct Delivered {
    /// What is to be known of it.
    pub notes: Vec<Note>,
}

/// What is to be known of a part of a delivered answer, which a short word names.
#[derive(Debug)]
pub enum Note {
    /// It is there, and the other end remarked something.
    Remark(&'static str, String),
    /// The other end goes without it.
    Without(&'static str, DeliveryError),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remark(part, remark) => write!(f, "{part}: {remark}"),
            Self::Without(part, error) => write!(f, "{part}: {}", error.code),
        }
    }
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
    /// This case never goes there, and that is a fault which somebody has to know of.
    Failed(DeliveryError),
}

/// What is wrong: a stable word, and a sentence that tells nothing of a patient.
#[derive(Debug)]
pub struct DeliveryError {
    /// Stable word.
    pub code: &'static str,
    /// For people.
    pub why: String,
    /// What a person can do about it.
    pub help: &'static str,
}

/// The way out where only the log knows more.
const IN_LOG: &str =
    "see in the log what is at the other end; what it owes is kept and tried again";

impl DeliveryError {
    fn new(code: &'static str, why: impl fmt::Display) -> Self {
        Self {
            code,
            why: why.to_string(),
            help: IN_LOG,
        }
    }

    /// What of it every channel tells.
    fn obstacle(&self) -> Obstacle {
        Obstacle {
            code: self.code,
            help: self.help,
        }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.why, self.code)
    }
}
