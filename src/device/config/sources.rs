//! The sections of a configuration that say where images come from.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use super::access::{self, FileMode, Group, SocketMode};
use super::read::Section;
use super::sections::{GROUP, MODE, texts};
use crate::case::Priority;
use crate::device::cases::Reach;
use crate::device::dicom::{Deadlines, Peer, title_of};
use crate::files::Readers;

/// A serial port.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Serial {
    /// Its path, or `-` for standard input and output.
    pub port: String,
    /// Bits a second.
    pub baud: u32,
    /// Whose cases its console may drop.
    pub abort: Reach,
}

impl Serial {
    /// Bits a second of a port that names none.
    pub const BAUD: u32 = 115_200;

    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let port = section.text("port");
        let baud = section.number("baud", 300..=4_000_000);
        let abort = section.parsed("abort", "own or any");
        let port = section.required("port", port, "write port = \"/dev/ttyUSB0\"")?;
        Some(Self {
            port,
            baud: baud.unwrap_or(Self::BAUD),
            abort: abort.unwrap_or_default(),
        })
    }
}

/// A folder that images are put into.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Watched {
    /// Where it is.
    pub path: PathBuf,
    /// Where something must be mounted, itself or a folder above it; where absent, the folder is
    /// taken as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounted: Option<PathBuf>,
    /// The exam that every image is asked; where absent, the one that it asks for itself.
    pub exam: Option<String>,
    /// How much its images hurry.
    pub priority: Priority,
    /// Seconds for which a file must not have changed.
    pub settle_s: u32,
    /// Seconds between two looks.
    pub poll_s: u32,
    /// What becomes of a file that was answered.
    pub after: After,
    /// Whether images in folders within it are taken as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub subfolders: bool,
    /// The ending of the marker that says that a file is whole; where absent, none is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done: Option<Marker>,
    /// The rights of what was answered, and of the folders it goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// Their group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
}

/// The ending of a marker's name, as `.done`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Marker(pub String);

impl FromStr for Marker {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_ending = text.len() > 1 && text.len() < 32 && text.starts_with('.');
        match is_ending && !text.contains(['/', '\0']) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("'{text}': give the ending of a name, as .done")),
        }
    }
}

/// What becomes of a file whose case ended in a finding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// It is moved to a folder beside it.
    #[default]
    Move,
    /// It is deleted.
    Delete,
}

impl Watched {
    /// A folder of which nothing but the place is said.
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            mounted: None,
            exam: None,
            priority: Priority::default(),
            settle_s: 2,
            poll_s: 2,
            after: After::default(),
            subfolders: false,
            done: None,
            mode: None,
            group: None,
        }
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let path = section.path("path");
        let mounted = section.path("mounted");
        let exam = section.text("exam");
        let priority = section.parsed("priority", "routine, urgent or stat");
        let settle_s = section.number("settle_s", 0..=3600);
        let poll_s = section.number("poll_s", 1..=3600);
        let after = section.parsed("after", "move or delete");
        let subfolders = section.flag("subfolders");
        let done = section.parsed("done", "the ending of a marker's name, as .done");
        let mode = section.parsed("mode", MODE);
        let group = section.parsed("group", GROUP);
        let path = section.required("path", path, "write path = \"/FOLDER\"")?;
        let default = Self::at(path);
        Some(Self {
            mounted,
            exam,
            priority: priority.unwrap_or(default.priority),
            settle_s: settle_s.unwrap_or(default.settle_s),
            poll_s: poll_s.unwrap_or(default.poll_s),
            after: after.unwrap_or(default.after),
            subfolders: subfolders.unwrap_or(default.subfolders),
            done,
            mode,
            group,
            ..default
        })
    }

    /// Who may read what was answered.
    pub fn readers(&self) -> Readers {
        access::readers(self.mode, self.group.as_ref())
    }
}

impl FromStr for Reach {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "own" => Ok(Self::Own),
            "any" => Ok(Self::Any),
            _ => Err(format!("'{word}': give own or any")),
        }
    }
}

