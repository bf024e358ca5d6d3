//! The highest releases that a device has had, by the bundle's name and the key that signed it.
//!
//! A maker counts its releases in the manifest, under the signature; a bundle without a number
//! counts as 0. What is older than the highest is refused, so that nobody brings an old fault
//! back with an old signature. A person may go back, by name: that stands here until a release
//! that is as high comes, and the device's journal tells of it.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Signed, clock_is_set, read_small};
use crate::bundle::{BundleError, Manifest};

/// Bytes of the file.
const MOST: u64 = 1 << 20;
/// Names and keys that are remembered: a device has a few.
const MOST_NAMES: usize = 1024;

/// What a device has had.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Releases {
    highest: Vec<Highest>,
    /// The older bundle that a person went back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    back: Option<Back>,
    /// When this was written last: no clock that is right shows less.
    written: Timestamp,
    /// That a person set that time back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clock_back: Option<ClockBack>,
}

/// That a person said that the clock is right, after the device had seen a later time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockBack {
    /// What the device had seen.
    pub from: Timestamp,
    /// What the clock showed then.
    pub to: Timestamp,
    /// The number of the user who said so.
    pub by: u32,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Highest {
    name: String,
    /// Empty where nobody signed it.
    key: String,
    release: u64,
}

/// That a person went back to an older bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Back {
    /// Hash of its manifest.
    sha256: String,
    /// When.
    at: Timestamp,
    /// The number of the user who did.
    by: u32,
}

/// Which release of which bundle, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The bundle's name.
    pub name: String,
    /// The number of the key that signed it; empty where no signature was looked at.
    pub key: String,
    /// The maker's count; 0 where it has none.
    pub number: u64,
    /// Hash of its manifest.
    pub sha256: String,
}

impl Release {
    pub(in crate::bundle) fn of(
        manifest: &Manifest,
        signed: Option<&Signed>,
        sha256: &str,
    ) -> Self {
        Self {
            name: manifest.name.clone(),
            key: signed.map(|signed| signed.key.clone()).unwrap_or_default(),
            number: manifest.release,
            sha256: sha256.to_owned(),
        }
    }
}

/// A bundle that is older than what the device has had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Older {
    /// Its release.
    pub release: u64,
    /// The highest that the device has had.
    pub highest: u64,
    /// When a person went back to it.
    pub at: Timestamp,
    /// The number of the user who did.
    pub by: u32,
}

impl Releases {
    /// Reads the file; where there is none, the device has had nothing.
    pub(in crate::bundle) fn read(path: &Path) -> Result<Self, BundleError> {
        if let Err(error) = std::fs::symlink_metadata(path)
            && error.kind() == std::io::ErrorKind::NotFound
        {
            return Ok(Self::default());
        }
        let read = read_small(path, MOST);
        let read =
            read.and_then(|(text, _)| serde_json::from_str(&text).map_err(|e| e.to_string()));
        read.map_err(|why| BundleError::Releases {
            path: path.to_owned(),
            why,
        })
    }

    /// When it was written last.
    pub(in crate::bundle) fn latest(&self) -> Timestamp {
        self.written
    }

    /// That a person set this time back, where that was so at the last installation.
    pub(in crate::bundle) fn clock_back(&self) -> Option<&ClockBack> {
        self.clock_back.as_ref()
    }

    /// The clock is right, a person says: what it shows now is the latest time. Says whether
    /// there was a later one. A clock that was never set is not right.
    pub(in crate::bundle) fn believe_clock(&mut self, now: Timestamp) -> bool {
        let was_ahead = clock_is_set(now) && self.written > now;
        self.clock_back = was_ahead.then(|| ClockBack {
            from: self.written,
            to: now,
            by: rustix::process::getuid().as_raw(),
        });
        if was_ahead {
            self.written = now;
        }
        was_ahead
    }

    /// The highest release of this name and key.
    fn highest(&self, name: &str, key: &str) -> u64 {
        let of = |entry: &&Highest| entry.name == name && entry.key == key;
        self.highest
            .iter()
            .find(of)
            .map_or(0, |entry| entry.release)
    }

