//! Who made a bundle: the signature of its manifest, in minisign's format (Ed25519 over
//! BLAKE2b-512). The manifest holds the hash of every other file, so a signed manifest is a
//! signed bundle.
//!
//! Whoever names no key trusts every bundle that is whole. Whoever names keys is never given
//! one that carries another's signature or a broken one, and with `required` none that
//! carries no signature.

use std::fmt;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use minisign::{KeyPair, PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};

use super::{BundleError, MANIFEST, verify};
use crate::files;

/// Name of the signature within a bundle.
pub const SIGNATURE: &str = "bundle.minisig";

/// A maker's public key.
#[derive(Debug, Clone)]
pub struct Key(PublicKey);

impl Key {
    /// The number by which a signature names its key.
    fn id(&self) -> String {
        id(self.0.keynum())
    }
}

/// A key's number as minisign writes it.
fn id(number: &[u8]) -> String {
    number
        .iter()
        .rev()
        .map(|byte| format!("{byte:02X}"))
        .collect()
}

impl FromStr for Key {
    type Err = String;

    /// Reads a public key as text (`RW..`), or the file that holds one.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(key) = PublicKey::from_base64(text.trim()) {
            return Ok(Self(key));
        }
        let file = std::fs::read_to_string(text)
            .map_err(|error| format!("{text} is no public key of minisign and no file: {error}"))?;
        let key = PublicKeyBox::from_string(&file).and_then(PublicKeyBox::into_public_key);
        key.map(Self)
            .map_err(|_| format!("{text} holds no public key of minisign"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_base64())
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bytes() == other.0.to_bytes()
    }
}

/// Whose bundles may be used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trust {
    /// Their makers' keys; where empty, no signature is looked at.
    pub keys: Vec<Key>,
    /// Whether a bundle without a signature is refused.
    pub required: bool,
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The number of the key.
    pub key: String,
    /// What the maker wrote beside it, signed too.
    pub comment: String,
}

impl Trust {
    /// The signature of the manifest whose bytes these are; `None` where none is looked at,
    /// or there is none and none is required.
    pub(super) fn check(
        &self,
        folder: &Path,
        manifest: &[u8],
    ) -> Result<Option<Signed>, BundleError> {
        let path = folder.join(SIGNATURE);
        if self.keys.is_empty() && !self.required {
            return Ok(None);
        }
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return match self.required {
                    true => Err(BundleError::Unsigned { path }),
                    false => Ok(None),
                };
            }
            Err(error) => return Err(BundleError::Unreadable { path, error }),
        };
        self.judge(&text, manifest)
            .map(Some)
            .map_err(|why| BundleError::Signature { path, why })
    }

    fn judge(&self, signature: &str, manifest: &[u8]) -> Result<Signed, String> {
        let signature = SignatureBox::from_string(signature)
            .map_err(|_| "is no signature of minisign".to_owned())?;
        let key = self
            .keys
            .iter()
            .find(|key| key.0.keynum() == signature.keynum());
        let key = key.ok_or_else(|| {
            let known: Vec<String> = self.keys.iter().map(Key::id).collect();
            format!(
                "was made with key {}; trusted are {}",
                id(signature.keynum()),
                known.join(", ")
            )
        })?;
        minisign::verify(
            &key.0,
            &signature,
            Cursor::new(manifest),
            true,
            false,
            false,
        )
        .map_err(|_| format!("is not the signature of {MANIFEST} by key {}", key.id()))?;
        Ok(Signed {
            key: key.id(),
            comment: signature.trusted_comment().unwrap_or_default(),
        })
    }
}

/// Why a bundle cannot be signed, or a key not made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The bundle is not whole: nobody should sign it.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The secret key cannot be used.
    #[error("{}: {why}", path.display())]
    Key {
        /// Its file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {error}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// Verifies the bundle in `folder` and signs its manifest with the secret key in `file`;
/// `comment` is signed too. Without a password an encrypted key asks for it on the terminal.
///
/// # Errors
/// [`SignError`]; the bundle is then as it was.
pub fn sign(
    folder: &Path,
    file: &Path,
    password: Option<String>,
    comment: Option<&str>,
) -> Result<Signed, SignError> {
    verify(folder)?;
    let manifest = folder.join(MANIFEST);
    let bytes = std::fs::read(&manifest).map_err(|error| BundleError::Unreadable {
        path: manifest,
        error,
    })?;
    let secret = secret(file, password)?;
    let unusable = |error: minisign::PError| SignError::Key {
        path: file.to_owned(),
        why: error.to_string(),
    };
    let public = PublicKey::from_secret_key(&secret).map_err(unusable)?;
    let signature = minisign::sign(Some(&public), &secret, Cursor::new(bytes), comment, None)
        .map_err(unusable)?;
    let signed = Signed {
        key: id(public.keynum()),
        comment: signature.trusted_comment().unwrap_or_default(),
    };
    let path = folder.join(SIGNATURE);
    files::replace(&path, signature.into_string().as_bytes()).map_err(|error| {
        SignError::Unwritable {
            path,
            error: error.into(),
        }
    })?;
    Ok(signed)
}

fn secret(file: &Path, password: Option<String>) -> Result<SecretKey, SignError> {
    let unusable = |why: String| SignError::Key {
        path: file.to_owned(),
        why,
    };
    let text = std::fs::read_to_string(file).map_err(|error| unusable(error.to_string()))?;
    let boxed = || SecretKeyBox::from_string(&text).map_err(|error| unusable(error.to_string()));
    match boxed()?.into_unencrypted_secret_key() {
        Ok(secret) => Ok(secret),
        Err(_) => boxed()?
            .into_secret_key(password)
            .map_err(|error| unusable(error.to_string())),
    }
}

/// Makes a pair of keys: the secret one in `file`, which only its owner may read, the public
/// one in `FILE.pub`; answers the public key. `None` asks for a password on the terminal, an
/// empty one leaves the secret key unencrypted.
///
/// # Errors
/// [`SignError`], also where one of the files is there already.
pub fn make_key(file: &Path, password: Option<String>) -> Result<Key, SignError> {
    let unusable = |error: minisign::PError| SignError::Key {
        path: file.to_owned(),
        why: error.to_string(),
    };
    let pair = match password.as_deref() {
        Some("") => KeyPair::generate_unencrypted_keypair(),
        _ => KeyPair::generate_encrypted_keypair(password),
    };
    let KeyPair { pk, sk } = pair.map_err(unusable)?;
    let secret = sk.to_box(Some("medfocus bundle key")).map_err(unusable)?;
    let public = pk.to_box().map_err(unusable)?;
    let mut beside = file.as_os_str().to_owned();
    beside.push(".pub");
    write_new(file, secret.into_string().as_bytes(), 0o600)?;
    write_new(Path::new(&beside), public.into_string().as_bytes(), 0o644)?;
    Ok(Key(pk))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), SignError> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let written = options.open(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| SignError::Unwritable {
        path: path.to_owned(),
        error,
    })
}
