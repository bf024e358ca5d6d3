//! A worker process that loads its bundle and tests itself, while another may still answer cases. Called
//! by the supervisor, step by step; each step waits no longer than it is told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::message::Report;
use super::process::{Deadline, Process};
use super::{Settings, WorkerProcess};
use crate::bundle::{Outline, Trust};
use crate::child::FORM;
use crate::device::work::lost::CHECK;
use crate::device::work::workers::{NotStarted, Starting, Step};
use crate::journal::SelfCheck;

/// A worker process that is not there yet.
#[derive(Debug)]
pub(super) struct StartingProcess {
    process: Process,
    by: Deadline,
    folder: PathBuf,
    settings: Settings,
    /// What it has loaded.
    bundle: Option<Outline>,
}

impl StartingProcess {
    /// Begins to start a worker on the bundle in a folder.
    ///
    /// # Errors
    /// [`NotStarted`].
    pub fn begin(settings: &Settings, folder: &Path, trust: &Trust) -> Result<Self, NotStarted> {
        let by = Deadline::after(settings.start);
        // The very folder, whatever a link on the way to it comes to point to.
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        Ok(Self {
            process: Process::spawn(settings, &folder, trust)?,
            by,
            folder,
            settings: settings.clone(),
            bundle: None,
        })
    }

    fn worker(self, bundle: Outline) -> WorkerProcess {
        WorkerProcess {
            process: self.process,
            folder: self.folder,
            bundle: Arc::new(bundle),
            settings: self.settings,
        }
    }
}

impl Starting for StartingProcess {
    fn has_loaded(&self) -> bool {
        self.bundle.is_some()
    }

    fn step(mut self: Box<Self>, patience: Duration) -> Result<Step, NotStarted> {
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
                    return Ok(Step::Now((Box::new(self.worker(bundle)), checks)));
                }
                (other, _) => return Err(self.process.unexpected(&other).into()),
            }
        }
    }
}
