//! The answer of a case as the journal holds it, and as the device tells it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Checkpoint;
use crate::case::{BundleId, Outcome, Record, RefusalCode};

/// The answer of a case as an entry has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Recorded {
    /// The record.
    Record(Box<Record>),
    /// What another version of the program wrote, in a form that this one does not understand:
    /// the entry stays whole, and people are shown what it says.
    Foreign(Box<Map<String, Value>>),
    /// What a device that starts must know of it: the answers of years fit no memory.
    #[serde(skip)]
    Gist(Gist),
}

/// The least that is known of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gist {
    /// What the image was called.
    pub source: String,
    /// Whether it is a finding, and no refusal.
    pub is_finding: bool,
    /// The code of a refusal, where this version knows it.
    pub code: Option<RefusalCode>,
}

impl Recorded {
    /// The record, where it is whole and understood.
    pub fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Foreign(_) | Self::Gist(_) => None,
        }
    }

    /// The least that is known of it.
    pub fn gist(&self) -> Gist {
        match self {
            Self::Record(record) => Gist::of(record),
            Self::Foreign(keys) => Gist::of_foreign(keys),
            Self::Gist(gist) => gist.clone(),
        }
    }

    /// Keeps no more than that.
    pub(super) fn shorten(&mut self) {
        *self = Self::Gist(self.gist());
    }
}

impl From<Record> for Recorded {
    fn from(record: Record) -> Self {
        Self::Record(Box::new(record))
    }
}

impl Gist {
    /// Of a record.
    pub fn of(record: &Record) -> Self {
        Self {
            source: record.source.clone(),
            is_finding: matches!(record.outcome, Outcome::Finding(_)),
            code: record.code(),
        }
    }

    fn of_foreign(keys: &Map<String, Value>) -> Self {
        let word = |key| keys.get(key).and_then(Value::as_str).unwrap_or_default();
        let code = keys.get("code").map(RefusalCode::deserialize);
        Self {
            source: word("source").to_owned(),
            is_finding: word("status") == "finding",
            code: code.and_then(Result::ok),
        }
    }
}

/// A record as a device tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// The signed point of the journal that it stands at; `None` for one of before there were
    /// any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<Checkpoint>,
    /// The bundle that is in use by now, where it is not the one that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle_in_use: Option<BundleId>,
}
