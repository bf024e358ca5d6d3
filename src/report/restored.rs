//! A record in JSON becomes again what its text is written from: for whoever got it from a
//! device.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{NotRestored, Record, restored};
use crate::bundle::{Class, IntendedUse};
use crate::finding::{Answer, BundleId, Refusal, RefusalCode, TriageLevel};
use crate::pipeline::Timings;

/// A record's answer, and what stands around it.
#[derive(Debug)]
pub struct Restored {
    answer: Answer,
    image: Option<String>,
    rerun_of: Option<u64>,
    intended_use: IntendedUse,
    bundle: BundleId,
    timings: Timings,
}

#[derive(Deserialize)]
struct Around {
    /// Records of before there was this key have none.
    #[serde(default)]
    image_sha256: Option<String>,
    #[serde(default)]
    rerun_of: Option<String>,
    intended_use: IntendedUse,
    bundle: BundleId,
}

#[derive(Deserialize)]
struct Refused {
    case: Option<String>,
    exam: Option<String>,
    code: RefusalCode,
    message: String,
    #[serde(rename = "cure")]
    help: String,
}

impl Restored {
    /// From a record and the labels of its exam's classes; a class without one is called by
    /// its name.
    ///
    /// # Errors
    /// [`NotRestored`].
    pub fn of(record: &Value, labels: &BTreeMap<String, String>) -> Result<Self, NotRestored> {
        let around = Around::deserialize(record)?;
        let answer = if record["status"] == "finding" {
            let finding = restored(record, &classes(record, labels))?;
            Answer::Finding(Box::new(finding))
        } else {
            let refused = Refused::deserialize(record)?;
            Answer::Refusal {
                case: refused.case,
                exam: refused.exam,
                refusal: Refusal::new(refused.code, refused.message, refused.help),
            }
        };
        Ok(Self {
            answer,
            image: around.image_sha256,
            rerun_of: around.rerun_of.and_then(|case| case.parse().ok()),
            intended_use: around.intended_use,
            bundle: around.bundle,
            timings: Timings::new(),
        })
    }

    /// The record, of an image that is called so. Its timings stay in the JSON.
    pub fn record<'a>(&'a self, source: &'a str) -> Record<'a> {
        Record {
            source,
            image: self.image.as_deref(),
            rerun_of: self.rerun_of,
            answer: &self.answer,
            intended_use: self.intended_use,
            bundle: &self.bundle,
            timings: &self.timings,
        }
    }
}

/// The classes that a record names, in its order, which is the bundle's.
fn classes(record: &Value, labels: &BTreeMap<String, String>) -> Vec<Class> {
    let names = record["probabilities"].as_object().into_iter().flatten();
    let class = |(name, _): (&String, &Value)| Class {
        name: name.clone(),
        label: labels.get(name).unwrap_or(name).clone(),
        triage_level: TriageLevel::Review,
        flag_from: None,
        text_prompts: Vec::new(),
    };
    names.map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Channel;
    use crate::report::{card, json};

    #[test]
    fn a_refusal_comes_back_as_it_was() {
        let refusal = Refusal::new(RefusalCode::Blurred, "a.png: not sharp", "take it again");
        let bundle = BundleId {
            name: "starter".to_owned(),
            version: "1".to_owned(),
            sha256: String::new(),
        };
        let record = Record {
            source: "a.png",
            image: Some("00"),
            rerun_of: Some(6),
            answer: &Answer::Refusal {
                case: Some("7".to_owned()),
                exam: None,
                refusal,
            },
            intended_use: IntendedUse::Research,
            bundle: &bundle,
            timings: &Timings::new(),
        };
        let restored = Restored::of(&json(&record, Channel::Record), &BTreeMap::new()).unwrap();
        let again = restored.record("a.png");
        assert_eq!(again.answer, record.answer);
        assert_eq!(card(&again, None, false), card(&record, None, false));
        assert!(Restored::of(&serde_json::json!({}), &BTreeMap::new()).is_err());
    }
}
