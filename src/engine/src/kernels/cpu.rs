//! What every operator needs: a kernel, the threads, and scratch memory for each.

use std::marker::PhantomData;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::aligned::Aligned;
use super::pool::Pool;
use super::select::Kernel;

/// A kernel, a pool of threads and their scratch memory, which grows to what the largest
/// operator needs and is then used again.
pub struct Cpu {
    kernel: Kernel,
    pool: Pool,
    /// One for each worker of the pool.
    scratch: Vec<Mutex<Aligned>>,
    /// What all workers of one operator read.
    common: Mutex<Aligned>,
    /// What the first half of an operator leaves for the second.
    between: Mutex<Aligned>,
}

impl Cpu {
    /// `threads` with the calling one; 0 means the physical cores. Where the system gives
    /// fewer, those there are.
    #[must_use]
    pub fn new(kernel: Kernel, threads: usize) -> Self {
        let pool = Pool::new(threads);
        let scratch = (0..pool.threads()).map(|_| Mutex::default()).collect();
        Self {
            kernel,
            pool,
            scratch,
            common: Mutex::default(),
            between: Mutex::default(),
        }
    }

    /// The instruction set.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// The number of threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Bytes of scratch memory held now.
    #[must_use]
    pub fn scratch_bytes(&self) -> usize {
        let held = |scratch: &Mutex<Aligned>| lock(scratch).bytes().len();
        held(&self.common) + held(&self.between) + self.scratch.iter().map(held).sum::<usize>()
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The scratch memory of one worker; only that worker's task asks for it.
    pub(super) fn scratch(&self, worker: usize) -> MutexGuard<'_, Aligned> {
        lock(&self.scratch[worker])
    }

    /// The scratch memory that all workers read; only the operator's caller asks for it.
    pub(super) fn common(&self) -> MutexGuard<'_, Aligned> {
        lock(&self.common)
    }

    /// The scratch memory between an operator's halves; only its caller asks for it.
    pub(super) fn between(&self) -> MutexGuard<'_, Aligned> {
        lock(&self.between)
    }
}

impl std::fmt::Debug for Cpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cpu")
            .field("kernel", &self.kernel)
            .field("threads", &self.threads())
            .finish_non_exhaustive()
    }
}

/// A slice cut into parts of one length, the last one shorter, for tasks to take.
pub(super) struct Parts<'a, T> {
    data: *mut T,
    total: usize,
    length: usize,
    _data: PhantomData<&'a mut [T]>,
}

// SAFETY: `take`'s contract keeps the parts apart.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'a, T> Parts<'a, T> {
    pub(super) fn new(data: &'a mut [T], length: usize) -> Self {
        Self {
            data: data.as_mut_ptr(),
            total: data.len(),
            length,
            _data: PhantomData,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.total.div_ceil(self.length)
    }

    /// Part `i`.
    ///
    /// # Safety
    /// No part is taken twice.
    pub(super) unsafe fn take(&self, i: usize) -> &'a mut [T] {
        let start = i * self.length;
        assert!(start < self.total);
        let length = self.length.min(self.total - start);
        // SAFETY: in bounds, and this part's only borrow.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), length) }
    }
}

/// Scratch is written before it is read, so a panic spoils nothing in it.
fn lock(scratch: &Mutex<Aligned>) -> MutexGuard<'_, Aligned> {
    scratch.lock().unwrap_or_else(PoisonError::into_inner)
}
