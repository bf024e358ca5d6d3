//! Which files are whole: those whose size and time have not changed for a while. In go the files
//! of a look and the time; out come those that have settled. The clock is the one that nobody can
//! set.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant, SystemTime};

/// What a change shows in. The time of the last write can be set by whoever writes, as copying
/// programs do; that of the last change cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// Where the file system has it.
    modified: Option<SystemTime>,
    size: u64,
    /// Device and inode.
    file: (u64, u64),
    /// Seconds and nanoseconds of the last change, be it of bytes, name or rights.
    changed: (i64, i64),
}

impl Mark {
    pub fn of(about: &Metadata) -> Self {
        Self {
            modified: about.modified().ok(),
            size: about.len(),
            file: (about.dev(), about.ino()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }

    /// Whether this is the same file with the same bytes, under whatever name.
    pub fn is_of(&self, about: &Metadata) -> bool {
        let now = Self::of(about);
        (self.modified, self.size, self.file) == (now.modified, now.size, now.file)
    }
}

/// Files, and since when they are as they are.
#[derive(Debug)]
pub(super) struct Settler {
    patience: Duration,
    seen: BTreeMap<OsString, (Mark, Instant)>,
}

impl Settler {
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            seen: BTreeMap::new(),
        }
    }

    /// Takes what a look found; gives the files that are still, the oldest first.
    pub fn look(
        &mut self,
        found: &BTreeMap<OsString, Mark>,
        is_written: impl Fn(&OsStr) -> bool,
        now: Instant,
    ) -> Vec<(OsString, Mark)> {
        self.seen.retain(|name, _| found.contains_key(name));
        let mut still = Vec::new();
        for (name, mark) in found {
            let seen = self.seen.entry(name.clone()).or_insert((*mark, now));
            if seen.0 != *mark || is_written(name) {
                *seen = (*mark, now);
            }
            if now.duration_since(seen.1) >= self.patience {
                still.push((name.clone(), *mark));
            }
        }
        still.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        still
    }

    /// Begins to count anew for one of them.
    pub fn forget(&mut self, name: &OsStr) {
        self.seen.remove(name);
    }

    /// How long until the next one may be still; `None` where all are.
    pub fn next(&self, now: Instant) -> Option<Duration> {
        let left =
            |(_, since): &(Mark, Instant)| self.patience.checked_sub(now.duration_since(*since));
        let left = self.seen.values().filter_map(left);
        left.filter(|left| !left.is_zero()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3);

    fn mark(size: u64, second: u64) -> Mark {
        Mark {
            modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(second)),
            size,
            file: (0, 0),
            changed: (0, 0),
        }
    }

    fn names(still: &[(OsString, Mark)]) -> Vec<&str> {
        still.iter().filter_map(|(name, _)| name.to_str()).collect()
    }

    #[test]
    fn a_file_is_still_when_nothing_changed_for_long_enough() {
        let mut settler = Settler::new(PATIENCE);
        let start = Instant::now();
        let mut look = |second: u64, mark, is_written| {
            let found = BTreeMap::from([(OsString::from("a"), mark)]);
            let now = start + Duration::from_secs(second);
            settler.look(&found, |_| is_written, now).len()
        };
        assert_eq!(look(0, mark(1, 0), false), 0, "just seen");
        assert_eq!(look(2, mark(2, 0), false), 0, "it grew");
        assert_eq!(look(4, mark(2, 9), false), 0, "it was written over");
        assert_eq!(look(6, mark(2, 9), true), 0, "someone has it open");
        assert_eq!(look(8, mark(2, 9), false), 0, "since then, two seconds");
        assert_eq!(look(9, mark(2, 9), false), 1);
        assert_eq!(look(100, mark(2, 9), false), 1, "as long as it stays");
        settler.forget(OsStr::new("a"));
        assert_eq!(settler.next(start), None);
    }

    #[test]
    fn the_oldest_comes_first_and_what_is_gone_counts_anew() {
        let mut settler = Settler::new(PATIENCE);
        let start = Instant::now();
        let found = BTreeMap::from([
            (OsString::from("new"), mark(1, 20)),
            (OsString::from("old"), mark(1, 10)),
        ]);
        let later = start + PATIENCE;
        assert!(settler.look(&found, |_| false, start).is_empty());
        assert_eq!(settler.next(start), Some(PATIENCE));
        assert_eq!(
            names(&settler.look(&found, |_| false, later)),
            ["old", "new"]
        );
        assert_eq!(settler.next(later), None, "all are still");
        settler.look(&BTreeMap::new(), |_| false, later);
        assert!(settler.look(&found, |_| false, later).is_empty());
    }
}
