//! An order: what a case is asked, and of which image. It binds the answer to the bytes that were
//! given.
//!
//! Every source fills in an [`Order`]. The device writes it to the journal before it tells the
//! case's number. An answer about another image than [`Order::image`] is never given. The worker
//! is told only the [`Question`] of it. Nothing here reads a file.

use serde::{Deserialize, Serialize};

use super::{FileName, Giver, Labels, Priority, Refusal, RequestId};
use crate::patient::Patient;
use crate::sha256::Sha256;

/// What a case is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What the image is called: the path that the caller gave or, where it gave bytes, that
    /// of the device's own copy.
    pub source: String,
    /// The image. Old entries name none: then it is what lies at `source`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Bound>,
    /// The exam; `None` for what the image itself asks for.
    pub exam: Option<String>,
    /// Where to look: `[x, y, width, height]` in the image's own pixels.
    pub region: Option<[u32; 4]>,
    /// By what its asker knows this request; asked again, it is the same case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// The case whose image is answered again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun_of: Option<u64>,
    /// What whoever gave it calls its file, where there is one; no part of what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<FileName>,
    /// Which file of a watched folder it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileId>,
    /// What its DICOM sender called the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
    /// An older case of other content whose sender gave it the same SOP Instance UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_claim_as: Option<u64>,
    /// Who gave it; old entries do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub giver: Option<Giver>,
    /// How much it hurries; old entries do not say.
    #[serde(default)]
    pub priority: Priority,
    /// How much it was said to hurry, by one whose images may not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_said: Option<Priority>,
    /// What whoever asks says of the patient.
    #[serde(default, skip_serializing_if = "Patient::is_unknown")]
    pub patient: Patient,
    /// Whose image it is and what it is called, as its giver says.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
}

impl Order {
    /// Whether this asks for the same answer as an order of before: of the same image, by the
    /// same exam, with the same of every option that changes the answer.
    pub fn asks_as(&self, before: &Self) -> bool {
        let is_same_image = match (&self.image, &before.image) {
            // Around the object lies what the program that received it wrote: another version
            // writes other bytes.
            _ if self.is_of_claim(before) => true,
            (Some(one), Some(other)) => one.sha256() == other.sha256(),
            // An old entry of an image in the store: the store's files are named by hash.
            (Some(one), None) => before.hash_of_name() == one.sha256(),
            (None, _) => self.source == before.source,
        };
        // An answer comes back under the labels that its request gave.
        is_same_image && self.question() == before.question() && self.labels == before.labels
    }

    /// What is asked of the image.
    pub fn question(&self) -> Question {
        Question {
            exam: self.exam.clone(),
            region: self.region,
            patient: self.patient,
        }
    }

    /// Whether both are of the same DICOM object as it was received.
    fn is_of_claim(&self, before: &Self) -> bool {
        self.claim.is_some() && self.claim == before.claim
    }

    /// SHA-256 of the image's bytes; `None` where it is not known before it is read.
    pub fn sha256(&self) -> Option<Sha256> {
        match self.image {
            Some(Bound::Stored(sha256)) => Some(sha256),
            _ => None,
        }
    }

    fn hash_of_name(&self) -> Option<Sha256> {
        self.source.rsplit('/').next()?.parse().ok()
    }
}

/// The image that a case was accepted for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The device's store has its bytes, of this SHA-256.
    Stored(Sha256),
    /// It is too large for the store, and too large to be answered. The SHA-256 is that of as
    /// much as the store takes and of the file's length.
    TooLarge(Sha256),
    /// There was nothing to store, and this is why.
    Unreadable(#[serde(with = "in_one_sentence")] Box<Refusal>),
}

impl Bound {
    /// What it is told by from others.
    fn sha256(&self) -> Option<Sha256> {
        match self {
            Self::Stored(sha256) | Self::TooLarge(sha256) => Some(*sha256),
            Self::Unreadable(_) => None,
        }
    }
}

/// A refusal as journals have it: the file's name stands in the sentence.
mod in_one_sentence {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::case::{Help, Refusal, RefusalCode};

    #[derive(Serialize, Deserialize)]
    struct Form {
        code: RefusalCode,
        message: String,
        help: Help,
    }

