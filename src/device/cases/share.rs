//! How much of the decoders' processor time each sender has taken of late: what the system
//! counted of each decoder comes in, whether a sender has had more than its share comes out.
//!
//! A sender may take [`BURST`] at once, and a quarter of a processor for as long as it likes.
//! Whoever takes more is refused nothing: its cases wait while any other's do. As nothing of it is
//! decoded meanwhile its account fills up again, so that it never waits for ever. Called by
//! [`Cases`](crate::device::Cases); nothing here looks at a clock or at an image.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Seconds that a sender may take at once: more than any image takes, or some hundred honest ones.
const BURST: f64 = 30.0;
/// Seconds that it gets back in a second.
const SHARE: f64 = 0.25;
/// The deepest debt: it is paid in four minutes.
const DEEPEST: f64 = -60.0;
/// Most senders that are remembered; the one that took the least is forgotten first.
const MOST: usize = 1024;

/// The accounts of all senders, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    accounts: BTreeMap<u64, Account>,
    spent: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Account {
    seconds: f64,
    at: Instant,
}

impl Account {
    fn now(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.seconds + SHARE * since).min(BURST)
    }
}

impl Shares {
    /// A sender's image took this.
    pub fn spend(&mut self, sender: u64, processor: Duration, now: Instant) {
        self.spent += processor;
        let before = self.accounts.get(&sender).map_or(BURST, |a| a.now(now));
        let seconds = (before - processor.as_secs_f64()).max(DEEPEST);
        // Whose account is full is as one who never sent.
        self.accounts.retain(|_, account| account.now(now) < BURST);
        if self.accounts.len() >= MOST {
            let fullest = |a: &Account, b: &Account| a.now(now).total_cmp(&b.now(now));
            let fullest = self.accounts.iter().max_by(|(_, a), (_, b)| fullest(a, b));
            if let Some(sender) = fullest.map(|(sender, _)| *sender) {
                self.accounts.remove(&sender);
            }
        }
        self.accounts.insert(sender, Account { seconds, at: now });
    }

    /// Whether a sender has taken more than its share.
    pub fn is_over(&self, sender: u64, now: Instant) -> bool {
        let account = self.accounts.get(&sender);
        account.is_some_and(|account| account.now(now) < 0.0)
    }

    /// How many have.
    pub fn over(&self, now: Instant) -> usize {
        let accounts = self.accounts.values();
        accounts.filter(|account| account.now(now) < 0.0).count()
    }

    /// What all of them took together.
    pub fn spent(&self) -> Duration {
        self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HONEST: u64 = 1;
    const GREEDY: u64 = 2;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn whoever_takes_more_than_its_share_is_over_until_it_has_waited() {
        let (mut shares, begun) = (Shares::default(), Instant::now());
        for second in 0..300 {
            // A radiograph of half a second every two.
            if second % 2 == 0 {
                shares.spend(HONEST, seconds(1) / 2, begun + seconds(second));
            }
            assert!(!shares.is_over(HONEST, begun + seconds(second)), "{second}");
        }
        // Twice the longest that a decoder may take.
        for _ in 0..2 {
            shares.spend(GREEDY, seconds(20), begun);
        }
        let over = |after: u64| shares.is_over(GREEDY, begun + seconds(after));
        assert!(over(0) && over(39) && !over(41));
        assert_eq!((shares.over(begun), shares.spent()), (1, seconds(75 + 40)));
    }

    #[test]
    fn no_debt_outlasts_four_minutes_and_no_crowd_fills_the_memory() {
        let (mut shares, now) = (Shares::default(), Instant::now());
        for _ in 0..1000 {
            shares.spend(GREEDY, seconds(20), now);
        }
        assert!(shares.is_over(GREEDY, now + seconds(239)));
        assert!(!shares.is_over(GREEDY, now + seconds(241)));
        for sender in 10..3000 {
            shares.spend(sender, seconds(1), now);
        }
        assert!(shares.accounts.len() <= MOST);
        assert!(shares.is_over(GREEDY, now), "who took most is remembered");
    }
}
