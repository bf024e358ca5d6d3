//! Who gives cases to a device. It decides whose share of the queue and of the image store a case
//! takes, how urgent it may be, and who may drop it.
//!
//! Every source fills one in, and the device counts cases by it. It is written to the journal with
//! the [`Order`](super::Order), so that it is known after a restart as well. It names no patient
//! and no image.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who gave a case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Giver {
    /// Whoever talks on a line, by its port: its console and its link.
    Line(String),
    /// Programs on the control socket, by the user that runs them.
    User(u32),
    /// A watched folder, by its path.
    Folder(String),
    /// A DICOM peer: `TITLE@ADDRESS` where it is on the list of those that may send, else its
    /// address alone, since a title is what a peer says of itself.
    Dicom(String),
}

impl fmt::Display for Giver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(port) => write!(f, "line {port}"),
            Self::User(user) => write!(f, "user {user}"),
            Self::Folder(path) => write!(f, "folder {path}"),
            Self::Dicom(peer) => write!(f, "DICOM peer {peer}"),
        }
    }
}

/// How much a case hurries: a higher one is answered before a lower one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// In its turn.
    #[default]
    Routine,
    /// Before what is routine.
    Urgent,
    /// At once.
    Stat,
}

impl Priority {
    /// All of them, lowest first.
    pub const ALL: [Self; 3] = [Self::Routine, Self::Urgent, Self::Stat];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Routine => "routine",
            Self::Urgent => "urgent",
            Self::Stat => "stat",
        }
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|priority| priority.word().eq_ignore_ascii_case(word))
            .ok_or_else(|| format!("'{word}' is not a priority: give routine, urgent or stat"))
    }
}
