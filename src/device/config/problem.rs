//! What is wrong with a configuration, with the place and the help.

use std::fmt;
use std::path::PathBuf;

use crate::shown;

/// Which kind of thing is wrong; each has a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// The file cannot be read.
    Unreadable,
    /// The file is no TOML.
    Syntax,
    /// There is no such key.
    Key,
    /// The key's value is none that it can have.
    Value,
    /// A key that must be there is not.
    Missing,
    /// Two settings do not go together.
    Conflict,
}

impl Wrong {
    /// The code that scripts may match on.
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreadable => "config_unreadable",
            Self::Syntax => "config_syntax",
            Self::Key => "config_key",
            Self::Value => "config_value",
            Self::Missing => "config_missing",
            Self::Conflict => "config_conflict",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub wrong: Wrong,
    /// The file's line, counted from 1; `None` where it is not of one line.
    pub line: Option<usize>,
    /// The key with its section, `device.threads`; empty where it is not of one key.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{} ({})", self.what, self.wrong.code())
    }
}

/// A configuration that the device cannot run from, with all that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file; `None` where the command line alone said what to do.
    pub file: Option<PathBuf>,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            f.write_str("error: ")?;
            match (&self.file, problem.line) {
                (Some(file), Some(line)) => write!(f, "{}:{line}: ", shown::name(file))?,
                (Some(file), None) => write!(f, "{}: ", shown::name(file))?,
                (None, _) => {}
            }
            let (what, help) = (problem.to_string(), &problem.help);
            write!(f, "{}\ncure: {}", shown::line(&what), shown::line(help))?;
        }
        Ok(())
    }
}
