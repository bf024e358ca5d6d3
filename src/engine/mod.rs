//! Graphs in, numbers out: the only room that names tract.
//!
//! A [`Graph`] is checked against the inputs its caller expects before anything
//! runs, and every output is checked to be finite. Nothing here knows what a graph
//! is for.

mod graph;
pub mod kernels;
pub mod pool;
mod threads;
mod weights;

pub use graph::{EngineError, Expected, Graph, Side, Tensor};
pub use threads::set_threads;
