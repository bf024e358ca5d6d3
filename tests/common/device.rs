//! `medfocus serve` as a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

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
        Self::start_with(folder, ports, baud, &[])
    }

    /// The same, with more arguments.
    pub fn start_with(folder: &Path, ports: &[&str], baud: u32, more: &[&str]) -> Self {
        let command = Self::command(folder, ports, baud, more);
        Self::start_as(folder, ports, command)
    }

    /// What starts it.
    pub fn command(folder: &Path, ports: &[&str], baud: u32, more: &[&str]) -> Command {
        let mut command = serve();
        command.arg("--state").arg(folder.join("state"));
        if !more.contains(&"--bundle") && !more.contains(&"--config") {
            command.arg("--bundle").arg(starter());
        }
        command.arg("--baud").arg(baud.to_string());
        name_files_of(&mut command, folder);
        command.args(more);
        for port in ports {
            command.arg("--serial").arg(folder.join(port));
        }
        command
    }

    /// Starts it so, and waits for its ports.
    pub fn start_as(folder: &Path, ports: &[&str], command: Command) -> Self {
        let device = Self::run(folder, command);
        for port in ports {
            device.wait_for_open(port, 1);
        }
        device
    }

    /// Starts a device from a configuration, which is written to `medfocus.toml` in the
    /// folder; its state lies beside it. Does not wait for anything.
    pub fn configured(folder: &Path, config: &str) -> Self {
        let file = folder.join("medfocus.toml");
        std::fs::write(&file, config).expect("a file");
        let mut command = serve();
        command.arg("--config").arg(file);
        command.arg("--state").arg(folder.join("state"));
        command.arg("--bundle").arg(starter());
        name_files_of(&mut command, folder);
        Self::run(folder, command)
    }

    fn run(folder: &Path, mut command: Command) -> Self {
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let process = command
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .expect("the program starts");
        Self {
            process,
            folder: folder.to_owned(),
        }
    }

    /// The journal's entries of this event, oldest first.
    pub fn journal(&self, event: &str) -> Vec<Value> {
        let file = self.folder.join("state/journal.ndjson");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let entries = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        entries
            .filter(|entry: &Value| entry["event"] == event)
            .collect()
    }

    /// Waits until a port has been opened so many times.
    pub fn wait_for_open(&self, port: &str, times: usize) {
        let (begin, opened) = (Instant::now(), format!("/{port}: open at"));
        while self.log().matches(&opened).count() < times {
            assert!(begin.elapsed() < PATIENCE, "{port}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it has said this.
    pub fn wait_for_log(&self, words: &str) {
        let begin = Instant::now();
        while !self.log().contains(words) {
            assert!(begin.elapsed() < PATIENCE, "{words}: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process that runs its cases, where there is one.
    #[cfg(target_os = "linux")]
    pub fn worker(&self) -> Option<rustix::process::Pid> {
        let own = self.process.id();
        let children = format!("/proc/{own}/task");
        let of_thread = |thread: std::fs::DirEntry| {
            let children = std::fs::read_to_string(thread.path().join("children"));
            children.unwrap_or_default()
        };
        let threads = std::fs::read_dir(children).ok()?.flatten();
        let children: Vec<String> = threads.map(of_thread).collect();
        let is_worker = |pid: &&str| {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            // Not by its place: on an emulated CPU the emulator's own words come first.
            command
                .split(|byte| *byte == 0)
                .any(|word| word == b"run-cases")
        };
        let children = children.join(" ");
        let worker = children.split_whitespace().find(is_worker)?;
        rustix::process::Pid::from_raw(worker.parse().ok()?)
    }

    /// Bytes of memory that its own process has.
    #[cfg(target_os = "linux")]
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.unwrap_or_default();
        let mut lines = status
            .lines()
            .filter_map(|line| line.strip_prefix("VmRSS:"));
        let kib = lines
            .next()
            .and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.trim().parse::<u64>().ok())
            .map_or(0, |kib| kib << 10)
    }

    /// Sends it a signal.
    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        let own = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(own, signal).expect("sent");
    }

    /// A path as the device sees it, which may have a file system of its own there.
    pub fn sees(&self, path: &Path) -> PathBuf {
        let own = format!("/proc/{}/root", self.process.id());
        PathBuf::from(own + &path.display().to_string())
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait().expect("a process") {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "{}", self.log());
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

fn serve() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
    command.current_dir(root()).arg("serve");
    // Its state file lies in its state folder, whoever runs the tests.
    command.env_remove("RUNTIME_DIRECTORY");
    command.env_remove("XDG_RUNTIME_DIR");
    command
}

/// Lets a console name the phantoms and what a test puts into its folder.
fn name_files_of(command: &mut Command, folder: &Path) {
    for folder in [root(), folder] {
        command.arg("--console-folder").arg(folder);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
