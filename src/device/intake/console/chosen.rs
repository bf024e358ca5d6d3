//! What is chosen on a line for the cases to come, and which choices were refused. Called by the console alone.

use std::collections::BTreeSet;

use firmware_host::console::{Choice, Setting, Text};
use firmware_host::fault::Fault;

use super::answers::exams;
use crate::case::{FileName, Giver, Labels, Order, Priority};
use crate::device::cases::Cases;
use crate::patient::{Age, Patient};

/// What `*RST` takes back.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    exam: Option<String>,
    region: Option<[u32; 4]>,
    priority: Priority,
    patient: Patient,
    labels: Labels,
    /// What was refused, and not chosen anew: a case that goes without it would be answered otherwise than whoever
    /// does not look at errors believes.
    refused: BTreeSet<Setting>,
    /// Whether what is typed comes back.
    pub echo: bool,
}

impl Chosen {
    /// Chooses.
    ///
    /// # Errors
    /// Those of the word or number; the setting is as it was.
    pub fn choose(&mut self, choice: Choice<'_>, cases: &Cases) -> Result<(), Fault> {
        match choice {
            Choice::Exam(name) => self.exam = exam(name, cases)?,
            Choice::Region(region) => self.region = region,
            Choice::Priority(word) => {
                let word = word.to_string();
                self.priority = word.parse().map_err(|_| Fault::IllegalParameter)?;
            }
            Choice::Age(years) => {
                let age = years.map(Age::try_from).transpose();
                self.patient.age = age.map_err(|_| Fault::OutOfRange)?;
            }
            Choice::Sex(word) => {
                let sex = word.map(|word| word.to_string().parse()).transpose();
                self.patient.sex = sex.map_err(|_: String| Fault::IllegalParameter)?;
            }
            Choice::Patient(text) => self.labels.patient_id = label(text)?,
            Choice::Accession(text) => self.labels.accession = label(text)?,
            Choice::Label(text) => self.labels.label = label(text)?,
        }
        self.refused.remove(&choice.setting());
        Ok(())
    }

    /// A choice was refused on a line that does not answer commands.
    pub fn refuse(&mut self, setting: Setting) {
        self.refused.insert(setting);
    }

    /// What is chosen, as an answer.
    pub fn shown(&self, setting: Setting) -> String {
        let words = match setting {
            Setting::Exam => return self.exam.clone().unwrap_or_else(|| "auto".to_owned()),
            Setting::Priority => return self.priority.word().to_owned(),
            Setting::Region => self.region.map(|[x, y, w, h]| format!("{x},{y},{w},{h}")),
            Setting::Age => self.patient.age.map(|age| age.years().to_string()),
            Setting::Sex => self.patient.sex.map(|sex| sex.word().to_owned()),
            Setting::Patient => return quoted(self.labels.patient_id.as_deref()),
            Setting::Accession => return quoted(self.labels.accession.as_deref()),
            Setting::Label => return quoted(self.labels.label.as_deref()),
        };
        words.unwrap_or_else(|| "none".to_owned())
    }

    /// What a case of this file is asked.
    ///
    /// # Errors
    /// [`Fault::SettingsConflict`] where a setting was refused since.
    pub fn order(&self, path: Text<'_>, giver: Giver) -> Result<Order, Fault> {
        if !self.refused.is_empty() {
            return Err(Fault::SettingsConflict);
        }
        let path = path.to_string();
        Ok(Order {
            file_name: FileName::of(&path),
            source: path,
            exam: self.exam.clone(),
            region: self.region,
            giver: Some(giver),
            priority: self.priority,
            patient: self.patient,
            labels: self.labels.clone(),
            ..Order::default()
        })
    }

    /// A case was accepted. All of these are of one image; the next case has another.
    pub fn spend(&mut self) {
        self.region = None;
        self.priority = Priority::default();
        self.patient = Patient::default();
        self.labels = Labels::default();
    }
}

/// `auto` is what the image itself asks for.
fn exam(name: Text<'_>, cases: &Cases) -> Result<Option<String>, Fault> {
    if name.is("auto") {
        return Ok(None);
    }
    let mut exams = exams(cases).into_iter();
    let found = exams.find(|exam| name.is(exam));
    found.map(Some).ok_or(Fault::IllegalParameter)
}

fn label(text: Option<Text<'_>>) -> Result<Option<String>, Fault> {
    let text = text.map(|text| text.to_string());
    match text {
        Some(text) if !Labels::may_be(&text) => Err(Fault::TooMuchData),
        text => Ok(text),
    }
}

/// A text as SCPI answers it.
pub(super) fn quoted(text: Option<&str>) -> String {
    format!("\"{}\"", text.unwrap_or_default().replace('"', "\"\""))
}
