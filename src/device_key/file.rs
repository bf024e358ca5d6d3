//! Where the key lies: the service manager's credential, or two files in the state folder.
//! Only a key that never was is made.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;

use super::{CREDENTIAL, FILE, KeyError, PUBLIC_FILE, PublicKey};
use crate::files::{FileError, Folder};
use crate::hex::Hex;
use crate::storage::{Area, Disk, Draft, Over, Storage};

/// Where the service manager puts credentials (systemd.exec(5)).
const FOLDER: &str = "CREDENTIALS_DIRECTORY";
/// No key of ours has more bytes.
const MOST: u64 = 256;
/// For the device's own user alone.
const SECRET: Mode = Mode::RUSR.union(Mode::WUSR);
/// For whoever checks signatures.
const PUBLIC: Mode = SECRET.union(Mode::RGRP).union(Mode::ROTH);

type Result<T> = std::result::Result<T, KeyError>;
type Secret = [u8; 32];

/// The secret of the device on this state folder; made where it never had one.
pub(super) fn secret(state: &dyn Storage) -> Result<Secret> {
    let credentials = std::env::var_os(FOLDER).map(PathBuf::from);
    secret_of(state, credentials.as_deref())
}

fn secret_of(state: &dyn Storage, credentials: Option<&Path>) -> Result<Secret> {
    let handed = match credentials {
        Some(folder) => secret_in(&Disk::of(Folder::open(folder)?), CREDENTIAL)?,
        None => None,
    };
    match (handed, secret_in(state, FILE)?) {
        (Some(handed), Some(own)) if handed != own => Err(KeyError::Disagree {
            path: state.path_of(Area::State.named(FILE)),
        }),
        (Some(handed), own) => {
            if own.is_some() {
                let file = state.path_of(Area::State.named(FILE));
                let file = file.display();
                log::warn!("{file}: the key that the service hands over lies here as well: remove");
            }
            Ok(handed)
        }
        (None, Some(own)) => Ok(own),
        (None, None) => make(state),
    }
}

fn secret_in(folder: &dyn Storage, name: &str) -> Result<Option<Secret>> {
    let text = read(folder, name)?;
    let secret = text.map(|text| text.parse().map(|Hex(secret)| secret));
    secret.transpose().map_err(|_| malformed(folder, name))
}

/// Draws a key, where there never was one.
fn make(state: &dyn Storage) -> Result<Secret> {
    let missing = || KeyError::Missing {
        path: state.path_of(Area::State.named(FILE)),
    };
    if published(state)?.is_some() {
        return Err(missing());
    }
    let Hex(secret) = Hex::by_chance().map_err(KeyError::NoChance)?;
    match put_new(state, &format!("{}\n", Hex(secret))) {
        Ok(()) => {
            log::info!("the device's key was made");
            Ok(secret)
        }
        // Another process was quicker: its key is the device's.
        Err(error) if error.is_taken() => secret_in(state, FILE)?.ok_or_else(missing),
        Err(error) => Err(error.into()),
    }
}

fn put_new(state: &dyn Storage, text: &str) -> std::result::Result<(), FileError> {
    let draft = filled(state, SECRET, text)?;
    draft.keep(OsStr::new(FILE), Over::Nothing).map(drop)
}

fn filled(
    state: &dyn Storage,
    mode: Mode,
    text: &str,
) -> std::result::Result<Box<dyn Draft>, FileError> {
    let mut draft = state.draft(mode)?;
    let done = draft.write_all(text.as_bytes());
    done.map_err(|error| FileError {
        path: state.path_of(Area::State.named(FILE)),
        cause: error.into(),
    })?;
    Ok(draft)
}

/// Tells the public half, where it is not told yet.
pub(super) fn publish(state: &dyn Storage, public: &PublicKey) -> Result<()> {
    let is_told = || published(state).is_ok_and(|told| told == Some(*public));
    if is_told() {
        return Ok(());
    }
    let draft = filled(state, PUBLIC, &format!("{public}\n"))?;
    match draft.keep(OsStr::new(PUBLIC_FILE), Over::Existing) {
        // Another process may have told the same at the same time.
        Err(error) if !is_told() => Err(error.into()),
        _ => Ok(()),
    }
}

