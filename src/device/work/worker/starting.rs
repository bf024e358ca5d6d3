//! A worker that loads its bundle and tests itself, while another may still answer cases. Called
//! by the supervisor, step by step; each step waits no longer than it is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::message::Report;
use super::process::{Deadline, Process};
use super::{NotStarted, Settings, Started, Worker};
use crate::bundle::Outline;
use crate::child::FORM;
use crate::device::work::lost::CHECK;
use crate::journal::SelfCheck;

/// A worker that is not there yet.
#[derive(Debug)]
pub struct Starting {
    process: Process,
    by: Deadline,
    folder: PathBuf,
    settings: Settings,
    /// What it has loaded.
    bundle: Option<Outline>,
}

/// How far a worker is that starts.
#[derive(Debug)]
pub enum Step {
    /// It is not there yet.
    Later(Starting),
    /// It is there.
    Now(Started),
}

impl Starting {
    /// Begins to start a worker on the bundle in a folder. To be called on a thread that
    /// lives as long as the device does: the system ends the worker with it.
    ///
    /// # Errors
    /// [`NotStarted`].
    pub fn begin(settings: &Settings, folder: &Path) -> Result<Self, NotStarted> {
        let by = Deadline::after(settings.start);
        // The very folder, whatever a link on the way to it comes to point to.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Ok(Self {
            process: Process::spawn(settings, &folder)?,
            by,
            folder,
            settings: settings.clone(),
            bundle: None,
        })
    }

    /// Whether it tests itself by now.
    pub fn has_loaded(&self) -> bool {
        self.bundle.is_some()
    }

    /// Goes on, and waits for so long where there is nothing to go on with.
    ///
    /// # Errors
    /// [`NotStarted`].
    pub fn step(mut self, patience: Duration) -> Result<Step, NotStarted> {
        loop {
            let Some(report) = self.process.hear_soon(self.by, patience)? else {
                return Ok(Step::Later(self));
            };
            match (report, self.bundle.take()) {
                (Report::Useless(check), _) => return Err(NotStarted::Useless(check)),
                (Report::Loaded { software, bundle }, None) if software == FORM => {
                    self.bundle = Some(bundle);
                }
                (Report::Loaded { software, .. }, None) => {
                    let what = format!("the program on the disk is {software} now");
                    let check = SelfCheck::failed(CHECK, CHECK, what, "start the device again");
                    return Err(NotStarted::Useless(check));
                }
                (Report::Tested(checks), Some(bundle)) => {
                    return Ok(Step::Now((self.worker(bundle), checks)));
                }
                (other, _) => return Err(self.process.unexpected(&other).into()),
            }
        }
    }

    fn worker(self, bundle: Outline) -> Worker {
        Worker {
            process: self.process,
            folder: self.folder,
            bundle: Arc::new(bundle),
            settings: self.settings,
            since: Instant::now(),
        }
    }
}
