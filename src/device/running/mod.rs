//! A device at work: images go in, events and answers come out, until it is switched off.
//! [`Device::start`] makes it. Whoever holds it waits until it ends, or switches it off.

mod chosen_sinks;
pub(super) mod reload;
pub(super) mod start;

use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, shutdown};

use crate::case::{Bound, Giver, Order};
use crate::device::case_error::CaseError;
use crate::device::cases::Cases;
use crate::device::cases::images::Begun;
use crate::device::config::Changes;
use crate::device::device_fault::DeviceFault;
use crate::device::display::Displays;
use crate::device::events::Listener;
use crate::device::health::LastWord;
use crate::device::lifecycle::Lifecycle;
use crate::device::running::reload::Reload;
use crate::device::running::start::DeviceError;
use crate::device::status::DeviceStatus;
use crate::journal::Told;
use crate::sha256::Sha256;

/// What a part of the device that was told to end may still take.
const LAST_TURN: Duration = Duration::from_secs(5);

/// A device at work.
#[derive(Debug)]
pub struct Device {
    parts: Parts,
    displays: Option<Displays>,
}

/// How a device came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    /// It was switched off.
    SwitchedOff,
    /// Standard input, its last line, was closed; and why it answered no case then.
    InputClosed(Option<DeviceFault>),
}

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

/// All that works, each on a thread of its own.
#[derive(Debug)]
pub(super) struct Parts {
    pub cases: Arc<Cases>,
    pub last_word: LastWord,
    pub reload: Arc<Reload>,
    pub ended: Receiver<End>,
    /// Where connections come in.
    pub listening: Vec<OwnedFd>,
    /// How many parts have not ended.
    pub at_work: usize,
    /// How many of them are lines.
    pub lines: usize,
}

impl Parts {
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

    /// Waits until the device is switched off and has put its work down. True where that was
    /// because its last line, which was standard input, was closed.
    fn wait(&mut self) -> Result<bool, DeviceError> {
        let mut input_closed = false;
        loop {
            let ended = self.ended.recv();
            self.at_work -= 1;
            match ended {
                Ok((Part::Supervisor, Ok(()))) => return Ok(input_closed),
                Ok((Part::Line, Ok(()))) => {
                    self.lines -= 1;
                    if self.lines == 0 {
                        input_closed = self.cases.lifecycle().is_on();
                        self.cases.lifecycle().switch_off();
                    }
                }
                Ok((Part::Other, Ok(()))) => {}
                Ok((_, Err(_))) | Err(_) => return Err(DeviceError::Part),
            }
        }
    }

    /// The device ends: nothing more is written, and every part comes to its end.
    pub fn end(&self) {
        self.cases.sign_off();
        self.last_word.say();
        self.cases.lifecycle().end();
        self.cases.wake_all();
        for listener in &self.listening {
            // One that cannot be shut down has no one left to serve all the same.
            let _ = shutdown(listener, Shutdown::Both);
        }
    }

    /// Ends what has begun already of a device that does not start.
    pub fn put_down(&mut self) {
        self.cases.lifecycle().switch_off();
        self.cases.lifecycle().switch_off();
        // How it ended matters to nobody now.
        let _ = self.wait();
        self.end();
    }

    /// Gives all parts a moment to end, so that another device may have the state folder.
    fn join(&mut self) {
        let until = Instant::now() + LAST_TURN;
        while self.at_work > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if self.ended.recv_timeout(left).is_err() {
                log::warn!("{} parts of the device are still at work", self.at_work);
                return;
            }
            self.at_work -= 1;
        }
    }
}

impl Device {
    pub(super) fn of(parts: Parts, displays: Displays) -> Self {
        let displays = Some(displays);
        Self { parts, displays }
    }

    /// How it is now.
    pub fn status(&self) -> DeviceStatus {
        self.parts.cases.status()
    }

