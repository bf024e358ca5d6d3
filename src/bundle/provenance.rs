//! What a clinic did to an exam: who, when, with how many cases, and how good it was then. Written
//! by `enroll` and `calibrate` into the bundle. Holds numbers of many cases and nothing of any
//! one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::triage::Figures;

/// An exam whose head was trained on a clinic's own cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolled {
    /// Who signed it off.
    pub by: String,
    /// The day, UTC.
    pub date: String,
    /// The head that training started from; a file of the bundle. Absent where the exam
    /// began with these cases and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The penalty of the probe; absent where the head stayed as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub penalty: Option<f64>,
    /// How much of the trained logits is in the answer.
    pub blend: f64,
    /// Cases by class.
    pub cases: BTreeMap<String, usize>,
    /// How good the head that training started from was on these cases; absent where there
    /// were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Figures>,
    /// How good heads are that are chosen and trained so, cross-validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Figures>,
}

/// An exam whose probabilities were calibrated on a clinic's own cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrated {
    /// Who signed it off.
    pub by: String,
    /// The day, UTC.
    pub date: String,
    /// The coverages whose prediction sets these cases allow.
    pub coverages: Vec<f64>,
    /// Cases by class.
    pub cases: BTreeMap<String, usize>,
    /// How good the answers to those cases were that no number was fitted to, before.
    pub before: Figures,
    /// The same, after.
    pub after: Figures,
}
