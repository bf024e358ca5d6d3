//! A device on a bench, with a console, whose processes are sent signals.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::console::Cable;
use super::device::{Device, PATIENCE};
use super::phantom;

/// A device and the cable to its console.
pub struct Bench {
    /// State, port and log.
    pub folder: tempfile::TempDir,
    /// The console.
    pub cable: Cable,
    /// The device.
    pub device: Device,
}

impl Bench {
    /// A device that may take so long for a case.
    pub fn with_deadline(deadline: Duration) -> Self {
        let deadline = deadline.as_secs().to_string();
        Self::with(&["--deadline", &deadline], |_| ())
    }

    /// A device with more arguments, and whatever else it is started with.
    pub fn with(more: &[&str], and: impl FnOnce(&mut Command)) -> Self {
        Self::on(tempfile::tempdir().unwrap(), more, and)
    }

    /// The same in a folder that holds something already.
    pub fn on(folder: tempfile::TempDir, more: &[&str], and: impl FnOnce(&mut Command)) -> Self {
        let cable = Cable::plug(&folder.path().join("port"));
        let mut command = Device::command(folder.path(), &["port"], 115_200, more);
        and(&mut command);
        let device = Device::start_as(folder.path(), &["port"], command);
        Self {
            folder,
            cable,
            device,
        }
    }

    /// Starts it again on the same state, after it has ended.
    pub fn restart(&mut self) {
        self.cable = Cable::plug(&self.folder.path().join("port"));
        self.device = Device::start(self.folder.path(), &["port"], 115_200);
    }

    /// Has a case run; gives what was answered.
    pub fn accept(&mut self, name: &str) -> String {
        let path = phantom(name).display().to_string();
        self.cable.ask(&format!("CASE:RUN {path}"))
    }

    /// The worker, as soon as there is another one than `last`.
    pub fn worker(&self, last: Option<Pid>) -> Pid {
        let begin = Instant::now();
        loop {
            match self.device.worker() {
                Some(worker) if Some(worker) != last => return worker,
                _ => {}
            }
            assert!(begin.elapsed() < PATIENCE, "{}", self.device.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// From now on its worker is stuck: one that is stopped before it is asked is so for
    /// certain, whatever the machine does beside.
    pub fn stick(&self) -> Pid {
        let worker = self.worker(None);
        kill_process(worker, Signal::STOP).unwrap();
        worker
    }
}