impl FromStr for After {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "move" => Ok(Self::Move),
            "delete" => Ok(Self::Delete),
            _ => Err(format!("'{word}': give move or delete")),
        }
    }
}

/// Where programs on the same computer ask the device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Socket {
    /// Whether there is one.
    pub enabled: bool,
    /// Where; in the service manager's folder or the state folder where absent.
    pub path: Option<PathBuf>,
    /// Who may use it; owner and group where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<SocketMode>,
    /// The group; the device's own where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
}

impl Socket {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let enabled = section.flag("enabled");
        let path = section.path("path");
        Self {
            enabled: enabled.unwrap_or(Self::default().enabled),
            path,
            mode: section.parsed("mode", MODE),
            group: section.parsed("group", GROUP),
        }
    }
}

impl Default for Socket {
    fn default() -> Self {
        Self {
            enabled: true,
            path: None,
            mode: None,
            group: None,
        }
    }
}

/// Where DICOM images come from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Dicom {
    /// The port to listen on; nothing listens where absent.
    pub port: Option<u16>,
    /// The address to listen on.
    pub bind: IpAddr,
    /// The device's own AE title.
    pub title: String,
    /// Who may send; where empty, this computer alone.
    #[serde(serialize_with = "texts")]
    pub allow: Vec<Peer>,
    /// Anyone may send, from anywhere.
    pub open: bool,
    /// Whose images may hurry.
    #[serde(serialize_with = "texts")]
    pub hurry: Vec<Peer>,
    /// Associations of one address at once.
    pub most_per_address: u32,
    /// Seconds that a peer may be silent.
    pub idle_s: u32,
    /// Seconds that one instance may take to come.
    pub instance_s: u32,
    /// Seconds that an association may take in all.
    pub association_s: u32,
    /// The exam that every image is asked; where absent, the one that it asks for itself.
    pub exam: Option<String>,
}

impl Default for Dicom {
    fn default() -> Self {
        Self {
            port: None,
            bind: Ipv4Addr::UNSPECIFIED.into(),
            title: "MEDFOCUS".to_owned(),
            allow: Vec::new(),
            open: false,
            hurry: Vec::new(),
            most_per_address: 8,
            idle_s: 60,
            instance_s: 300,
            association_s: 3600,
            exam: None,
        }
    }
}

impl Dicom {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let port = section.number("port", 1..=u16::MAX.into());
        let title = section.parsed::<Title>("title", "1 to 16 characters");
        let peers = "texts TITLE or TITLE@ADDRESS";
        let mut number = |key, range, default| section.number(key, range).unwrap_or(default);
        let most_per_address = number("most_per_address", 1..=64, default.most_per_address);
        let idle_s = number("idle_s", 1..=3600, default.idle_s);
        let instance_s = number("instance_s", 1..=86_400, default.instance_s);
        let association_s = number("association_s", 1..=86_400, default.association_s);
        Self {
            port: port.and_then(|port| u16::try_from(port).ok()),
            bind: section.parsed("bind", "an address").unwrap_or(default.bind),
            title: title.map_or(default.title, |title| title.0),
            allow: section.list("allow", peers),
            open: section.flag("open").unwrap_or(default.open),
            hurry: section.list("hurry", peers),
            most_per_address,
            idle_s,
            instance_s,
            association_s,
            exam: section.text("exam"),
        }
    }

    /// How long peers may take.
    pub fn deadlines(&self) -> Deadlines {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        Deadlines {
            idle: seconds(self.idle_s),
            instance: seconds(self.instance_s),
            association: seconds(self.association_s),
        }
    }

    /// Whether others than this computer could send, and nothing says who.
    pub fn is_for_nobody(&self) -> bool {
        let listens = self.port.is_some() && !self.bind.is_loopback();
        listens && !self.open && self.allow.is_empty()
    }
}

/// An AE title.
struct Title(String);

impl FromStr for Title {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        title_of(text).map(Self)
    }
}
