//! `--state`: where a device's state folder and its control socket lie. The same option for every
//! command that works on a device.

use std::path::{Path, PathBuf};

use clap::Args;

use medfocus::control::SOCKET;

use super::Failure;
use super::owner::become_owner_of;

/// Where a service called medfocus has what does not last (systemd's RuntimeDirectory).
const SERVICE: &str = "/run/medfocus";

#[derive(Debug, Clone, Args)]
pub struct StateFolder {
    /// State folder, which holds the journal; where absent, MEDFOCUS_STATE or the system's
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

impl StateFolder {
    /// The one that was named, else the environment's, for who goes on as root: nothing is made
    /// or removed in it.
    pub fn stay_outside(&self) -> Result<PathBuf, Failure> {
        folder(self.state.as_deref())
    }

    /// Whether somebody said which one, here or in the environment.
    pub fn is_named(&self) -> bool {
        self.state.is_some() || variable("MEDFOCUS_STATE").is_some()
    }

    /// The same; from here on root is its owner.
    pub fn enter(&self) -> Result<PathBuf, Failure> {
        enter(self.state.as_deref())
    }
}

/// Where a device's control socket lies: where the configuration says, else in the service
/// manager's folder for what does not last, else in the state folder.
pub fn socket(named: Option<&Path>, state: &Path) -> PathBuf {
    let folder = variable("RUNTIME_DIRECTORY").unwrap_or_else(|| state.to_owned());
    named.map_or_else(|| folder.join(SOCKET), Path::to_owned)
}

/// Where a device's control socket may lie, as whoever did not start it can tell.
pub fn sockets(state: &StateFolder) -> Result<Vec<PathBuf>, Failure> {
    if let Some(path) = variable("MEDFOCUS_SOCKET") {
        return Ok(vec![path]);
    }
    let in_state = folder(state.state.as_deref()).map(|folder| folder.join(SOCKET));
    if state.state.is_some() {
        return Ok(vec![in_state?]);
    }
    // Whoever has no folder of their own, as a job of the system, still has the service's.
    let service = Path::new(SERVICE).join(SOCKET);
    Ok(std::iter::once(service).chain(in_state.ok()).collect())
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

/// A state folder to work in: root goes on as its owner.
pub fn enter(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let state = folder(named)?;
    become_owner_of(&state)?;
    Ok(state)
}

/// The folder that was named, else that of `MEDFOCUS_STATE`, the service manager's, or the
/// user's (XDG base directories).
pub fn folder(named: Option<&Path>) -> Result<PathBuf, Failure> {
    named
        .map(Path::to_owned)
        .or_else(|| variable("MEDFOCUS_STATE"))
        .or_else(|| variable("STATE_DIRECTORY"))
        .or_else(|| variable("XDG_STATE_HOME").map(|home| home.join("medfocus")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/medfocus")))
        .ok_or_else(|| Failure::Usage("no state folder: name one with --state".to_owned()))
}
