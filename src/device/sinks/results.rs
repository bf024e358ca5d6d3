//! The result folder: what became of a case as JSON, and beside a finding's the pictures
//! and reports that were asked for. A file appears whole or not at all, and `.json` last: who
//! waits for it finds the others there. Others may write the folder as well: nothing that lies
//! there is followed or written on, only replaced.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::{AnsweredCase, Delivered, DeliveryError, NotDelivered, Sink, Spec};
use crate::files::{Cause, FileError, Folder, Readers};
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
    /// Who may read what is written.
    pub readers: Readers,
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
        folder.open_to(&self.options.readers).map_err(away)?;
        if !self.is_swept {
            folder.sweep().map_err(away)?;
            self.is_swept = true;
        }
        Ok(folder)
    }

    /// The files beside the JSON.
    fn write_forms(
        &self,
        folder: &Folder,
        answered: &AnsweredCase<'_>,
    ) -> Result<(), NotDelivered> {
        let drawn = match answered.drawn() {
            Ok(drawn) => drawn,
            // The finding is safe without its pictures.
            Err(NotDelivered::Never(code)) => {
                log::warn!(
                    "case {}: written without pictures ({code})",
                    answered.number
                );
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let case = drawn.case(self.options.deidentify);
        for form in &self.options.forms {
            match form.bytes(&case) {
                Ok(bytes) => {
                    let name = format!("{}.{}", answered.id(), form.ending());
                    let readers = &self.options.readers;
                    folder.replace_for(name, &bytes, readers).map_err(away)?;
                }
                Err(error @ NotWritten::Encoding(_)) => {
                    return Err(NotDelivered::Refused(DeliveryError::new(
                        "not_written",
                        error,
                    )));
                }
                // It may not be written, or refers to nothing: it never will be.
                Err(_) => log::warn!("case {}: there is no {}", answered.number, form.ending()),
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

    fn deliver(&mut self, answered: &AnsweredCase<'_>) -> Result<Delivered, NotDelivered> {
        let folder = self.open()?;
        if answered.told.record.finding().is_some() && !self.options.forms.is_empty() {
            self.write_forms(&folder, answered)?;
        }
        let mut told = answered.told.clone();
        if self.options.deidentify {
            told.record = told.record.deidentified();
        }
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        let mut text = serde_json::to_string_pretty(&told).unwrap_or_default();
        text.push('\n');
        let name = format!("{}.json", answered.id());
        let readers = &self.options.readers;
        folder
            .replace_for(name, text.as_bytes(), readers)
            .map_err(away)?;
        Ok(Delivered::default())
    }
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
