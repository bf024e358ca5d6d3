//! A finding or refusal as JSON, and back. `docs/finding.schema.json` is the schema, which a test
//! holds this to. Keys are only ever added.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Record, SOFTWARE};
use crate::bundle::Class;
use crate::finding::{
    Answer, Channel, Check, ClassProbability, Finding, Help, MaskReport, PredictionSet, TriageLevel,
};
use crate::patient::Patient;

/// One answer as a JSON object, its help worded for a channel.
pub fn json(record: &Record<'_>, channel: Channel) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    match record.answer {
        Answer::Finding(finding) => {
            put("status", "finding".into());
            put("case", finding.case.clone().into());
            put("source", record.source.into());
            put("exam", finding.exam.clone().into());
            if !finding.patient.is_unknown() {
                put("patient", patient(finding.patient));
            }
            put("class", finding.class().class.clone().into());
            put("probabilities", probabilities(finding));
            if let Some(set) = &finding.prediction_set {
                put("prediction_set", json!(set));
            }
            put("triage_level", finding.triage_level.word().into());
            put("mask", json!(finding.mask));
            if let Some(film) = finding.film {
                put("film", json!(film));
            }
            put("focus", finding.focus.clone().into());
            put("gate", json!(finding.gate));
            put("guard", json!(finding.guard));
            if let Some(distance) = finding.guard_distance {
                put("guard_distance", json!(distance));
            }
            put("reasons", json!(finding.reasons));
        }
        Answer::Refusal {
            case,
            exam,
            refusal,
        } => {
            put("status", "refusal".into());
            put("case", json!(case));
            put("source", record.source.into());
            put("exam", json!(exam));
            put("code", refusal.code.word().into());
            put("message", refusal.message.clone().into());
            put("cure", refusal.help.words(channel).into());
            if !matches!(refusal.help, Help::Plain(_)) {
                put("help", json!(refusal.help));
            }
        }
    }
    if let Some(image) = record.image {
        put("image_sha256", image.into());
    }
    if let Some(case) = record.rerun_of {
        put("rerun_of", case.to_string().into());
    }
    put("intended_use", record.intended_use.word().into());
    put("software", SOFTWARE.into());
    put("bundle", json!(record.bundle));
    let timings: Map<String, Value> = record
        .timings
        .iter()
        .map(|(name, ms)| ((*name).to_owned(), rounded(*ms, 1e3)))
        .collect();
    put("timings_ms", timings.into());
    Value::Object(object)
}

/// The help of a refusal that [`json()`] wrote, as another channel says it; a record of an
/// older version has only the words that it was written with.
pub fn help(record: &Value, channel: Channel) -> String {
    match Help::deserialize(&record["help"]) {
        Ok(help) => help.words(channel),
        Err(_) => record["cure"].as_str().unwrap_or("-").to_owned(),
    }
}

