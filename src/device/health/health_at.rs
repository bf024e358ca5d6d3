//! The file `health-at` of a state folder: where the device on that folder writes its state file.
//! The device notes it at its start, and again where it has to write elsewhere; `medfocus health`
//! looks there first, since the file may lie in the folder of another service or user. What lies
//! there is never believed because of the note: it counts where it is of the device that is named.

use std::io::{ErrorKind, Result};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{self, Folder};

/// The file's name.
pub(super) const NAME: &str = "health-at";

/// Far more bytes than it has.
const MOST: u64 = 64 << 10;

/// Where a state file lies, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HealthAt {
    /// The state file.
    pub file: PathBuf,
    /// The device's own number, as the state file has it.
    pub device: String,
    /// The state folder's inode: in a copy of the folder, the note says nothing.
    inode: u64,
}

/// Notes where the device on a state folder writes its state file.
///
/// # Errors
/// Where the state folder cannot be written, or the path is not UTF-8.
pub(super) fn note(state: &Path, file: &Path, device: String) -> Result<()> {
    let note = HealthAt {
        file: std::path::absolute(file)?,
        device,
        inode: state.metadata()?.ino(),
    };
    let json = serde_json::to_string(&note)? + "\n";
    if Folder::open(state)?.read(NAME, MOST).ok().as_deref() == Some(json.as_bytes()) {
        return Ok(());
    }
    Ok(files::swap(&state.join(NAME), json.as_bytes())?)
}

/// What a device on this very folder noted.
///
/// # Errors
/// `NotFound` where none did, `InvalidData` where it is no note.
pub(super) fn noted(state: &Path) -> Result<HealthAt> {
    let bytes = Folder::open(state)?.read(NAME, MOST)?;
    let note: HealthAt = serde_json::from_slice(&bytes)?;
    if note.inode != state.metadata()?.ino() {
        return Err(ErrorKind::NotFound.into());
    }
    Ok(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_in_its_own_folder_alone() {
        let (state, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (state, copy) = (state.path(), copy.path());
        let file = Path::new("/run/other/health.json");
        assert_eq!(noted(state).unwrap_err().kind(), ErrorKind::NotFound);
        note(state, file, "00000000000000aa".to_owned()).unwrap();
        let said = noted(state).unwrap();
        assert_eq!((&*said.file, &*said.device), (file, "00000000000000aa"));
        std::fs::copy(state.join(NAME), copy.join(NAME)).unwrap();
        assert_eq!(noted(copy).unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::write(state.join(NAME), "{").unwrap();
        assert!(noted(state).is_err());
    }
}