/// The public half that a state folder tells.
pub(super) fn published(state: &dyn Storage) -> Result<Option<PublicKey>> {
    let text = read(state, PUBLIC_FILE)?;
    let public = text.map(|text| text.parse()).transpose();
    public.map_err(|_| malformed(state, PUBLIC_FILE))
}

/// A file's one line; `None` where there is no such file.
fn read(folder: &dyn Storage, name: &str) -> Result<Option<String>> {
    match folder.read(Area::State.named(name), MOST) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned())),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn malformed(folder: &dyn Storage, name: &str) -> KeyError {
    KeyError::Malformed {
        path: folder.path_of(Area::State.named(name)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::device_key::DeviceKey;

    fn hold() -> (tempfile::TempDir, Disk) {
        let folder = tempfile::tempdir().unwrap();
        let held = Disk::of(Folder::open(folder.path()).unwrap());
        (folder, held)
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_its_public_half_for_all() {
        let (folder, held) = hold();
        assert_eq!(published(&held).unwrap(), None);
        let key = DeviceKey::of(&held).unwrap();
        assert_eq!(PublicKey::of(&held).unwrap(), Some(key.public()));
        assert_eq!(DeviceKey::of(&held).unwrap().public(), key.public());
        let mode = |name| {
            let about = fs::metadata(folder.path().join(name)).unwrap();
            about.permissions().mode() & 0o777
        };
        assert_eq!(mode(FILE), 0o600);
        assert_eq!(mode(PUBLIC_FILE) & 0o400, 0o400);
        let (_other, other) = hold();
        assert_ne!(DeviceKey::of(&other).unwrap().public(), key.public());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn two_that_start_at_once_have_the_same_key() {
        let (_folder, held) = hold();
        let keys: Vec<_> = std::thread::scope(|scope| {
            let start = || DeviceKey::of(&held).unwrap().public();
            let all: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    }

    #[test]
    fn a_key_that_is_lost_damaged_or_a_link_is_told_and_never_replaced() {
        type Spoil = fn(&Path);
        let cases: [(&str, Spoil, &str); 4] = [
            (
                "lost",
                |state| fs::remove_file(state.join(FILE)).unwrap(),
                "device_key_missing",
            ),
            (
                "cut",
                |state| fs::write(state.join(FILE), "00").unwrap(),
                "device_key",
            ),
            (
                "empty",
                |state| fs::write(state.join(FILE), "").unwrap(),
                "device_key",
            ),
            (
                "a link",
                |state| {
                    fs::rename(state.join(FILE), state.join("elsewhere")).unwrap();
                    std::os::unix::fs::symlink("elsewhere", state.join(FILE)).unwrap();
                },
                "state",
            ),
        ];
        for (what, spoil, code) in cases {
            let (folder, held) = hold();
            let public = DeviceKey::of(&held).unwrap().public();
            spoil(folder.path());
            let before = fs::read(folder.path().join(FILE)).ok();
            let error = DeviceKey::of(&held).unwrap_err();
            assert_eq!(error.code(), code, "{what}: {error}");
            assert!(!error.help().is_empty());
            assert_eq!(fs::read(folder.path().join(FILE)).ok(), before, "{what}");
            assert_eq!(published(&held).unwrap(), Some(public), "{what}");
        }
    }

    #[test]
    fn the_service_managers_credential_is_the_key_where_there_is_one() {
        let (handed, (folder, held)) = (tempfile::tempdir().unwrap(), hold());
        let none = secret_of(&held, Some(handed.path())).unwrap();
        // As systemd-creds seals it: the very file.
        fs::copy(folder.path().join(FILE), handed.path().join(CREDENTIAL)).unwrap();
        assert_eq!(secret_of(&held, Some(handed.path())).unwrap(), none);
        fs::remove_file(folder.path().join(FILE)).unwrap();
        assert_eq!(secret_of(&held, Some(handed.path())).unwrap(), none);
        fs::write(folder.path().join(FILE), "00".repeat(32)).unwrap();
        let error = secret_of(&held, Some(handed.path())).unwrap_err();
        assert_eq!(error.code(), "device_key_disagrees");
    }
}
