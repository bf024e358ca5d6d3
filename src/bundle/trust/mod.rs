//! Who made a bundle, and whether that is enough: the signature of its manifest, in minisign's
//! format (Ed25519 over BLAKE2b-512). The manifest holds the hash of every other file, so a
//! signed manifest is a signed bundle.
//!
//! In go the manifest's bytes and what is beside them, out comes whose it is or why it is
//! refused. Whoever names no key trusts every bundle that is whole. Whoever names keys is given
//! none but theirs: not without a signature, not by a key whose time has passed or that was
//! revoked, not by one that was revoked itself. Whoever keeps releases is given none older than
//! the device has had, unless a person went back to it. Never asks a network.

mod key;
mod release;
mod revoked;

use std::fs::Metadata;
use std::io::{Cursor, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use minisign::SignatureBox;

use super::contents::{Contents, MOST_SIGNATURE};
use super::{BundleError, MANIFEST, Manifest};
use crate::files::Folder;
pub(super) use key::id;
pub use key::{Key, clock_is_set};
pub(super) use release::Releases;
pub use release::{ClockBack, Older, Release};
use revoked::Revoked;

/// Name of the signature within a bundle.
pub const SIGNATURE: &str = "bundle.minisig";

/// Whose bundles may be used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trust {
    /// Their makers' keys. Where there are some, a signature by one of them is required; where
    /// empty, no signature is looked at.
    pub keys: Vec<Key>,
    /// A file that names keys and bundles that are trusted no longer.
    pub revoked: Option<PathBuf>,
    /// The file of the highest releases that the device has had.
    pub releases: Option<PathBuf>,
    /// What whoever installs a bundle says over that file.
    pub all_the_same: AllTheSame,
}

/// What a person says over what the device has had; nothing unless it is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllTheSame {
    /// The bundle may be older.
    pub older: bool,
    /// The clock is right, although the device has seen a later time.
    pub clock_is_right: bool,
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The number of the key.
    pub key: String,
    /// What the maker wrote beside it, signed too.
    pub comment: String,
    /// The last day on which the key is trusted, where it has one.
    pub until: Option<jiff::civil::Date>,
}

/// What is known of a bundle's maker and release.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Judged {
    /// Its signature, where one was asked for.
    pub signed: Option<Signed>,
    /// That it is older than what the device has had, where a person went back to it.
    pub older: Option<Older>,
}

impl Trust {
    /// Whose the manifest with these bytes and this hash is; looked at before anything that it
    /// says is believed.
    pub(super) fn signed(
        &self,
        files: &Contents,
        bytes: &[u8],
        sha256: &str,
    ) -> Result<Option<Signed>, BundleError> {
        let revoked = self.revoked.as_deref().map(Revoked::read).transpose()?;
        let signed = self.signature(files, bytes, self.kept()?.latest())?;
        if let Some(revoked) = revoked {
            let key = match &signed {
                Some(signed) => Some(signed.key.clone()),
                // No key is asked for, and one that was revoked is refused all the same.
                None if revoked.names_keys() => named(files)?,
                None => None,
            };
            revoked.check(files.path(), sha256, key.as_deref())?;
        }
        Ok(signed)
    }

    /// Judges the bundle of this manifest by its release.
    pub(super) fn judge(
        &self,
        files: &Contents,
        signed: Option<Signed>,
        sha256: &str,
        manifest: &Manifest,
    ) -> Result<Judged, BundleError> {
        let release = Release::of(manifest, signed.as_ref(), sha256);
        let older = match self.all_the_same.older {
            true => None,
            false => self.kept()?.check(files.path(), &release)?,
        };
        Ok(Judged { signed, older })
    }

    fn kept(&self) -> Result<Releases, BundleError> {
        match self.releases.as_deref().map(Releases::read) {
            // Whoever installs all the same begins anew.
            Some(Err(BundleError::Releases { .. })) if self.all_the_same.older => {
                Ok(Releases::default())
            }
            read => Ok(read.transpose()?.unwrap_or_default()),
        }
    }

