//! Images of answered cases, each under its SHA-256: for sinks that need them, and to run a
//! case again. They are kept by age and space; what the journal says of a case is kept for
//! ever. Nothing here looks into an image or decides what a sink owes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::device::cases::images::is_whole;
use crate::sha256::Sha256;
use crate::storage::{Area, Name, Storage};

/// What a second name of an image ends in, until it has its own.
const FRESH: &str = "new";

/// The folder in the state folder.
pub const FOLDER: &str = "kept";

/// How long images of answered cases are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Once every sink that needs it has the answer.
    pub images_for: Duration,
    /// All together, in bytes.
    pub images_up_to: u64,
    /// Where a sink that needs it has not.
    pub undelivered_for: Duration,
    /// Bytes that must be left free on the state folder's disk.
    pub least_free: u64,
}

impl Keeping {
    /// MiB that kept images may take, where nothing says otherwise.
    pub const IMAGES_MIB: u32 = 4096;
    /// Days that one is kept for a sink, where nothing says otherwise.
    pub const UNDELIVERED_DAYS: u32 = 30;
    /// MiB that must be left free, where nothing says otherwise.
    pub const FREE_MIB: u32 = 64;
}

impl Default for Keeping {
    fn default() -> Self {
        let mib = |mib: u32| u64::from(mib) << 20;
        Self {
            images_for: Duration::ZERO,
            images_up_to: mib(Self::IMAGES_MIB),
            undelivered_for: Duration::from_secs(u64::from(Self::UNDELIVERED_DAYS) * 86_400),
            least_free: mib(Self::FREE_MIB),
        }
    }
}

/// One image that is kept.
#[derive(Debug)]
struct Image {
    bytes: u64,
    cases: BTreeSet<u64>,
    /// When the last of them was answered.
    since: Timestamp,
}

/// An image that is to be kept no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evicted {
    pub sha256: Sha256,
    pub cases: Vec<u64>,
    /// Whether a sink goes without it.
    pub is_awaited: bool,
}

/// The images that are kept.
#[derive(Debug)]
pub(crate) struct Kept {
    storage: Arc<dyn Storage>,
    keeping: Keeping,
    images: BTreeMap<Sha256, Image>,
}

/// Where a state folder keeps the image of this hash, while it does.
pub fn path(state: &Path, sha256: &Sha256) -> PathBuf {
    state.join(FOLDER).join(sha256.to_string())
}

