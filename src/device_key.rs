//! The device's own key: a secret that is drawn by chance at the first start and kept in the
//! state folder, an Ed25519 pair that follows from it, and secrets for other purposes.
//!
//! In comes a state folder, out come signatures, the public half and derived secrets. The
//! journal signs its checkpoints with it; prepared files are bound to the device by a derived
//! secret. What is signed for one purpose is never valid for another. The secret itself goes to
//! no log, no message and no other file.
//!
//! Where the service manager hands over a credential of the name [`CREDENTIAL`] (sealed by a
//! TPM, say), that is the secret, and the state folder need not hold one.

mod file;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ed25519_compact as ed25519;
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};

use crate::files::FileError;
use crate::hex::{Hex, NotHex};
use crate::storage::Storage;

/// The file of the secret in the state folder; readable by its owner alone.
pub const FILE: &str = "device-key";
/// The file of the public half beside it, for whoever checks signatures.
pub const PUBLIC_FILE: &str = "device-key.pub";
/// The credential that holds the secret, where the service manager keeps it.
pub const CREDENTIAL: &str = "medfocus.device-key";

/// The device's own key.
pub struct DeviceKey {
    secret: [u8; 32],
    pair: ed25519::KeyPair,
}

/// What a signature is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A point of the journal's chain.
    JournalCheckpoint,
    /// Where the journal stands, in the file beside it.
    JournalMark,
}

impl Purpose {
    fn tag(self) -> &'static str {
        match self {
            Self::JournalCheckpoint => "journal checkpoint",
            Self::JournalMark => "journal mark",
        }
    }

    /// What is signed: no tag holds a zero byte, so no message of one purpose is one of another.
    fn bound(self, message: &[u8]) -> Vec<u8> {
        [b"medfocus ", self.tag().as_bytes(), b"\0", message].concat()
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A file of it cannot be read or made.
    #[error(transparent)]
    File(#[from] FileError),
    /// No chance can be had to draw a key by.
    #[error("the system gives no random numbers: {0}")]
    NoChance(std::io::Error),
    /// The file holds something else.
    #[error("{}: it is no device key: 64 hexadecimal digits", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// There is a public half, and no secret that it is of.
    #[error("{}: the secret half of the device's key is not there", path.display())]
    Missing {
        /// Where it would be.
        path: PathBuf,
    },
    /// The service manager's key is not the state folder's.
    #[error("{}: the service manager hands over another key", path.display())]
    Disagree {
        /// The file in the state folder.
        path: PathBuf,
    },
}

crate::coded::coded!(KeyError);

impl KeyError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File(_) | Self::NoChance(_) => "state",
            Self::Malformed { .. } => "device_key",
            Self::Missing { .. } => "device_key_missing",
            Self::Disagree { .. } => "device_key_disagrees",
        }
    }

    /// What the user can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::File(error) => error.help(),
            Self::NoChance(_) => "start the device again; report it where it stays like this",
            Self::Malformed { .. } => {
                "put the file back from a copy; where there is none, remove device-key and \
                 device-key.pub: the next start makes a key, and medfocus journal adopt takes \
                 the journal on"
            }
            Self::Missing { .. } => {
                "put device-key back from a copy, or load its credential (docs/journal.md); \
                 where it is lost, remove device-key.pub: the next start makes a key, and \
                 medfocus journal adopt takes the journal on"
            }
            Self::Disagree { .. } => {
                "keep the one whose fingerprint was written down: remove device-key and \
                 device-key.pub from the state folder, or the credential from the service"
            }
        }
    }
}

impl DeviceKey {
    /// The key of the device on this state folder; made where there never was one, and then
    /// durable when this returns.
    ///
    /// # Errors
    /// [`KeyError`]; a key that is lost or damaged is never replaced.
    pub fn of(state: &dyn Storage) -> Result<Self, KeyError> {
        let key = Self::of_secret(file::secret(state)?);
        file::publish(state, &key.public())?;
        Ok(key)
    }

    fn of_secret(secret: [u8; 32]) -> Self {
        let seed = ed25519::Seed::new(derived(&secret, "signatures"));
        let pair = ed25519::KeyPair::from_seed(seed);
        Self { secret, pair }
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(Hex(*self.pair.pk))
    }

    /// Signs; the same message always gets the same signature.
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> Signature {
        Signature(Hex(*self.pair.sk.sign(purpose.bound(message), None)))
    }

    /// A secret of its own for this purpose, as a plain word says it: the same at every start,
    /// and nothing is learned from it of the key or of another purpose's.
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        derived(&self.secret, &format!("for {purpose}"))
    }
}