    fn signature(
        &self,
        files: &Contents,
        manifest: &[u8],
        latest: Timestamp,
    ) -> Result<Option<Signed>, BundleError> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let path = files.path().join(SIGNATURE);
        let text = match files.read(SIGNATURE, MOST_SIGNATURE) {
            Ok(text) => text,
            Err(BundleError::Unreadable { path, error }) if error.kind() == ErrorKind::NotFound => {
                return Err(BundleError::Unsigned { path });
            }
            Err(error) => return Err(error),
        };
        let signed = self.verify(&String::from_utf8_lossy(&text), manifest);
        let signed = match signed {
            Ok(signed) => signed,
            Err(why) => return Err(BundleError::Signature { path, why }),
        };
        match signed.until {
            // What was once late is not early again.
            Some(until) if !self.all_the_same.clock_is_right && key::has_ended(until, latest) => {
                Err(BundleError::SeenLater {
                    path,
                    key: signed.key,
                    until,
                    seen: latest,
                    now: Timestamp::now(),
                })
            }
            _ => Ok(Some(signed)),
        }
    }

    fn verify(&self, signature: &str, manifest: &[u8]) -> Result<Signed, String> {
        let signature = SignatureBox::from_string(signature)
            .map_err(|_| "is no signature of minisign".to_owned())?;
        let mut named = self.keys.iter().filter(|key| key.made(&signature));
        let Some(first) = named.next() else {
            let known: Vec<String> = self.keys.iter().map(Key::id).collect();
            return Err(format!(
                "was made with key {}; trusted are {}",
                id(signature.keynum()),
                known.join(", ")
            ));
        };
        minisign::verify(
            first.public(),
            &signature,
            Cursor::new(manifest),
            true,
            false,
            false,
        )
        .map_err(|_| format!("is not the signature of {MANIFEST} by key {}", first.id()))?;
        // A key that is named twice, with and without an end, has the earlier one.
        let ends = named.chain([first]).filter_map(Key::until);
        let until = ends.min();
        key::still_good(&first.id(), until, Timestamp::now())?;
        Ok(Signed {
            key: first.id(),
            comment: signature.trusted_comment().unwrap_or_default(),
            until,
        })
    }
}

/// The key that a bundle's signature names, where it has one; nothing is proven by it.
fn named(files: &Contents) -> Result<Option<String>, BundleError> {
    let path = files.path().join(SIGNATURE);
    let text = match files.read(SIGNATURE, MOST_SIGNATURE) {
        Ok(text) => text,
        Err(BundleError::Unreadable { error, .. }) if error.kind() == ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let signature = SignatureBox::from_string(&String::from_utf8_lossy(&text));
    let signature = signature.map_err(|_| BundleError::Signature {
        path,
        why: "is no signature of minisign".to_owned(),
    })?;
    Ok(Some(id(signature.keynum())))
}

/// Reads a text that decides about trust: nobody but root and this user may write it.
fn read_guarded(path: &Path, most: u64) -> Result<String, String> {
    let (text, about) = read_small(path, most)?;
    let is_ours = [0, rustix::process::geteuid().as_raw()].contains(&about.uid());
    if !is_ours || about.mode() & 0o022 != 0 {
        return Err("may be written by others than root and this user".to_owned());
    }
    Ok(text)
}

/// Reads a text of so many bytes, of a regular file.
fn read_small(path: &Path, most: u64) -> Result<(String, Metadata), String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let opened = Folder::above(path).and_then(|(folder, name)| folder.open_file(name));
    let file = opened.map_err(|error| cannot(error.into()))?;
    let about = file.metadata().map_err(cannot)?;
    let mut text = String::new();
    let mut file = file.take(most + 1);
    file.read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > most {
        return Err(format!("has more than {most} bytes"));
    }
    Ok((text, about))
}
