//! What the engine may take of the machine: the same options for every command that answers.

use clap::Args;
use medfocus::engine;

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Threads to use; all cores where absent or 0
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub threads: Option<u32>,
    /// Most MiB that a graph may take for a run, beside its weights; an image that needs more
    /// is refused before it runs. Where absent, what the system has free
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub memory: Option<u32>,
}

impl Arguments {
    /// Puts the limits in force, for this process and all graphs.
    pub fn apply(&self) {
        engine::set_threads(self.threads.unwrap_or(0) as usize);
        engine::set_memory_budget(self.memory.map_or(0, |mib| u64::from(mib) << 20));
    }
}
