//! The worker as a process: a child of this same program that holds the bundle and runs the
//! cases, so that an inference that hangs or crashes can be ended and takes nothing else
//! with it.
//!
//! Images are decoded before, by a process of their own each: the worker opens none, and can
//! start nothing.
//!
//! Here is the device's side: start it, ask it, end it. It is asked one thing at a time and
//! has a deadline for each; one that misses it, or ends, is gone for good, and whoever asked
//! starts another. No worker outlives the device: it ends with its pipe, and by the system's
//! hand where it no longer looks at its pipe.

mod child;
mod message;
mod process;
mod starting;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::bundle::{Outline, Trust};
use crate::case::{Question, Refusal};
use crate::device::cases::Conclusion;
use crate::device::lifecycle::Lifecycle;
use crate::device::spawner::Spawner;
use crate::device::work::lost::Lost;
use crate::device::work::workers::{NotStarted, Progress, Starting, Worker, Workers};
use crate::device::worker_memory::WorkerMemory;
use crate::engine::PreparedKey;
use crate::image::{self, Image};
use crate::journal::SelfCheck;
use crate::pipeline::{self, Stage};
pub use child::work_as_child;
use message::{Report, Request};
pub use process::SUBCOMMAND;
use process::{Deadline, Process};
use starting::StartingProcess;

/// How workers are started, and how long they may take.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// This program.
    pub program: PathBuf,
    /// The key of the prepared graphs that the device made, where it has one.
    pub prepared: Option<PreparedKey>,
    /// Threads to use; 0 means all cores.
    pub threads: u32,
    /// Most MiB that a graph may take for a run; what the system has free where absent.
    pub memory_mib: Option<u32>,
    /// For one case, from its start to its answer.
    pub case: Duration,
    /// To load the bundle, and for its checks.
    pub start: Duration,
    /// Told while a worker is waited for.
    pub lifecycle: Arc<Lifecycle>,
    /// Where it is noted how much memory the worker uses.
    pub uses: Arc<WorkerMemory>,
    /// For a thread that waits for a worker which does not go.
    pub spawner: Spawner,
}

impl Settings {
    /// Seconds for one case: far beyond what the slowest bundle takes on the slowest board.
    pub const CASE_S: u32 = 60;
    /// For a start: a full-size bundle from a slow card.
    pub const START: Duration = Duration::from_secs(120);
}

/// Starts workers that are processes.
#[derive(Debug)]
pub(crate) struct Processes(Settings);

impl Processes {
    /// Of these settings.
    pub fn of(settings: Settings) -> Self {
        Self(settings)
    }
}

impl Workers for Processes {
    fn begin(&mut self, folder: &Path, trust: &Trust) -> Result<Box<dyn Starting>, NotStarted> {
        Ok(Box::new(StartingProcess::begin(&self.0, folder, trust)?))
    }
}

/// A worker process that has its bundle loaded.
#[derive(Debug)]
struct WorkerProcess {
    process: Process,
    folder: PathBuf,
    bundle: Arc<Outline>,
    settings: Settings,
}

impl WorkerProcess {
    /// Has a case's image decoded, by a process of its own. `None` where it was waited for no
    /// longer.
    fn decode(
        &self,
        path: &Path,
        by: Deadline,
        progress: &mut dyn Progress,
    ) -> Option<Result<Image, Refusal>> {
        let lifecycle = &self.settings.lifecycle;
        let mut waits = || {
            lifecycle.beat();
            !by.is_cut(lifecycle) && !by.is_over()
        };
        let program = &self.settings.program;
        let decoded = pipeline::observe(progress, Stage::Decode, || {
            image::read_by(program, path, &mut waits)
        });
        progress.decoded(decoded.processor);
        decoded.said
    }
}

impl Worker for WorkerProcess {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn bundle(&self) -> &Arc<Outline> {
        &self.bundle
    }

    fn has_ended(&mut self) -> Option<Lost> {
        self.process.has_ended()
    }

    fn run(
        &mut self,
        case: u64,
        question: Question,
        image: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Conclusion, Lost> {
        let by = Deadline::of_case(self.settings.case);
        let image = match self.decode(image, by, progress) {
            Some(Ok(image)) => image,
            Some(Err(refusal)) => return Ok(Conclusion::refused(refusal)),
            None if by.is_cut(&self.settings.lifecycle) => return Err(Lost::Cut),
            // The worker had no part in it.
            None => return Ok(Lost::Deadline(by.length()).conclusion()),
        };
        let sha256 = Some(image.sha256);
        let request = Request::Case {
            case,
            question,
            image: Box::new(image.into()),
        };
        self.process.ask(&request, by)?;
        loop {
            match self.process.hear(by)? {
                Report::Begun(stage) => progress.begun(stage),
                Report::Ended(stage, ms) => progress.ended(stage, ms),
                Report::Answered(answer) => {
                    return Ok(Conclusion {
                        image: sha256,
                        outcome: answer.into_answered().map_err(Lost::Pipe)?,
                    });
                }
                other => return Err(self.process.unexpected(&other)),
            }
        }
    }

    fn self_test(&mut self) -> Result<Vec<SelfCheck>, Lost> {
        let by = Deadline::after(self.settings.start);
        self.process.ask(&Request::SelfTest, by)?;
        self.process.hear_checks(by)
    }
}
