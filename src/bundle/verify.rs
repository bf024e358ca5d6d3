//! Every file of a bundle against its hash.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{BundleError, MANIFEST, Manifest};

/// A bundle whose every file has the hash that the manifest says.
#[derive(Debug)]
pub struct Checked {
    /// The folder.
    pub folder: PathBuf,
    /// The manifest.
    pub manifest: Manifest,
    /// SHA-256 of the manifest's own bytes.
    pub sha256: String,
    /// The bytes of every file that was read, as hashed: nothing is read twice.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Reads and hashes everything in a bundle.
///
/// # Errors
/// The first file that is missing, altered or not named in the manifest, or a manifest
/// that cannot be used.
pub fn verify(folder: &Path) -> Result<Checked, BundleError> {
    verify_but(folder, &mut |_, _, _| false)
}

/// The same, but for files that something else stands in for: it is asked with the
/// manifest, the file's name and its path.
pub(super) fn verify_but(
    folder: &Path,
    stands_in: &mut dyn FnMut(&Manifest, &str, &Path) -> bool,
) -> Result<Checked, BundleError> {
    let path = folder.join(MANIFEST);
    let bytes = read(&path)?;
    let wrong = |why: String| BundleError::Manifest {
        path: path.clone(),
        why,
    };
    let text = std::str::from_utf8(&bytes).map_err(|e| wrong(e.to_string()))?;
    let manifest = Manifest::parse(text).map_err(wrong)?;
    let mut files = BTreeMap::new();
    for (name, expected) in &manifest.files {
        let path = folder.join(name);
        if stands_in(&manifest, name, &path) {
            continue;
        }
        let content = read(&path)?;
        let found = sha256(&content);
        if !found.eq_ignore_ascii_case(expected) {
            return Err(BundleError::Hash {
                path,
                found,
                expected: expected.clone(),
            });
        }
        files.insert(name.clone(), content);
    }
    refuse_unlisted(folder, folder, &manifest)?;
    Ok(Checked {
        folder: folder.to_owned(),
        manifest,
        sha256: sha256(&bytes),
        files,
    })
}

fn refuse_unlisted(top: &Path, folder: &Path, manifest: &Manifest) -> Result<(), BundleError> {
    let unreadable = |error| BundleError::Unreadable {
        path: folder.to_owned(),
        error,
    };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            refuse_unlisted(top, &path, manifest)?;
            continue;
        }
        let name = path
            .strip_prefix(top)
            .unwrap_or(&path)
            .to_string_lossy()
            .replace('\\', "/");
        if name != MANIFEST && !manifest.files.contains_key(&name) {
            return Err(BundleError::Unlisted { path });
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    std::fs::read(path).map_err(|error| BundleError::Unreadable {
        path: path.to_owned(),
        error,
    })
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
