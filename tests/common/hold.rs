//! A device whose worker stands still for as long as a test likes: the case that runs goes on
//! running, and those behind it wait.

use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::console::Cable;
use super::device::{Device, PATIENCE};
use super::phantom;

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

    /// The same while a case of the console runs: whatever is given to the device now waits behind
    /// it, and no decoder looks at its image yet.
    pub fn on_a_case(device: &Device, console: &mut Cable) -> Self {
        let hold = Self::worker(device);
        let brain = phantom("brain.png");
        let case = console.ask(&format!("CASE:RUN \"{}\"", brain.display()));
        let running = format!("{case} running");
        console.wait_for(&format!("CASE:STAT? {case}"), &running);
        hold
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
