//! A device at work: images go in, events and answers come out, until it is switched off.
//! [`Device::start`] makes it. Whoever holds it waits until it ends, or switches it off.

mod chosen_sinks;
pub(super) mod device_error;
pub(super) mod reload;
pub(super) mod start;
pub(super) mod threads;

use std::os::fd::OwnedFd;
use std::sync::Arc;
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
use crate::device::running::device_error::DeviceError;
use crate::device::running::reload::Reload;
use crate::device::running::threads::Threads;
use crate::device::status::DeviceStatus;
use crate::journal::Told;
use crate::sha256::Sha256;

/// What a part of the device that was told to end may still take.
const LAST_TURN: Duration = Duration::from_secs(5);

/// How often it is looked whether everybody let go of the state folder.
const SOON: Duration = Duration::from_millis(10);

/// A device at work. One that is dropped is cut off: the case that runs is put back, to run again
/// after the next start.
#[derive(Debug)]
pub struct Device {
    parts: Parts,
    /// `None` once it has come to its end.
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

/// All that works.
#[derive(Debug)]
pub(super) struct Parts {
    pub cases: Arc<Cases>,
    pub last_word: LastWord,
    pub reload: Arc<Reload>,
    threads: Threads,
    /// Where connections come in.
    pub listening: Vec<OwnedFd>,
}

impl Parts {
    /// Waits until the device is switched off and has put its work down. True where that was
    /// because its last line, which was standard input, was closed.
    fn wait(&mut self) -> Result<bool, DeviceError> {
        self.threads.wait(self.cases.lifecycle())
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
        self.cases.lifecycle().cut();
        // How it ended matters to nobody now.
        let _ = self.wait();
        self.end();
        if let Err(error) = self.threads.join(Instant::now() + LAST_TURN) {
            log::warn!("{error}");
        }
    }

    /// Gives all parts a moment to end, so that another device may have the state folder.
    ///
    /// # Errors
    /// [`DeviceError::StillAtWork`].
    fn join(&mut self) -> Result<(), DeviceError> {
        let until = Instant::now() + LAST_TURN;
        self.threads.join(until)?;
        // Whoever serves a client holds them as well.
        while Arc::strong_count(&self.cases) > 1 {
            if Instant::now() >= until {
                return Err(DeviceError::StillAtWork);
            }
            std::thread::sleep(SOON);
        }
        Ok(())
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
    /// What is wrong with it; the device goes on as before. That it is switched off.
    pub fn reload(&self) -> Result<Changes, String> {
        self.parts.reload.again()
    }

    /// What reads its configuration again, for another thread. It does not keep the device.
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
    /// As [`Device::wait`]; and [`DeviceError::StillAtWork`] where the state folder is not free
    /// after 5 seconds.
    pub fn stop(mut self) -> Result<(), DeviceError> {
        self.lifecycle().switch_off();
        let ended = self.come_to_an_end();
        let joined = self.parts.join();
        ended.and(joined)
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

impl Drop for Device {
    fn drop(&mut self) {
        if self.displays.is_none() {
            return;
        }
        self.lifecycle().cut();
        let ended = self.come_to_an_end();
        if let Err(error) = ended.and(self.parts.join()) {
            log::warn!("{error}");
        }
    }
}
