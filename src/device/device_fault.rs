//! Why the device cannot answer now, in a form that fits every sink: a code for scripts, a
//! sentence, and the way out. Holds no patient data.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use crate::coded::Coded;

/// Why the device cannot answer now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{what} ({code})")]
#[non_exhaustive]
pub struct DeviceFault {
    /// Stable code.
    pub code: String,
    /// One sentence that names the place.
    pub what: String,
    /// What the user can do about it.
    #[serde(rename = "cure")]
    pub help: String,
}

impl DeviceFault {
    /// An error of the program, as a device tells it.
    pub fn of(error: &(impl Coded + Display)) -> Self {
        Self::new(error.code(), error, error.help())
    }

    /// A device fault from its three parts.
    pub fn new(code: &str, what: impl ToString, help: &str) -> Self {
        Self {
            code: code.to_owned(),
            what: what.to_string(),
            help: help.to_owned(),
        }
    }
}

impl Coded for DeviceFault {
    fn code(&self) -> &str {
        &self.code
    }

    fn help(&self) -> &str {
        &self.help
    }
}
