//! The device's own number: chosen by chance when its state folder is made, kept in it for
//! ever, told to hosts so that they know one device from another.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;
use std::time::SystemTime;

/// The file of the device's own number.
pub(super) const FILE: &str = "device-id";

/// Reads it, or makes it; durable when this returns.
///
/// # Errors
/// What the system says, and `InvalidData` where the file holds no number.
pub(super) fn of(state: &Path) -> Result<u64> {
    let path = state.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => u64::from_str_radix(text.trim(), 16)
            .map_err(|error| Error::new(ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let device = RandomState::new().hash_one(SystemTime::now());
            let fresh = path.with_extension("new");
            let mut file = File::create(&fresh)?;
            writeln!(file, "{device:016x}")?;
            file.sync_all()?;
            std::fs::rename(fresh, path)?;
            File::open(state)?.sync_all()?;
            Ok(device)
        }
        Err(error) => Err(error),
    }
}
