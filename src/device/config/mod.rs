//! The configuration of a device: a TOML file, options of the command line that win over it, and
//! defaults for what neither says.
//!
//! A [`Config`] is data and does nothing. `docs/medfocus.toml` names and explains every key.
//! An unknown key is refused, so that a misspelt one is never ignored.

mod access;
mod changes;
mod problem;
mod read;
mod sections;
mod sinks;
mod sources;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::device::self_test::Environment;
use crate::files;
use crate::sha256::Sha256;

pub use access::{FileMode, Group, SocketMode};
pub use changes::Changes;
pub use problem::{ConfigError, Problem, Wrong};
use read::{Reader, Section};
pub use sections::{
    BundleChoice, Console, Device, Keep, Queue, Shown, Telling, Written, language_codes,
};
pub use sinks::{Archive, Folder, HostPort, Receiver};
pub use sources::{After, Dicom, Serial, Socket, Watched};

/// Every key with its default and what it is for.
pub const EXAMPLE: &str = include_str!("../../../docs/medfocus.toml");

/// Reads the configuration of a running device again: what changed, or why it is not taken up.
pub type Reload = dyn Fn() -> Result<Changes, String> + Send + Sync;

/// Everything that the device is told before it starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Config {
    /// The device itself.
    pub device: Device,
    /// What it answers with.
    pub bundle: BundleChoice,
    /// The cases that wait.
    pub queue: Queue,
    /// What a console may ask for.
    pub console: Console,
    /// The serial ports that it talks on.
    pub serial: Vec<Serial>,
    /// The displays that it shows on.
    pub display: Vec<Shown>,
    /// The folders that images are put into.
    pub folder: Vec<Watched>,
    /// Where programs on the same computer ask the device.
    pub socket: Socket,
    /// Where DICOM images come from.
    pub dicom: Dicom,
    /// How the device's health is told.
    pub health: Telling,
    /// How long images are kept, and how much room is left.
    pub keep: Keep,
    /// The folder that results are written to.
    pub results: Folder,
    /// Where findings go as HL7 messages.
    pub hl7: Receiver,
    /// Where findings on DICOM images go as objects.
    pub pacs: Archive,
}

/// Bytes of a configuration: one that names everything has some thousand.
const MOST: u64 = 1 << 20;

