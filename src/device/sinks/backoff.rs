//! How long to leave something alone that failed: twice as long each time, up to a bound.

use std::time::{Duration, Instant};

/// After the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// After many.
const LAST: Duration = Duration::from_secs(300);

/// What failed lately, and when it may be tried again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Backoff(Option<(Instant, Duration)>);

impl Backoff {
    /// It failed; gives how long to wait.
    pub fn failed(&mut self, now: Instant) -> Duration {
        let wait = self.0.map_or(FIRST, |(_, wait)| (wait * 2).min(LAST));
        self.0 = Some((now, wait));
        wait
    }

    /// How long it is still to be left alone.
    pub fn left(&self, now: Instant) -> Duration {
        self.0.map_or(Duration::ZERO, |(since, wait)| {
            wait.saturating_sub(now.saturating_duration_since(since))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        assert_eq!(backoff.left(now), Duration::ZERO);
        let waits: Vec<u64> = (0..12).map(|_| backoff.failed(now).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(backoff.left(now + Duration::from_secs(100)).as_secs(), 200);
        assert_eq!(backoff.left(now + LAST), Duration::ZERO);
    }
}
