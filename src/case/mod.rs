//! The types of a case: what it is asked ([`Order`]), what came of it ([`Outcome`]: a [`Finding`]
//! or a [`Refusal`]), and the [`Record`] that is kept and told.
//!
//! Every source makes orders. The pipeline makes findings; the gate and whatever else reads an
//! image make refusals. The device makes the record, the journal keeps it, and every output reads
//! the same value and never parses it again. `json.rs` is the only place that knows its JSON
//! (`docs/finding.schema.json`).
//!
//! Nothing here opens a file, decides anything or tells anybody. Of the patient it holds no more
//! than age, sex and the numbers that a giver said ([`Labels`]).

mod anatomy;
mod deidentified;
mod file_name;
mod finding;
mod giver;
mod help;
mod json;
mod labels;
mod order;
mod provenance;
mod record;
mod refusal;
mod request;
mod timings;

pub use anatomy::{Anatomy, Laterality};
pub use file_name::FileName;
pub use finding::{Check, ClassProbability, Finding, MaskReport, PredictionSet, Rle, TriageLevel};
pub use giver::{Giver, Priority};
pub use help::{Channel, Help};
pub use labels::Labels;
pub use order::{Bound, Claim, FileId, Order, Question};
pub use provenance::{BundleId, IntendedUse, Provenance, SOFTWARE};
pub use record::{Outcome, Record, Refused};
pub use refusal::{Refusal, RefusalCode};
pub use request::{Asker, Identity, RequestId};
pub use timings::Timings;
