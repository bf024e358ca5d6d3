//! What a bundle's folder holds: regular files of bounded size, read from the folder that is
//! held open, one name at a time.
//!
//! The folder itself may be named by a link (`bundles/current` is one); in it there is none.
//! A pipe, a device, a link, and whatever is larger than any bundle's files, are refused by name
//! before a byte of them is read. Never writes.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{BundleError, MANIFEST};
use crate::files::{Cause, FileError, Folder, Kind};

/// Bytes of the manifest: many exams with many text prompts take a tenth of it.
pub(super) const MOST_MANIFEST: u64 = 1 << 20;
/// Bytes of a signature; minisign's have some hundred.
pub(super) const MOST_SIGNATURE: u64 = 1 << 14;
/// Bytes of any other file: the largest graph that a bundle has today is a tenth of it.
pub(super) const MOST_FILE: u64 = 1 << 30;
/// Bytes of all files: a device has to hold most of them.
pub(super) const MOST_BYTES: u64 = 2 << 30;
/// Files and folders.
pub(super) const MOST_ENTRIES: usize = 4096;
/// Folders within folders.
const DEEPEST: usize = 8;

/// A bundle's folder, held open: whatever comes to lie under its path, this is the same one.
#[derive(Debug)]
pub(super) struct Contents(Folder);

impl Contents {
    /// Opens the folder.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let opened = Folder::open(path).map_err(|error| match error {
            // Whoever names a folder that is none wants to hear what it should have held.
            error if error.is_missing() => unreadable(FileError {
                path: path.join(MANIFEST),
                ..error
            }),
            error => unreadable(error),
        });
        opened.map(Self)
    }

    /// How it was named.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// All of a file.
    pub fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, BundleError> {
        let (file, length) = self.file(name, most)?;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        // One that grows while it is read is read no further than it was long.
        let read = file.take(length).read_to_end(&mut bytes);
        read.map_err(|error| self.lost(name, error))?;
        Ok(bytes)
    }

    /// SHA-256 of a file, in hexadecimal digits.
    pub fn sha256(&self, name: &str) -> Result<String, BundleError> {
        let (file, length) = self.file(name, MOST_FILE)?;
        let mut file = file.take(length);
        let (mut hash, mut bytes) = (Sha256::new(), vec![0; 1 << 18]);
        loop {
            match file.read(&mut bytes) {
                Ok(0) => return Ok(hex(&hash.finalize())),
                Ok(count) => hash.update(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(name, error)),
            }
        }
    }

    /// How long a file is.
    pub fn length(&self, name: &str) -> Result<u64, BundleError> {
        self.file(name, MOST_FILE).map(|(_, length)| length)
    }

    /// Opens a file of at most so many bytes; its length.
    pub fn file(&self, name: &str, most: u64) -> Result<(File, u64), BundleError> {
        let (folders, last) = name.rsplit_once('/').unwrap_or(("", name));
        let mut folder = self.0.clone();
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            folder = folder.folder(part).map_err(unreadable)?;
        }
        let file = folder.open_file(last).map_err(unreadable)?;
        let about = file.metadata();
        let length = about.map_err(|error| self.lost(name, error))?.len();
        if length > most {
            return Err(BundleError::TooLarge {
                path: self.path().join(name),
                what: format!("it has {length} bytes; {most} are the most"),
            });
        }
        Ok((file, length))
    }

    /// The same, for who copies it: not a file of another user than the folder's that has further
    /// names. Whoever owns the folder may have linked it here without the right to read it.
    pub fn own_file(&self, name: &str, most: u64) -> Result<(File, u64), BundleError> {
        let (file, length) = self.file(name, most)?;
        let about = file.metadata().map_err(|error| self.lost(name, error))?;
        let owner = self.0.about_itself().map_err(unreadable)?.uid();
        if about.nlink() > 1 && about.uid() != owner {
            let why = format!(
                "it is a hard link to a file of user {}, and the bundle is user {owner}'s",
                about.uid()
            );
            return Err(self.lost(name, std::io::Error::other(why)));
        }
        Ok((file, length))
    }

    /// The names of all files, with those of the folders that they lie in.
    pub fn names(&self) -> Result<Vec<String>, BundleError> {
        let mut names = Vec::new();
        let mut entries = 0;
        walk(&self.0, "", 0, &mut entries, &mut names)?;
        Ok(names)
    }

    fn lost(&self, name: &str, error: std::io::Error) -> BundleError {
        let path = self.path().join(name);
        BundleError::Unreadable { path, error }
    }
}

fn walk(
    folder: &Folder,
    prefix: &str,
    depth: usize,
    entries: &mut usize,
    names: &mut Vec<String>,
) -> Result<(), BundleError> {
    for entry in folder.list().map_err(unreadable)? {
        let path = folder.path_of(&entry.name);
        let name = format!("{prefix}{}", entry.name.to_string_lossy());
        *entries += 1;
        if *entries > MOST_ENTRIES || depth > DEEPEST {
            let what = format!(
                "{MOST_ENTRIES} files, and folders {DEEPEST} deep, are the most of a bundle"
            );
            return Err(BundleError::TooLarge { path, what });
        }
        match entry.kind {
            Kind::File => names.push(name),
            Kind::Folder => {
                let below = folder.folder(&entry.name).map_err(unreadable)?;
                walk(&below, &format!("{name}/"), depth + 1, entries, names)?;
            }
            kind => return Err(BundleError::NoFile { path, kind }),
        }
    }
    Ok(())
}

/// Why a bundle cannot be used whose file cannot be read.
pub(super) fn unreadable(error: FileError) -> BundleError {
    let path = error.path;
    match error.cause {
        Cause::Link => BundleError::NoFile {
            path,
            kind: Kind::Link,
        },
        Cause::NoFile(kind) | Cause::NoFolder(kind) => BundleError::NoFile { path, kind },
        Cause::Io(error) => BundleError::Unreadable { path, error },
        other => BundleError::Unreadable {
            path,
            error: std::io::Error::other(other.to_string()),
        },
    }
}

/// As a hash is written.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
