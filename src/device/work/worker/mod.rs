//! The worker: a child process of this same program that holds the bundle and runs the
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
use std::time::{Duration, Instant};

use crate::bundle::{Outline, Trust};
use crate::case::{Question, Refusal};
use crate::device::cases::Conclusion;
use crate::device::events::Health;
use crate::device::lifecycle::Lifecycle;
use crate::device::work::lost::Lost;
use crate::device::worker_memory::WorkerMemory;
use crate::engine::PreparedKey;
use crate::image::{self, Image};
use crate::journal::SelfCheck;
use crate::pipeline::{self, Observer, Stage};
pub use child::work_as_child;
use message::{Report, Request};
pub use process::SUBCOMMAND;
use process::{Deadline, Process, TURN};
pub use starting::{Starting, Step};

/// How workers are started, and how long they may take.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This program.
    pub program: PathBuf,
    /// Whose bundles may be used.
    pub trust: Trust,
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
    pub(crate) uses: Arc<WorkerMemory>,
}

impl Settings {
    /// Seconds for one case: far beyond what the slowest bundle takes on the slowest board.
    pub const CASE_S: u32 = 60;
    /// For a start: a full-size bundle from a slow card.
    pub const START: Duration = Duration::from_secs(120);
}

/// Why there is no worker.
#[derive(Debug, thiserror::Error)]
pub enum NotStarted {
    /// It says itself why it cannot work.
    #[error("{}", .0.what)]
    Useless(SelfCheck),
    /// It was lost before it could work.
    #[error(transparent)]
    Lost(#[from] Lost),
}

impl NotStarted {
    /// The same as what the self-test came to.
    pub fn check(self) -> SelfCheck {
        match self {
            Self::Useless(check) => check,
            Self::Lost(lost) => lost.check(),
        }
    }
}

/// A case's image on its way to the worker.
#[derive(Debug)]
pub struct Decoded {
    /// `None` where it was waited for no longer.
    image: Option<Result<Image, Refusal>>,
    /// The processor time that it took.
    pub processor: Duration,
    by: Deadline,
}

/// A worker that has its bundle loaded.
#[derive(Debug)]
pub struct Worker {
    process: Process,
    folder: PathBuf,
    bundle: Arc<Outline>,
    settings: Settings,
    since: Instant,
}

/// A worker, and what its checks came to.
pub type Started = (Worker, Vec<SelfCheck>);

impl Worker {
    /// Starts a worker on the bundle in a folder; tells how far it is. To be called where
    /// [`Starting::begin`] may be.
    ///
    /// # Errors
    /// [`NotStarted`].
    pub fn start(
        settings: &Settings,
        folder: &Path,
        tell: &mut dyn FnMut(Health),
    ) -> Result<Started, NotStarted> {
        tell(Health::Loading);
        let mut starting = Starting::begin(settings, folder)?;
        let mut is_told = false;
        loop {
            settings.lifecycle.beat();
            match starting.step(TURN)? {
                Step::Now(started) => return Ok(started),
                Step::Later(later) => starting = later,
            }
            if starting.has_loaded() && !is_told {
                tell(Health::SelfTest);
                is_told = true;
            }
        }
    }

    /// The folder of its bundle, without any link on the way to it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The bundle that it loaded.
    pub fn bundle(&self) -> &Arc<Outline> {
        &self.bundle
    }

    /// How long it has been at work.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// What became of it, where it has ended.
    pub fn has_ended(&mut self) -> Option<Lost> {
        self.process.has_ended()
    }

    /// Has a case's image decoded, by a process of its own; the case's deadline begins.
    pub fn decode(&self, path: &Path, observer: &mut dyn Observer) -> Decoded {
        let by = Deadline::of_case(self.settings.case);
        let lifecycle = &self.settings.lifecycle;
        let mut waits = || {
            lifecycle.beat();
            !by.is_cut(lifecycle) && !by.is_over()
        };
        let program = &self.settings.program;
        let decoded = pipeline::observe(observer, Stage::Decode, || {
            image::read_by(program, path, &mut waits)
        });
        Decoded {
            image: decoded.said,
            processor: decoded.processor,
            by,
        }
    }

    /// Runs a case on its image.
    ///
    /// # Errors
    /// [`Lost`]: this worker is gone.
    pub(crate) fn run(
        &mut self,
        case: u64,
        question: Question,
        decoded: Decoded,
        observer: &mut dyn Observer,
    ) -> Result<Conclusion, Lost> {
        let by = decoded.by;
        let image = match decoded.image {
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
                Report::Begun(stage) => observer.begun(stage),
                Report::Ended(stage, ms) => observer.ended(stage, ms),
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

    /// Has it test itself once more.
    ///
    /// # Errors
    /// [`Lost`]: this worker is gone.
    pub fn self_test(&mut self) -> Result<Vec<SelfCheck>, Lost> {
        let by = Deadline::after(self.settings.start);
        self.process.ask(&Request::SelfTest, by)?;
        self.process.hear_checks(by)
    }
}
