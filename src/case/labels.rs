//! Whose image it is and what it is called, as whoever gives it says: it comes back with the answer and changes nothing
//! about it. Patient data: never in a log line, and in no output that is de-identified.

use serde::{Deserialize, Serialize};

/// What a giver calls patient, request and case.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    /// The patient's number in the clinic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient_id: Option<String>,
    /// The accession number: of which request the image is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accession: Option<String>,
    /// The client's own label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

impl Labels {
    /// Letters of one at most: as many as DICOM's Patient ID holds.
    pub const LONGEST: usize = 64;

    /// Whether this may be one of them.
    pub fn may_be(text: &str) -> bool {
        let letters = text.chars().count();
        (1..=Self::LONGEST).contains(&letters) && !text.chars().any(char::is_control)
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Those that were said, each after its key.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("patient_id", &self.patient_id),
            ("accession", &self.accession),
            ("label", &self.label),
        ];
        all.into_iter()
            .filter_map(|(key, text)| Some((key, text.as_deref()?)))
    }
}
