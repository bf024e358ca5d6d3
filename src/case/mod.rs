//! One case, typed from its acceptance to everyone who is told of it: what it is asked
//! ([`Order`]), what came of it ([`Outcome`]: a [`Finding`] or a [`Refusal`]) and the [`Record`]
//! that is kept and told.
//!
//! Every source makes orders, the pipeline and the modules below it make findings and refusals,
//! the device makes the record. The journal keeps it, and every output takes it by reference:
//! nobody parses it again. Its JSON (`docs/finding.schema.json`) stands in one place, `json.rs`.
//!
//! Nothing here opens a file, decides anything or tells anybody. Of the patient it holds no more
//! than age and sex.

mod finding;
mod giver;
mod help;
mod json;
mod order;
mod provenance;
mod record;
mod refusal;
mod request;
mod timings;
mod untelling;

pub use finding::{Check, ClassProbability, Finding, MaskReport, PredictionSet, Rle, TriageLevel};
pub use giver::{Giver, Priority};
pub use help::{Channel, Help};
pub use order::{Bound, Claim, FileId, Order, Question};
pub use provenance::{BundleId, IntendedUse, Provenance, SOFTWARE};
pub use record::{Outcome, Record, Refused};
pub use refusal::{Refusal, RefusalCode};
pub use request::{Asker, Identity, RequestId};
pub use timings::Timings;
