//! Whether the device is on, and that it is alive: how it is switched off, and what the
//! service manager hears of it (`sd_notify`).
//!
//! The watchdog is fed by whoever does the work, each time round its loop, and only while
//! every other loop that was named turns as well. No thread of its own feeds it: where the
//! work stands still, so does the watchdog.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::clock::Clock;
use crate::device::lock::lock;

/// The device's switch, and its line to the service manager.
#[derive(Debug)]
pub struct Lifecycle {
    clock: Clock,
    /// How often it was switched off.
    off: AtomicU8,
    /// Its work was put down: whatever goes on for ever ends.
    ended: AtomicBool,
    feeding: Option<Feeding>,
    loops: Mutex<Vec<Weak<Heartbeat>>>,
}

/// A watchdog that somebody waits on.
#[derive(Debug)]
struct Feeding {
    every: Duration,
    last: Mutex<Instant>,
}

/// A loop that must turn.
#[derive(Debug)]
pub struct Heartbeat {
    name: String,
    clock: Clock,
    /// When it turned last.
    beat: Mutex<Instant>,
    patience: Duration,
}

impl Lifecycle {
    /// On, by this clock, which is the whole device's.
    pub fn on(clock: Clock) -> Self {
        Self::fed_every(None, clock)
    }

    /// The same, watched by whoever started this process, as its environment says.
    pub fn watched(clock: Clock) -> Self {
        // Half of what is waited for, as sd_watchdog_enabled(3) has it.
        Self::fed_every(
            sd_notify::watchdog_enabled().map(|patience| patience / 2),
            clock,
        )
    }

    fn fed_every(every: Option<Duration>, clock: Clock) -> Self {
        let since = clock.now();
        Self {
            clock,
            off: AtomicU8::new(0),
            ended: AtomicBool::new(false),
            feeding: every.map(|every| Feeding {
                every,
                last: Mutex::new(since),
            }),
            loops: Mutex::default(),
        }
    }

    /// Switches off. Once: no case is accepted from now on, and the one that runs is ended
    /// first. Twice: it is put back, to run again after the next start.
    pub fn switch_off(&self) {
        let off = self.off.load(Ordering::Relaxed).saturating_add(1);
        self.off.store(off, Ordering::Relaxed);
        tell(&[NotifyState::Stopping]);
    }

    /// Switches off and does not wait for the case that runs.
    pub fn cut(&self) {
        self.switch_off();
        self.switch_off();
    }

    /// The device's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether nobody switched it off.
    pub fn is_on(&self) -> bool {
        self.off.load(Ordering::Relaxed) == 0
    }

    /// Whether somebody does not even wait for the case that runs.
    pub fn is_cut(&self) -> bool {
        self.off.load(Ordering::Relaxed) > 1
    }

    /// The work is put down, and nothing more is written.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the work is put down: to be asked by whoever goes on for ever.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// The device does what it is for.
    pub fn ready(&self) {
        tell(&[NotifyState::Ready]);
    }

    /// It takes up another configuration; [`Lifecycle::ready`] says when that is over.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => log::warn!("no clock: {error}"),
        }
    }

    /// What it does now, in a few words. Never patient data.
    pub fn status(&self, words: &str) {
        tell(&[NotifyState::Status(words)]);
    }

    /// The work went round its loop once more. To be called by whoever does the work, and
    /// from wherever that may have to wait.
    pub fn beat(&self) {
        let Some(Feeding { every, last }) = &self.feeding else {
            return;
        };
        let mut last = lock(last);
        if self.clock.since(*last) < *every {
            return;
        }
        match self.silent() {
            None => {
                *last = self.clock.now();
                tell(&[NotifyState::Watchdog]);
            }
            Some(name) => log::error!("{name} no longer turns; the watchdog is not fed"),
        }
    }

    /// A further loop that must turn at least so often.
    pub fn must_turn(&self, name: &str, patience: Duration) -> Arc<Heartbeat> {
        let turning = Arc::new(Heartbeat {
            name: name.to_owned(),
            clock: self.clock.clone(),
            beat: Mutex::new(self.clock.now()),
            patience,
        });
        lock(&self.loops).push(Arc::downgrade(&turning));
        turning
    }

    /// A loop that does not turn.
    fn silent(&self) -> Option<String> {
        let mut silent = None;
        lock(&self.loops).retain(|turning| match turning.upgrade() {
            Some(turning) => {
                if turning.silence() > turning.patience {
                    silent = Some(turning.name.clone());
                }
                true
            }
            // One that ended owes nothing.
            None => false,
        });
        silent
    }
}

impl Heartbeat {
    /// It went round once more.
    pub fn beat(&self) {
        *lock(&self.beat) = self.clock.now();
    }

    fn silence(&self) -> Duration {
        self.clock.since(*lock(&self.beat))
    }
}

/// Nothing where no service manager listens.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("the service manager cannot be told: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_named_until_it_turns_or_ends() {
        let lifecycle = Lifecycle::on(Clock::system());
        let patient = lifecycle.must_turn("patient", Duration::MAX);
        let hasty = lifecycle.must_turn("hasty", Duration::from_millis(1));
        assert_eq!(lifecycle.silent().filter(|name| name == "patient"), None);
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(lifecycle.silent().as_deref(), Some("hasty"));
        drop(hasty);
        assert_eq!(lifecycle.silent(), None);
        drop(patient);
        lifecycle.silent();
        assert!(lock(&lifecycle.loops).is_empty(), "forgotten");
    }

    #[test]
    fn it_is_switched_off_in_two_steps() {
        let lifecycle = Lifecycle::on(Clock::system());
        assert!(lifecycle.is_on() && !lifecycle.is_cut());
        lifecycle.switch_off();
        assert!(!lifecycle.is_on() && !lifecycle.is_cut());
        for _ in 0..300 {
            lifecycle.switch_off();
        }
        assert!(!lifecycle.is_on() && lifecycle.is_cut());
    }
}
