//! The answer of a case as the journal holds it, and as the device tells it: the record where this
//! version understands all of it, else the keys as they were written. Made where a line is read;
//! read by the device, the sinks and `medfocus journal`. Never guesses what a key of another
//! version means.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::Checkpoint;
use crate::case::{BundleId, Outcome, Record, RefusalCode};

/// The answer of a case as an entry has it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Recorded {
    /// The record; it says everything that was written.
    Record(Box<Record>),
    /// What another version of the program wrote, in a form that this one does not understand, or
    /// not wholly: the entry stays whole, and people are shown what it says.
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

impl<'de> Deserialize<'de> for Recorded {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = Value::Object(Map::deserialize(from)?);
        let record = Record::deserialize(&written).ok();
        let record = record.filter(|record| {
            serde_json::to_value(record).is_ok_and(|told| tells_all(&told, &written))
        });
        Ok(match (record, written) {
            (Some(record), _) => Self::Record(Box::new(record)),
            (None, Value::Object(keys)) => Self::Foreign(Box::new(keys)),
            (None, _) => Self::Foreign(Box::default()),
        })
    }
}

/// Whether everything that was written is told: a later version may limit its answer by a key
/// anywhere in it. What is told beside, since older programs did not write it, takes nothing away.
fn tells_all(told: &Value, written: &Value) -> bool {
    match (told, written) {
        (Value::Object(told), Value::Object(written)) => written.iter().all(|(key, value)| {
            let told = told.get(key);
            value.is_null() || told.is_some_and(|told| tells_all(told, value))
        }),
        (Value::Array(told), Value::Array(written)) => {
            let mut both = told.iter().zip(written);
            told.len() == written.len() && both.all(|(told, value)| tells_all(told, value))
        }
        // The same number may have been written without its fraction.
        (Value::Number(told), Value::Number(written)) => {
            told == written || told.as_f64() == written.as_f64()
        }
        _ => told == written,
    }
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

    /// What it says, key by key, but for some keys.
    pub fn keys_without(&self, without: &[&str]) -> Keys {
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        let Ok(Value::Object(mut keys)) = serde_json::to_value(self) else {
            return Keys(Map::new());
        };
        keys.retain(|key, _| !without.contains(&key.as_str()));
        Keys(keys)
    }

    /// What it says without what may tell where its image lay: nobody knows here what stands in
    /// the keys of another version.
    pub fn without_paths(&self) -> Keys {
        let Some(record) = self.record() else {
            let Keys(mut keys) = self.keys_without(&[]);
            keys.retain(|key, value| {
                value.is_string() && ["status", "code", "exam", "case"].contains(&key.as_str())
            });
            return Keys(keys);
        };
        let mut record = record.clone();
        record.more.clear();
        Self::from(record).keys_without(&["source", "message"])
    }

    /// Keeps no more than that.
    pub(super) fn shorten(&mut self) {
        *self = Self::Gist(self.gist());
    }
}

/// What an answer says, key by key: to be compared with another, or handed on in part.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Keys(Map<String, Value>);

/// A key of which two answers say something else, each as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key.
    pub key: String,
    /// What the one says.
    pub was: String,
    /// What the other says.
    pub is: String,
}

impl Keys {
    /// The keys of which another answer says something else, by name.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let said = |keys: &Self, key| keys.0.get(key).cloned().unwrap_or_default();
        let all: BTreeSet<&String> = self.0.keys().chain(other.0.keys()).collect();
        let all = all.into_iter();
        let both = all.map(|key| (key, said(self, key), said(other, key)));
        let apart = both.filter(|(_, was, is)| was != is);
        apart
            .map(|(key, was, is)| Difference {
                key: key.clone(),
                was: was.to_string(),
                is: is.to_string(),
            })
            .collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written() -> Value {
        json!({
            "status": "finding", "case": "1", "source": "a.png", "exam": "brain4",
            "patient": { "age_years": 40 }, "class": "glioma",
            "probabilities": { "glioma": 1, "normal": 0.0 },
            "prediction_set": { "coverage": 0.9, "by_class": true, "classes": ["glioma"] },
            "triage_level": "urgent",
            "mask": {
                "bbox": [1, 2, 3, 4], "area_fraction": 0.1, "predicted_iou": 0.5,
                "rle": { "size": [8, 9], "counts": [60, 12] },
            },
            "focus": "crop", "gate": "passed", "guard": "none", "reasons": [],
            "intended_use": "demonstration", "software": "medfocus 0.1.0",
            "bundle": { "name": "starter", "version": "1", "sha256": "cd" },
            "timings_ms": {},
        })
    }

    #[test]
    fn a_key_of_a_later_version_inside_an_object_is_never_dropped() {
        assert!(read(&written()).record().is_some());
        for place in [
            "/bundle",
            "/mask",
            "/mask/rle",
            "/prediction_set",
            "/patient",
        ] {
            let mut later = written();
            later.pointer_mut(place).unwrap()["revoked"] = json!(true);
            let recorded = read(&later);
            assert!(recorded.record().is_none(), "{place}");
            assert!(recorded.gist().is_finding, "{place}");
            assert_eq!(serde_json::to_value(&recorded).unwrap(), later);
        }
    }

    fn read(value: &Value) -> Recorded {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn what_says_nothing_is_no_other_form() {
        for (place, value) in [("film", Value::Null), ("later", json!("told on"))] {
            let mut other = written();
            other[place] = value;
            assert!(read(&other).record().is_some(), "{place}");
        }
    }
}
