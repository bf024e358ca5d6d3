//! Where the state file of a device lies: where the configuration says, else where the system
//! keeps what does not last, so that a full disk does not stop it, else in the state folder.
//! Both ends ask here: the device that writes it, and `medfocus health`, which looks where the
//! device noted ([`health_at`]) and in all of these places, and takes only what a device on the
//! right state folder wrote.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::health_at::{self, HealthAt};
use super::{FILE, Snapshot};
use crate::files::{self, Folder};
use crate::sha256::Sha256;

/// The service manager's folder for what does not last (systemd's RuntimeDirectory).
const RUNTIME_DIRECTORY: &str = "RUNTIME_DIRECTORY";
/// The user's (XDG base directories).
const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";
/// Where a service called medfocus has its own.
const SERVICE: &str = "/run/medfocus";
/// Where users have theirs.
const USERS: &str = "/run/user";
/// Our folder in the user's.
const OURS: &str = "medfocus";

/// By what a state folder is known: of its path, so that one file tells of one device.
pub(super) fn name_of(state: &Path) -> String {
    let path = state.canonicalize();
    let path = path.as_deref().unwrap_or(state);
    let hash = Sha256::of(path.as_os_str().as_bytes());
    format!("{:016x}", hash.short())
}

/// Where a device writes its state file.
#[derive(Debug, Clone)]
pub struct StateFile {
    /// The file.
    pub file: PathBuf,
    /// Where it goes once it cannot be written there: what does not last may be taken away while
    /// the device runs, as a user's folder is at the logout.
    pub otherwise: Option<PathBuf>,
}

/// Where the device on this state folder writes its state file: where the configuration says,
/// where that names a place. Makes the folder for it.
pub fn file_of(named: Option<&Path>, state: &Path) -> StateFile {
    let file = named.map_or_else(|| unnamed(state), Path::to_owned);
    let in_state = state.join(FILE);
    let otherwise = (named.is_none() && file != in_state).then_some(in_state);
    StateFile { file, otherwise }
}

fn unnamed(state: &Path) -> PathBuf {
    if let Some(folder) = variable(RUNTIME_DIRECTORY) {
        return folder.join(FILE);
    }
    let runtime = variable(XDG_RUNTIME_DIR).and_then(|runtime| {
        let made = Folder::open(&runtime).and_then(|runtime| runtime.make_folder(OURS, files::OWN));
        match made {
            Ok(folder) => Some(folder.path_of(name_in_ours(state))),
            Err(error) => {
                log::warn!("the state file goes to the state folder: {error}");
                None
            }
        }
    });
    runtime.unwrap_or_else(|| state.join(FILE))
}

/// Users have several devices, each with a state folder of its own.
fn name_in_ours(state: &Path) -> String {
    format!("{}.{FILE}", name_of(state))
}

/// Where the state file of a device may lie, for whoever did not start it.
#[derive(Debug)]
pub struct Places<'a> {
    state: &'a Path,
    is_named: bool,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Place {
    pub file: PathBuf,
    /// Only what a device on this state folder wrote counts.
    of: String,
    /// Or this device, which noted that it writes here.
    pub device: Option<String>,
    /// What a device of before wrote here is of that folder; it does not say so itself.
    is_own: bool,
    /// A device on any state folder counts, where there is none on this one.
    is_for_all: bool,
    /// It is a service's whatever its state folder: that it cannot be read says nothing of this
    /// device.
    pub is_of_service: bool,
}

/// How well what lies somewhere answers the question; the greatest is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    /// It is of a device that nobody asked for.
    OfAnother,
    /// It is of a service, and old.
    OldOfService,
    /// It is of a service at work.
    OfService,
    /// It is of the right device, and old: that another is well says nothing of this one.
    Old,
    /// It is of the right device, at work.
    Right,
}

impl Place {
    /// What this place says is worth.
    pub fn worth(&self, snapshot: &Snapshot) -> Worth {
        let is_right = match (&self.device, &snapshot.state_folder) {
            // Under whatever path it has the folder.
            (Some(device), _) => *device == snapshot.device,
            (None, Some(of)) => *of == self.of,
            (None, None) => self.is_own,
        };
        match (is_right, snapshot.is_stale()) {
            (true, false) => Worth::Right,
            (true, true) => Worth::Old,
            (false, false) if self.is_for_all => Worth::OfService,
            (false, true) if self.is_for_all => Worth::OldOfService,
            (false, _) => Worth::OfAnother,
        }
    }
}

impl<'a> Places<'a> {
    /// Those of the device on a state folder; where nobody named one, a service's as well,
    /// wherever it has its own.
    pub fn of(state: &'a Path, is_named: bool) -> Self {
        Self { state, is_named }
    }

    pub(super) fn all(&self) -> Vec<Place> {
        let place = |file: PathBuf| Place {
            file,
            of: name_of(self.state),
            device: None,
            is_own: false,
            is_for_all: false,
            is_of_service: false,
        };
        let services = variable(RUNTIME_DIRECTORY).into_iter();
        let services = services.map(|folder| (folder, false));
        let services = services.chain([(PathBuf::from(SERVICE), true)]);
        let services = services.map(|(folder, is_of_service)| Place {
            is_for_all: !self.is_named,
            is_of_service,
            ..place(folder.join(FILE))
        });
        let owner = self.state.metadata().map(|about| about.uid());
        let owner = owner.map(|user| Path::new(USERS).join(user.to_string()));
        let users = variable(XDG_RUNTIME_DIR).into_iter().chain(owner);
        let users = users.map(|folder| place(folder.join(OURS).join(name_in_ours(self.state))));
        let in_state = Place {
            is_own: true,
            ..place(self.state.join(FILE))
        };
        let noted = health_at::noted(self.state).ok().into_iter();
        let noted = noted.map(|HealthAt { file, device, .. }| Place {
            device: Some(device),
            ..place(file)
        });
        noted
            .chain(services)
            .chain(users)
            .chain([in_state])
            .collect()
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    let value: OsString = std::env::var_os(name)?;
    // systemd names several with colons between; the first is the device's.
    let first = value.as_bytes().split(|byte| *byte == b':').next()?;
    let path = Path::new(std::ffi::OsStr::from_bytes(first));
    path.is_absolute().then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_right_device_said_last_is_better_than_what_another_says() {
        use Worth::{OfAnother, OfService, Old, OldOfService, Right};
        assert!([OfAnother, OldOfService, OfService, Old, Right].is_sorted());
        let folder = tempfile::tempdir().unwrap();
        let all = Places::of(folder.path(), true).all();
        let told = |place: &&Place| !place.is_of_service;
        assert!(all.iter().filter(told).any(|place| place.is_own));
        assert!(all.iter().any(|place| place.is_of_service));
    }
}
