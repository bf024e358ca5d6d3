//! `--threads` and `--memory`: how much of the machine the engine may use. The same options for
//! every command that answers images.

use clap::Args;
use medfocus::engine::{Engine, Settings};

#[derive(Debug, Clone, Args)]
pub struct LimitArguments {
    /// Threads to use; all cores where absent or 0
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub threads: Option<u32>,
    /// Most MiB that a graph may take for a run, beside its weights; an image that needs more
    /// is refused before it runs. Where absent, what the system has free
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub memory: Option<u32>,
}

impl LimitArguments {
    /// What an engine is to be made with.
    pub fn settings(&self) -> Settings {
        Settings {
            threads: self.threads.unwrap_or(0) as usize,
            memory: self.memory.map(|mib| u64::from(mib) << 20),
            kernel: None,
        }
    }

    /// An engine within these limits.
    pub fn engine(&self) -> Engine {
        Engine::new(&self.settings())
    }
}
