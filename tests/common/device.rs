//! `medfocus serve` as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{root, starter};

/// Far beyond what any step takes: a test fails by this only where the device hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running device, ended when it is dropped.
pub struct Device {
    process: Child,
    folder: PathBuf,
}

impl Device {
    /// Starts a device on ports in the folder, its state beside them. Ends when it has
    /// opened them all: what is sent before is lost, as on any serial line.
    pub fn start(folder: &Path, ports: &[&str], baud: u32) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
        command.current_dir(root()).arg("serve");
        command.arg("--state").arg(folder.join("state"));
        command.arg("--bundle").arg(starter());
        command.arg("--baud").arg(baud.to_string());
        for port in ports {
            command.arg("--serial").arg(folder.join(port));
        }
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let process = command
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts");
        let device = Self {
            process,
            folder: folder.to_owned(),
        };
        for port in ports {
            device.wait_for_open(port, 1);
        }
        device
    }

    /// Waits until a port has been opened so many times.
    pub fn wait_for_open(&self, port: &str, times: usize) {
        let (begin, opened) = (Instant::now(), format!("/{port}: open at"));
        while self.log().matches(&opened).count() < times {
            assert!(begin.elapsed() < PATIENCE, "{port}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// As if the power failed.
    pub fn kill(&mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("ended");
    }

    /// What it said to standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).expect("a log")
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
