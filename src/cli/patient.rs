//! `--age` and `--sex`: what a caller says of the patient. The same options for every command that
//! sends or answers images. `--patient-id`, `--accession` and `--label`: whose image it is.

use clap::Args;
use medfocus::case::Labels;
use medfocus::patient::{Age, Patient, Sex};

#[derive(Debug, Clone, Copy, Args)]
pub struct PatientArguments {
    /// The patient's age in whole years; where the image says another, there is no answer
    #[arg(long, value_name = "YEARS")]
    pub age: Option<Age>,
    /// The patient's sex: M, F or O; where the image says another, there is no answer
    #[arg(long, value_name = "LETTER")]
    pub sex: Option<Sex>,
}

impl PatientArguments {
    /// What is known.
    pub fn patient(self) -> Patient {
        Patient {
            age: self.age,
            sex: self.sex,
        }
    }
}

/// Whose image it is and what it is called.
#[derive(Debug, Clone, Args)]
pub struct LabelArguments {
    /// The patient's number; it comes back with the answer
    #[arg(long, value_name = "NUMBER", value_parser = label)]
    patient_id: Option<String>,
    /// The accession number, of which request the image is; it comes back with the answer
    #[arg(long, value_name = "NUMBER", value_parser = label)]
    accession: Option<String>,
    /// A label of your own; it comes back with the answer
    #[arg(long, value_name = "TEXT", value_parser = label)]
    label: Option<String>,
}

impl LabelArguments {
    /// What was said.
    pub fn labels(&self) -> Labels {
        Labels {
            patient_id: self.patient_id.clone(),
            accession: self.accession.clone(),
            label: self.label.clone(),
        }
    }
}

fn label(text: &str) -> Result<String, String> {
    match Labels::may_be(text) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "it has 1 to {} letters, none of them a control character",
            Labels::LONGEST
        )),
    }
}
