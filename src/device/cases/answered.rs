//! An answered case, as it is handed to sinks: its number, time, image and record. Made by
//! `delivery`, read by every sink. Holds what the journal has, and no image.

use jiff::Timestamp;

use super::Cases;
use crate::journal::Told;
use crate::sha256::Sha256;

/// A case that ended in a finding or a refusal.
#[derive(Debug)]
pub struct AnsweredCase<'a> {
    pub(crate) cases: &'a Cases,
    /// Its number.
    pub number: u64,
    /// When its answer was written to the journal.
    pub time: Timestamp,
    /// SHA-256 of the image's file; `None` where it could not be read.
    pub image: Option<Sha256>,
    /// The answer.
    pub told: Told,
}
