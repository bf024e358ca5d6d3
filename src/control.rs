//! What is said on a device's control socket: one JSON object a line, a request and its
//! answer. Both ends share these words; nothing here opens anything.
//!
//! `docs/appliance.md` has them for whoever writes a client of its own. Keys are only ever
//! added; a device refuses keys that it does not know, a client passes them over.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::case::{BundleId, Identity, Labels, Priority};
use crate::journal::Told;
use crate::patient::{Age, Sex};

/// The socket's name in its folder.
pub const SOCKET: &str = "medfocus.sock";

/// Bytes of a request's line at most.
pub const LONGEST_REQUEST: u64 = 64 << 10;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Run a case for an image, whose bytes follow the line. Answered by [`Accepted`].
    Submit(Submit),
    /// The answer of a case, when there is one. Answered by [`Waited`].
    Wait {
        /// The case.
        case: u64,
        /// How long the device may wait for it, at most 60.
        #[serde(default = "longest_wait")]
        seconds: u32,
    },
    /// Answer an ended case's image again, by the bundle that is in use now, as a new case.
    /// Answered by [`Accepted`].
    Rerun {
        /// The case.
        case: u64,
    },
    // With braces: of a variant without them, serde passes unknown keys over.
    /// What the device does. Answered by [`Status`].
    Status {},
    /// How the device is, in all that it knows of itself. Answered by [`Health`].
    Health {},
    /// Read the configuration again. Answered by [`Reloaded`].
    Reload {},
}

/// A case to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
    /// Bytes that follow.
    pub size: u64,
    /// Their SHA-256, in hexadecimal.
    pub sha256: String,
    /// The exam; the one that the image asks for itself where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exam: Option<String>,
    /// Where to look: `[x, y, width, height]` in the image's pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<[u32; 4]>,
    /// How much it hurries.
    #[serde(default)]
    pub priority: Priority,
    /// The patient's age in whole years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<Age>,
    /// The patient's sex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sex: Option<Sex>,
    /// Whose image it is and what the client calls it: `patient_id`, `accession`, `label`.
    #[serde(
        default,
        skip_serializing_if = "Labels::is_empty",
        deserialize_with = "labels"
    )]
    pub labels: Labels,
    /// Who the client is, as 16 hexadecimal digits: drawn by chance once for as long as its
    /// request numbers do not start again. One that tells none is known by its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Identity>,
    /// What its file is called; folders before the name are left out. Comes back with the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// A number of the client's own: the same number with the same image, exam and options is
    /// the same case; with anything else it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
}

fn labels<'de, D: Deserializer<'de>>(from: D) -> Result<Labels, D::Error> {
    let labels = Labels::deserialize(from)?;
    let wrong = labels.iter().find(|(_, text)| !Labels::may_be(text));
    match wrong {
        // The key and never the text: it is a patient's.
        Some((key, _)) => Err(D::Error::custom(format!(
            "{key} has 1 to {} letters, none of them a control character",
            Labels::LONGEST
        ))),
        None => Ok(labels),
    }
}

fn longest_wait() -> u32 {
    60
}

/// The case is on the device's disk: it will be answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// Its number.
    pub case: u64,
}

/// Where a case stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waited {
    /// Its number.
    pub case: u64,
    /// `waiting`, `running`, `finding`, `refusal` or `aborted`.
    pub state: String,
    /// Why it takes long, where it does: the safe state, and what needs a person before long. A
    /// device of before says nothing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// The answer as `docs/finding.schema.json` has it, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Told>,
    /// How people call what the answer names, where the bundle still has the exam.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<Words>,
}

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(rename = "cure")]
    pub help: String,
    /// Whether no case is answered because of it; else it is a warning.
    #[serde(rename = "safe_state")]
    pub is_safe_state: bool,
}

/// Words for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// The exam's title.
    pub title: String,
    /// The label of each class.
    pub labels: BTreeMap<String, String>,
}

/// How the device is: a type of the device's own, which nothing here knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Health<S> {
    /// As `docs/health.schema.json` has it.
    pub health: S,
}

/// What the device does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// `starting`, `ready`, `safe` (cases are kept and not answered), `storage_fault` or
    /// `stopping`.
    pub state: String,
    /// Why no case is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "trouble")]
    pub device_fault: Option<String>,
    /// The same with what to do, and what needs a person before long.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// The case that runs.
    pub case: Option<u64>,
    /// Cases that wait.
    pub waiting: usize,
    /// Cases that ended in a finding or a refusal, since the state folder was made.
    pub answered: usize,
    /// The device's own number, in hexadecimal.
    pub device: String,
    /// Program and version.
    pub software: String,
    /// The bundle that answers.
    pub bundle: BundleId,
    /// What it may be used for.
    pub intended_use: String,
    /// Its exams.
    pub exams: Vec<String>,
}

/// The configuration was read again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Keys that were taken up.
    pub running: Vec<String>,
    /// Keys that wait for the device's next start.
    pub at_next_start: Vec<String>,
}

/// What was asked was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refused {
    /// Stable code.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(rename = "cure")]
    pub help: String,
    /// When to ask again, in milliseconds; absent where asking again does not help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_ms: Option<u64>,
    /// The highest request number that the client has used, where one was used twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest: Option<u64>,
}

