//! The time of day for the journal's entries, and whether somebody set the clock since the entry
//! before. Called by the writer. Never changes a clock.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;

/// A clock that is kept right by a time server moves by less.
const SET: SignedDuration = SignedDuration::from_secs(2);

/// What the wall's clock showed last, and how long ago by the one that nobody can set.
#[derive(Debug)]
pub(super) struct WallClock {
    clock: Clock,
    shown: Timestamp,
    at: Instant,
}

/// A clock that was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Set {
    /// What it would have shown.
    pub from: Timestamp,
    /// What it shows.
    pub to: Timestamp,
}

impl WallClock {
    /// A clock that showed this at least when the device was last on.
    pub fn not_before(last: Option<Timestamp>, clock: Clock) -> (Self, Option<Set>) {
        let now = clock.wall();
        let set = last
            .filter(|last| *last > now)
            .map(|from| Set { from, to: now });
        let at = clock.now();
        let shown = now;
        (Self { clock, shown, at }, set)
    }

    /// What it shows now.
    pub fn time(&self) -> Timestamp {
        self.clock.wall()
    }

    /// What it shows now, and whether it was set since it was last looked at.
    pub fn look(&mut self) -> (Timestamp, Option<Set>) {
        let (now, at) = (self.time(), self.clock.now());
        let set = set_between(self.shown, at.duration_since(self.at), now);
        (self.shown, self.at) = (now, at);
        (now, set)
    }
}

/// By how much the clock was set all together, after it was set once more.
pub(super) fn further(shift: SignedDuration, from: Timestamp, to: Timestamp) -> SignedDuration {
    shift.saturating_add(to.duration_since(from))
}

/// What a clock shows now would it show, had it never been set.
pub(super) fn steady(time: Timestamp, shift: SignedDuration) -> Timestamp {
    time.saturating_sub(shift).unwrap_or(time)
}

fn set_between(shown: Timestamp, elapsed: Duration, now: Timestamp) -> Option<Set> {
    let elapsed = SignedDuration::try_from(elapsed).ok()?;
    let from = shown.checked_add(elapsed).ok()?;
    (now.duration_since(from).abs() > SET).then_some(Set { from, to: now })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_either_way_is_told_from_one_that_drifts() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let year = 365 * 86_400;
        for (now, is_set) in [(110, false), (111, false), (107, true), (113, true)] {
            let found = set_between(at(100), Duration::from_secs(10), at(now));
            assert_eq!(found.is_some(), is_set, "{now}");
        }
        for to in [at(year * 60), at(year * 58)] {
            let found = set_between(at(year * 59), Duration::ZERO, to).unwrap();
            assert_eq!((found.from, found.to), (at(year * 59), to));
        }
    }

    #[test]
    fn a_clock_set_back_while_the_device_was_off_is_noticed() {
        let future = Timestamp::from_second(9_000_000_000).unwrap();
        let (mut clock, set) = WallClock::not_before(Some(future), Clock::system());
        assert_eq!(set.unwrap().from, future);
        assert_eq!(clock.look().1, None);
        assert_eq!(WallClock::not_before(None, Clock::system()).1, None);
    }
}
