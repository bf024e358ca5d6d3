//! An answer as a host has it: made by the conversation from what a device says on the line,
//! written by the log and by `--format ndjson`. A line carries less than a device's record does.

use serde::{Serialize, Serializer};

use crate::sha256::Sha256;

/// An answer that a device gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// Who gave it; `None` where the image did not get so far.
    #[serde(flatten)]
    pub device: Option<Device>,
    /// The device's number for the case; `None` where it never became one.
    pub case: Option<String>,
    /// The image's path, where it is one of this conversation's.
    pub source: Option<String>,
    /// What it says.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The codes of what else is to be known of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// SHA-256 of the image, where the device tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_sha256: Option<Sha256>,
}

/// What a device says of itself when a link opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Its own number, in hexadecimal.
    pub device: String,
    /// Program and version.
    pub software: String,
    /// Name and version of its bundle.
    pub bundle: String,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Outcome {
    /// A finding.
    Finding {
        /// The exam.
        exam: String,
        /// The class that is answered.
        class: String,
        /// The likeliest classes, likeliest first.
        #[serde(serialize_with = "as_map")]
        probabilities: Vec<(String, f64)>,
        /// How soon a person should look.
        triage_level: String,
        /// `[x, y, width, height]` of the region.
        region: [u32; 4],
        /// Pixels of the region over pixels of the image.
        area_fraction: f64,
        /// What the bundle may be used for.
        intended_use: String,
    },
    /// A refusal of the image, or of the request.
    Refusal {
        /// Why.
        code: Code,
        /// What can be done about it.
        #[serde(rename = "cure")]
        help: String,
        /// What the bundle may be used for; `None` where no bundle was asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        intended_use: Option<String>,
    },
    /// Someone dropped the case.
    Aborted,
}

/// Why there is no finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Code {
    /// The stable code of a refusal.
    Word(String),
    /// The number of a fault: the request was refused.
    Number(i16),
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Answer {
    /// An answer without anything beside it.
    pub fn new(case: Option<String>, source: Option<String>, outcome: Outcome) -> Self {
        Self {
            device: None,
            case,
            source,
            outcome,
            notes: Vec::new(),
            image_sha256: None,
        }
    }
}

fn as_map<S: Serializer>(classes: &[(String, f64)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(classes.iter().map(|(class, p)| (class, p)))
}
