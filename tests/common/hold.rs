//! A device whose worker stands still for as long as a test likes: the case that runs goes on
//! running, and those behind it wait.

use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::device::{Device, PATIENCE};

/// A worker that was stopped; it goes on when this is dropped.
pub struct Hold(Pid);

impl Hold {
    /// Stops a device's worker, once there is one.
    pub fn worker(device: &Device) -> Self {
        let begin = Instant::now();
        loop {
            if let Some(worker) = device.worker() {
                kill_process(worker, Signal::STOP).expect("stopped");
                return Self(worker);
            }
            assert!(begin.elapsed() < PATIENCE, "no worker: {}", device.log());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Lets it go on.
    pub fn let_go(self) {}
}

impl Drop for Hold {
    fn drop(&mut self) {
        // A device that was ended took its worker along.
        let _ = kill_process(self.0, Signal::CONT);
    }
}
