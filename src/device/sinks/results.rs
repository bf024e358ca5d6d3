//! The result folder: what became of a case as JSON, and beside a finding's the pictures
//! and reports that were asked for. A file appears whole or not at all, and `.json` last: who
//! waits for it finds the others there. Others may write the folder as well: nothing that lies
//! there is followed or written on, only replaced.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::{DeliveryError, Ended, NotDelivered, Sink, Spec};
use crate::files::{Cause, FileError, Folder};
use crate::finding::RefusalCode;
use crate::patient::Age;
use crate::report::{Form, NotWritten};

/// Where to write, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultsOptions {
    /// The sink's name.
    pub name: String,
    /// The folder; made where it is missing.
    pub folder: PathBuf,
    /// What is written beside the JSON.
    pub forms: Vec<Form>,
    /// Whether what tells whose image it is stays out.
    pub deidentify: bool,
}

/// The result folder.
#[derive(Debug)]
pub struct Results {
    options: ResultsOptions,
    /// What was left half written before the device ended is gone.
    is_swept: bool,
}

impl Results {
    /// A folder by these options.
    pub fn new(options: ResultsOptions) -> Self {
        Self {
            options,
            is_swept: false,
        }
    }

    /// The folder that lies there now; it may be one of another computer.
    fn open(&mut self) -> Result<Folder, NotDelivered> {
        let folder = Folder::make(&self.options.folder).map_err(away)?;
        if !self.is_swept {
            folder.sweep().map_err(away)?;
            self.is_swept = true;
        }
        Ok(folder)
    }

    /// The files beside the JSON.
    fn write_forms(&self, folder: &Folder, ended: &Ended<'_>) -> Result<(), NotDelivered> {
        let material = match ended.material() {
            Ok(material) => material,
            // The finding is safe without its pictures.
            Err(NotDelivered::Never(code)) => {
                log::warn!("case {}: written without pictures ({code})", ended.number);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let case = material.case(self.options.deidentify);
        for form in &self.options.forms {
            match form.bytes(&case) {
                Ok(bytes) => {
                    let name = format!("{}.{}", ended.id(), form.ending());
                    folder.replace(name, &bytes).map_err(away)?;
                }
                Err(error @ NotWritten::Encoding(_)) => {
                    return Err(NotDelivered::Refused(DeliveryError::new(
                        "not_written",
                        error,
                    )));
                }
                // It may not be written, or refers to nothing: it never will be.
                Err(_) => log::warn!("case {}: there is no {}", ended.number, form.ending()),
            }
        }
        Ok(())
    }
}

impl Sink for Results {
    fn spec(&self) -> Spec {
        Spec {
            name: self.options.name.clone(),
            takes_refusals: true,
            needs_image: !self.options.forms.is_empty(),
        }
    }

    fn deliver(&mut self, ended: &Ended<'_>) -> Result<(), NotDelivered> {
        let folder = self.open()?;
        if ended.record["status"] == "finding" && !self.options.forms.is_empty() {
            self.write_forms(&folder, ended)?;
        }
        let record = if self.options.deidentify {
            untelling(&ended.record)
        } else {
            ended.record.clone()
        };
        let (name, text) = (format!("{}.json", ended.id()), format!("{record:#}\n"));
        folder.replace(name, text.as_bytes()).map_err(away)
    }
}

/// A path may tell whose image it is, and so may its last part; refusals name it. So may an age
/// over 89.
fn untelling(record: &Value) -> Value {
    let mut record = record.clone();
    let source = record["source"].as_str().unwrap_or_default().to_owned();
    record["source"] = json!("");
    if let Some(message) = record["message"].as_str() {
        let message = message.strip_prefix(&source).unwrap_or(message);
        let message = message.trim_start_matches(": ");
        let code = RefusalCode::deserialize(&record["code"]).ok();
        let without_words = code.and_then(RefusalCode::untelling);
        record["message"] = match without_words {
            Some(message) => json!(message),
            None => json!(unnamed(message, &source)),
        };
    }
    let reasons = record.get_mut("reasons").and_then(Value::as_array_mut);
    if let Some(reasons) = reasons {
        for reason in reasons {
            *reason = json!(unnamed(reason.as_str().unwrap_or_default(), &source));
        }
    }
    let age = &record["patient"]["age_years"];
    if let Ok(age) = Age::deserialize(age) {
        record["patient"]["age_years"] = json!(age.untelling());
    }
    record
}

/// A sentence without a path and the name of its file.
fn unnamed(sentence: &str, path: &str) -> String {
    let file = Path::new(path).file_name().and_then(|name| name.to_str());
    let names = [Some(path), file].into_iter().flatten();
    let names = names.filter(|name| !name.is_empty());
    names.fold(sentence.to_owned(), |sentence, name| {
        sentence.replace(name, "the image")
    })
}

/// The folder cannot be written now, or only what somebody put under one name is in the way:
/// other cases need not wait then. The help stands beside what is wrong.
fn away(error: FileError) -> NotDelivered {
    let kind = error.kind();
    let delivery_error = DeliveryError::new(code_of(kind), format!("{error}; {}", error.help()));
    match (error.cause, kind) {
        (Cause::Swapped, _) | (_, ErrorKind::IsADirectory) => NotDelivered::Refused(delivery_error),
        _ => NotDelivered::Away(delivery_error),
    }
}

fn code_of(error: ErrorKind) -> &'static str {
    match error {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "no_space",
        _ => "not_written",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_is_left_where_nothing_may_tell_whose_it_is() {
        let record = json!({ "source": "/p/Ann.png", "message": "/p/Ann.png: it is dark" });
        let expected = json!({ "source": "", "message": "it is dark" });
        assert_eq!(untelling(&record), expected);
        // Nor what somebody wrote into the header.
        let quoted = "/p/Ann.png: the image's body part is ANN; exam brain4 is for BRAIN";
        let record = json!({ "source": "", "code": "wrong_body_part", "message": quoted });
        let told = untelling(&record)["message"].clone();
        assert_eq!(
            told,
            "the image is of another body part than the exam is for"
        );
        let finding = untelling(&json!({ "source": "/p/Ann.png", "exam": "brain4" }));
        assert_eq!(finding, json!({ "source": "", "exam": "brain4" }));
        let named = json!({
            "source": "/p/Ann.png",
            "message": "/p/Ann.png: Ann.png of /p/Ann.png is dark",
            "reasons": ["a note on Ann.png", "unsure"],
        });
        let expected = json!({
            "source": "",
            "message": "the image of the image is dark",
            "reasons": ["a note on the image", "unsure"],
        });
        assert_eq!(untelling(&named), expected);
        for (age, told) in [(89, 89), (90, 90), (103, 90)] {
            let patient = |age| json!({ "age_years": age, "sex": "F" });
            let record = untelling(&json!({ "source": "", "patient": patient(age) }));
            assert_eq!(record["patient"], patient(told));
        }
    }
}
