//! Starts threads, as a value that is handed down: to parts of the device that need one for each
//! connection, each display, each file that is copied. `running` makes it and nobody else starts a
//! thread, so that a simulation can do the same work on one. `docs/architecture.md` lists the
//! threads.

use std::fmt;
use std::io::Result;
use std::sync::Arc;

/// What a thread does.
pub(crate) type Work = Box<dyn FnOnce() + Send>;

/// Whoever starts threads.
pub(crate) trait Spawn: fmt::Debug + Send + Sync {
    /// Has this done on a thread of its own, of this name.
    ///
    /// # Errors
    /// The system has no more to give.
    fn spawn(&self, name: &'static str, work: Work) -> Result<()>;
}

/// Starts threads. Whoever asks for one sees to it that it ends.
#[derive(Debug, Clone)]
pub(crate) struct Spawner(Arc<dyn Spawn>);

impl Spawner {
    /// One that starts them like this.
    pub fn of(spawn: impl Spawn + 'static) -> Self {
        Self(Arc::new(spawn))
    }

    /// Has this done on a thread of its own, of this name.
    ///
    /// # Errors
    /// The system has no more to give.
    pub fn spawn(&self, name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<()> {
        self.0.spawn(name, Box::new(work))
    }
}
