//! What the graphs of a program share: the kernel, its threads, the memory of runs.
//!
//! [`Settings`] go in. A program makes one [`Engine`] at its start and reads its graphs with it;
//! each graph keeps it alive. Two engines share nothing, so that the limits of one are its own.
//!
//! It must never change what a graph comes to: only how soon, and in how much memory.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::error::EngineError;
use super::kernels::{Cpu, Kernel, KernelError, physical_cores};
use super::memory::SystemMemory;

/// What an engine may take of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Threads to use, the calling one counted; 0 means the physical cores. Results do not
    /// depend on it.
    pub threads: usize,
    /// Bytes that a run may take, beside its graph's weights; `None` leaves it to what the
    /// system has free.
    pub memory: Option<u64>,
    /// The kernel's name; `None` means the one that `MEDFOCUS_KERNEL` names, else the quickest
    /// that this CPU can run.
    pub kernel: Option<String>,
}

/// A kernel, threads and memory, shared by the graphs that are read with it. Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    threads: usize,
    /// Asked for, in bytes.
    budget: Option<u64>,
    system: SystemMemory,
    kernel: Result<Kernel, KernelError>,
    /// Made with the first run: whoever only reads graphs starts no threads.
    cpu: OnceLock<Cpu>,
    /// Arenas that no run uses now.
    arenas: Mutex<Vec<Vec<f32>>>,
}

impl Engine {
    /// Looks at the machine as long as this process may; it opens and counts nothing later.
    /// A kernel that cannot be had is told of when a graph is read.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let kernel = match &settings.kernel {
            Some(name) => Kernel::named(name),
            None => Kernel::detect(),
        };
        Self(Arc::new(Shared {
            threads: match settings.threads {
                0 => physical_cores(),
                asked => asked,
            },
            budget: settings.memory,
            system: SystemMemory::open(),
            kernel,
            cpu: OnceLock::new(),
            arenas: Mutex::default(),
        }))
    }

    /// The number of threads. Where the system gives fewer, those there are.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.0.cpu.get().map_or(self.0.threads, Cpu::threads)
    }

    /// The instruction set in use.
    ///
    /// # Errors
    /// [`EngineError::Kernel`]: the one that was asked for cannot be had.
    pub fn kernel(&self) -> Result<Kernel, EngineError> {
        let kernel = self.0.kernel.clone();
        kernel.map_err(|error| EngineError::Kernel {
            why: error.to_string(),
        })
    }

    /// The kernel with its threads.
    pub(crate) fn cpu(&self) -> Result<&Cpu, EngineError> {
        let kernel = self.kernel()?;
        Ok(self.0.cpu.get_or_init(|| Cpu::new(kernel, self.0.threads)))
    }

    /// Memory for a run that needs `floats` of arena and `whole` bytes in all; or what it lacks.
    /// What is held already is free where only the system sets a limit, but counts against a
    /// budget.
    pub(crate) fn arena(&self, floats: usize, whole: usize) -> Result<Arena<'_>, Lacking> {
        let mut arena = self.largest_arena();
        let held = if arena.len() < floats {
            0
        } else {
            floats * size_of::<f32>()
        };
        let (needed, allowed) = match self.0.budget {
            Some(budget) => (whole as u64, Some(budget)),
            None => ((whole - held) as u64, self.0.system.available()),
        };
        if let Some(allowed) = allowed.filter(|allowed| needed > *allowed) {
            self.arenas().push(arena);
            return Err(Lacking { needed, allowed });
        }
        if arena.len() < floats {
            // Not resized: what is in it need not be copied.
            drop(arena);
            arena = vec![0.0; floats];
        }
        Ok(Arena {
            floats: arena,
            engine: self,
        })
    }

    /// What a run of so many bytes lacks, arenas that are held already counted as free; `None`
    /// where it fits.
    pub(crate) fn lacks(&self, needed: usize) -> Option<Lacking> {
        let held: usize = self.arenas().iter().map(Vec::len).sum();
        let (needed, allowed) = match self.0.budget {
            Some(budget) => (needed as u64, Some(budget)),
            None => {
                let held = held * size_of::<f32>();
                (
                    needed.saturating_sub(held) as u64,
                    self.0.system.available(),
                )
            }
        };
        let allowed = allowed.filter(|allowed| needed > *allowed)?;
        Some(Lacking { needed, allowed })
    }

    /// The largest arena that no run uses now; an empty one where all are in use.
    fn largest_arena(&self) -> Vec<f32> {
        let mut arenas = self.arenas();
        let largest = (0..arenas.len()).max_by_key(|i| arenas[*i].len());
        largest.map_or_else(Vec::new, |i| arenas.swap_remove(i))
    }

    fn arenas(&self) -> MutexGuard<'_, Vec<Vec<f32>>> {
        // Each change is one push or one removal, so a panic elsewhere leaves nothing half done.
        let arenas = self.0.arenas.lock();
        arenas.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Engine {
    /// All cores, and what memory the system has free.
    fn default() -> Self {
        Self::new(&Settings::default())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("kernel", &self.0.kernel)
            .field("threads", &self.threads())
            .field("budget", &self.0.budget)
            .finish_non_exhaustive()
    }
}

/// A run that needs more bytes than it may take.
pub(crate) struct Lacking {
    pub needed: u64,
    pub allowed: u64,
}

/// An arena that is lent for one run. Graphs that run one after the other use the same memory;
/// what an earlier run left in it is never read.
pub(crate) struct Arena<'e> {
    floats: Vec<f32>,
    engine: &'e Engine,
}

impl Arena<'_> {
    pub fn floats(&mut self) -> &mut [f32] {
        &mut self.floats
    }
}

impl Drop for Arena<'_> {
    fn drop(&mut self) {
        let floats = std::mem::take(&mut self.floats);
        self.engine.arenas().push(floats);
    }
}
