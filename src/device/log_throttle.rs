//! Lines of the log that would be written without end: a kind of trouble and a sentence come in,
//! the sentence comes out now and then, with how often it was left out. Called where others, or
//! a broken disk, can make the same trouble many times a second. Never writes to the log itself.

use std::fmt::Display;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::device::lock::lock;

/// Between two lines of one kind.
const BETWEEN: Duration = Duration::from_secs(60);

/// What was said of each kind, so that it is not said too often. Kinds are few.
#[derive(Debug)]
pub(super) struct LogThrottle<K>(Mutex<Vec<Said<K>>>);

#[derive(Debug)]
struct Said<K> {
    kind: K,
    last: Instant,
    /// Times that it was left out since.
    left_out: u64,
}

impl<K: PartialEq> LogThrottle<K> {
    /// Nothing was said yet.
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The line to write; `None` where one of this kind was written lately.
    pub fn line(&self, kind: K, what: impl Display, now: Instant) -> Option<String> {
        let mut all = lock(&self.0);
        let Some(said) = all.iter_mut().find(|said| said.kind == kind) else {
            let (last, left_out) = (now, 0);
            all.push(Said {
                kind,
                last,
                left_out,
            });
            return Some(what.to_string());
        };
        if now.saturating_duration_since(said.last) < BETWEEN {
            said.left_out += 1;
            return None;
        }
        said.last = now;
        Some(match std::mem::take(&mut said.left_out) {
            0 => what.to_string(),
            more => format!("{what} ({more} more of the kind since the last)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_said_once_until_it_is_time_again() {
        let (said, now) = (LogThrottle::new(), Instant::now());
        assert_eq!(said.line(1, "one", now).as_deref(), Some("one"));
        assert_eq!(said.line(1, "one", now), None);
        assert_eq!(said.line(2, "two", now).as_deref(), Some("two"));
        let again = said.line(1, "one", now + BETWEEN);
        assert_eq!(
            again.as_deref(),
            Some("one (1 more of the kind since the last)")
        );
    }
}
