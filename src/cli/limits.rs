//! What the engine may take of the machine: the same options for every command that answers.

use clap::Args;
use medfocus::engine;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Threads to use; 0 means all cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Most MiB that a graph may take for a run, beside its weights; an image that needs more
    /// is refused before it runs. Where absent, what the system has free
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    memory: Option<u32>,
}

impl Arguments {
    /// Puts the limits in force, for this process and all graphs.
    pub fn apply(&self) {
        engine::set_threads(self.threads);
        engine::set_memory_budget(self.memory.map_or(0, |mib| u64::from(mib) << 20));
    }
}
