//! How many cases of each giver came to nothing of late: refused for what their image is, or
//! the same image once more. Each is written to the journal for ever, so that whoever floods
//! the device with them would fill its disk. Knows nothing of cases.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::case::Giver;

/// An hour, in which so many may.
const HOUR: Duration = Duration::from_secs(60 * 60);
/// Givers that are remembered; those that were quiet longest are forgotten first.
const MOST_GIVERS: usize = 1024;

/// What each giver has left: an allowance that fills again within an hour.
#[derive(Debug)]
pub(super) struct Refused {
    most: f64,
    left: BTreeMap<Option<Giver>, (f64, Instant)>,
}

impl Refused {
    /// So many an hour of each.
    pub fn new(most: u32) -> Self {
        Self {
            most: f64::from(most),
            left: BTreeMap::new(),
        }
    }

    /// From now on so many an hour.
    pub fn most_an_hour(&mut self, most: u32) {
        self.most = f64::from(most);
    }

    /// Whether this giver has anything left.
    pub fn may(&self, giver: Option<&Giver>, now: Instant) -> bool {
        self.left(&giver.cloned(), now) >= 1.0
    }

    /// One more of this giver's came to nothing.
    pub fn note(&mut self, giver: Option<&Giver>, now: Instant) {
        let giver = giver.cloned();
        let left = (self.left(&giver, now) - 1.0).max(0.0);
        self.left.insert(giver, (left, now));
        if self.left.len() > MOST_GIVERS {
            let quiet = self.left.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(quiet) = quiet.map(|(giver, _)| giver.clone()) {
                self.left.remove(&quiet);
            }
        }
    }

    fn left(&self, giver: &Option<Giver>, now: Instant) -> f64 {
        let Some((left, since)) = self.left.get(giver) else {
            return self.most;
        };
        let hours = now.saturating_duration_since(*since).as_secs_f64() / HOUR.as_secs_f64();
        (left + hours * self.most).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_each_givers_own_and_fills_again() {
        let (mut refused, begin) = (Refused::new(10), Instant::now());
        let (one, other) = (Giver::User(1), Giver::User(2));
        for _ in 0..10 {
            assert!(refused.may(Some(&one), begin));
            refused.note(Some(&one), begin);
        }
        assert!(!refused.may(Some(&one), begin));
        assert!(refused.may(Some(&other), begin) && refused.may(None, begin));
        // A tenth of an hour later there is one more, and never more than all.
        assert!(!refused.may(Some(&one), begin + HOUR / 11));
        assert!(refused.may(Some(&one), begin + HOUR / 9));
        assert_eq!(refused.left(&Some(one), begin + 9 * HOUR), 10.0);
    }

    #[test]
    fn givers_without_end_take_no_memory_without_end() {
        let (mut refused, begin) = (Refused::new(10), Instant::now());
        for user in 0..5000 {
            let later = begin + Duration::from_millis(user.into());
            refused.note(Some(&Giver::User(user)), later);
        }
        assert_eq!(refused.left.len(), MOST_GIVERS);
    }
}
