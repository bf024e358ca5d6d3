//! The secret by which a device knows the prepared graphs that it made: 32 bytes in its state
//! folder that its user alone may read, drawn when they are first needed.

use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

use rustix::fs::Mode;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::engine::PreparedKey;
use crate::files::Folder;

/// Its file in the state folder.
const FILE: &str = "prepared.key";

/// The key of the device with this state folder; `None` where it has none, or none that this
/// user may read: then no prepared graph is used.
#[must_use]
pub fn prepared_key(state: &Path) -> Option<PreparedKey> {
    let found = Folder::open(state).map_err(Error::from);
    match found.and_then(|state| read(&state)) {
        Ok(key) => Some(key),
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                let name = state.join(FILE);
                log::warn!("{}: {error}; no prepared graph is used", name.display());
            }
            None
        }
    }
}

/// The same; where there is none, one is made.
///
/// # Errors
/// What the system says.
pub fn make_prepared_key(state: &Path) -> Result<PreparedKey> {
    let state = Folder::make(state)?;
    match read(&state) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        found => return found,
    }
    let mut bytes = [0; PreparedKey::BYTES];
    let mut drawn = 0;
    while drawn < bytes.len() {
        drawn += getrandom(&mut bytes[drawn..], GetRandomFlags::empty())?;
    }
    let mut fresh = state.fresh(Mode::RUSR | Mode::WUSR)?;
    fresh.write_all(&bytes)?;
    match fresh.keep_new(FILE) {
        // Another program was quicker.
        Err(error) if error.is_taken() => read(&state),
        kept => Ok(kept.map(|()| PreparedKey::new(bytes))?),
    }
}

fn read(state: &Folder) -> Result<PreparedKey> {
    let bytes = state.read(FILE, PreparedKey::BYTES as u64)?.try_into();
    bytes
        .map(PreparedKey::new)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "is no key"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_user_alone_and_no_other_file_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert_eq!(prepared_key(&state), None);
        let key = make_prepared_key(&state).unwrap();
        assert_eq!(make_prepared_key(&state).unwrap(), key);
        assert_eq!(prepared_key(&state), Some(key));
        let file = state.join(FILE);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::write(&file, [0; 33]).unwrap();
        assert_eq!(prepared_key(&state), None);
        assert!(make_prepared_key(&state).is_err(), "never written over");
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &file).unwrap();
        assert_eq!(prepared_key(&state), None);
    }
}
