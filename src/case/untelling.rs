//! A record without what may tell whose image it is, for outputs that must not tell it.
//!
//! Left out or changed: the path and its last part, what somebody wrote into the image's header,
//! an age of 90 or more, and keys of a later version, since this version does not know what they
//! tell.

use std::path::Path;

use super::{Finding, Outcome, Record, Refusal, Refused};

/// What stands for the name of a file.
const THE_IMAGE: &str = "the image";

impl Record {
    /// The same without the image's name and whatever else may tell whose it is.
    #[must_use]
    pub fn untelling(mut self) -> Self {
        let source = std::mem::take(&mut self.source);
        self.more.clear();
        match &mut self.outcome {
            Outcome::Finding(finding) => without_name(finding, &source),
            Outcome::Refusal(Refused { refusal, .. }) => {
                let told = refusal.clone().untelling();
                *refusal = match refusal.code.untelling() {
                    Some(_) => told,
                    None => Refusal {
                        message: unnamed(&told.message, &source),
                        ..told
                    },
                };
            }
        }
        self
    }
}

fn without_name(finding: &mut Finding, source: &str) {
    finding.patient = finding.patient.untelling();
    for reason in &mut finding.reasons {
        *reason = unnamed(reason, source);
    }
}

/// A sentence without a path and the name of its file, which decoders and the system may quote.
fn unnamed(sentence: &str, path: &str) -> String {
    let file = Path::new(path).file_name();
    let file = file.and_then(|name| name.to_str());
    let names = [Some(path), file].into_iter().flatten();
    let names = names.filter(|name| !name.is_empty());
    names.fold(sentence.to_owned(), |sentence, name| {
        sentence.replace(name, THE_IMAGE)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A record of an image that is called so, as JSON has it.
    fn record(source: &str, keys: &Value) -> Record {
        let mut record = json!({
            "case": "7", "source": source, "exam": "brain4", "intended_use": "demonstration",
            "software": "medfocus", "bundle": { "name": "b", "version": "1", "sha256": "c" },
        });
        for (key, value) in keys.as_object().unwrap() {
            record[key] = value.clone();
        }
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn no_path_is_left_where_nothing_may_tell_whose_it_is() {
        struct Case(&'static str, &'static str, &'static str, &'static str);
        for Case(source, code, message, told) in [
            Case(
                "/p/Ann.png",
                "badly_exposed",
                "/p/Ann.png: it is dark",
                "it is dark",
            ),
            // Nor what somebody wrote into the header.
            Case(
                "/p/Ann.png",
                "wrong_body_part",
                "/p/Ann.png: the image's body part is ANN; exam brain4 is for BRAIN",
                "the image is of another body part than the exam is for",
            ),
            Case(
                "/p/Ann.png",
                "unreadable",
                "/p/Ann.png: Ann.png of /p/Ann.png is dark",
                "the image of the image is dark",
            ),
            // Fixed words stay, whatever a file is called.
            Case(
                "image",
                "wrong_view",
                "image: the view is ANN",
                "the image is of another view than the exam is for",
            ),
        ] {
            let keys = json!({
                "status": "refusal", "code": code, "message": message, "cure": "look",
            });
            let told_of = serde_json::to_value(record(source, &keys).untelling()).unwrap();
            assert_eq!(
                (&told_of["source"], &told_of["message"]),
                (&json!(""), &json!(told))
            );
        }
    }

    #[test]
    fn a_finding_tells_neither_a_name_nor_a_high_age() {
        for (age, told) in [(89, 89), (90, 90), (103, 90)] {
            let keys = json!({
                "status": "finding", "class": "a", "probabilities": { "a": 1.0 },
                "patient": { "age_years": age, "sex": "F" }, "triage_level": "routine",
                "mask": {
                    "bbox": [0, 0, 0, 0], "area_fraction": 0.0, "predicted_iou": 0.5,
                    "rle": { "size": [1, 1], "counts": [1] },
                },
                "focus": "crop", "gate": "passed", "guard": "passed",
                "reasons": ["note: a note on Ann.png", "unsure: a person decides"],
            });
            let told_of = serde_json::to_value(record("/p/Ann.png", &keys).untelling()).unwrap();
            let patient = json!({ "age_years": told, "sex": "F" });
            assert_eq!(
                (&told_of["source"], &told_of["patient"]),
                (&json!(""), &patient)
            );
            let reasons = json!(["note: a note on the image", "unsure: a person decides"]);
            assert_eq!(told_of["reasons"], reasons);
        }
    }
}
