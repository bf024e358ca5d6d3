//! Graphs in, numbers out.
//!
//! | layer, lowest first | what for |
//! |---|---|
//! | [`kernels`] | arithmetic for this CPU, and the threads that share it |
//! | `onnx` | a file becomes nodes of ours and int8 weights, whatever form it was in |
//! | `plan` | nodes and input shapes become steps over one arena |
//! | `prepared` | nodes and packed weights in a file that this device made |
//! | [`Graph`] | all of it together, checked on the way in and out |
//! | `audit`, `memory`, `cpu` | what runs in what; how much memory; what graphs share |
//! | `reference`, `digest` | this device's kernel against the scalar one; against other machines' |
//!
//! A [`Graph`] is checked against the inputs its caller expects before anything runs, and
//! every output is checked to be finite. An int8 product that cannot run in int8 is
//! refused by node, never run in float. Nothing here knows what a graph is for.

mod audit;
mod cpu;
mod digest;
mod floats;
mod graph;
pub mod kernels;
mod made_up;
mod memory;
mod onnx;
mod plan;
mod prepared;
mod reference;

pub use audit::{Product, Profile, StepTime, median};
pub use cpu::set_threads;
pub use digest::ProductDigest;
pub use graph::{Arithmetic, EngineError, Expected, Graph, MORE_MEMORY, Side, Tensor};
pub use memory::{available_memory, set_memory_budget};
pub use prepared::{Origin, PreparedKey};
pub use reference::{Compared, ReferenceError, compare_with_reference};

/// Looks at what a process can no longer look at once it is confined: how much memory and how
/// many cores there are.
pub fn look_at_machine() {
    let _ = (available_memory(), kernels::physical_cores());
}
