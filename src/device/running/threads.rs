//! The threads that a device works on: each tells how it ended, and the device ends with the one
//! that runs its cases, or with the first that fails. Parts that need more threads are handed a
//! [`Spawner`], which is made here: nobody else starts one. Knows nothing of what they do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use crate::device::lifecycle::Lifecycle;
use crate::device::running::device_error::DeviceError;
use crate::device::spawner::{Spawn, Spawner, Work};

/// A part of the device that may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// It runs the cases: the device ends with it.
    Supervisor,
    /// A line, which ends where standard input does.
    Line,
    /// What ends when the device has ended.
    Other,
}

/// How a part ended: by itself, or by a fault of the program.
pub(super) type End = (Part, std::thread::Result<()>);

/// Starts threads of the system's.
#[derive(Debug)]
struct System;

impl Spawn for System {
    fn spawn(&self, name: &'static str, work: Work) -> std::io::Result<()> {
        let thread = std::thread::Builder::new().name(name.to_owned());
        thread.spawn(work).map(drop)
    }
}

/// What parts are handed that need more than one thread.
pub(crate) fn spawner() -> Spawner {
    Spawner::of(System)
}

/// All parts, each on a thread of its own.
#[derive(Debug)]
pub(super) struct Threads {
    ended: Receiver<End>,
    /// How many have not ended.
    at_work: usize,
    /// How many of them are lines.
    lines: usize,
}

impl Threads {
    /// None yet, of which so many will be lines.
    pub fn new(ended: Receiver<End>, lines: usize) -> Self {
        let at_work = 0;
        Self {
            ended,
            at_work,
            lines,
        }
    }

    /// Works on a thread of its own, and tells how that ended.
    pub fn spawn(&mut self, tell: &Sender<End>, part: Part, work: impl FnOnce() + Send + 'static) {
        let tell = tell.clone();
        self.at_work += 1;
        std::thread::spawn(move || {
            let ended = catch_unwind(AssertUnwindSafe(work));
            // Nobody hears it where the program has ended.
            let _ = tell.send((part, ended));
        });
    }

    /// Waits until the supervisor has put its work down. True where that was because the last
    /// line, which was standard input, was closed. Where any part fails, the device is cut off.
    pub fn wait(&mut self, lifecycle: &Lifecycle) -> Result<bool, DeviceError> {
        let mut came = Ok(false);
        loop {
            let (part, ended) = self.ended.recv().map_err(|_| DeviceError::Part)?;
            self.at_work -= 1;
            if ended.is_err() {
                came = Err(DeviceError::Part);
                lifecycle.cut();
            }
            match part {
                Part::Supervisor => return came,
                Part::Line => {
                    self.lines -= 1;
                    if self.lines == 0 {
                        came = came.map(|_| lifecycle.is_on());
                        lifecycle.switch_off();
                    }
                }
                Part::Other => {}
            }
        }
    }

    /// Waits for all that were told to end.
    ///
    /// # Errors
    /// [`DeviceError::StillAtWork`].
    pub fn join(&mut self, until: Instant) -> Result<(), DeviceError> {
        while self.at_work > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left).is_err() {
                return Err(DeviceError::StillAtWork);
            }
            self.at_work -= 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn where_a_part_fails_the_supervisor_puts_its_work_down_first() {
        let (tell, ended) = mpsc::channel();
        let mut threads = Threads::new(ended, 0);
        let lifecycle = Arc::new(Lifecycle::on(crate::clock::Clock::system()));
        let is_down = Arc::new(AtomicBool::new(false));
        let (on, down) = (Arc::clone(&lifecycle), Arc::clone(&is_down));
        threads.spawn(&tell, Part::Supervisor, move || {
            while !on.is_cut() {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis(20));
            down.store(true, Ordering::SeqCst);
        });
        threads.spawn(&tell, Part::Other, || {
            std::panic::resume_unwind(Box::new("a fault"));
        });
        let ended = threads.wait(&lifecycle);
        assert!(matches!(ended, Err(DeviceError::Part)), "{ended:?}");
        assert!(is_down.load(Ordering::SeqCst), "it still worked");
    }
}
