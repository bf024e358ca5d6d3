//! Where the starter bundle lies when nobody names one: beside the program, in a working tree, or
//! where packages put it. Called by the command line. Looks for a manifest and reads none.

use std::path::{Path, PathBuf};

use super::{BundleError, MANIFEST};

/// The first of these that holds a manifest: beside the binary, up from the binary and
/// from the current folder (a working tree), then the system's share folder.
///
/// # Errors
/// [`BundleError::NotFound`] with every place that was looked at.
pub fn find() -> Result<PathBuf, BundleError> {
    let mut places = Vec::new();
    if let Ok(binary) = std::env::current_exe() {
        let folder = binary.parent().unwrap_or(Path::new("/"));
        places.push(folder.join("starter"));
        places.extend(folder.ancestors().map(|up| up.join("models/starter")));
    }
    if let Ok(folder) = std::env::current_dir() {
        places.extend(folder.ancestors().map(|up| up.join("models/starter")));
    }
    places.push(PathBuf::from("/usr/share/medfocus/starter"));
    match places
        .iter()
        .position(|place| place.join(MANIFEST).is_file())
    {
        Some(first) => Ok(places.swap_remove(first)),
        None => Err(BundleError::NotFound { places }),
    }
}
