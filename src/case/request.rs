//! The identity of a request: who asked and by which number, so that a request that comes twice
//! becomes one case. Every source makes one; the board finds the case by it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sha256::Sha256;

/// By what a request is known: who asked, and by which number of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "RequestForm")]
pub struct RequestId {
    /// Who asked.
    pub asker: Asker,
    /// Its number.
    pub number: u64,
}

/// Who asks for cases. A number of one asker says nothing of another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asker {
    /// A host on a serial link, by the identity that it drew.
    Host(Identity),
    /// A host that told no identity, by the line that it is on.
    Line(String),
    /// A program on the control socket, by the identity that it drew.
    Program(Identity),
    /// A program that told no identity, by the user that runs it.
    User(u32),
    /// A watched folder; its numbers are made from the image and the exam.
    Folder,
    /// DICOM senders; their numbers are made from the object and the exam.
    Dicom,
    /// Someone, in an entry of before askers were told apart.
    Unknown,
}

impl Asker {
    /// A number for tables in memory. Should two askers ever share one, what they ask is
    /// still compared, so that neither gets the other's answer.
    pub fn key(&self) -> u64 {
        let words = match self {
            Self::Host(identity) => format!("host {identity}"),
            Self::Line(line) => format!("line {line}"),
            Self::Program(identity) => format!("program {identity}"),
            Self::User(user) => format!("user {user}"),
            Self::Folder => "folder".to_owned(),
            Self::Dicom => "dicom".to_owned(),
            Self::Unknown => "unknown".to_owned(),
        };
        Sha256::of(words.as_bytes()).short()
    }
}

/// What a client drew by chance to be told from others: 16 hexadecimal digits in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(pub u64);

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Identity {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_hex);
        let wrong = || format!("'{text}' is not an identity: give 16 hexadecimal digits");
        number.map(Self).ok_or_else(wrong)
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A request as entries have it: old ones are a number alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum RequestForm {
    Number(u64),
    Known { asker: Asker, number: u64 },
}

impl From<RequestForm> for RequestId {
    fn from(form: RequestForm) -> Self {
        match form {
            RequestForm::Number(number) => Self {
                asker: Asker::Unknown,
                number,
            },
            RequestForm::Known { asker, number } => Self { asker, number },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_sixteen_digits() {
        assert_eq!("00000000000000ff".parse(), Ok(Identity(255)));
        for wrong in ["", "ff", "+0000000000000ff", "00000000000000fg"] {
            assert!(wrong.parse::<Identity>().is_err(), "{wrong}");
        }
    }
}
