//! A record without what may tell whose image it is, for outputs that must not tell it.
//!
//! Left out or changed: the path and its last part, what the file is called, what somebody wrote into the image's header,
//! the labels that its giver said,
//! an age of 90 or more, and keys of a later version, since this version does not know what they
//! tell.

use std::path::Path;

use super::{Finding, Labels, Outcome, Record, Refusal, Refused};

/// What stands for the name of a file.
const THE_IMAGE: &str = "the image";

impl Record {
    /// The same without the image's name and whatever else may tell whose it is.
    #[must_use]
    pub fn deidentified(mut self) -> Self {
        let source = std::mem::take(&mut self.source);
        self.file_name = None;
        self.more.clear();
        self.labels = Labels::default();
        match &mut self.outcome {
            Outcome::Finding(finding) => without_name(finding, &source),
            Outcome::Refusal(Refused { refusal, .. }) => {
                let told = refusal.clone().deidentified();
                *refusal = match refusal.code.deidentified() {
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
    finding.patient = finding.patient.deidentified();
    finding.anatomy = std::mem::take(&mut finding.anatomy).deidentified();
    for reason in &mut finding.reasons {
        *reason = unnamed(reason, source);
    }
}

/// A sentence without a path and the name of its file, which decoders and the system may quote.
///
/// Read once from the left, the longer name first, so that nothing is put into what was put in;
/// and only whole words: a file that is called `1` must not change the numbers of a sentence.
fn unnamed(sentence: &str, path: &str) -> String {
    let file = Path::new(path).file_name();
    let file = file.and_then(|name| name.to_str());
    let names = [Some(path), file].into_iter().flatten();
    let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
    let (mut told, mut at) = (String::new(), 0);
    while let Some(next) = sentence[at..].chars().next() {
        let is_here = |name: &&&str| {
            sentence[at..].starts_with(**name) && is_whole(sentence, at, at + name.len())
        };
        if let Some(name) = names.iter().find(is_here) {
            told.push_str(THE_IMAGE);
            at += name.len();
        } else {
            told.push(next);
            at += next.len_utf8();
        }
    }
    told
}

/// Whether what stands there is no part of a longer word or number.
fn is_whole(sentence: &str, from: usize, to: usize) -> bool {
    let goes_on = |before: Option<char>, after: Option<char>| {
        let is_of_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        is_of_word(before) && is_of_word(after)
    };
    let (before, name, after) = (&sentence[..from], &sentence[from..to], &sentence[to..]);
    let is_number = name.chars().all(|c| c.is_ascii_digit());
    // 0.1 is one number, although a point stands in it.
    let is_decimal = is_number && (before.ends_with('.') || after.starts_with('.'));
    let is_in_decimal = is_decimal
        && (before
            .trim_end_matches('.')
            .ends_with(|c: char| c.is_ascii_digit())
            || after
                .trim_start_matches('.')
                .starts_with(|c: char| c.is_ascii_digit()));
    !is_in_decimal
        && !goes_on(before.chars().next_back(), name.chars().next())
        && !goes_on(name.chars().next_back(), after.chars().next())
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
            // A short name stands in no longer word, and is no number of a sentence.
            Case(
                "/p/a",
                "badly_exposed",
                "/p/a: a bad part of a dark area",
                "the image bad part of the image dark area",
            ),
            Case(
                "/p/1",
                "badly_exposed",
                "/p/1: 1 is dark: 0.1 of 21 in 1.5",
                "the image is dark: 0.1 of 21 in 1.5",
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
            let told_of = serde_json::to_value(record(source, &keys).deidentified()).unwrap();
            assert_eq!(
                (&told_of["source"], &told_of["message"]),
                (&json!(""), &json!(told))
            );
        }
    }

    #[test]
    fn no_label_and_no_file_name_is_left() {
        let keys = json!({
            "status": "refusal", "code": "badly_exposed", "message": "it is dark", "cure": "look",
            "file_name": "Ann.png",
            "labels": { "patient_id": "P-4711", "accession": "ACC-9", "label": "bed 4" },
        });
        let named = record("/p/Ann.png", &keys);
        let whole = serde_json::to_string(&named).unwrap();
        let told = serde_json::to_string(&named.deidentified()).unwrap();
        for said in ["Ann", "P-4711", "ACC-9", "bed 4"] {
            assert!(whole.contains(said), "{said}");
            assert!(!told.contains(said), "{said}: {told}");
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
            let mut named = record("/p/Ann.png", &keys);
            named.file_name = crate::case::FileName::of("Ann.png");
            assert_eq!(
                serde_json::to_value(&named).unwrap()["file_name"],
                "Ann.png"
            );
            let told_of = serde_json::to_value(named.deidentified()).unwrap();
            assert_eq!(told_of.get("file_name"), None);
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
