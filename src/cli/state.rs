//! Where the device keeps what it must not forget.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Failure;

#[derive(Debug, Clone, Args)]
pub struct StateFolder {
    /// State folder, which holds the journal; where absent, MEDFOCUS_STATE or the system's
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

impl StateFolder {
    /// The one that was named, else the environment's.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        folder(self.state.as_deref())
    }
}

/// The folder that was named, else that of `MEDFOCUS_STATE`, the service manager's, or the
/// user's (XDG base directories).
pub fn folder(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    named
        .map(Path::to_owned)
        .or_else(|| variable("MEDFOCUS_STATE"))
        .or_else(|| variable("STATE_DIRECTORY"))
        .or_else(|| variable("XDG_STATE_HOME").map(|home| home.join("medfocus")))
        .or_else(|| variable("HOME").map(|home| home.join(".local/state/medfocus")))
        .ok_or_else(|| Failure::Usage("no state folder: name one with --state".to_owned()))
}