impl Config {
    /// What the self-test of a device that runs from this looks at beside the worker.
    pub(crate) fn environment(&self, state: &Path, root: &Path) -> Environment {
        let ports = self.serial.iter().filter(|serial| serial.port != "-");
        Environment {
            state: state.to_owned(),
            ports: ports.map(|serial| PathBuf::from(&serial.port)).collect(),
            displays: self.display.iter().map(|d| d.at.place.clone()).collect(),
            is_for_nobody: self.dicom.is_for_nobody(),
            root: root.to_owned(),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`], with all that is wrong in it.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        // Whoever named it need not be who reads it: a pipe is not waited for.
        let text = files::read_text(file, MOST).map_err(|error| ConfigError {
            file: Some(file.to_owned()),
            problems: vec![Problem {
                wrong: Wrong::Unreadable,
                line: None,
                key: String::new(),
                what: format!("cannot be read: {}", error.cause),
                help: "name a file that is there and may be read, as text in UTF-8".to_owned(),
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
        let mut problems = self.loops();
        let mut conflict = |key: &str, what: &str, help: &str| {
            problems.push(Problem {
                wrong: Wrong::Conflict,
                line: None,
                key: key.to_owned(),
                what: what.to_owned(),
                help: help.to_owned(),
            });
        };
        if self.bundle.require_signature && self.bundle.keys.is_empty() {
            let help = "write its maker's public key there, or make require_signature false";
            conflict(
                "bundle.keys",
                "no signature can be trusted without a key",
                help,
            );
        }
        let ports = self.serial.iter().map(|s| Path::new(&s.port));
        if places(ports).len() < self.serial.len() {
            conflict(
                "serial.port",
                "a port is named twice",
                "name each port once",
            );
        }
        let dicom = &self.dicom;
        let is_meant = dicom.exam.is_some() || dicom.open;
        if dicom.port.is_none() && (is_meant || !dicom.allow.is_empty() || !dicom.hurry.is_empty())
        {
            let what = "nothing listens for DICOM images";
            conflict("dicom", what, "name the port to listen on: dicom.port");
        }
        if dicom.open && !dicom.allow.is_empty() {
            let what = "anyone may send, and some are named";
            conflict(
                "dicom.open",
                what,
                "leave dicom.allow empty, or dicom.open false",
            );
        }
        for (section, key, goes, deidentify) in [
            (
                "results",
                "folder",
                self.results.folder.is_some(),
                self.results.deidentify,
            ),
            ("hl7", "to", self.hl7.to.is_some(), self.hl7.deidentify),
            ("pacs", "to", self.pacs.to.is_some(), self.pacs.deidentify),
        ] {
            if deidentify && !goes {
                conflict(
                    &format!("{section}.deidentify"),
                    "there is nothing to leave it out of",
                    &format!("name where answers go: {section}.{key}"),
                );
            }
        }
        let folders = self.folder.iter().map(|f| f.path.as_path());
        if places(folders).len() < self.folder.len() {
            conflict(
                "folder.path",
                "a folder is named twice",
                "name each folder once",
            );
        }
        let is_beside = |folder: &Watched| {
            let mounted = folder.mounted.as_ref();
            mounted.is_some_and(|mounted| !folder.path.starts_with(mounted))
        };
        if self.folder.iter().any(is_beside) {
            conflict(
                "folder.mounted",
                "the folder does not lie on what must be mounted",
                "name the folder itself or one above it, written as in path",
            );
        }
        let has_source = self.socket.enabled
            || self.dicom.port.is_some()
            || !self.serial.is_empty()
            || !self.folder.is_empty();
        if !has_source {
            let what = "no image could come in";
            conflict(
                "",
                what,
                "name a serial port, a folder or dicom.port, or enable the socket",
            );
        }
        problems
    }

    /// Folders whose images would be given to the device again, or twice.
    fn loops(&self) -> Vec<Problem> {
        let deep = self.folder.iter().filter(|folder| folder.subfolders);
        let conflict = |what: &str, help: &str| Problem {
            wrong: Wrong::Conflict,
            line: None,
            key: "folder.subfolders".to_owned(),
            what: what.to_owned(),
            help: help.to_owned(),
        };
        let mut problems = Vec::new();
        for watched in deep {
            let is_in = |path: &Path| path.starts_with(&watched.path);
            if self.results.folder.as_deref().is_some_and(is_in) {
                let what = "the result folder lies in it: its pictures would become cases";
                problems.push(conflict(what, "name a result folder elsewhere"));
            }
            let others = self.folder.iter().map(|other| other.path.as_path());
            if others.filter(|path| is_in(path)).count() > 1 {
                let what = "another watched folder lies in it";
                problems.push(conflict(
                    what,
                    "watch the other one alone, or put it elsewhere",
                ));
            }
        }
        problems
    }

    /// SHA-256, in hexadecimal, of all that was said; the same for another order or other
    /// comments.
    pub fn sha256(&self) -> String {
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        let said = serde_json::to_vec(self).unwrap_or_default();
        Sha256::of(&said).to_string()
    }
}

/// The places that paths lead to: one that is named by its path and by a link to it is one.
fn places<'a>(paths: impl Iterator<Item = &'a Path>) -> BTreeSet<PathBuf> {
    let place = |path: &'a Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    paths.map(place).collect()
}

fn whole(file: &mut Section<'_, '_>) -> Config {
    Config {
        device: file.section("device", Device::read),
        bundle: file.section("bundle", BundleChoice::read),
        queue: file.section("queue", Queue::read),
        console: file.section("console", Console::read),
        serial: file.sections("serial", Serial::read),
        display: file.sections("display", Shown::read),
        folder: file.sections("folder", Watched::read),
        socket: file.section("socket", Socket::read),
        dicom: file.section("dicom", Dicom::read),
        health: file.section("health", Telling::read),
        keep: file.section("keep", Keep::read),
        results: file.section("results", Folder::read),
        hl7: file.section("hl7", Receiver::read),
        pacs: file.section("pacs", Archive::read),
    }
}

#[cfg(test)]
mod tests;
