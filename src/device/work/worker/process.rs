//! The process of a worker, with a pipe each way: requests go in, reports come out, each within
//! its time. Called by the worker's side of the device. However it is dropped, the process is
//! ended first.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_setfl};

use super::Settings;
use super::message::{LONGEST, Report, Request};
use crate::bundle::Trust;
use crate::child::{Inbox, bytes_of};
use crate::device::lifecycle::Lifecycle;
use crate::device::spawner::Spawner;
use crate::device::work::lost::Lost;
use crate::device::work::workers::TURN;
use crate::device::worker_memory::WorkerMemory;
use crate::engine::PreparedKey;
use crate::journal::SelfCheck;

/// The hidden subcommand that is a worker.
pub const SUBCOMMAND: &str = "run-cases";

/// How long a process that was ended may take to go: the system takes a moment, and for ever
/// where a disk does not answer.
const GOING: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// When something must have been heard.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    after: Duration,
    /// Whether a device that is switched off waits for it.
    is_owed: bool,
}

impl Deadline {
    /// For what may as well be done after the next start.
    pub fn after(after: Duration) -> Self {
        Self {
            at: Instant::now() + after,
            after,
            is_owed: false,
        }
    }

    /// For a case.
    pub fn of_case(after: Duration) -> Self {
        Self {
            is_owed: true,
            ..Self::after(after)
        }
    }

    /// How long whoever must have heard something was willing to wait in all.
    pub fn length(&self) -> Duration {
        self.after
    }

    pub fn is_over(&self) -> bool {
        Instant::now() >= self.at
    }

    pub fn is_cut(&self, lifecycle: &Lifecycle) -> bool {
        lifecycle.is_cut() || !(lifecycle.is_on() || self.is_owed)
    }
}

/// A running worker.
#[derive(Debug)]
pub struct Process {
    child: Option<Child>,
    requests: ChildStdin,
    reports: Inbox<ChildStdout>,
    lifecycle: Arc<Lifecycle>,
    uses: Arc<WorkerMemory>,
    spawner: Spawner,
}

