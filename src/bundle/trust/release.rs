//! The highest releases that a device has had, by the bundle's name and the key that signed it.
//!
//! A maker counts its releases in the manifest, under the signature; a bundle without a number
//! counts as 0. What is older than the highest is refused, so that nobody brings an old fault
//! back with an old signature. A person may go back, by name: that stands here until a release
//! that is as high comes, and the device's journal tells of it.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::read_small;
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
    pub(super) fn latest(&self) -> Timestamp {
        self.written
    }

    /// The highest release of this name and key.
    fn highest(&self, name: &str, key: &str) -> u64 {
        let of = |entry: &&Highest| entry.name == name && entry.key == key;
        self.highest.iter().find(of).map_or(0, |entry| entry.release)
    }

    /// Refuses a bundle that is older than what the device has had, unless a person went back to
    /// this very one.
    pub(super) fn check(
        &self,
        folder: &Path,
        manifest: &Manifest,
        key: &str,
        sha256: &str,
    ) -> Result<Option<Older>, BundleError> {
        let (release, highest) = (manifest.release, self.highest(&manifest.name, key));
        if release >= highest {
            return Ok(None);
        }
        match &self.back {
            Some(back) if back.sha256 == sha256 => Ok(Some(Older {
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
    pub(in crate::bundle) fn put_in_use(
        &mut self,
        name: &str,
        key: &str,
        release: u64,
        sha256: &str,
    ) {
        self.written = self.written.max(Timestamp::now());
        self.back = (release < self.highest(name, key)).then(|| Back {
            sha256: sha256.to_owned(),
            at: Timestamp::now(),
            by: rustix::process::getuid().as_raw(),
        });
        let of = |entry: &&mut Highest| entry.name == name && entry.key == key;
        match self.highest.iter_mut().find(of) {
            Some(entry) => entry.release = entry.release.max(release),
            None => {
                self.highest.push(Highest {
                    name: name.to_owned(),
                    key: key.to_owned(),
                    release,
                });
                if self.highest.len() > MOST_NAMES {
                    self.highest.remove(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(releases: &Releases, release: u64, sha256: &str) -> Result<bool, &'static str> {
        let text = include_str!("../../../models/starter/bundle.toml");
        let mut manifest = Manifest::parse(text).unwrap();
        manifest.release = release;
        let found = releases.check(Path::new("b"), &manifest, "K", sha256);
        found
            .map(|older| older.is_some())
            .map_err(|error| error.code())
    }

    #[test]
    fn an_older_release_is_refused_but_for_the_one_that_a_person_went_back_to() {
        let mut releases = Releases::default();
        assert_eq!(check(&releases, 0, "a"), Ok(false));
        releases.put_in_use("starter", "K", 3, "c");
        assert_eq!(check(&releases, 3, "c"), Ok(false));
        assert_eq!(check(&releases, 4, "d"), Ok(false));
        assert_eq!(check(&releases, 2, "b"), Err("bundle_older"));
        releases.put_in_use("starter", "K", 2, "b");
        assert_eq!(check(&releases, 2, "b"), Ok(true));
        assert_eq!(check(&releases, 2, "other"), Err("bundle_older"));
        assert_eq!(check(&releases, 3, "c"), Ok(false));
        releases.put_in_use("starter", "K", 3, "c");
        assert_eq!(check(&releases, 2, "b"), Err("bundle_older"), "forgotten");
        releases.put_in_use("starter", "L", 1, "x");
        assert_eq!(check(&releases, 2, "b"), Err("bundle_older"), "keys apart");
    }
}
