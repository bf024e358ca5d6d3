//! What the device runs from: a file in TOML, what the command line says over it, and what
//! holds where neither says anything.
//!
//! A [`Config`] is data and does nothing. `docs/medfocus.toml` names and explains every key.
//! A key that nobody knows is refused, so that a misspelt one is never passed over.

mod problem;
mod read;

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use firmware_host::screens::Language;
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::dicom::{Pacs, Peer, title_of};
use super::display::place::{Place, PlaceError};
use super::images::hex;

pub use problem::{ConfigError, Problem, Wrong};
use read::{Reader, Section};

/// Every key with its default and what it is for.
pub const EXAMPLE: &str = include_str!("../../../docs/medfocus.toml");

/// Bits a second of a serial port that names none.
pub const BAUD: u32 = 115_200;

/// Everything that the device is told before it starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Config {
    /// The device itself.
    pub device: Device,
    /// What it answers with.
    pub bundle: BundleChoice,
    /// The serial ports that it talks on.
    pub serial: Vec<Serial>,
    /// The displays that it shows on.
    pub display: Vec<Shown>,
    /// Where DICOM images come from.
    pub dicom: Dicom,
    /// Where answers of DICOM images go.
    pub pacs: Archive,
}

/// The device itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Device {
    /// State folder; where absent, the environment's.
    pub state: Option<PathBuf>,
    /// Language of the displays.
    #[serde(serialize_with = "code")]
    pub language: Language,
    /// Threads; 0 for all cores.
    pub threads: u32,
    /// Most MiB that a graph may take for a run; where absent, what the system has free.
    pub memory_mib: Option<u32>,
}

/// What the device answers with.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BundleChoice {
    /// Its folder; where absent, the starter bundle.
    pub folder: Option<PathBuf>,
}

/// A serial port.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Serial {
    /// Its path, or `-` for standard input and output.
    pub port: String,
    /// Bits a second.
    pub baud: u32,
}

/// A display, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    text: String,
    /// The same, understood.
    pub place: Place,
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
    /// Who may send; anyone where empty.
    #[serde(serialize_with = "texts")]
    pub allow: Vec<Peer>,
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
            exam: None,
        }
    }
}

