//! What the supervisor needs of whoever runs its cases: workers are started, asked one thing at a
//! time, and may be lost at any time. In goes the folder of a bundle, a question and where an image
//! lies; out comes a conclusion, or why the worker is gone.
//!
//! [`Processes`](super::worker::Processes) makes workers that are processes. A simulation hands
//! the supervisor others. Nothing here starts anything.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::bundle::{Outline, Trust};
use crate::case::Question;
use crate::device::cases::Conclusion;
use crate::device::events::Health;
use crate::device::lifecycle::Lifecycle;
use crate::device::work::lost::Lost;
use crate::journal::SelfCheck;
use crate::pipeline::Observer;

/// How long a worker that starts is waited for before the device is told that it waits.
pub(super) const TURN: Duration = Duration::from_millis(500);

/// Starts workers.
pub(crate) trait Workers: fmt::Debug + Send {
    /// Begins to start a worker on the bundle in a folder. To be called on a thread that lives as
    /// long as the device does: the system ends a worker with the thread that began it.
    ///
    /// # Errors
    /// [`NotStarted`].
    fn begin(&mut self, folder: &Path, trust: &Trust) -> Result<Box<dyn Starting>, NotStarted>;
}

/// A worker that loads its bundle and tests itself, while others may be at work.
pub(crate) trait Starting: fmt::Debug {
    /// Whether it tests itself by now.
    fn has_loaded(&self) -> bool;

    /// Goes on, and waits for so long where there is nothing to go on with.
    ///
    /// # Errors
    /// [`NotStarted`].
    fn step(self: Box<Self>, patience: Duration) -> Result<Step, NotStarted>;
}

/// How far a worker is that starts.
#[derive(Debug)]
pub(crate) enum Step {
    /// It is not there yet.
    Later(Box<dyn Starting>),
    /// It is there.
    Now(Started),
}

/// A worker, and what its checks came to.
pub(crate) type Started = (Box<dyn Worker>, Vec<SelfCheck>);

/// A worker that has its bundle loaded. It has a deadline for each thing that it is asked; one
/// that misses it, or ends, is gone for good.
pub(crate) trait Worker: fmt::Debug {
    /// The folder of its bundle, without any link on the way to it.
    fn folder(&self) -> &Path;

    /// The bundle that it loaded.
    fn bundle(&self) -> &Arc<Outline>;

    /// What became of it, where it has ended.
    fn has_ended(&mut self) -> Option<Lost>;

    /// Has the image at a path decoded, and runs a case on it.
    ///
    /// # Errors
    /// [`Lost`]: this worker is gone.
    fn run(
        &mut self,
        case: u64,
        question: Question,
        image: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Conclusion, Lost>;

    /// Has it test itself once more.
    ///
    /// # Errors
    /// [`Lost`]: this worker is gone.
    fn self_test(&mut self) -> Result<Vec<SelfCheck>, Lost>;
}

/// Is told how a case goes on.
pub(crate) trait Progress: Observer {
    /// Its image was decoded, or not: the processor time that this took.
    fn decoded(&mut self, processor: Duration);
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

/// Starts a worker on the bundle in a folder, and waits until it is there; tells how far it is.
/// To be called where [`Workers::begin`] may be.
///
/// # Errors
/// [`NotStarted`].
pub(super) fn start(
    workers: &mut dyn Workers,
    folder: &Path,
    trust: &Trust,
    lifecycle: &Lifecycle,
    tell: &mut dyn FnMut(Health),
) -> Result<Started, NotStarted> {
    tell(Health::Loading);
    let mut starting = workers.begin(folder, trust)?;
    let mut is_told = false;
    loop {
        lifecycle.beat();
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