/// An answer as its line.
pub fn pack<T: Serialize>(answer: Result<&T, &Refused>) -> Vec<u8> {
    let line = match answer {
        Ok(said) => serde_json::to_vec(&Said { ok: true, said }),
        Err(said) => serde_json::to_vec(&Said { ok: false, said }),
    };
    // Texts, numbers and lists of them: there is nothing that JSON could not hold.
    let mut line = line.unwrap_or_default();
    line.push(b'\n');
    line
}

/// The answer that a line is.
///
/// # Errors
/// Where it is none.
pub fn unpack<T: DeserializeOwned>(line: &[u8]) -> serde_json::Result<Result<T, Refused>> {
    let IsOk { ok } = serde_json::from_slice(line)?;
    match ok {
        true => serde_json::from_slice(line).map(Ok),
        false => serde_json::from_slice(line).map(Err),
    }
}

/// What is said, and whether what was asked was done.
#[derive(Serialize)]
struct Said<'a, T> {
    ok: bool,
    #[serde(flatten)]
    said: &'a T,
}

#[derive(Deserialize)]
struct IsOk {
    #[serde(default)]
    ok: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_they_are_documented() {
        let read = |line| serde_json::from_str::<Request>(line);
        let submit = Submit {
            size: 5,
            sha256: "ab".to_owned(),
            exam: None,
            region: None,
            priority: Priority::Stat,
            age: Age::new(34),
            sex: Some(Sex::F),
            labels: Labels {
                label: Some("bed 4".to_owned()),
                ..Labels::default()
            },
            client: Some(Identity(255)),
            file_name: Some("chest.png".to_owned()),
            request: Some(7),
        };
        assert_eq!(
            read(
                r#"{"do":"submit","size":5,"sha256":"ab","priority":"stat",
                "age":34,"sex":"F","labels":{"label":"bed 4"},"client":"00000000000000ff","file_name":"chest.png","request":7}"#
            )
            .unwrap(),
            Request::Submit(submit)
        );
        let wait = Request::Wait {
            case: 3,
            seconds: 60,
        };
        assert_eq!(read(r#"{"do":"wait","case":3}"#).unwrap(), wait);
        assert_eq!(read(r#"{"do":"status"}"#).unwrap(), Request::Status {});
        let rerun = Request::Rerun { case: 3 };
        assert_eq!(read(r#"{"do":"rerun","case":3}"#).unwrap(), rerun);
        for wrong in [
            r#"{"do":"fly"}"#,
            r#"{"do":"wait","case":3,"second":1}"#,
            r#"{"do":"submit","size":5,"sha256":"ab","exams":"a"}"#,
            r#"{"do":"wait","case":-3}"#,
            r#"{"do":"submit","size":5,"sha256":"ab","client":"7"}"#,
            r#"{"do":"submit","size":5,"sha256":"ab","age":121}"#,
            r#"{"do":"submit","size":5,"sha256":"ab","sex":"W"}"#,
            r#"{"do":"submit","size":5,"sha256":"ab","labels":{"label":""}}"#,
            r#"{"do":"submit","size":5,"sha256":"ab","labels":{"label":"a\nb"}}"#,
            "[]",
            "",
            r#"{"do":"status","case":1}"#,
            r#"{"do":"health","json":true}"#,
            r#"{"do":"reload","config":"/etc/other.toml"}"#,
            r#"{"do":"rerun","case":3,"priority":"stat"}"#,
            r#"{"do":"status","do":"reload"}"#,
            r#"{"do":"wait","case":3,"case":4}"#,
            r#"{"do":"wait","case":{"number":3,"x":1}}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    /// Every request, with every key that it may have, and one more.
    #[test]
    fn an_unknown_key_is_named_whatever_is_asked() {
        for request in [
            r#"{"do":"submit","size":5,"sha256":"ab","KEY":1}"#,
            r#"{"do":"wait","case":3,"KEY":1}"#,
            r#"{"do":"rerun","KEY":null,"case":3}"#,
            r#"{"KEY":{"nested":[1]},"do":"status"}"#,
            r#"{"do":"health","KEY":1}"#,
            r#"{"do":"reload","KEY":1}"#,
        ] {
            let request = request.replace("KEY", "colour");
            let error = serde_json::from_str::<Request>(&request).unwrap_err();
            assert!(error.to_string().contains("`colour`"), "{request}: {error}");
        }
    }

    #[test]
    fn answers_come_back_as_they_were() {
        let accepted = Accepted { case: 12 };
        let line = pack(Ok(&accepted));
        assert_eq!(line, b"{\"ok\":true,\"case\":12}\n");
        assert_eq!(unpack::<Accepted>(&line).unwrap(), Ok(accepted));
        let refused = Refused {
            code: "busy".to_owned(),
            message: "too many wait".to_owned(),
            help: "ask again".to_owned(),
            retry_ms: Some(500),
            highest: None,
        };
        let line = pack::<Accepted>(Err(&refused));
        assert_eq!(unpack::<Accepted>(&line).unwrap(), Err(refused));
        assert!(unpack::<Accepted>(b"{\"ok\":true}\n").is_err());
    }
}