    /// Refuses a bundle that is older than what the device has had, unless a person went back to
    /// this very one.
    pub(super) fn check(&self, folder: &Path, of: &Release) -> Result<Option<Older>, BundleError> {
        let (release, highest) = (of.number, self.highest(&of.name, &of.key));
        if release >= highest {
            return Ok(None);
        }
        match &self.back {
            Some(back) if back.sha256 == of.sha256 => Ok(Some(Older {
                release,
                highest,
                at: back.at,
                by: back.by,
            })),
            _ => Err(BundleError::Older {
                path: folder.to_owned(),
                release,
                highest,
            }),
        }
    }

    /// A bundle is put in use; one that is older than the highest because a person says so.
    /// Says whether it is older.
    pub(in crate::bundle) fn put_in_use(&mut self, of: &Release) -> bool {
        let now = Timestamp::now();
        self.written = self.written.max(now);
        let goes_back = of.number < self.highest(&of.name, &of.key);
        self.back = goes_back.then(|| Back {
            sha256: of.sha256.clone(),
            at: now,
            by: rustix::process::getuid().as_raw(),
        });
        let is_it = |entry: &&mut Highest| entry.name == of.name && entry.key == of.key;
        match self.highest.iter_mut().find(is_it) {
            Some(entry) => entry.release = entry.release.max(of.number),
            None => {
                self.highest.push(Highest {
                    name: of.name.clone(),
                    key: of.key.clone(),
                    release: of.number,
                });
                if self.highest.len() > MOST_NAMES {
                    self.highest.remove(0);
                }
            }
        }
        goes_back
    }

    /// As it is written.
    pub(in crate::bundle) fn bytes(&self) -> Vec<u8> {
        // Texts, numbers and a time: there is nothing that JSON could not hold.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(key: &str, number: u64, sha256: &str) -> Release {
        Release {
            name: "starter".to_owned(),
            key: key.to_owned(),
            number,
            sha256: sha256.to_owned(),
        }
    }

    fn check(releases: &Releases, number: u64, sha256: &str) -> Result<bool, &'static str> {
        let found = releases.check(Path::new("b"), &release("K", number, sha256));
        found
            .map(|older| older.is_some())
            .map_err(|error| error.code())
    }

    #[test]
    fn an_older_release_is_refused_but_for_the_one_that_a_person_went_back_to() {
        let mut releases = Releases::default();
        assert_eq!(check(&releases, 0, "a"), Ok(false));
        assert!(!releases.put_in_use(&release("K", 3, "c")));
        assert_eq!(check(&releases, 3, "c"), Ok(false));
        assert_eq!(check(&releases, 4, "d"), Ok(false));
        assert_eq!(check(&releases, 2, "b"), Err("bundle_older"));
        assert!(releases.put_in_use(&release("K", 2, "b")));
        assert_eq!(check(&releases, 2, "b"), Ok(true));
        assert_eq!(check(&releases, 2, "other"), Err("bundle_older"));
        assert_eq!(check(&releases, 3, "c"), Ok(false));
        assert!(!releases.put_in_use(&release("K", 3, "c")));
        assert_eq!(check(&releases, 2, "b"), Err("bundle_older"), "forgotten");
        assert!(!releases.put_in_use(&release("L", 1, "x")), "keys apart");
        assert_eq!(check(&releases, 2, "b"), Err("bundle_older"));
    }

    #[test]
    fn what_is_written_reads_back_and_what_is_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("releases.json");
        assert_eq!(Releases::read(&path).unwrap(), Releases::default());
        let mut releases = Releases::default();
        releases.put_in_use(&release("K", 3, "c"));
        releases.put_in_use(&release("K", 2, "b"));
        std::fs::write(&path, releases.bytes()).unwrap();
        assert_eq!(Releases::read(&path).unwrap(), releases);
        // Found: a clock that was ahead once left the device without a bundle for good.
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        let mut ahead = Releases {
            written: "2046-01-01T00:00:00Z".parse().unwrap(),
            ..releases
        };
        assert!(!ahead.believe_clock(Timestamp::UNIX_EPOCH), "never set");
        assert!(ahead.believe_clock(now) && ahead.latest() == now);
        std::fs::write(&path, ahead.bytes()).unwrap();
        assert_eq!(Releases::read(&path).unwrap(), ahead);
        assert_eq!(ahead.clock_back().map(|back| back.to), Some(now));
        for spoilt in ["", "{}", "[]", "{\"highest\":[],\"written\":1}"] {
            std::fs::write(&path, spoilt).unwrap();
            let error = Releases::read(&path).unwrap_err();
            assert_eq!(error.code(), "bundle_releases", "{spoilt}");
        }
    }
}
