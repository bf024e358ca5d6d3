//! For the makers of bundles: keys, and the signature of a manifest.
//!
//! In goes a bundle that is whole and a secret key, out comes `bundle.minisig` beside the
//! manifest. Never signs what is not whole, never writes over a key.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};

use super::contents::{Contents, MOST_MANIFEST};
use super::trust::{Key, SIGNATURE, Signed, id};
use super::{BundleError, MANIFEST, verify};
use crate::files;

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
    let bytes = Contents::open(folder)?.read(MANIFEST, MOST_MANIFEST)?;
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
        until: None,
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
    Ok(Key::new(pk))
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
