//! The kernel, the threads and the arena that every graph of this process shares.

use std::sync::{Arc, Mutex, PoisonError};

use super::kernels::{Cpu, Kernel, KernelError, physical_cores};

/// Threads asked for before the first graph is loaded; 0 means the physical cores.
static SHARED: Mutex<Shared> = Mutex::new(Shared {
    threads: 0,
    cpu: None,
    arenas: Vec::new(),
});

struct Shared {
    threads: usize,
    cpu: Option<Arc<Cpu>>,
    /// Arenas that no run uses now.
    arenas: Vec<Vec<f32>>,
}

fn shared() -> std::sync::MutexGuard<'static, Shared> {
    // Each change is one assignment, so a panic elsewhere leaves nothing half done.
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sets the number of threads for every graph of this process; 0 means the physical
/// cores. Answers the number in force. Results do not depend on it.
pub fn set_threads(wanted: usize) -> usize {
    let mut shared = shared();
    if shared.threads != wanted {
        shared.cpu = None;
    }
    shared.threads = wanted;
    match wanted {
        0 => physical_cores(),
        wanted => wanted,
    }
}

/// The kernel and threads in force.
///
/// # Errors
/// [`KernelError`]: `MEDFOCUS_KERNEL` names one that cannot be had.
pub(super) fn cpu() -> Result<Arc<Cpu>, KernelError> {
    let mut shared = shared();
    if let Some(cpu) = &shared.cpu {
        return Ok(cpu.clone());
    }
    let cpu = Arc::new(Cpu::new(Kernel::detect()?, shared.threads));
    shared.cpu = Some(cpu.clone());
    Ok(cpu)
}

/// Floats of the largest arena that no run uses now.
pub(super) fn idle_floats() -> usize {
    shared().arenas.iter().map(Vec::len).max().unwrap_or(0)
}

/// An arena of at least `floats`, lent for one run. Graphs that run one after the other
/// use the same memory; what an earlier run left in it is never read.
pub(super) struct Lent(Vec<f32>);

impl Lent {
    pub fn new(floats: usize) -> Self {
        let mut shared = shared();
        let largest = (0..shared.arenas.len()).max_by_key(|i| shared.arenas[*i].len());
        let mut arena = largest.map_or_else(Vec::new, |i| shared.arenas.swap_remove(i));
        drop(shared);
        if arena.len() < floats {
            // Not resized: what is in it need not be copied.
            drop(arena);
            arena = vec![0.0; floats];
        }
        Self(arena)
    }

    pub fn floats(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        shared().arenas.push(std::mem::take(&mut self.0));
    }
}
