//! A record's JSON, read and written; `docs/finding.schema.json` is its schema.
//!
//! Keys, their order and the form of numbers must stay as they are in every journal that was ever
//! written: the journal hashes its lines, and a replay compares to the bit. A key that was added
//! later may be absent. Keys of a later version are kept, in [`Record::more`].

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{
    Anatomy, Check, ClassProbability, FileName, Finding, Help, Labels, Laterality, MaskReport,
    Outcome, PredictionSet, Provenance, Record, Refusal, RefusalCode, Refused, Rle, Timings,
    TriageLevel,
};
use crate::patient::{Age, Patient, Sex};
use crate::sha256::Sha256;

#[derive(Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
enum RecordForm {
    Finding(FindingForm),
    Refusal(RefusalForm),
}

#[derive(Serialize, Deserialize)]
struct FindingForm {
    case: Option<String>,
    source: String,
    exam: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patient: Option<PatientForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anatomy: Option<AnatomyForm>,
    class: String,
    probabilities: Probabilities,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prediction_set: Option<PredictionSet>,
    triage_level: TriageLevel,
    mask: MaskForm,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    film: Option<[u32; 4]>,
    focus: String,
    #[serde(default = "Check::not_yet", skip_serializing_if = "Check::is_not_yet")]
    gate: Check,
    #[serde(default = "Check::not_yet", skip_serializing_if = "Check::is_not_yet")]
    guard: Check,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guard_distance: Option<f64>,
    reasons: Vec<String>,
    #[serde(flatten)]
    around: Around,
}

#[derive(Serialize, Deserialize)]
struct RefusalForm {
    case: Option<String>,
    source: String,
    exam: Option<String>,
    code: RefusalCode,
    message: String,
    cure: String,
    /// Records of before there was this key have the words alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    help: Option<HelpForm>,
    #[serde(flatten)]
    around: Around,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum HelpForm {
    Known(Help),
    /// A later version's: its words are told in its place.
    Unknown(Value),
}

/// What stands around a finding and a refusal alike.
#[derive(Serialize, Deserialize)]
struct Around {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file_name: Option<FileName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image_sha256: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "in_words")]
    rerun_of: Option<u64>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    labels: Labels,
    #[serde(flatten)]
    provenance: Provenance,
    #[serde(default)]
    timings_ms: Timings,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// What is known of the patient, and no key for what is not.
#[derive(Serialize, Deserialize)]
struct PatientForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age_years: Option<Age>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sex: Option<Sex>,
}

/// What of the body the image shows, and no key for what it does not say.
#[derive(Serialize, Deserialize)]
struct AnatomyForm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_part: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    view: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    laterality: Option<Laterality>,
}

impl From<Anatomy> for AnatomyForm {
    fn from(anatomy: Anatomy) -> Self {
        let Anatomy {
            body_part,
            view,
            laterality,
        } = anatomy;
        Self {
            body_part,
            view,
            laterality,
        }
    }
}

impl From<AnatomyForm> for Anatomy {
    fn from(form: AnatomyForm) -> Self {
        Self {
            body_part: form.body_part,
            view: form.view,
            laterality: form.laterality,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct MaskForm {
    bbox: [u32; 4],
    area_fraction: f64,
    rle: Rle,
    /// Single precision, written in the digits of double.
    predicted_iou: f64,
}

/// Probabilities by class, in the bundle's order.
struct Probabilities(Vec<(String, f64)>);

impl Serialize for Probabilities {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(
            self.0
                .iter()
                .map(|(class, probability)| (class, probability)),
        )
    }
}

impl<'de> Deserialize<'de> for Probabilities {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Classes;
        impl<'de> Visitor<'de> for Classes {
            type Value = Vec<(String, f64)>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("probabilities by class")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut classes = Vec::new();
                while let Some(class) = map.next_entry()? {
                    classes.push(class);
                }
                Ok(classes)
            }
        }
        from.deserialize_map(Classes).map(Self)
    }
}

/// The number of a case, which is a text in JSON.
mod in_words {
    use super::{Deserialize, Deserializer, Error, Serializer};

    pub fn serialize<S: Serializer>(case: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        match case {
            Some(case) => to.collect_str(case),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        let case = String::deserialize(from)?;
        case.parse().map(Some).map_err(D::Error::custom)
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let form = match &self.outcome {
            Outcome::Finding(finding) => RecordForm::Finding(FindingForm::of(self, finding)),
            Outcome::Refusal(refused) => RecordForm::Refusal(RefusalForm::of(self, refused)),
        };
        form.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(match RecordForm::deserialize(from)? {
            RecordForm::Finding(form) => form.record().map_err(D::Error::custom)?,
            RecordForm::Refusal(form) => form.record(),
        })
    }
}

impl Around {
    fn of(record: &Record) -> Self {
        Self {
            file_name: record.file_name.clone(),
            image_sha256: record.image,
            rerun_of: record.rerun_of,
            labels: record.labels.clone(),
            provenance: record.provenance.clone(),
            timings_ms: record.timings.clone(),
            more: record.more.clone(),
        }
    }

