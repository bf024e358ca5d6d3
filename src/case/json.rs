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
    Check, ClassProbability, Finding, Help, MaskReport, Outcome, PredictionSet, Provenance, Record,
    Refusal, RefusalCode, Refused, Rle, Timings, TriageLevel,
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
    image_sha256: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "in_words")]
    rerun_of: Option<u64>,
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
            image_sha256: record.image,
            rerun_of: record.rerun_of,
            provenance: record.provenance.clone(),
            timings_ms: record.timings.clone(),
            more: record.more.clone(),
        }
    }

    fn record(self, case: Option<String>, source: String, outcome: Outcome) -> Record {
        Record {
            case,
            source,
            image: self.image_sha256,
            rerun_of: self.rerun_of,
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
mod tests {
    use super::*;
    use crate::case::{BundleId, Channel, IntendedUse};

    const IMAGE: &str = "16d4c094ed51477d8379e1b34305900e20139c03b4edffbdcef26f44f3ede528";

    fn record(outcome: Outcome) -> Record {
        let bundle = BundleId {
            name: "starter".to_owned(),
            version: "1".to_owned(),
            sha256: "cd".to_owned(),
        };
        let mut by = Provenance::of(&bundle, IntendedUse::Demonstration);
        by.software = "medfocus 0.1.0".to_owned();
        let mut record = Record::new(Some("17".to_owned()), "p/a.png", outcome, by);
        record.timings.note("decode", 1.234_56);
        record
    }

    fn finding() -> Finding {
        let class = |class: &str, probability| ClassProbability {
            class: class.to_owned(),
            label: class.to_owned(),
            probability,
        };
        Finding {
            exam: "lung_tb2".to_owned(),
            answer: 1,
            patient: Patient::default(),
            probabilities: vec![class("normal", 0.1 + 0.2), class("tuberculosis", 0.7)],
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
            film: None,
            focus: "crop".to_owned(),
            gate: Check::Passed,
            guard: Check::Absent,
            guard_distance: None,
            reasons: vec!["unsure: a person decides".to_owned()],
        }
    }

    fn full() -> Record {
        let finding = Finding {
            patient: Patient {
                age: Age::new(93),
                sex: Some(Sex::F),
            },
            prediction_set: Some(PredictionSet {
                coverage: 0.9,
                by_class: true,
                classes: vec!["tuberculosis".to_owned()],
            }),
            film: Some([5, 6, 70, 80]),
            guard_distance: Some(0.25),
            ..finding()
        };
        Record {
            image: IMAGE.parse().ok(),
            rerun_of: Some(6),
            ..record(Outcome::Finding(Box::new(finding)))
        }
    }

    fn refused(help: Help) -> Record {
        let refusal = Refusal::new(RefusalCode::WrongView, "it is LL", help).about("p/a.png");
        let refused = Refused::new(None, refusal, Channel::Record);
        record(Outcome::Refusal(refused))
    }

    /// Byte for byte as programs of before wrote them.
    #[test]
    fn keys_their_order_and_their_numbers_are_those_of_every_journal() {
        const AROUND: &str = r#""intended_use":"demonstration","software":"medfocus 0.1.0","bundle":{"name":"starter","version":"1","sha256":"cd"},"timings_ms":{"decode":1.235}}"#;
        let full_text = r#"{"status":"finding","case":"17","source":"p/a.png","exam":"lung_tb2","patient":{"age_years":93,"sex":"F"},"class":"tuberculosis","probabilities":{"normal":0.30000000000000004,"tuberculosis":0.7},"prediction_set":{"coverage":0.9,"by_class":true,"classes":["tuberculosis"]},"triage_level":"review","mask":{"bbox":[1,2,3,4],"area_fraction":0.1,"rle":{"size":[8,9],"counts":[60,12]},"predicted_iou":0.8999999761581421},"film":[5,6,70,80],"focus":"crop","gate":"passed","guard":"none","guard_distance":0.25,"reasons":["unsure: a person decides"],"image_sha256":"16d4c094ed51477d8379e1b34305900e20139c03b4edffbdcef26f44f3ede528","rerun_of":"6","#;
        let bare_text = r#"{"status":"finding","case":"17","source":"p/a.png","exam":"lung_tb2","class":"tuberculosis","probabilities":{"normal":0.30000000000000004,"tuberculosis":0.7},"triage_level":"review","mask":{"bbox":[1,2,3,4],"area_fraction":0.1,"rle":{"size":[8,9],"counts":[60,12]},"predicted_iou":0.8999999761581421},"focus":"crop","gate":"passed","guard":"none","reasons":["unsure: a person decides"],"#;
        let plain_text = r#"{"status":"refusal","case":"17","source":"p/a.png","exam":null,"code":"wrong_view","message":"p/a.png: it is LL","cure":"turn it","#;
        let help_text = r#"{"status":"refusal","case":"17","source":"p/a.png","exam":null,"code":"wrong_view","message":"p/a.png: it is LL","cure":"choose another exam, or give another image","help":"other_exam","#;
        for (record, text) in [
            (full(), full_text),
            (record(Outcome::Finding(Box::new(finding()))), bare_text),
            (refused("turn it".into()), plain_text),
            (refused(Help::OtherExam), help_text),
        ] {
            let text = text.to_owned() + AROUND;
            assert_eq!(serde_json::to_string(&record).unwrap(), text);
            let back: Record = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&back).unwrap(), text);
            // All but what is rounded.
            let timings = record.timings.clone();
            assert_eq!(Record { timings, ..back }, record);
        }
    }

    /// As the first device wrote them, before there were gate and guard (commit 40a4649).
    #[test]
    fn a_finding_of_the_first_device_is_read_and_written_back_to_the_byte() {
        let text = r#"{"status":"finding","case":"1","source":"p/a.png","exam":"brain4","class":"glioma","probabilities":{"glioma":0.9,"normal":0.1},"triage_level":"urgent","mask":{"bbox":[1,2,3,4],"area_fraction":0.1,"rle":{"size":[8,9],"counts":[60,12]},"predicted_iou":0.8999999761581421},"focus":"crop","reasons":[],"intended_use":"demonstration","software":"medfocus 0.1.0","bundle":{"name":"starter","version":"1","sha256":"cd"},"timings_ms":{"decode":1.235}}"#;
        let record: Record = serde_json::from_str(text).unwrap();
        let finding = record.finding().unwrap();
        assert_eq!(finding.unchecked(), "no gate, no guard");
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
    }

    #[test]
    fn words_that_were_written_are_told_as_they_were() {
        let mut old = serde_json::to_value(refused(Help::OtherExam)).unwrap();
        old["cure"] = "words of another version".into();
        old["message"] = "it is LL, and no path stands before it".into();
        let record: Record = serde_json::from_value(old.clone()).unwrap();
        let Outcome::Refusal(refused) = &record.outcome else {
            panic!("a refusal");
        };
        assert_eq!(refused.refusal.help, Help::OtherExam, "for other channels");
        assert_eq!(refused.refusal.file, None);
        assert_eq!(serde_json::to_value(&record).unwrap(), old);
        old["help"] = serde_json::json!({ "call_service": "555" });
        let record: Record = serde_json::from_value(old.clone()).unwrap();
        let help = &record.refusal().unwrap().help;
        assert_eq!(help.words(Channel::Link), "words of another version");
        assert_eq!(serde_json::to_value(&record).unwrap(), old);
        old.as_object_mut().unwrap().remove("help");
        let record: Record = serde_json::from_value(old.clone()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), old);
    }

    #[test]
    fn keys_of_a_later_version_are_told_on() {
        let mut later = serde_json::to_value(full()).unwrap();
        later["withdrawn"] = Value::Bool(true);
        let record: Record = serde_json::from_value(later.clone()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), later);
        // Nobody knows here whether they tell whose image it is.
        assert_eq!(record.untelling().more, Map::new());
    }

    #[test]
    fn what_does_not_fit_together_is_no_record() {
        type Spoil = fn(&mut Map<String, Value>);
        let cases: [(&str, Spoil); 6] = [
            ("class without probability", |keys| {
                keys["class"] = "scar".into();
            }),
            ("no probabilities", |keys| {
                keys.remove("probabilities");
            }),
            ("a probability that is none", |keys| {
                keys["probabilities"]["normal"] = Value::Null;
            }),
            ("another outcome", |keys| keys["status"] = "deferred".into()),
            ("another level", |keys| {
                keys["triage_level"] = "never".into()
            }),
            ("another hash", |keys| keys["image_sha256"] = "16".into()),
        ];
        for (what, spoil) in cases {
            let Value::Object(mut keys) = serde_json::to_value(full()).unwrap() else {
                panic!("an object");
            };
            spoil(&mut keys);
            let read = serde_json::from_value::<Record>(keys.into());
            assert!(read.is_err(), "{what}");
        }
    }
}