/// Where answers of DICOM images go.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Archive {
    /// Title, host and port; nowhere where absent.
    #[serde(serialize_with = "text")]
    pub to: Option<Pacs>,
    /// Whether they leave out whose image it is.
    pub deidentify: bool,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`], with all that is wrong in it.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|error| ConfigError {
            file: Some(file.to_owned()),
            problems: vec![Problem {
                wrong: Wrong::Unreadable,
                line: None,
                key: String::new(),
                what: format!("cannot be read: {error}"),
                cure: "name a file that is there and may be read, as text in UTF-8".to_owned(),
            }],
        })?;
        Self::parse(&text).map_err(|problems| ConfigError {
            file: Some(file.to_owned()),
            problems,
        })
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// All that is wrong in it.
    pub fn parse(text: &str) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(text);
        match reader.whole(whole) {
            Some(config) if reader.problems.is_empty() => Ok(config),
            _ => {
                reader.problems.sort_by_key(|problem| problem.line);
                Err(reader.problems)
            }
        }
    }

    /// What does not go together, whoever said it.
    pub fn conflicts(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut conflict = |key: &str, what: &str, cure: &str| {
            problems.push(Problem {
                wrong: Wrong::Conflict,
                line: None,
                key: key.to_owned(),
                what: what.to_owned(),
                cure: cure.to_owned(),
            });
        };
        let ports: BTreeSet<&str> = self.serial.iter().map(|s| s.port.as_str()).collect();
        if ports.len() < self.serial.len() {
            conflict(
                "serial.port",
                "a port is named twice",
                "name each port once",
            );
        }
        if self.dicom.port.is_none() && (self.dicom.exam.is_some() || !self.dicom.allow.is_empty())
        {
            let what = "nothing listens for DICOM images";
            conflict("dicom", what, "name the port to listen on: dicom.port");
        }
        if self.pacs.to.is_some() && self.dicom.port.is_none() {
            let what = "only answers of images that came by DICOM go to a PACS";
            conflict(
                "pacs.to",
                what,
                "name the port that they come on: dicom.port",
            );
        }
        if self.pacs.deidentify && self.pacs.to.is_none() {
            let what = "there is nothing to leave it out of";
            conflict("pacs.deidentify", what, "name where answers go: pacs.to");
        }
        if self.serial.is_empty() && self.dicom.port.is_none() {
            let what = "no image could come in";
            conflict("", what, "name a serial port or dicom.port");
        }
        problems
    }

    /// SHA-256, in hexadecimal, of all that was said; the same for another order or other
    /// comments.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(self.value().to_string()))
    }

    /// The keys of which this and another one say different things; a section that may come
    /// several times counts as one key.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let (one, other) = (self.value(), other.value());
        let mut keys = Vec::new();
        for (section, said) in one.as_object().into_iter().flatten() {
            match said {
                Value::Object(said) => keys.extend(
                    said.iter()
                        .filter(|(key, value)| other[section][key.as_str()] != **value)
                        .map(|(key, _)| format!("{section}.{key}")),
                ),
                _ if other[section] != *said => keys.push(section.clone()),
                _ => {}
            }
        }
        keys
    }

    fn value(&self) -> Value {
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn whole(file: &mut Section<'_, '_>) -> Config {
    Config {
        device: file.section("device", device),
        bundle: file.section("bundle", |section| BundleChoice {
            folder: section.path("folder"),
        }),
        serial: file.sections("serial", serial),
        display: file.sections("display", |section| {
            let place = section.parsed("place", "a kind and a place, as ssd1306:/dev/i2c-1");
            section.required("place", place, "write place = \"KIND:PLACE\"")
        }),
        dicom: file.section("dicom", dicom),
        pacs: file.section("pacs", |section| Archive {
            to: section.parsed("to", "TITLE@HOST:PORT"),
            deidentify: section.flag("deidentify").unwrap_or_default(),
        }),
    }
}

fn device(section: &mut Section<'_, '_>) -> Device {
    let language = section.parsed::<Spoken>("language", "one of en, fr, es, sw, hi");
    Device {
        state: section.path("state"),
        language: language.map(|spoken| spoken.0).unwrap_or_default(),
        threads: section.number("threads", 0..=1024).unwrap_or_default(),
        memory_mib: section.number("memory_mib", 1..=u32::MAX),
    }
}

fn serial(section: &mut Section<'_, '_>) -> Option<Serial> {
    let port = section.text("port");
    let baud = section.number("baud", 300..=4_000_000);
    let port = section.required("port", port, "write port = \"/dev/ttyUSB0\"")?;
    Some(Serial {
        port,
        baud: baud.unwrap_or(BAUD),
    })
}

fn dicom(section: &mut Section<'_, '_>) -> Dicom {
    let default = Dicom::default();
    let port = section.number("port", 1..=u16::MAX.into());
    let title = section.parsed::<Title>("title", "1 to 16 characters");
    Dicom {
        port: port.and_then(|port| u16::try_from(port).ok()),
        bind: section.parsed("bind", "an address").unwrap_or(default.bind),
        title: title.map_or(default.title, |title| title.0),
        allow: section.list("allow", "texts TITLE or TITLE@ADDRESS"),
        exam: section.text("exam"),
    }
}

/// A language by its code.
struct Spoken(Language);

impl FromStr for Spoken {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, String> {
        let language = Language::of_code(code);
        language.map(Self).ok_or_else(|| {
            let codes = Language::ALL.map(Language::code);
            format!("there is no '{code}', there are {}", codes.join(", "))
        })
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

impl FromStr for Shown {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        Ok(Self {
            place: text.parse()?,
            text: text.to_owned(),
        })
    }
}

impl Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.text)
    }
}

fn code<S: Serializer>(language: &Language, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(language.code())
}

fn text<S: Serializer, T: Display>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(to)
}

fn texts<S: Serializer, T: Display>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests;