    pub fn serialize<S: Serializer>(refusal: &Refusal, to: S) -> Result<S::Ok, S::Error> {
        let form = Form {
            code: refusal.code,
            message: refusal.sentence(),
            help: refusal.help.clone(),
        };
        form.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Box<Refusal>, D::Error> {
        let Form {
            code,
            message,
            help,
        } = Form::deserialize(from)?;
        Ok(Box::new(Refusal::new(code, message, help)))
    }
}

/// All that changes the answer about an image: what whoever runs a case is told of its order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The exam; `None` for what the image itself asks for.
    pub exam: Option<String>,
    /// Where to look: `[x, y, width, height]` in the image's own pixels.
    pub region: Option<[u32; 4]>,
    /// What whoever asks says of the patient.
    pub patient: Patient,
}

/// A SOP Instance UID is a claim of its sender: what an image is, its bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// SHA-256 of the UID.
    pub uid: Sha256,
    /// SHA-256 of the object that it was said of.
    pub content: Sha256,
}

/// Which file it was, as the file system tells files: one that is put there again is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// Its inode.
    pub inode: u64,
    /// When it was last changed or moved, in nanoseconds since 1970.
    pub changed_ns: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Asker, Identity};

    fn claim(content: &[u8]) -> Option<Claim> {
        Some(Claim {
            uid: Sha256::of(b"uid"),
            content: Sha256::of(content),
        })
    }

    fn order(bytes: &[u8]) -> Order {
        Order {
            source: "a.png".to_owned(),
            image: Some(Bound::Stored(Sha256::of(bytes))),
            exam: Some("brain4".to_owned()),
            claim: claim(b"object"),
            ..Order::default()
        }
    }

    #[test]
    fn the_same_is_asked_only_of_the_same_image_exam_and_options() {
        type Change = fn(&mut Order);
        let cases: [(&str, Change, bool); 11] = [
            ("nothing", |_| {}, true),
            ("source", |order| order.source = "b.png".to_owned(), true),
            ("priority", |order| order.priority = Priority::Stat, true),
            (
                "what its file is called",
                |order| order.file_name = super::FileName::of("b.png"),
                true,
            ),
            (
                "image",
                |order| {
                    order.image = Some(Bound::Stored(Sha256::of(b"b")));
                    order.claim = claim(b"other object");
                },
                false,
            ),
            (
                "meta group of the same object",
                |order| order.image = Some(Bound::Stored(Sha256::of(b"b"))),
                true,
            ),
            ("exam", |order| order.exam = None, false),
            ("region", |order| order.region = Some([0, 0, 1, 1]), false),
            (
                "age",
                |order| order.patient.age = crate::patient::Age::new(34),
                false,
            ),
            (
                "label",
                |order| order.labels.label = Some("bed 4".to_owned()),
                false,
            ),
            (
                "old entry of the same image",
                |order| {
                    order.image = None;
                    order.source = format!("/state/images/{}", Sha256::of(b"a"));
                },
                true,
            ),
        ];
        for (what, change, is_same) in cases {
            let mut before = order(b"a");
            change(&mut before);
            assert_eq!(order(b"a").asks_as(&before), is_same, "{what}");
        }
    }

    #[test]
    fn entries_of_before_and_of_now_are_read() {
        let old = r#"{"source":"/s/images/x","exam":null,"region":null,"request":7}"#;
        let old: Order = serde_json::from_str(old).unwrap();
        let unknown = RequestId {
            asker: Asker::Unknown,
            number: 7,
        };
        assert_eq!((old.request, old.image), (Some(unknown), None));
        let askers = [
            Asker::Host(Identity(7)),
            Asker::Line("/dev/ttyUSB0".to_owned()),
            Asker::Program(Identity(7)),
            Asker::User(7),
            Asker::Folder,
            Asker::Dicom,
            Asker::Unknown,
        ];
        let mut keys = std::collections::BTreeSet::new();
        for asker in askers {
            assert!(keys.insert(asker.key()), "{asker:?}");
            let now = Order {
                request: Some(RequestId {
                    asker,
                    number: u64::MAX,
                }),
                ..order(b"a")
            };
            let text = serde_json::to_string(&now).unwrap();
            assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), now, "{text}");
        }
    }
}
