//! What can be wrong with a graph or a run of it, as a code, a sentence and the way out.

/// What can be wrong with a graph.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The file is no ONNX graph that can be run.
    #[error("{graph}: not a graph that can be run: {why}")]
    Load {
        /// File name of the graph.
        graph: String,
        /// What is wrong, and with which node.
        why: String,
    },
    /// The graph's inputs are not those of its place in the method.
    #[error("{graph}: inputs are {found}; expected {expected}")]
    Inputs {
        /// File name of the graph.
        graph: String,
        /// The inputs it has.
        found: String,
        /// The inputs it should have.
        expected: String,
    },
    /// The graph gives another number of outputs than its place in the method needs.
    #[error("{graph}: gives {found} outputs; expected {expected}")]
    Outputs {
        /// File name of the graph.
        graph: String,
        /// Outputs it has.
        found: usize,
        /// Outputs it should have.
        expected: usize,
    },
    /// The graph failed while running.
    #[error("{graph}: failed while running: {why}")]
    Run {
        /// File name of the graph.
        graph: String,
        /// What is wrong, and with which node.
        why: String,
    },
    /// An output holds a value that is no number.
    #[error("{graph}: output {output} holds a value that is not finite")]
    NotFinite {
        /// File name of the graph.
        graph: String,
        /// Index of the output.
        output: usize,
    },
    /// A run would need more memory than there is.
    #[error("{graph}: needs {needed} MiB for a run; {allowed} MiB are allowed")]
    Budget {
        /// File name of the graph.
        graph: String,
        /// MiB that it needs, known before it runs.
        needed: u64,
        /// MiB that are allowed, or free.
        allowed: u64,
    },
    /// A prepared file is not as it was written.
    #[error("{file}: {why}")]
    Prepared {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// This CPU has not the kernel that was asked for.
    #[error("MEDFOCUS_KERNEL: {why}")]
    Kernel {
        /// The names that can be had.
        why: String,
    },
}

/// The way out where memory is wanting.
pub const MORE_MEMORY: &str = "allow more memory, end other programs, or use a smaller bundle";

impl EngineError {
    /// The same error of a run, told of this graph.
    pub(crate) fn of(mut self, name: &str) -> Self {
        if let Self::Run { graph, .. } | Self::Budget { graph, .. } = &mut self {
            name.clone_into(graph);
        }
        self
    }

    /// Stable code for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => "kernel",
            Self::Budget { .. } => "budget",
            _ => "engine",
        }
    }

    /// The way out.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => "unset MEDFOCUS_KERNEL, or name a kernel that this CPU can run",
            Self::Budget { .. } => MORE_MEMORY,
            _ => "run `medfocus bundle verify`; if it passes, report this with the message",
        }
    }
}
