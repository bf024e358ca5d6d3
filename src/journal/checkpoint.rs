//! Points of the chain, signed by the device's key: in the journal, and sent along with what
//! is told, so that whoever holds one can tell later whether the journal still goes through it.
//!
//! What is signed is the text `NUMBER:HEAD`; the head is the hash of that entry's line, which
//! stands for all lines up to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chain::Link;
use crate::device_key::{DeviceKey, PublicKey, Purpose, Signature};
use crate::sha256::Sha256;

/// A signed point. In text, `NUMBER:HEAD:SIGNATURE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The entry's number.
    pub seq: u64,
    /// The hash of its line.
    pub head: Sha256,
    /// The device's, over both.
    pub signature: Signature,
}

impl Checkpoint {
    pub(super) fn signed(key: &DeviceKey, seq: u64, head: Link) -> Self {
        let head = Sha256(head);
        let signature = key.sign(Purpose::JournalCheckpoint, message(seq, head).as_bytes());
        Self {
            seq,
            head,
            signature,
        }
    }

    /// Whether this key signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let message = message(self.seq, self.head);
        key.signed(
            Purpose::JournalCheckpoint,
            message.as_bytes(),
            &self.signature,
        )
    }
}

fn message(seq: u64, head: Sha256) -> String {
    format!("{seq}:{head}")
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.seq, self.head, self.signature)
    }
}

/// A point of some journal as somebody wrote it down: `HEAD`, `NUMBER:HEAD`,
/// `NUMBER:HEAD:SIGNATURE`, or JSON that holds a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The entry's number.
    pub seq: Option<u64>,
    /// The hash of its line.
    pub head: Sha256,
    /// What would be the device's signature.
    pub signature: Option<Signature>,
}

/// A text that is no point of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no point of a journal: expected HEAD, NUMBER:HEAD, NUMBER:HEAD:SIGNATURE, or the \
     JSON of a finding"
)]
pub struct NotKnown;

impl FromStr for Known {
    type Err = NotKnown;

    fn from_str(text: &str) -> Result<Self, NotKnown> {
        let text = text.trim();
        if text.starts_with('{') {
            let value: Value = serde_json::from_str(text).map_err(|_| NotKnown)?;
            let point = value.get("journal").unwrap_or(&value);
            return Checkpoint::deserialize(point)
                .map(Self::from)
                .map_err(|_| NotKnown);
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (seq, head, signature) = match parts.as_slice() {
            [head] => (None, head, None),
            [seq, head] => (Some(seq), head, None),
            [seq, head, signature] => (Some(seq), head, Some(signature)),
            _ => return Err(NotKnown),
        };
        Ok(Self {
            seq: seq
                .map(|seq| seq.parse())
                .transpose()
                .map_err(|_| NotKnown)?,
            head: head.to_lowercase().parse().map_err(|_| NotKnown)?,
            signature: signature
                .map(|signature| signature.parse())
                .transpose()
                .map_err(|_| NotKnown)?,
        })
    }
}

impl From<Checkpoint> for Known {
    fn from(point: Checkpoint) -> Self {
        Self {
            seq: Some(point.seq),
            head: point.head,
            signature: Some(point.signature),
        }
    }
}

impl Known {
    /// Whether this key signed it; `None` where there is no signature, or no number.
    pub fn is_signed_by(&self, key: &PublicKey) -> Option<bool> {
        let point = Checkpoint {
            seq: self.seq?,
            head: self.head,
            signature: self.signature?,
        };
        Some(point.is_signed_by(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;

    #[test]
    fn a_point_is_read_in_every_form_that_it_is_told_in() {
        let folder = tempfile::tempdir().unwrap();
        let key = DeviceKey::of(&*Disk::make(folder.path()).unwrap()).unwrap();
        let point = Checkpoint::signed(&key, 12, [7; 32]);
        assert!(point.is_signed_by(&key.public()));
        let moved = Checkpoint { seq: 13, ..point };
        assert!(
            !moved.is_signed_by(&key.public()),
            "the number is signed as well"
        );
        let whole = Known::from(point);
        let head = point.head;
        let finding = serde_json::json!({ "status": "finding", "journal": point });
        let cases = [
            (point.to_string(), whole),
            (format!(" {point}\n"), whole),
            (serde_json::to_string(&point).unwrap(), whole),
            (finding.to_string(), whole),
            (
                format!("12:{head}"),
                Known {
                    signature: None,
                    ..whole
                },
            ),
            (
                head.to_string().to_uppercase(),
                Known {
                    seq: None,
                    signature: None,
                    head,
                },
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "12",
            "12:",
            &format!("x:{head}"),
            &format!("{point}:1"),
            "{}",
        ] {
            assert_eq!(wrong.parse::<Known>(), Err(NotKnown), "{wrong}");
        }
        assert_eq!(whole.is_signed_by(&key.public()), Some(true));
    }
}
