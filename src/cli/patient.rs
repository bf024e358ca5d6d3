//! `--age` and `--sex`: what a caller says of the patient. The same options for every command that
//! sends or answers images.

use clap::Args;
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
