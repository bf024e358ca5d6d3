//! The device's own number: chosen by chance when its state folder is made, kept in it for
//! ever, told to hosts so that they know one device from another.

use std::hash::{BuildHasher, RandomState};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::time::SystemTime;

use crate::files::Folder;

/// The file of the device's own number.
pub(super) const FILE: &str = "device-id";
/// Far more bytes than a number has.
const LONGEST: u64 = 64;

/// Reads it, or makes it; durable when this returns.
///
/// # Errors
/// What the system says, and `InvalidData` where the file holds no number.
pub(super) fn of(state: &Path) -> Result<u64> {
    let state = Folder::open(state)?;
    match state.read(FILE, LONGEST) {
        Ok(text) => std::str::from_utf8(&text)
            .ok()
            .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "it holds no number")),
        Err(error) if error.is_missing() => {
            let device = RandomState::new().hash_one(SystemTime::now());
            state.replace(FILE, format!("{device:016x}\n").as_bytes())?;
            Ok(device)
        }
        Err(error) => Err(error.into()),
    }
}