/// Why a record gives no finding.
#[derive(Debug, thiserror::Error)]
pub enum NotRestored {
    /// It is no finding's record, or a damaged one.
    #[error("not the record of a finding: {0}")]
    Record(#[from] serde_json::Error),
    /// The exam's classes are no longer those of the record.
    #[error("class {0} stands on one side only: record or exam")]
    Class(String),
}

/// The finding that [`json()`] wrote, of an exam with these classes.
///
/// # Errors
/// [`NotRestored`]; a probability that is missing is never taken for 0.
pub fn restored(record: &Value, classes: &[Class]) -> Result<Finding, NotRestored> {
    let mut fields = Fields::deserialize(record)?;
    let probabilities = classes
        .iter()
        .map(|class| {
            let known = fields.probabilities.remove(&class.name);
            let probability = known.ok_or_else(|| NotRestored::Class(class.name.clone()))?;
            Ok(ClassProbability {
                class: class.name.clone(),
                label: class.label.clone(),
                probability,
            })
        })
        .collect::<Result<Vec<_>, NotRestored>>()?;
    if let Some(class) = fields.probabilities.into_keys().next() {
        return Err(NotRestored::Class(class));
    }
    let answer = probabilities.iter().position(|p| p.class == fields.class);
    Ok(Finding {
        case: fields.case,
        exam: fields.exam,
        answer: answer.ok_or(NotRestored::Class(fields.class))?,
        patient: fields.patient,
        probabilities,
        prediction_set: fields.prediction_set,
        triage_level: fields.triage_level,
        mask: fields.mask,
        film: fields.film,
        focus: fields.focus,
        gate: fields.gate,
        guard: fields.guard,
        guard_distance: fields.guard_distance,
        reasons: fields.reasons,
    })
}

/// The keys of a record that make a finding again.
#[derive(Deserialize)]
struct Fields {
    case: String,
    exam: String,
    #[serde(default)]
    patient: Patient,
    class: String,
    probabilities: BTreeMap<String, f64>,
    #[serde(default)]
    prediction_set: Option<PredictionSet>,
    triage_level: TriageLevel,
    mask: MaskReport,
    #[serde(default)]
    film: Option<[u32; 4]>,
    focus: String,
    gate: Check,
    guard: Check,
    #[serde(default)]
    guard_distance: Option<f64>,
    reasons: Vec<String>,
}

/// What is known of the patient, and no key for what is not.
fn patient(patient: Patient) -> Value {
    let age = patient.age.map(|age| ("age_years", json!(age)));
    let sex = patient.sex.map(|sex| ("sex", json!(sex)));
    let known = [age, sex].into_iter().flatten();
    known.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn probabilities(finding: &Finding) -> Value {
    let entry = |p: &ClassProbability| (p.class.clone(), json!(p.probability));
    Value::Object(finding.probabilities.iter().map(entry).collect())
}

fn rounded(value: f64, by: f64) -> Value {
    json!((value * by).round() / by)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::IntendedUse;
    use crate::finding::{BundleId, Rle};
    use crate::patient::Age;

    fn class(name: &str) -> Class {
        Class {
            name: name.to_owned(),
            label: format!("Label of {name}"),
            triage_level: TriageLevel::Routine,
            flag_from: None,
            text_prompts: Vec::new(),
        }
    }

    fn finding(classes: &[Class]) -> Finding {
        let probability = |(i, class): (usize, &Class)| ClassProbability {
            class: class.name.clone(),
            label: class.label.clone(),
            probability: [0.25, 0.75][i],
        };
        Finding {
            case: "17".to_owned(),
            exam: "lung_tb2".to_owned(),
            answer: 1,
            patient: Patient::default(),
            probabilities: classes.iter().enumerate().map(probability).collect(),
            prediction_set: None,
            triage_level: TriageLevel::Review,
            mask: MaskReport {
                bbox: [1, 2, 3, 4],
                area_fraction: 0.1,
                rle: Rle {
                    size: [8, 9],
                    counts: vec![60, 12],
                },
                predicted_iou: 0.9,
            },
            film: Some([5, 6, 70, 80]),
            focus: "crop".to_owned(),
            gate: Check::Passed,
            guard: Check::Absent,
            guard_distance: Some(0.25),
            reasons: vec!["unsure".to_owned()],
        }
    }

    fn record(finding: &Finding) -> Value {
        let record = Record {
            source: "a.png",
            image: Some("00"),
            rerun_of: None,
            answer: &Answer::Finding(Box::new(finding.clone())),
            intended_use: IntendedUse::Demonstration,
            bundle: &BundleId {
                name: "starter".to_owned(),
                version: "1".to_owned(),
                sha256: String::new(),
            },
            timings: &Vec::new(),
        };
        json(&record, Channel::Record)
    }

    #[test]
    fn a_finding_comes_back_as_it_was() {
        let classes = [class("normal"), class("tuberculosis")];
        let finding = finding(&classes);
        let back = restored(&record(&finding), &classes).unwrap();
        assert_eq!(back, finding);
        assert!(record(&finding).get("prediction_set").is_none());
        assert!(record(&finding).get("patient").is_none());
        let known = Finding {
            patient: Patient {
                age: Age::new(93),
                sex: None,
            },
            ..finding.clone()
        };
        assert_eq!(record(&known)["patient"], json!({ "age_years": 93 }));
        assert_eq!(restored(&record(&known), &classes).unwrap(), known);
        let claims = Finding {
            prediction_set: Some(PredictionSet {
                coverage: 0.9,
                by_class: true,
                classes: vec!["normal".to_owned()],
            }),
            ..finding
        };
        assert_eq!(restored(&record(&claims), &classes).unwrap(), claims);
    }

    #[test]
    fn classes_that_changed_since_are_named() {
        let classes = [class("normal"), class("tuberculosis")];
        let record = record(&finding(&classes));
        for (now, named) in [
            (vec![class("normal")], "tuberculosis"),
            (
                vec![class("normal"), class("tuberculosis"), class("scar")],
                "scar",
            ),
        ] {
            let error = restored(&record, &now).unwrap_err();
            assert!(
                matches!(&error, NotRestored::Class(name) if name == named),
                "{error}"
            );
        }
        let refusal = json!({ "status": "refusal" });
        assert!(matches!(
            restored(&refusal, &classes),
            Err(NotRestored::Record(_))
        ));
    }
}