impl Process {
    pub fn spawn(settings: &Settings, bundle: &Path, trust: &Trust) -> Result<Self, Lost> {
        let mut command = Command::new(&settings.program);
        command.arg(SUBCOMMAND).arg("--bundle").arg(bundle);
        for key in &trust.keys {
            command.args(["--trust", &key.to_string()]);
        }
        if let Some(revoked) = &trust.revoked {
            command.arg("--revoked").arg(revoked);
        }
        if let Some(releases) = &trust.releases {
            command.arg("--releases").arg(releases);
        }
        command.args(["--threads", &settings.threads.to_string()]);
        if let Some(memory) = settings.memory_mib {
            command.args(["--memory", &memory.to_string()]);
        }
        // The service manager knows the device, and not its worker.
        for variable in ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            command.env_remove(variable);
        }
        // A terminal's signals are for the device alone, which ends its worker when it is time.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Lost::Pipe)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (requests, reports) = pipes.ok_or_else(|| Lost::Pipe(ErrorKind::BrokenPipe.into()))?;
        // Whoever hangs takes nothing: that is waited for no longer than its deadline.
        fcntl_setfl(&requests, OFlags::NONBLOCK).map_err(|error| Lost::Pipe(error.into()))?;
        let mut process = Self {
            child: Some(child),
            requests,
            reports: Inbox::new(reports, LONGEST),
            uses: Arc::clone(&settings.uses),
            lifecycle: Arc::clone(&settings.lifecycle),
            spawner: settings.spawner.clone(),
        };
        let prepared = settings.prepared.as_ref().map(PreparedKey::bytes);
        let by = Deadline::after(settings.start);
        process.ask(&Request::Begin { prepared }, by)?;
        Ok(process)
    }

    /// Asks something, by when it must be heard to the end.
    pub fn ask(&mut self, request: &Request, by: Deadline) -> Result<(), Lost> {
        let bytes = bytes_of(request).map_err(|error| self.lost(error))?;
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            self.lifecycle.beat();
            let gone = match self.requests.write(left) {
                Ok(count) => {
                    left = &left[count..];
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() != ErrorKind::WouldBlock => self.lost(error),
                _ if by.is_cut(&self.lifecycle) => Lost::Cut,
                _ if by.is_over() => Lost::Deadline(by.after),
                Err(_) => {
                    self.wait_until_it_takes(by);
                    continue;
                }
            };
            self.end();
            return Err(gone);
        }
        Ok(())
    }

    /// Waits a turn, or less. What there is to be said of it, the next try to write says.
    fn wait_until_it_takes(&self, by: Deadline) {
        let left = by.at.saturating_duration_since(Instant::now()).min(TURN);
        let turn = Timespec::try_from(left).unwrap_or_default();
        let _ = poll(
            &mut [PollFd::new(&self.requests, PollFlags::OUT)],
            Some(&turn),
        );
    }

    /// What it says next.
    pub fn hear(&mut self, by: Deadline) -> Result<Report, Lost> {
        loop {
            self.lifecycle.beat();
            if let Some(report) = self.hear_soon(by, TURN)? {
                return Ok(report);
            }
        }
    }

    /// The same, where it says something so soon.
    pub fn hear_soon(&mut self, by: Deadline, soon: Duration) -> Result<Option<Report>, Lost> {
        let soon = by.at.min(Instant::now() + soon);
        let gone = match self.reports.next(Some(soon)) {
            Ok(Some(Report::Uses(bytes))) => {
                if let Some(child) = &self.child {
                    self.uses.note(child.id(), bytes);
                }
                return Ok(None);
            }
            Ok(Some(report)) => return Ok(Some(report)),
            Ok(None) => self.lost(ErrorKind::BrokenPipe.into()),
            Err(error) if error.kind() != ErrorKind::TimedOut => self.lost(error),
            _ if by.is_cut(&self.lifecycle) => Lost::Cut,
            _ if Instant::now() < by.at => return Ok(None),
            _ => Lost::Deadline(by.after),
        };
        self.end();
        Err(gone)
    }

    /// What its checks came to.
    pub fn hear_checks(&mut self, by: Deadline) -> Result<Vec<SelfCheck>, Lost> {
        match self.hear(by)? {
            Report::Tested(checks) => Ok(checks),
            other => Err(self.unexpected(&other)),
        }
    }

    /// It said what it was not asked.
    pub fn unexpected(&mut self, report: &Report) -> Lost {
        log::error!(
            "the worker said {:?} unasked",
            std::mem::discriminant(report)
        );
        self.lost(ErrorKind::InvalidData.into())
    }

    /// What became of it, where it has ended by itself.
    pub fn has_ended(&mut self) -> Option<Lost> {
        let child = self.child.as_mut()?;
        match child.try_wait() {
            Ok(status) => status.map(Lost::Ended),
            Err(error) => Some(Lost::Pipe(error)),
        }
    }

    /// Ends it; an end of its own explains a broken pipe better than the pipe does.
    fn lost(&mut self, error: std::io::Error) -> Lost {
        match self.end() {
            Some(status) if error.kind() == ErrorKind::BrokenPipe => Lost::Ended(status),
            _ => Lost::Pipe(error),
        }
    }

    /// Ends it, and waits until it is gone.
    fn end(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        self.uses.forget(child.id());
        // One that has ended by itself keeps its own status.
        let _ = child.kill();
        let begun = Instant::now();
        while begun.elapsed() < GOING {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        log::warn!("the worker does not go; it is left to the system");
        let wait = move || drop(child.wait());
        if let Err(error) = self.spawner.spawn("reaper", wait) {
            log::warn!("nobody waits for the worker that does not go: {error}");
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
