//! The outcome of a self-test, as it stands in an entry. Written by the device, shown by the
//! command line. Runs no test.

use serde::{Deserialize, Serialize};

/// Why the device tests itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It started.
    Boot,
    /// A day is over.
    Daily,
    /// Somebody asked.
    Asked,
    /// It did not pass before, or what runs the cases was lost.
    Retry,
    /// It was told to load a bundle.
    Bundle,
}

/// What one check of the self-test came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SelfCheck {
    /// Stable name.
    pub name: String,
    /// What it came to.
    pub verdict: Verdict,
    /// One sentence: what was found. Never patient data.
    pub what: String,
    /// Stable code of what is wrong; empty where nothing is.
    pub code: String,
    /// What the user can do about it; empty where nothing is wrong.
    #[serde(rename = "cure")]
    pub help: String,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is wrong.
    Passed,
    /// Something needs a person, and answers are still right.
    Warned,
    /// No case may be answered.
    Failed,
}

impl SelfCheck {
    /// Nothing is wrong.
    pub fn passed(name: &str, what: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            verdict: Verdict::Passed,
            what: what.into(),
            code: String::new(),
            help: String::new(),
        }
    }

    /// Something needs a person.
    pub fn warned(name: &str, what: impl Into<String>, help: &str) -> Self {
        Self {
            verdict: Verdict::Warned,
            code: name.to_owned(),
            help: help.to_owned(),
            ..Self::passed(name, what)
        }
    }

    /// The same under another name, where it stops nothing after all.
    #[must_use]
    pub fn as_warning(self, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            verdict: Verdict::Warned,
            ..self
        }
    }

    /// No case may be answered.
    pub fn failed(name: &str, code: &str, what: impl Into<String>, help: &str) -> Self {
        Self {
            verdict: Verdict::Failed,
            code: code.to_owned(),
            help: help.to_owned(),
            ..Self::passed(name, what)
        }
    }
}
