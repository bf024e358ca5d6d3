//! Which files are whole: those whose size and time have not changed for a while, which is longer for
//! a file that paused before. In go the files of a look and the time; out come those that have
//! settled. The clock is the one that nobody can set.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
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

    /// Whether this was changed last before another was.
    pub fn is_older_than(&self, other: &Self) -> bool {
        self.changed < other.changed
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
    seen: BTreeMap<PathBuf, Seen>,
}

/// Longest time that a file's own pauses are waited for.
const LONGEST: Duration = Duration::from_secs(600);

/// One file, as it was seen last.
#[derive(Debug)]
struct Seen {
    mark: Mark,
    since: Instant,
    /// The longest time for which it did not change, and then did.
    pause: Duration,
}

impl Seen {
    /// How long it must not change to be whole: a scanner that paused once pauses again.
    fn patience(&self, least: Duration) -> Duration {
        least.max((self.pause * 2).min(LONGEST))
    }

    /// It changed, or is about to: so it paused until now.
    fn pauses(&mut self, now: Instant) {
        self.pause = self.pause.max(now.duration_since(self.since));
    }
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
        found: &BTreeMap<PathBuf, Mark>,
        is_written: impl Fn(&Path) -> bool,
        now: Instant,
    ) -> Vec<(PathBuf, Mark)> {
        self.seen.retain(|name, _| found.contains_key(name));
        let mut still = Vec::new();
        for (name, mark) in found {
            let seen = self.seen.entry(name.clone()).or_insert(Seen {
                mark: *mark,
                since: now,
                pause: Duration::ZERO,
            });
            let is_open = is_written(name);
            // One who keeps the file open while he pauses is known by that.
            if seen.mark != *mark && !is_open {
                seen.pauses(now);
            }
            if seen.mark != *mark || is_open {
                (seen.mark, seen.since) = (*mark, now);
            }
            if now.duration_since(seen.since) >= seen.patience(self.patience) {
                still.push((name.clone(), *mark));
            }
        }
        still.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
        still
    }

    /// One of them changed when it was taken for whole: it is counted anew, and for longer.
    pub fn was_wrong(&mut self, name: &Path, now: Instant) {
        if let Some(seen) = self.seen.get_mut(name) {
            seen.pauses(now);
            seen.since = now;
        }
    }

    /// How long until the next one may be still; `None` where all are.
    pub fn next(&self, now: Instant) -> Option<Duration> {
        let left = |seen: &Seen| {
            let patience = seen.patience(self.patience);
            patience.checked_sub(now.duration_since(seen.since))
        };
        let left = self.seen.values().filter_map(left);
        left.filter(|left| !left.is_zero()).min()
    }
}

#[cfg(test)]
impl Mark {
    /// Of a file that was changed at this second.
    pub fn changed_at(second: i64) -> Self {
        Self {
            modified: None,
            size: 1,
            file: (0, 0),
            changed: (second, 0),
        }
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

    fn names(still: &[(PathBuf, Mark)]) -> Vec<&str> {
        still.iter().filter_map(|(name, _)| name.to_str()).collect()
    }

    #[test]
    fn a_file_is_still_when_nothing_changed_for_long_enough() {
        let mut settler = Settler::new(PATIENCE);
        let start = Instant::now();
        let mut look = |second: u64, mark, is_written| {
            let found = BTreeMap::from([(PathBuf::from("a"), mark)]);
            let now = start + Duration::from_secs(second);
            settler.look(&found, |_| is_written, now).len()
        };
        assert_eq!(look(0, mark(1, 0), false), 0, "just seen");
        assert_eq!(look(2, mark(2, 0), false), 0, "it grew");
        assert_eq!(look(4, mark(2, 9), false), 0, "it was written over");
        assert_eq!(look(6, mark(2, 9), true), 0, "someone has it open");
        assert_eq!(
            look(9, mark(2, 9), false),
            0,
            "it paused for two seconds before"
        );
        assert_eq!(look(10, mark(2, 9), false), 1);
        assert_eq!(look(100, mark(2, 9), false), 1, "as long as it stays");
    }

    #[test]
    fn a_file_that_paused_is_waited_for_longer_than_one_that_did_not() {
        let mut settler = Settler::new(PATIENCE);
        let start = Instant::now();
        let mut look = |second: u64, size, is_written| {
            let found = BTreeMap::from([
                (PathBuf::from("pauses"), mark(size, 0)),
                (PathBuf::from("whole"), mark(1, 0)),
            ]);
            let now = start + Duration::from_secs(second);
            let still = settler.look(
                &found,
                |name| is_written && name == Path::new("pauses"),
                now,
            );
            names(&still).join(" ")
        };
        assert_eq!(look(0, 1, false), "");
        assert_eq!(look(10, 2, false), "whole", "it paused for ten seconds");
        assert_eq!(look(29, 2, false), "whole", "and may again");
        assert_eq!(look(30, 2, false), "whole pauses");
        // Kept open, however long it pauses: once it is closed, that is the end of it.
        assert_eq!(look(35, 3, true), "whole");
        assert_eq!(look(95, 3, true), "whole");
        assert_eq!(look(114, 3, false), "whole");
        assert_eq!(look(115, 3, false), "whole pauses");
        // It changed while it was read.
        settler.was_wrong(Path::new("whole"), start + Duration::from_secs(120));
        let found = BTreeMap::from([(PathBuf::from("whole"), mark(1, 0))]);
        let late = start + Duration::from_secs(300);
        assert!(settler.look(&found, |_| false, late).is_empty());
    }

    #[test]
    fn the_oldest_comes_first_and_what_is_gone_counts_anew() {
        let mut settler = Settler::new(PATIENCE);
        let start = Instant::now();
        let found = BTreeMap::from([
            (PathBuf::from("new"), mark(1, 20)),
            (PathBuf::from("old"), mark(1, 10)),
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
