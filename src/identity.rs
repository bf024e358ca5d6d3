//! The device's own number. It is drawn by chance when the state folder is made, and kept there for
//! ever. Hosts are told it, so that they know one device from another. Never made from anything of
//! the machine or of a patient.

use std::io::{Error, ErrorKind, Result};

use crate::hex::Hex;
use crate::storage::{Area, Storage};

/// The file of the device's own number.
const FILE: &str = "device-id";
/// No number takes more bytes.
const MOST: u64 = 64;

/// Reads it, or makes it; durable when this returns.
///
/// # Errors
/// What the system says, and `InvalidData` where the file holds no number.
pub(crate) fn of(state: &dyn Storage) -> Result<u64> {
    match state.read(Area::State.named(FILE), MOST) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let number = u64::from_str_radix(text.trim(), 16);
            number.map_err(|error| {
                let file = state.path_of(Area::State.named(FILE));
                let what = format!("{}: it is not a device's number: {error}", file.display());
                Error::new(ErrorKind::InvalidData, what)
            })
        }
        Err(error) if error.is_missing() => {
            let drawn = Hex::<8>::by_chance()?;
            state.replace(FILE, format!("{drawn}\n").as_bytes())?;
            Ok(u64::from_be_bytes(drawn.0))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Folder;
    use crate::storage::Disk;

    #[test]
    fn a_number_is_drawn_once_and_what_is_none_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let held = Disk::of(Folder::open(folder.path()).unwrap());
        let number = of(&held).unwrap();
        assert_eq!(of(&held).unwrap(), number);
        std::fs::write(folder.path().join(FILE), "00000000000000ff\n").unwrap();
        assert_eq!(of(&held).unwrap(), 255, "as programs of before wrote it");
        std::fs::write(folder.path().join(FILE), "none").unwrap();
        let error = of(&held).unwrap_err();
        assert!(error.to_string().contains(FILE), "{error}");
    }
}