/// HKDF-SHA256 (RFC 5869).
fn derived(secret: &[u8; 32], purpose: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let info = [b"medfocus device key: ", purpose.as_bytes()].concat();
    Hkdf::<sha2::Sha256>::new(None, secret)
        .expand(&info, &mut key)
        .unwrap_or_else(|_| unreachable!("one block is never too long"));
    key
}

/// Never the secret.
impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKey({})", self.public().fingerprint())
    }
}

/// The public half of a device's key: 64 hexadecimal digits in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(Hex<32>);

impl PublicKey {
    /// The public half that a state folder tells; `None` where no device was started on it.
    ///
    /// # Errors
    /// [`KeyError::File`], [`KeyError::Malformed`].
    pub fn of(state: &dyn Storage) -> Result<Option<Self>, KeyError> {
        file::published(state)
    }

    /// Whether this key signed that.
    pub fn signed(&self, purpose: Purpose, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519::Signature::new(signature.0.0);
        let bound = purpose.bound(message);
        ed25519::PublicKey::new(self.0.0)
            .verify(bound, &signature)
            .is_ok()
    }

    /// What people compare and write down: the first 80 bits of its SHA-256, in fours.
    pub fn fingerprint(&self) -> String {
        let hash = crate::sha256::Sha256::of(&self.0.0).to_string();
        let fours = [
            &hash[..4],
            &hash[4..8],
            &hash[8..12],
            &hash[12..16],
            &hash[16..20],
        ];
        fours.join("-")
    }
}

/// What is told of a device's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// The public half.
    pub public: PublicKey,
    /// What people compare and write down of it.
    pub fingerprint: String,
}

impl From<PublicKey> for KeyFacts {
    fn from(public: PublicKey) -> Self {
        let fingerprint = public.fingerprint();
        Self {
            public,
            fingerprint,
        }
    }
}

/// An Ed25519 signature (RFC 8032): 128 hexadecimal digits in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signature(Hex<64>);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for PublicKey {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Signature {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> DeviceKey {
        DeviceKey::of_secret([byte; 32])
    }

    #[test]
    fn a_signature_is_of_one_key_one_purpose_and_one_message() {
        let (mine, other) = (key(1), key(2));
        let signature = mine.sign(Purpose::JournalCheckpoint, b"1");
        assert_eq!(signature, mine.sign(Purpose::JournalCheckpoint, b"1"));
        let cases = [
            (
                "the same",
                mine.public(),
                Purpose::JournalCheckpoint,
                "1",
                true,
            ),
            (
                "another message",
                mine.public(),
                Purpose::JournalCheckpoint,
                "2",
                false,
            ),
            (
                "another purpose",
                mine.public(),
                Purpose::JournalMark,
                "1",
                false,
            ),
            (
                "another key",
                other.public(),
                Purpose::JournalCheckpoint,
                "1",
                false,
            ),
        ];
        for (what, public, purpose, message, holds) in cases {
            let signed = public.signed(purpose, message.as_bytes(), &signature);
            assert_eq!(signed, holds, "{what}");
        }
        for at in 0..64 {
            let mut spoilt = signature;
            spoilt.0.0[at] ^= 1;
            assert!(
                !mine
                    .public()
                    .signed(Purpose::JournalCheckpoint, b"1", &spoilt)
            );
        }
    }

    #[test]
    fn derived_secrets_differ_by_purpose_and_key_and_are_no_seed() {
        let all = [
            key(1).derive("prepared files"),
            key(1).derive("signatures"),
            key(1).derive("other"),
            key(2).derive("prepared files"),
            derived(&[1; 32], "signatures"),
            [1; 32],
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|other| other != one), "{i}");
        }
        assert_eq!(all[0], key(1).derive("prepared files"));
    }

    #[test]
    fn the_secret_is_not_in_what_a_log_would_say() {
        let said = format!("{:?}", key(0xab));
        assert!(
            !said.contains("abab") && !said.contains("171, 171"),
            "{said}"
        );
    }

    #[test]
    fn text_comes_back_and_nothing_else_is_read() {
        let public = key(1).public();
        assert_eq!(public.to_string().parse(), Ok(public));
        let signature = key(1).sign(Purpose::JournalMark, b"");
        assert_eq!(signature.to_string().parse(), Ok(signature));
        for wrong in ["", "00", &"+1".repeat(32), &"é".repeat(32), &"0".repeat(66)] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(NotHex(64)), "{wrong}");
        }
        assert_eq!(public.fingerprint().len(), 24);
    }
}
