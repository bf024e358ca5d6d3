//! A record: all that is kept and told of a case that ended.
//!
//! Made where a case ends, for the channel that reads it: the help of a refusal is written in the
//! words of that channel ([`Refused::words`]).

use std::path::Path;

use serde_json::{Map, Value};

use super::{Channel, FileName, Finding, Labels, Provenance, Refusal, RefusalCode, Timings};
use crate::sha256::Sha256;

/// What came of a case, and what stands around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// What the case is called: a device's own number; of `classify`, the image's content and
    /// the exam. `None` where the image could not be read.
    pub case: Option<String>,
    /// What the image is called: the path as it was given.
    pub source: String,
    /// What whoever gave the image to a device calls its file; `None` where there was no file, and
    /// where nothing may tell whose image it is.
    pub file_name: Option<FileName>,
    /// SHA-256 of the image's file; `None` where it could not be read, and in records of programs
    /// of before there was this key.
    pub image: Option<Sha256>,
    /// The case of a device whose image was answered again.
    pub rerun_of: Option<u64>,
    /// Whose image it is and what it is called, as its giver said.
    pub labels: Labels,
    /// What came of it.
    pub outcome: Outcome,
    /// Who answered.
    pub provenance: Provenance,
    /// Milliseconds by stage.
    pub timings: Timings,
    /// What a later version says in keys that this one does not know. It may limit the answer, so
    /// it is told on and never dropped.
    pub more: Map<String, Value>,
}

/// What a case ended in.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// A finding.
    Finding(Box<Finding>),
    /// A refusal.
    Refusal(Refused),
}

/// A refusal as a record has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The exam, where it was known.
    pub exam: Option<String>,
    /// Why.
    pub refusal: Refusal,
    /// Its help in the words that the record was written with.
    pub words: String,
}

impl Refused {
    /// A refusal for those who are told on this channel.
    pub fn new(exam: Option<String>, refusal: Refusal, channel: Channel) -> Self {
        let words = refusal.help.words(channel);
        Self {
            exam,
            refusal,
            words,
        }
    }
}

impl Outcome {
    /// The word in every output.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Finding(_) => "finding",
            Self::Refusal(_) => "refusal",
        }
    }
}

impl Record {
    /// A record of an image that is called `source`.
    pub fn new(case: Option<String>, source: &str, outcome: Outcome, by: Provenance) -> Self {
        Self {
            case,
            source: source.to_owned(),
            file_name: None,
            image: None,
            rerun_of: None,
            labels: Labels::default(),
            outcome,
            provenance: by,
            timings: Timings::new(),
            more: Map::new(),
        }
    }

    /// The finding, where it is one.
    pub fn finding(&self) -> Option<&Finding> {
        match &self.outcome {
            Outcome::Finding(finding) => Some(finding),
            Outcome::Refusal(_) => None,
        }
    }

    /// The refusal, where it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.outcome {
            Outcome::Finding(_) => None,
            Outcome::Refusal(refused) => Some(&refused.refusal),
        }
    }

    /// The codes of what else a reader of a finding must know.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        let reasons = self.finding().map(|finding| &finding.reasons);
        let reasons = reasons.into_iter().flatten();
        let codes = reasons.filter_map(|sentence| sentence.split_once(": "));
        codes.map(|(code, _)| code)
    }

    /// The code of the refusal, where it is one.
    pub fn code(&self) -> Option<RefusalCode> {
        self.refusal().map(|refusal| refusal.code)
    }

    /// The exam, where it is known.
    pub fn exam(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Finding(finding) => Some(&finding.exam),
            Outcome::Refusal(refused) => refused.exam.as_deref(),
        }
    }

    /// The same of an image that is called so: the device calls one by the place of its copy,
    /// whoever gave it has another name for it.
    #[must_use]
    pub fn called(mut self, source: &str) -> Self {
        source.clone_into(&mut self.source);
        if let Outcome::Refusal(Refused { refusal, .. }) = &mut self.outcome
            && refusal.file.is_some()
        {
            refusal.file = Some(source.to_owned());
        }
        self
    }

    /// The image's path, where `source` is one.
    pub fn path(&self) -> &Path {
        Path::new(&self.source)
    }
}
