//! What a case is asked, and of which image: the part of the journal that binds an answer to
//! the bytes that were given.
//!
//! Every source fills in an [`Order`]; the device's cases write it down before they tell the
//! case's number, and an answer that is not about [`Order::image`] is never given. Nothing
//! here reads a file.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Giver, Priority};
use crate::finding::Refusal;
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
        is_same_image
            && self.exam == before.exam
            && self.region == before.region
            && self.patient == before.patient
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
    Unreadable(Box<Refusal>),
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
        let cases: [(&str, Change, bool); 9] = [
            ("nothing", |_| {}, true),
            ("source", |order| order.source = "b.png".to_owned(), true),
            ("priority", |order| order.priority = Priority::Stat, true),
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

    #[test]
    fn an_identity_is_sixteen_digits() {
        assert_eq!("00000000000000ff".parse(), Ok(Identity(255)));
        for wrong in ["", "ff", "+0000000000000ff", "00000000000000fg"] {
            assert!(wrong.parse::<Identity>().is_err(), "{wrong}");
        }
    }
}
