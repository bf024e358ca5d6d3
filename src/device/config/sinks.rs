//! The sections of a configuration that say where answers go.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

use super::access::{self, FileMode, Group};
use super::read::Section;
use super::sections::{GROUP, MODE, text, texts};
use crate::device::dicom::Pacs;
use crate::files::Readers;
use crate::report::Form;

/// The folder that results are written to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Folder {
    /// The folder; nothing is written where absent.
    pub folder: Option<PathBuf>,
    /// What is written beside the JSON of a finding.
    #[serde(serialize_with = "texts")]
    pub write: Vec<Form>,
    /// Whether they leave out whose image it is.
    pub deidentify: bool,
    /// The rights of the files; as the system makes files where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// Their group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
}

impl Default for Folder {
    fn default() -> Self {
        Self {
            folder: None,
            write: vec![Form::Overlay],
            deidentify: false,
            mode: None,
            group: None,
        }
    }
}

impl Folder {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let words = Form::ALL.map(Form::word).join(", ");
        let folder = section.path("folder");
        let write = section.listed("write", &format!("texts of {words}"));
        Self {
            folder,
            write: write.unwrap_or(Self::default().write),
            deidentify: section.flag("deidentify").unwrap_or_default(),
            mode: section.parsed("mode", MODE),
            group: section.parsed("group", GROUP),
        }
    }

    /// Who may read them.
    pub fn readers(&self) -> Readers {
        access::readers(self.mode, self.group.as_ref())
    }
}

/// An HL7 receiver.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Receiver {
    /// Host and port; nowhere where absent.
    #[serde(serialize_with = "text")]
    pub to: Option<HostPort>,
    /// Whether messages leave out whose image it is.
    pub deidentify: bool,
}

impl Receiver {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            to: section.parsed("to", "HOST:PORT"),
            deidentify: section.flag("deidentify").unwrap_or_default(),
        }
    }
}

/// An archive.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Archive {
    /// Title, host and port; nowhere where absent.
    #[serde(serialize_with = "text")]
    pub to: Option<Pacs>,
    /// Whether objects leave out whose image it is.
    pub deidentify: bool,
}

impl Archive {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            to: section.parsed("to", "TITLE@HOST:PORT"),
            deidentify: section.flag("deidentify").unwrap_or_default(),
        }
    }
}

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort(String);

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        match parts.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(1..)) => Ok(Self(text.to_owned())),
            _ => Err(format!("'{text}': give HOST:PORT, such as 10.0.0.7:104")),
        }
    }
}

impl Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
