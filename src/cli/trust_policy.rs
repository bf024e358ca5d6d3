//! The trust policy of a device: whose bundles it uses, and which. In goes its state folder, out
//! comes the policy. Called by whoever installs a bundle, since one that the device refuses would
//! leave it without any.
//!
//! It stands in the device's configuration, and on the command line that started it. The device
//! notes in its state folder which configuration that was, and what its command line said of
//! bundles; the package's device runs from /etc/medfocus.toml. Where bundles are root's and the
//! state folder is not, that note is not believed: root must name the configuration.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use medfocus::bundle::{Key, Store, Trust};
use medfocus::device::config::Config;
use medfocus::files::{self, Folder};
use serde::{Deserialize, Serialize};

use super::state::StateFolder;
use super::{Failure, trust};

/// Where the device notes it.
const FILE: &str = "trust.json";
/// Bytes of that file.
const MOST: u64 = 1 << 16;
/// The package's configuration and state folder.
const PACKAGED: [&str; 2] = ["/etc/medfocus.toml", "/var/lib/medfocus"];

/// What a device demands of its bundles.
#[derive(Debug)]
pub struct TrustPolicy {
    /// Whose bundles it uses.
    pub trust: Trust,
    /// The folder that it answers from, where it is told of one.
    pub folder: Option<PathBuf>,
}

/// How a device was started, as far as its bundles are concerned.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    config: Option<PathBuf>,
    /// What the command line said over it.
    keys: Vec<String>,
    revoked: Option<PathBuf>,
    folder: Option<PathBuf>,
}

/// The state folder that is meant: named, else the configuration's, else the environment's.
pub fn state(named: &StateFolder, config: Option<&Path>) -> Result<PathBuf, Failure> {
    let configured = || -> Result<Option<PathBuf>, Failure> {
        Ok(config
            .map(Config::read)
            .transpose()?
            .and_then(|c| c.device.state))
    };
    match (&named.state, configured()?) {
        (None, Some(state)) => Ok(state),
        _ => named.stay_outside(),
    }
}

/// What the device with this state folder demands.
pub fn of(state: &Path, config: Option<&Path>) -> Result<TrustPolicy, Failure> {
    if let Some(config) = config {
        return by(Note {
            config: Some(config.to_owned()),
            ..Note::default()
        });
    }
    let [packaged, _] = PACKAGED;
    if is_packaged(state)? {
        return by(Note {
            config: Some(packaged.into()),
            ..Note::default()
        });
    }
    if is_the_devices_word(state) {
        // Whoever takes the device over could take its demands away, or name other keys.
        return Err(Failure::Device {
            code: "trust",
            message: format!(
                "what the device demands stands in {FILE} in its own folder, and root takes no \
                 user's word for what bundles to trust"
            ),
            help: "name the device's configuration with --config",
        });
    }
    by(read(state)?.unwrap_or_default())
}

/// Whether root would believe the device's own user about bundles that are kept from it.
fn is_the_devices_word(state: &Path) -> bool {
    let store = Store::of(state);
    let owner = |path: &Path| std::fs::metadata(path).map(|about| about.uid());
    let is_roots = store.is_apart() && owner(store.folder()).is_ok_and(|uid| uid == 0);
    is_roots && owner(state).is_ok_and(|uid| uid != 0)
}

fn is_packaged(state: &Path) -> Result<bool, Failure> {
    let [config, folder] = PACKAGED;
    if !Path::new(config).exists() {
        return Ok(false);
    }
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let named = Config::read(Path::new(config))?.device.state;
    Ok(real(&named.unwrap_or_else(|| folder.into())) == real(state))
}

fn by(note: Note) -> Result<TrustPolicy, Failure> {
    let config = note.config.as_deref().map(Config::read).transpose()?;
    let bundle = config.unwrap_or_default().bundle;
    let said: Result<Vec<Key>, String> = note.keys.iter().map(|key| key.parse()).collect();
    let said = said.map_err(|why| damaged(&why))?;
    let trust = Trust {
        keys: if said.is_empty() { bundle.keys } else { said },
        revoked: note.revoked.or(bundle.revoked),
        ..Trust::default()
    };
    let folder = note.folder.or(bundle.folder);
    Ok(TrustPolicy { trust, folder })
}

fn read(state: &Path) -> Result<Option<Note>, Failure> {
    let bytes = match Folder::open(state).and_then(|state| state.read(FILE, MOST)) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(damaged(&error)),
    };
    let note = serde_json::from_slice(&bytes);
    note.map(Some).map_err(|error| damaged(&error))
}

fn damaged(why: &dyn std::fmt::Display) -> Failure {
    Failure::Device {
        code: "trust",
        message: format!("what the device demands cannot be read ({FILE}): {why}"),
        help: "name the device's configuration with --config, or start the device again",
    }
}

/// Notes how the device with this state folder was started.
pub fn note(
    state: &Path,
    config: Option<&Path>,
    said: &trust::TrustArguments,
    folder: Option<&Path>,
) {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let note = Note {
        config: config.map(whole),
        keys: said.keys.iter().map(Key::to_string).collect(),
        revoked: said.revoked.as_deref().map(whole),
        folder: folder.map(whole),
    };
    let bytes = serde_json::to_vec_pretty(&note).unwrap_or_default();
    if let Err(error) = files::replace(&state.join(FILE), &bytes) {
        log::warn!("{error}: whoever installs a bundle must name the configuration");
    }
}
