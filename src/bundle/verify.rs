//! Every file of a bundle against its hash.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::trust::{SIGNATURE, Signed, Trust};
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
    /// Its signature, where one was asked for.
    pub signed: Option<Signed>,
    /// The bytes of every file that was read, as hashed: nothing is read twice.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Reads and hashes everything in a bundle.
///
/// # Errors
/// The first file that is missing, altered or not named in the manifest, or a manifest
/// that cannot be used.
pub fn verify(folder: &Path) -> Result<Checked, BundleError> {
    verify_trusted(folder, &Trust::default())
}

/// The same, of a bundle whose maker must be trusted.
///
/// # Errors
/// As [`verify`], and where the signature is not as [`Trust`] demands.
pub fn verify_trusted(folder: &Path, trust: &Trust) -> Result<Checked, BundleError> {
    verify_but(folder, trust, &mut |_, _, _| false)
}

/// The same, but for files that something else stands in for: it is asked with the
/// manifest, the file's name and its path.
pub(super) fn verify_but(
    folder: &Path,
    trust: &Trust,
    stands_in: &mut dyn FnMut(&Manifest, &str, &Path) -> bool,
) -> Result<Checked, BundleError> {
    let bytes = read(&folder.join(MANIFEST))?;
    let signed = trust.check(folder, &bytes)?;
    let manifest = parse(folder, &bytes)?;
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
        signed,
        files,
    })
}

/// The manifest and the SHA-256 of its own bytes; nothing else is read.
pub(super) fn manifest_of(folder: &Path) -> Result<(Manifest, String), BundleError> {
    let bytes = read(&folder.join(MANIFEST))?;
    Ok((parse(folder, &bytes)?, sha256(&bytes)))
}

fn parse(folder: &Path, bytes: &[u8]) -> Result<Manifest, BundleError> {
    let wrong = |why: String| BundleError::Manifest {
        path: folder.join(MANIFEST),
        why,
    };
    let text = std::str::from_utf8(bytes).map_err(|e| wrong(e.to_string()))?;
    Manifest::parse(text).map_err(wrong)
}

/// What [`rehash`] found.
#[derive(Debug)]
pub struct Rehashed {
    /// SHA-256 of the manifest's own bytes.
    pub sha256: String,
    /// Files that have the hash that it says.
    pub files: usize,
}

/// Hashes everything in a bundle whose maker must be trusted, and keeps none of it.
///
/// # Errors
/// As [`verify`].
pub fn rehash(folder: &Path, trust: &Trust) -> Result<Rehashed, BundleError> {
    let checked = verify_but(folder, trust, &mut |_, _, _| true)?;
    for (name, expected) in &checked.manifest.files {
        let path = folder.join(name);
        let found = sha256_of(&path)?;
        if !found.eq_ignore_ascii_case(expected) {
            return Err(BundleError::Hash {
                path,
                found,
                expected: expected.clone(),
            });
        }
    }
    Ok(Rehashed {
        sha256: checked.sha256,
        files: checked.manifest.files.len(),
    })
}

fn sha256_of(path: &Path) -> Result<String, BundleError> {
    let unreadable = |error| BundleError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut hash, mut bytes) = (Sha256::new(), vec![0; 1 << 18]);
    loop {
        match file.read(&mut bytes) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(count) => hash.update(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(error)),
        }
    }
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
        if ![MANIFEST, SIGNATURE].contains(&name.as_str()) && !manifest.files.contains_key(&name) {
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
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
