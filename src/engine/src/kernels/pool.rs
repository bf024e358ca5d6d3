//! Threads that share one operator's work.
//!
//! A [`Pool`] of `n` runs a job on the calling thread and `n - 1` of its own; a pool of
//! one has no threads at all. A job is a number of tasks, taken one by one by whoever is
//! free, so a slow core holds nobody up. Nothing is allocated while a job runs. Between
//! jobs a thread spins shortly, since the next operator mostly follows at once, then
//! sleeps.
//!
//! What it must never do: let a result depend on which thread ran a task.

use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};

/// Turns of the spin loop before a waiting thread sleeps: some 20 microseconds.
const SPINS: usize = 2000;

/// Set in [`Shared::gate`] while a job takes helpers; the rest of the word counts them.
const OPEN: usize = 1 << (usize::BITS - 1);

thread_local! {
    /// The worker that this thread is while it runs a task. A thread runs one task at a time, so
    /// this is the thread's own and not the pool's.
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A fixed set of threads.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the caller whose job runs.
    turn: Mutex<()>,
}

type Task<'a> = dyn Fn(usize, usize) + Sync + 'a;

/// A job as helpers see it.
#[derive(Clone)]
struct Job {
    /// The caller's closure; alive until the caller has seen the gate empty.
    task: *const Task<'static>,
    tasks: usize,
    caller: Thread,
}

struct Shared {
    job: UnsafeCell<Option<Job>>,
    gate: AtomicUsize,
    next_task: AtomicUsize,
    /// Counts jobs, so that a spinning helper sees a new one.
    jobs: AtomicUsize,
    /// How many helpers sleep.
    asleep: Mutex<usize>,
    wake: Condvar,
    panicked: AtomicBool,
    stop: AtomicBool,
}

// SAFETY: `job` is written only while the gate is closed and empty, by the one caller that
// holds `turn`, and read only by helpers that are counted in the gate.
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is only followed as `Sync` above says.
unsafe impl Send for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool of `threads`, the calling thread counted; 0 means the physical cores. Where
    /// the system gives fewer threads, the pool has those it got.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let threads = match threads {
            0 => physical_cores(),
            asked => asked,
        };
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            gate: AtomicUsize::new(0),
            next_task: AtomicUsize::new(0),
            jobs: AtomicUsize::new(0),
            asleep: Mutex::new(0),
            wake: Condvar::new(),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let spawn = |worker: usize| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(format!("kernel-{worker}"))
                .spawn(move || help(&shared, worker))
                .ok()
        };
        let helpers = (1..threads).map_while(spawn).collect();
        Self {
            shared,
            helpers,
            turn: Mutex::new(()),
        }
    }

    /// The number of threads, the caller's counted.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Runs `task(worker, i)` once for every `i` below `tasks` and returns when all are
    /// done. `worker` is below [`Pool::threads`]; no two tasks with the same `worker` run
    /// at one time. A task that calls `run` itself has that job done on its own thread.
    ///
    /// # Panics
    /// Where a task panics, after all others have ended.
    pub fn run(&self, tasks: usize, task: impl Fn(usize, usize) + Sync) {
        if let Some(worker) = WORKER.get() {
            (0..tasks).for_each(|i| task(worker, i));
            return;
        }
        let _turn = lock(&self.turn);
        if self.helpers.is_empty() || tasks < 2 {
            as_worker(0, || (0..tasks).for_each(|i| task(0, i)));
            return;
        }
        self.publish(tasks, &task);
        let own = catch_unwind(AssertUnwindSafe(|| {
            as_worker(0, || self.shared.take_tasks(tasks, 0, &task));
        }));
        self.shared.close();
        let helped = !self.shared.panicked.swap(false, Ordering::Relaxed);
        if let Err(panic) = own {
            resume_unwind(panic);
        }
        assert!(helped, "a task panicked");
    }

    fn publish(&self, tasks: usize, task: &Task<'_>) {
        let shared = &*self.shared;
        // SAFETY: only the lifetime changes. `run` does not return, nor unwind, before
        // `close` has seen the last helper leave, so no helper follows it later.
        let task = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task) };
        let job = Job {
            task,
            tasks,
            caller: std::thread::current(),
        };
        // SAFETY: the gate is closed and empty and we hold `turn`: see `Sync for Shared`.
        unsafe {
            *shared.job.get() = Some(job);
        }
        shared.next_task.store(0, Ordering::Relaxed);
        shared.gate.store(OPEN, Ordering::Release);
        let asleep = lock(&shared.asleep);
        shared.jobs.fetch_add(1, Ordering::Release);
        if *asleep > 0 {
            shared.wake.notify_all();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let asleep = lock(&self.shared.asleep);
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.jobs.fetch_add(1, Ordering::Release);
        self.shared.wake.notify_all();
        drop(asleep);
        for helper in self.helpers.drain(..) {
            // A helper catches its tasks' panics, so it has none of its own to tell of.
            let _ = helper.join();
        }
    }
}