    /// Hears everything that happens from now on.
    pub fn subscribe(&self) -> Listener {
        self.parts.cases.events().subscribe()
    }

    /// Has an image answered; where no exam is named, the one that the image itself asks for.
    /// The case is on the disk when this returns: it is answered even if the power fails.
    ///
    /// # Errors
    /// [`CaseError`]: the queue or the store is full, the disk cannot be written.
    pub fn submit(&self, image: &[u8], exam: Option<&str>) -> Result<u64, CaseError> {
        let cases = &self.parts.cases;
        let sha256 = Sha256::of(image);
        let giver = Giver::User(rustix::process::getuid().as_raw());
        let size = u32::try_from(image.len()).map_err(|_| CaseError::ImageTooLarge)?;
        let stored = match cases.begin_image(sha256.0, size, Some(&giver))? {
            Begun::Stored(pin) => Some(pin),
            Begun::Wanted(mut upload) => {
                upload.begin_anew()?;
                upload.take(0, image)?;
                upload.pin()
            }
        };
        let order = Order {
            source: cases.images().path(&sha256.0).display().to_string(),
            image: Some(Bound::Stored(sha256)),
            giver: Some(giver),
            exam: exam.map(str::to_owned),
            ..Order::default()
        };
        let accepted = cases.run_stored(order, &sha256.0);
        // Held until the case is accepted.
        drop(stored);
        accepted
    }

    /// The answer of a case, which serde writes as `docs/finding.schema.json` has it, as soon as there is one;
    /// `None` where it was dropped, or there was none in that time.
    ///
    /// # Errors
    /// [`CaseError::NoSuchCase`], [`CaseError::Storage`].
    pub fn answer(&self, case: u64, patience: Duration) -> Result<Option<Told>, CaseError> {
        let events = self.subscribe();
        let until = Instant::now() + patience;
        while !self.parts.cases.state(case)?.has_ended() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            events.next(left.min(crate::device::status::TICK));
        }
        self.parts.cases.answer(case)
    }

    /// Reads its configuration again, and loads its bundle anew.
    ///
    /// # Errors
    /// What is wrong with it; the device goes on as before.
    pub fn reload(&self) -> Result<Changes, String> {
        self.parts.reload.again()
    }

    /// What reads its configuration again, for another thread.
    pub fn reloader(&self) -> Arc<Reload> {
        Arc::clone(&self.parts.reload)
    }

    /// Its switch.
    pub fn lifecycle(&self) -> &Lifecycle {
        self.parts.cases.lifecycle()
    }

    /// Waits until it is switched off and the case that runs has ended. Nothing is written any
    /// more when this returns, and the displays show nothing of any case.
    ///
    /// # Errors
    /// [`DeviceError::Part`] where it ended by a fault of its own.
    pub fn wait(mut self) -> Result<Ended, DeviceError> {
        self.come_to_an_end()
    }

    /// Switches it off, waits for the case that runs, and lets go of the state folder.
    ///
    /// # Errors
    /// As [`Device::wait`].
    pub fn stop(mut self) -> Result<(), DeviceError> {
        self.lifecycle().switch_off();
        let ended = self.come_to_an_end();
        self.parts.join();
        ended.map(drop)
    }

    fn come_to_an_end(&mut self) -> Result<Ended, DeviceError> {
        let ended = self.parts.wait();
        self.parts.end();
        let ended = ended.map(|input_closed| match input_closed {
            // Who tried it at a desk hears how it stood.
            true => Ended::InputClosed(self.status().fault.as_deref().cloned()),
            false => Ended::SwitchedOff,
        });
        let fault = match &ended {
            Ok(Ended::SwitchedOff) => None,
            Ok(Ended::InputClosed(fault)) => fault.clone(),
            Err(error) => Some(DeviceFault::of(error)),
        };
        if let Some(displays) = self.displays.take() {
            displays.stop(fault);
        }
        ended
    }
}
