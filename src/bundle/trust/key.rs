//! A maker's public key, and until when it is trusted: a text or a file comes in, a [`Key`] comes
//! out. Called by configuration and options. A key with an end is not trusted where the clock was
//! never set.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use minisign::{PublicKey, PublicKeyBox, SignatureBox};

use crate::files;

/// Bytes of a file that holds a key: minisign's have some hundred.
const MOST: u64 = 1 << 14;
/// No clock that was ever set shows less.
const MADE: &str = "2025-01-01T00:00:00Z";
/// Between a key and the last day on which it is trusted.
const UNTIL: &str = " until ";

/// Whether a clock that shows this was ever set.
#[must_use]
pub fn clock_is_set(now: Timestamp) -> bool {
    MADE.parse().is_ok_and(|made: Timestamp| now > made)
}

/// A maker's public key.
#[derive(Debug, Clone)]
pub struct Key {
    key: PublicKey,
    until: Option<Date>,
}

impl Key {
    /// A key that is trusted without an end.
    pub(in crate::bundle) fn new(key: PublicKey) -> Self {
        Self { key, until: None }
    }

    /// The number by which a signature names its key.
    #[must_use]
    pub fn id(&self) -> String {
        id(self.key.keynum())
    }

    /// The last day on which it is trusted, in UTC.
    #[must_use]
    pub fn until(&self) -> Option<Date> {
        self.until
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.key
    }

    /// Whether a signature names this key.
    pub(super) fn made(&self, signature: &SignatureBox) -> bool {
        self.key.keynum() == signature.keynum()
    }
}

/// A key's number as minisign writes it.
pub(in crate::bundle) fn id(number: &[u8]) -> String {
    let digits = number.iter().rev();
    digits.map(|byte| format!("{byte:02X}")).collect()
}

/// Refuses a key whose last day has passed, and one whose last day cannot be told.
pub(super) fn still_good(id: &str, until: Option<Date>, now: Timestamp) -> Result<(), String> {
    let Some(until) = until else {
        return Ok(());
    };
    // A clock that was never set says nothing, and that is never a reason to trust.
    if !clock_is_set(now) {
        return Err(format!(
            "was made with key {id}, which is trusted until {until}, and this clock was never set"
        ));
    }
    if has_ended(until, now) {
        return Err(format!(
            "was made with key {id}, which was trusted until {until}"
        ));
    }
    Ok(())
}

/// Whether a last day has passed at this time.
pub(super) fn has_ended(until: Date, at: Timestamp) -> bool {
    at.to_zoned(TimeZone::UTC).date() > until
}

impl FromStr for Key {
    type Err = String;

    /// Reads a public key as text (`RW..`), or the file that holds one; `until 2027-12-31`
    /// behind it is the last day on which it is trusted.
    fn from_str(text: &str) -> Result<Self, String> {
        let (text, until) = match text.rsplit_once(UNTIL) {
            Some((key, date)) => {
                let date = date.trim().parse();
                let date = date.map_err(|_| format!("{text}: until is a day, as 2027-12-31"))?;
                (key, Some(date))
            }
            None => (text, None),
        };
        if let Ok(key) = PublicKey::from_base64(text.trim()) {
            return Ok(Self { key, until });
        }
        let file = files::read_text(Path::new(text), MOST).map_err(|error| {
            let why = error.cause;
            format!("{text} is neither a public key of minisign nor a file that holds one: {why}")
        })?;
        let key = PublicKeyBox::from_string(&file).and_then(PublicKeyBox::into_public_key);
        key.map(|key| Self { key, until })
            .map_err(|_| format!("{text} holds no public key of minisign"))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key.to_base64())?;
        match self.until {
            Some(until) => write!(f, "{UNTIL}{until}"),
            None => Ok(()),
        }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.key.to_bytes() == other.key.to_bytes() && self.until == other.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_with_its_last_day_and_no_unset_clock_makes_it_good() {
        struct Case(&'static str, Option<&'static str>, bool);
        for Case(now, until, is_good) in [
            Case("2027-06-01T00:00:00Z", None, true),
            Case("1970-01-01T00:00:09Z", None, true),
            Case("2027-06-01T23:59:59Z", Some("2027-06-01"), true),
            Case("2027-06-02T00:00:00Z", Some("2027-06-01"), false),
            Case("1970-01-01T00:00:09Z", Some("2027-06-01"), false),
            Case("2024-12-31T23:00:00Z", Some("2027-06-01"), false),
        ] {
            let until = until.map(|day| day.parse().unwrap());
            let now = now.parse().unwrap();
            let found = still_good("K", until, now);
            assert_eq!(found.is_ok(), is_good, "{now} {until:?}: {found:?}");
        }
    }

    #[test]
    fn a_key_is_written_as_it_is_read() {
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let plain = Key::new(pair.pk);
        let text = plain.to_string();
        assert_eq!(text.parse::<Key>().unwrap(), plain);
        let ends = format!("{text} until 2027-12-31");
        let key: Key = ends.parse().unwrap();
        assert_eq!((key.to_string(), key == plain), (ends, false));
        assert!(format!("{text} until soon").parse::<Key>().is_err());
        // Found: a pipe was waited for, and /dev/zero read for ever.
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR;
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        for file in [pipe.to_str().unwrap(), "/dev/zero"] {
            assert!(file.parse::<Key>().is_err(), "{file}");
        }
    }
}
