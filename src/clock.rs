//! The clock, as a value that is handed down: what time it is, how much time has gone by, and
//! waiting.
//!
//! Whoever starts a device or opens a journal hands in a [`Clock`], usually [`Clock::system`].
//! Everything in the device's core asks this value and never the system, so that a simulation can
//! run the same code in a time of its own: hours in milliseconds, the same for the same seed. Who
//! may ask the system itself stands in `scripts/architecture`, which checks it.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// What a clock shows, and whether time is waited for.
pub trait Time: fmt::Debug + Send + Sync {
    /// The time of day, which anybody may set.
    fn wall(&self) -> Timestamp;

    /// A time that nobody can set: for waits and ages.
    fn now(&self) -> Instant;

    /// Has the time of day be this from now on, for whoever asks here. False where it cannot.
    fn set_wall(&self, to: Timestamp) -> bool;

    /// Lets so much time go by at once, where this time is simulated. False where it goes by
    /// itself: then the caller waits.
    fn skip(&self, time: Duration) -> bool;
}

/// A clock. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Arc<dyn Time>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::of(System::default())
    }

    /// A clock that shows this time.
    pub fn of(time: impl Time + 'static) -> Self {
        Self(Arc::new(time))
    }

    /// The time of day, which anybody may set.
    pub fn wall(&self) -> Timestamp {
        self.0.wall()
    }

    /// Has the time of day be this from now on: an offset of this clock's own, for it and its clones. The system's
    /// stays as it is. False where it cannot.
    pub fn set_wall(&self, to: Timestamp) -> bool {
        self.0.set_wall(to)
    }

    /// A time that nobody can set: for waits and ages.
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// How long ago that was; nothing where it is still to come.
    pub fn since(&self, before: Instant) -> Duration {
        self.now().saturating_duration_since(before)
    }

    /// How long it is until then; nothing where that is over.
    pub fn until(&self, then: Instant) -> Duration {
        then.saturating_duration_since(self.now())
    }

    /// Waits.
    pub fn sleep(&self, time: Duration) {
        if !self.0.skip(time) {
            std::thread::sleep(time);
        }
    }

    /// Waits until `called` is notified, but no longer than `most`; it may wake before.
    pub fn wait<'a, T>(
        &self,
        called: &Condvar,
        guard: MutexGuard<'a, T>,
        most: Duration,
    ) -> MutexGuard<'a, T> {
        if self.0.skip(most) {
            return guard;
        }
        let waited = called.wait_timeout(guard, most);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Waits as long as the condition holds, but no longer than `most`. It is looked at once more
    /// whenever `called` is notified.
    pub fn wait_while<'a, T>(
        &self,
        called: &Condvar,
        mut guard: MutexGuard<'a, T>,
        most: Duration,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        let until = self.now().checked_add(most);
        while condition(&mut guard) {
            let left = until.map_or(most, |until| self.until(until));
            if left.is_zero() {
                break;
            }
            guard = self.wait(called, guard, left);
        }
        guard
    }
}

/// The system's time, and how far that of day was moved.
#[derive(Debug, Default)]
struct System {
    offset_ns: AtomicI64,
}

impl Time for System {
    fn wall(&self) -> Timestamp {
        let offset = SignedDuration::from_nanos(self.offset_ns.load(Ordering::Relaxed));
        let now = Timestamp::now();
        now.checked_add(offset).unwrap_or(now)
    }

    fn set_wall(&self, to: Timestamp) -> bool {
        let offset = to.duration_since(Timestamp::now()).as_nanos();
        let Ok(offset) = i64::try_from(offset) else {
            return false;
        };
        self.offset_ns.store(offset, Ordering::Relaxed);
        true
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn skip(&self, _: Duration) -> bool {
        false
    }
}

#[cfg(test)]
pub(crate) mod simulated {
    //! A time that moves only when somebody waits, or when a test says so.

    use super::*;
    use std::sync::Mutex;

    /// A simulated time. Clones are the same one.
    #[derive(Debug, Clone)]
    pub(crate) struct Simulated(Arc<Mutex<Shown>>);

    #[derive(Debug)]
    struct Shown {
        wall: Timestamp,
        now: Instant,
    }

    impl Simulated {
        pub fn beginning_at(wall: Timestamp) -> Self {
            let now = Instant::now();
            Self(Arc::new(Mutex::new(Shown { wall, now })))
        }

        pub fn clock(&self) -> Clock {
            Clock::of(self.clone())
        }

        /// Somebody sets the clock that hangs on the wall.
        pub fn set_wall(&self, wall: Timestamp) {
            self.0.lock().unwrap().wall = wall;
        }
    }

    impl Time for Simulated {
        fn wall(&self) -> Timestamp {
            self.0.lock().unwrap().wall
        }

        fn now(&self) -> Instant {
            self.0.lock().unwrap().now
        }

        fn set_wall(&self, to: Timestamp) -> bool {
            Simulated::set_wall(self, to);
            true
        }

        fn skip(&self, time: Duration) -> bool {
            let mut shown = self.0.lock().unwrap();
            shown.now += time;
            shown.wall += time;
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::simulated::Simulated;
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn simulated_time_goes_by_only_by_waiting() {
        let begin: Timestamp = "2026-11-26T00:00:00Z".parse().unwrap();
        let time = Simulated::beginning_at(begin);
        let (clock, called, looked) = (time.clock(), Condvar::new(), Mutex::new(0));
        let before = clock.now();
        let day = Duration::from_secs(24 * 60 * 60);
        clock.sleep(day);
        drop(clock.wait(&called, looked.lock().unwrap(), day));
        let waited = clock.wait_while(&called, looked.lock().unwrap(), day, |looked| {
            *looked += 1;
            true
        });
        assert_eq!(*waited, 2);
        assert_eq!(clock.since(before), 3 * day);
        assert_eq!(clock.wall(), begin + 3 * day);
        time.set_wall(begin);
        assert_eq!((clock.wall(), clock.since(before)), (begin, 3 * day));
    }

    #[test]
    fn whoever_waits_by_the_systems_clock_is_woken() {
        let clock = Clock::system();
        let (called, is_there) = (Condvar::new(), Mutex::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                *is_there.lock().unwrap() = true;
                called.notify_all();
            });
            let hour = Duration::from_secs(60 * 60);
            let guard = is_there.lock().unwrap();
            assert!(*clock.wait_while(&called, guard, hour, |is_there| !*is_there));
        });
        let guard = is_there.lock().unwrap();
        let begun = clock.now();
        let little = Duration::from_millis(20);
        drop(clock.wait_while(&called, guard, little, |_| true));
        assert!(clock.since(begun) >= little);
    }
}