impl Shared {
    fn take_tasks(&self, tasks: usize, worker: usize, task: &Task<'_>) {
        loop {
            let i = self.next_task.fetch_add(1, Ordering::Relaxed);
            if i >= tasks {
                return;
            }
            task(worker, i);
        }
    }

    /// Counts this helper in, unless the job has closed.
    fn enter(&self) -> Option<Job> {
        self.gate
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, |gate| {
                (gate & OPEN != 0).then_some(gate + 1)
            })
            .ok()?;
        // SAFETY: counted in the gate, so the caller does not write: see `Sync`.
        unsafe { (*self.job.get()).clone() }
    }

    /// Counts this helper out; the last of a closed job tells the caller.
    fn leave(&self, caller: &Thread) {
        if self.gate.fetch_sub(1, Ordering::AcqRel) == 1 {
            caller.unpark();
        }
    }

    /// Takes no more helpers and waits until the last has left.
    fn close(&self) {
        self.gate.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0;
        while self.gate.load(Ordering::Acquire) != 0 {
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                std::thread::park();
            }
        }
    }

    /// Waits for another job than the `seen`-th; answers its number.
    fn wait(&self, seen: usize) -> usize {
        for _ in 0..SPINS {
            let jobs = self.jobs.load(Ordering::Acquire);
            if jobs != seen {
                return jobs;
            }
            std::hint::spin_loop();
        }
        let mut asleep = lock(&self.asleep);
        loop {
            let jobs = self.jobs.load(Ordering::Acquire);
            if jobs != seen {
                return jobs;
            }
            *asleep += 1;
            asleep = self
                .wake
                .wait(asleep)
                .unwrap_or_else(PoisonError::into_inner);
            *asleep -= 1;
        }
    }
}

/// A helper's life.
fn help(shared: &Shared, worker: usize) {
    let mut seen = 0;
    loop {
        seen = shared.wait(seen);
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let Some(job) = shared.enter() else { continue };
        let done = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: counted in the gate: the caller is still in `run`, and the closure
            // with it.
            let task = unsafe { &*job.task };
            as_worker(worker, || shared.take_tasks(job.tasks, worker, task));
        }));
        if done.is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.leave(&job.caller);
    }
}

/// Runs `work` while this thread is known as `worker`.
fn as_worker(worker: usize, work: impl FnOnce()) {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            WORKER.set(None);
        }
    }
    WORKER.set(Some(worker));
    let _restore = Restore;
    work();
}

/// What a lock guards here is never left half done, so a panic elsewhere spoils nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cores that this process may use, two threads of one core counted once. Counted anew at each
/// call, by files that a confined process cannot open.
#[must_use]
pub fn physical_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let siblings = |cpu: usize| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        std::fs::read_to_string(path).ok()
    };
    let cores: std::collections::HashSet<String> = (0..).map_while(siblings).collect();
    match cores.len() {
        0 => allowed,
        cores => cores.min(allowed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in 1..5 {
            let pool = Pool::new(threads);
            for tasks in [0, 1, 2, 3, 7, 100, 1000] {
                let runs: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                pool.run(tasks, |worker, i| {
                    assert!(worker < pool.threads());
                    runs[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(runs.iter().all(|n| n.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3);
        for bad in 0..8 {
            let job = || pool.run(8, |_, i| assert_ne!(i, bad));
            assert!(catch_unwind(AssertUnwindSafe(job)).is_err());
        }
        let done = AtomicUsize::new(0);
        pool.run(8, |_, _| {
            done.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 8);
    }

    #[test]
    fn a_task_that_runs_a_job_does_not_deadlock() {
        let pool = Pool::new(2);
        let done = AtomicUsize::new(0);
        pool.run(4, |_, _| {
            pool.run(4, |_, _| {
                done.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(done.into_inner(), 16);
    }

    #[test]
    fn callers_take_turns() {
        let pool = Pool::new(2);
        let busy = [const { AtomicBool::new(false) }; 2];
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        pool.run(6, |worker, _| {
                            assert!(!busy[worker].swap(true, Ordering::AcqRel));
                            std::hint::spin_loop();
                            busy[worker].store(false, Ordering::Release);
                        });
                    }
                });
            }
        });
    }

    #[test]
    fn there_is_a_core() {
        assert!(physical_cores() >= 1);
    }
}
