//! Every file of a bundle against its hash. In goes a folder, out come the manifest and the bytes
//! of every file, as they were hashed. Called before anything of a bundle is used. Never reads a
//! file twice, and never believes one that the manifest does not list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::contents::{Contents, MOST_BYTES, MOST_FILE, MOST_MANIFEST, hex};
use super::trust::{Judged, Older, Release, SIGNATURE, Signed, Trust};
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
    /// That it is older than what the device has had, where a person went back to it.
    pub older: Option<Older>,
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
/// manifest, the file's name and the bundle's files.
pub(super) fn verify_but(
    folder: &Path,
    trust: &Trust,
    stands_in: &mut dyn FnMut(&Manifest, &str, &Contents) -> bool,
) -> Result<Checked, BundleError> {
    let files = Contents::open(folder)?;
    let (manifest, sha256, judged) = judged(&files, trust)?;
    refuse_unlisted(&files, &manifest)?;
    refuse_too_much(&files, &manifest)?;
    let mut contents = BTreeMap::new();
    for (name, expected) in &manifest.files {
        if stands_in(&manifest, name, &files) {
            continue;
        }
        let content = files.read(name, MOST_FILE)?;
        compare(&files, name, sha256_of(&content), expected)?;
        contents.insert(name.clone(), content);
    }
    Ok(Checked {
        folder: folder.to_owned(),
        manifest,
        sha256,
        signed: judged.signed,
        older: judged.older,
        files: contents,
    })
}

/// The manifest and its hash, once its signature was looked at: before that, nothing that it
/// says is believed.
fn judged(files: &Contents, trust: &Trust) -> Result<(Manifest, String, Judged), BundleError> {
    let bytes = files.read(MANIFEST, MOST_MANIFEST)?;
    let sha256 = sha256_of(&bytes);
    let signed = trust.signed(files, &bytes, &sha256)?;
    let manifest = parse(files, &bytes)?;
    let judged = trust.judge(files, signed, &sha256, &manifest)?;
    Ok((manifest, sha256, judged))
}

/// Judges a bundle by its manifest alone: whose it is, and which release.
///
/// # Errors
/// As [`verify_trusted`], for what the manifest and its signature say.
pub fn judge(folder: &Path, trust: &Trust) -> Result<Release, BundleError> {
    let (manifest, sha256, judged) = judged(&Contents::open(folder)?, trust)?;
    Ok(Release::of(&manifest, judged.signed.as_ref(), &sha256))
}

/// The manifest and the SHA-256 of its own bytes; nothing else is read.
pub(super) fn manifest_of(folder: &Path) -> Result<(Manifest, String), BundleError> {
    let files = Contents::open(folder)?;
    let bytes = files.read(MANIFEST, MOST_MANIFEST)?;
    Ok((parse(&files, &bytes)?, sha256_of(&bytes)))
}

fn parse(files: &Contents, bytes: &[u8]) -> Result<Manifest, BundleError> {
    let wrong = |why: String| BundleError::Manifest {
        path: files.path().join(MANIFEST),
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
    /// Its signature, where one was asked for.
    pub signed: Option<Signed>,
    /// Files that have the hash that it says.
    pub files: usize,
}

/// Hashes everything in a bundle whose maker must be trusted, and keeps none of it.
///
/// # Errors
/// As [`verify`].
pub fn rehash(folder: &Path, trust: &Trust) -> Result<Rehashed, BundleError> {
    let files = Contents::open(folder)?;
    let (manifest, sha256, judged) = judged(&files, trust)?;
    refuse_unlisted(&files, &manifest)?;
    refuse_too_much(&files, &manifest)?;
    for (name, expected) in &manifest.files {
        compare(&files, name, files.sha256(name)?, expected)?;
    }
    Ok(Rehashed {
        sha256,
        signed: judged.signed,
        files: manifest.files.len(),
    })
}

fn compare(files: &Contents, name: &str, found: String, expected: &str) -> Result<(), BundleError> {
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(BundleError::Hash {
        path: files.path().join(name),
        found,
        expected: expected.to_owned(),
    })
}

fn refuse_unlisted(files: &Contents, manifest: &Manifest) -> Result<(), BundleError> {
    let own = [MANIFEST, SIGNATURE];
    let listed: BTreeSet<&str> = manifest
        .files
        .keys()
        .map(String::as_str)
        .chain(own)
        .collect();
    let names = files.names()?;
    match names.iter().find(|name| !listed.contains(name.as_str())) {
        None => Ok(()),
        Some(name) => Err(BundleError::Unlisted {
            path: files.path().join(name),
        }),
    }
}

/// Before any of it is read: a device must have room for it.
fn refuse_too_much(files: &Contents, manifest: &Manifest) -> Result<(), BundleError> {
    let mut bytes = 0;
    for name in manifest.files.keys() {
        bytes += files.length(name)?;
    }
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    Err(BundleError::TooLarge {
        path: files.path().to_owned(),
        what: format!("its files have {bytes} bytes; {MOST_BYTES} are the most"),
    })
}

/// As the manifest writes it.
pub(super) fn sha256_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