impl Kept {
    /// Opens the folder. Images are known only once they are [`remember`](Self::remember)ed.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn open(storage: Arc<dyn Storage>, keeping: Keeping) -> std::io::Result<Self> {
        storage.make(Area::Kept)?;
        let images = BTreeMap::new();
        Ok(Self {
            storage,
            keeping,
            images,
        })
    }

    /// Whether images are kept that no sink needs.
    pub fn keeps(&self) -> bool {
        !self.keeping.images_for.is_zero()
    }

    /// The hashes of the images that lie in the folder.
    pub fn files(&self) -> std::io::Result<BTreeSet<Sha256>> {
        let names = self.storage.names(Area::Kept)?.into_iter();
        Ok(names.filter_map(|name| hash(&name)).collect())
    }

    /// A case's image lies in the folder.
    pub fn remember(&mut self, case: u64, sha256: &Sha256, since: Timestamp) {
        let name = sha256.to_string();
        let about = self.storage.about(Area::Kept.named(&name));
        let bytes = about.map_or(0, |about| about.bytes);
        let image = self.images.entry(*sha256).or_insert(Image {
            bytes,
            cases: BTreeSet::new(),
            since,
        });
        image.cases.insert(case);
        image.since = image.since.max(since);
    }

    /// Moves a case's image into the folder, or links it there where others `want` it where
    /// it lies. One that is there already stays, unless it is damaged.
    ///
    /// # Errors
    /// What the system says; the image is then where it was.
    pub fn adopt(&self, sha256: &Sha256, given: Name<'_>, is_wanted: bool) -> std::io::Result<()> {
        let storage = &*self.storage;
        let (kept, fresh) = (sha256.to_string(), format!("{sha256}.{FRESH}"));
        let (kept, fresh) = (Area::Kept.named(&kept), Area::Kept.named(&fresh));
        match (is_whole(storage, kept, sha256), is_wanted) {
            (true, true) => {}
            (true, false) => storage.remove(given)?,
            (false, true) => {
                // Left behind where power failed.
                storage.remove_if_there(fresh)?;
                storage.link(given, fresh)?;
                rename(storage, fresh, kept)?;
            }
            (false, false) => rename(storage, given, kept)?,
        }
        Ok(())
    }

    /// Forgets an image whose purge is in the journal.
    ///
    /// # Errors
    /// What the system says; the next start removes it.
    pub fn remove(&mut self, sha256: &Sha256) -> std::io::Result<()> {
        self.images.remove(sha256);
        let name = sha256.to_string();
        Ok(self.storage.remove(Area::Kept.named(&name))?)
    }

    /// Removes what lies in the folder and belongs to no case that is known.
    ///
    /// # Errors
    /// What the system says.
    pub fn sweep(&self) -> std::io::Result<()> {
        for name in self.storage.names(Area::Kept)? {
            let is_known = hash(&name).is_some_and(|hash| self.images.contains_key(&hash));
            if !is_known {
                self.storage.remove_if_there(Area::Kept.named(&name))?;
            }
        }
        Ok(())
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> u64 {
        self.images.values().map(|image| image.bytes).sum()
    }

    /// The images that are to go now: those that are old enough, then, where all together
    /// are too many bytes, the oldest, those that a sink needs last. Where the disk is
    /// `lacking` bytes, the oldest that no sink needs.
    pub fn evicted(
        &self,
        now: Timestamp,
        mut lacking: u64,
        is_awaited: impl Fn(u64) -> bool,
    ) -> Vec<Evicted> {
        let awaited = |image: &Image| image.cases.iter().any(|case| is_awaited(*case));
        let images = self.images.iter();
        let mut images: Vec<_> = images
            .map(|(name, image)| (awaited(image), image, name))
            .collect();
        images.sort_by_key(|(is_awaited, image, _)| (*is_awaited, image.since));
        let (mut left, mut evicted) = (self.bytes(), Vec::new());
        for (is_awaited, image, sha256) in images {
            let is_old = age(image.since, now) >= self.most_age(is_awaited);
            let makes_room = lacking > 0 && !is_awaited;
            if is_old || makes_room || left > self.keeping.images_up_to {
                left -= image.bytes;
                lacking = lacking.saturating_sub(image.bytes);
                evicted.push(Evicted {
                    sha256: *sha256,
                    cases: image.cases.iter().copied().collect(),
                    is_awaited,
                });
            }
        }
        evicted
    }

    /// Whether images that a sink needs will have to go before long: they take nine tenths
    /// of the space or of the time that there is for them.
    pub fn is_short(&self, now: Timestamp, is_awaited: impl Fn(u64) -> bool) -> bool {
        let awaited = |image: &&Image| image.cases.iter().any(|case| is_awaited(*case));
        let awaited: Vec<&Image> = self.images.values().filter(awaited).collect();
        let bytes: u64 = awaited.iter().map(|image| image.bytes).sum();
        let oldest = awaited.iter().map(|image| age(image.since, now)).max();
        bytes > self.keeping.images_up_to / 10 * 9
            || oldest.is_some_and(|age| age > self.keeping.undelivered_for / 10 * 9)
    }

    fn most_age(&self, is_awaited: bool) -> Duration {
        if is_awaited {
            self.keeping.undelivered_for
        } else {
            self.keeping.images_for
        }
    }
}

/// The hash that a file is named by.
fn hash(name: &OsStr) -> Option<Sha256> {
    name.to_str()?.parse().ok()
}

/// Renames a file, also where both are names of one file: the system leaves both then.
fn rename(storage: &dyn Storage, from: Name<'_>, to: Name<'_>) -> std::io::Result<()> {
    storage.rename(from, to)?;
    Ok(storage.remove_if_there(from)?)
}

fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since).max(SignedDuration::ZERO)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Disk;

    const HOUR: i64 = 3600;

    /// A hash that a letter stands for.
    fn named(letter: char) -> Sha256 {
        Sha256([letter as u8; 32])
    }

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * HOUR).unwrap()
    }

    fn open(state: &Path, keeping: Keeping) -> Kept {
        let storage = Disk::make(state).unwrap();
        storage.make(Area::Images).unwrap();
        Kept::open(storage, keeping).unwrap()
    }

    /// What an image is called before it is kept.
    fn source_name() -> Name<'static> {
        Area::Images.named("source")
    }

    /// Images `a`, `b`, `c` ... of the cases 1, 2, 3 ..., 100 bytes each, an hour apart.
    fn kept(state: &Path, count: u8, keeping: Keeping) -> Kept {
        let mut kept = open(state, keeping);
        for (name, case) in (b'a'..).zip(1..=count) {
            let (name, source) = (named(char::from(name)), state.join("images/source"));
            std::fs::write(&source, [case; 100]).unwrap();
            kept.adopt(&name, source_name(), false).unwrap();
            kept.remember(u64::from(case), &name, at(i64::from(case)));
        }
        kept
    }

    fn names(evicted: Vec<Evicted>) -> String {
        let letter = |evicted: Evicted| char::from(evicted.sha256.0[0]);
        evicted.into_iter().map(letter).collect()
    }

    #[test]
    fn images_go_by_age_and_those_that_a_sink_needs_later() {
        let folder = tempfile::tempdir().unwrap();
        let keeping = Keeping {
            images_for: Duration::from_secs(2 * 3600),
            undelivered_for: Duration::from_secs(10 * 3600),
            ..Keeping::default()
        };
        let kept = kept(folder.path(), 4, keeping);
        let needs_a = |case| case == 1;
        assert_eq!(names(kept.evicted(at(2), 0, needs_a)), "");
        assert_eq!(names(kept.evicted(at(5), 0, needs_a)), "bc");
        assert_eq!(names(kept.evicted(at(11), 0, needs_a)), "bcda");
        assert!(!kept.is_short(at(10), needs_a) && kept.is_short(at(11), needs_a));
        // A clock set back makes nothing old.
        assert_eq!(names(kept.evicted(at(0), 0, needs_a)), "");
    }

    #[test]
    fn the_oldest_go_where_there_is_no_room_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let keeping = Keeping {
            images_for: Duration::MAX,
            images_up_to: 250,
            undelivered_for: Duration::MAX,
            least_free: 0,
        };
        let mut kept = kept(folder.path(), 4, keeping);
        assert_eq!(names(kept.evicted(at(9), 0, |_| false)), "ab");
        assert_eq!(names(kept.evicted(at(9), 0, |case| case < 3)), "cd");
        assert_eq!(names(kept.evicted(at(9), 0, |_| true)), "ab");
        assert!(kept.is_short(at(9), |_| true) && !kept.is_short(at(9), |case| case < 3));
        assert_eq!(names(kept.evicted(at(9), 300, |case| case != 3)), "ca");
        kept.remove(&named('a')).unwrap();
        assert_eq!(
            (kept.bytes(), names(kept.evicted(at(9), 0, |_| false))),
            (300, "b".into())
        );
    }

    #[test]
    fn an_image_that_others_want_stays_where_it_is_and_strays_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = open(folder.path(), Keeping::default());
        let source = folder.path().join("images/source");
        std::fs::write(&source, b"image").unwrap();
        kept.adopt(&named('a'), source_name(), true).unwrap();
        kept.remember(1, &named('a'), at(1));
        assert!(source.exists() && path(folder.path(), &named('a')).exists());
        kept.adopt(&named('a'), source_name(), false).unwrap();
        kept.remember(2, &named('a'), at(2));
        assert!(!source.exists());
        assert_eq!(kept.evicted(at(3), 0, |_| false)[0].cases, [1, 2]);
        std::fs::write(path(folder.path(), &named('b')), b"stray").unwrap();
        kept.sweep().unwrap();
        assert_eq!(kept.files().unwrap(), BTreeSet::from([named('a')]));
    }

    #[test]
    fn what_no_image_is_called_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let kept = open(folder.path(), Keeping::default());
        let stray = folder.path().join(FOLDER).join("stray.new");
        std::fs::write(&stray, b"half").unwrap();
        assert_eq!(kept.files().unwrap(), BTreeSet::new());
        kept.sweep().unwrap();
        assert!(!stray.exists());
    }
}