    fn record(self, case: Option<String>, source: String, outcome: Outcome) -> Record {
        Record {
            case,
            source,
            file_name: self.file_name,
            image: self.image_sha256,
            rerun_of: self.rerun_of,
            labels: self.labels,
            outcome,
            provenance: self.provenance,
            timings: self.timings_ms,
            more: self.more,
        }
    }
}

impl FindingForm {
    fn of(record: &Record, finding: &Finding) -> Self {
        let finding = finding.clone();
        let Patient { age, sex } = finding.patient;
        let classes = finding.probabilities.iter();
        let mask = finding.mask;
        Self {
            case: record.case.clone(),
            source: record.source.clone(),
            exam: finding.exam,
            patient: (!finding.patient.is_unknown()).then_some(PatientForm {
                age_years: age,
                sex,
            }),
            anatomy: (!finding.anatomy.is_unsaid()).then(|| finding.anatomy.into()),
            class: finding.probabilities[finding.answer].class.clone(),
            probabilities: Probabilities(
                classes
                    .map(|of| (of.class.clone(), of.probability))
                    .collect(),
            ),
            prediction_set: finding.prediction_set,
            triage_level: finding.triage_level,
            mask: MaskForm {
                bbox: mask.bbox,
                area_fraction: mask.area_fraction,
                rle: mask.rle,
                predicted_iou: mask.predicted_iou.into(),
            },
            film: finding.film,
            focus: finding.focus,
            gate: finding.gate,
            guard: finding.guard,
            guard_distance: finding.guard_distance,
            reasons: finding.reasons,
            around: Around::of(record),
        }
    }

    fn record(self) -> Result<Record, String> {
        let Self { class, mask, .. } = self;
        let classes = self.probabilities.0.into_iter();
        let probabilities: Vec<ClassProbability> = classes
            .map(|(class, probability)| ClassProbability {
                label: class.clone(),
                class,
                probability,
            })
            .collect();
        let answer = probabilities.iter().position(|of| of.class == class);
        let finding = Finding {
            exam: self.exam,
            answer: answer.ok_or_else(|| format!("class {class} has no probability"))?,
            patient: self
                .patient
                .map_or_else(Patient::default, |patient| Patient {
                    age: patient.age_years,
                    sex: patient.sex,
                }),
            anatomy: self.anatomy.map(Anatomy::from).unwrap_or_default(),
            probabilities,
            prediction_set: self.prediction_set,
            triage_level: self.triage_level,
            mask: MaskReport {
                bbox: mask.bbox,
                area_fraction: mask.area_fraction,
                rle: mask.rle,
                predicted_iou: mask.predicted_iou as f32,
            },
            film: self.film,
            focus: self.focus,
            gate: self.gate,
            guard: self.guard,
            guard_distance: self.guard_distance,
            reasons: self.reasons,
        };
        let outcome = Outcome::Finding(Box::new(finding));
        Ok(self.around.record(self.case, self.source, outcome))
    }
}

impl RefusalForm {
    fn of(record: &Record, refused: &Refused) -> Self {
        let Refused {
            exam,
            refusal,
            words,
        } = refused.clone();
        Self {
            case: record.case.clone(),
            source: record.source.clone(),
            exam,
            code: refusal.code,
            message: refusal.sentence(),
            cure: words,
            help: Some(refusal.help)
                .filter(|help| !matches!(help, Help::Plain(_)))
                .map(HelpForm::Known),
            around: Around::of(record),
        }
    }

    fn record(mut self) -> Record {
        let in_words = Help::Plain(self.cure.clone());
        let help = match self.help {
            None => in_words,
            Some(HelpForm::Known(help)) => help,
            Some(HelpForm::Unknown(help)) => {
                self.around.more.insert("help".to_owned(), help);
                in_words
            }
        };
        let refused = Refused {
            exam: self.exam,
            // The file's name stands in the sentence here.
            refusal: Refusal::new(self.code, self.message, help).taken_apart(&self.source),
            words: self.cure,
        };
        let outcome = Outcome::Refusal(refused);
        self.around.record(self.case, self.source, outcome)
    }
}

#[cfg(test)]
mod tests;
