//! How many threads one graph may use.

use tract_linalg::multithread::{Executor, set_default_executor};

/// Sets the number of threads for every graph of this process; 0 means all cores.
/// Answers the number in force. Results do not depend on it.
pub fn set_threads(wanted: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if wanted == 0 { cores } else { wanted };
    set_default_executor(match threads {
        1 => Executor::SingleThread,
        many => Executor::multithread(many),
    });
    threads
}
