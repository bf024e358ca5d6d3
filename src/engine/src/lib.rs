//! Runs ONNX graphs in int8 on CPUs: a graph and tensors in, tensors out.
//!
//! | layer, lowest first | what for |
//! |---|---|
//! | [`kernels`] | arithmetic for this CPU, and the threads that share it |
//! | `typed`, `refused` | a graph of our operators, each with its attributes; why one cannot be run |
//! | `onnx` | a file becomes a typed graph and int8 weights, whatever int8 form it has |
//! | `plan` | a typed graph and input shapes become steps over one arena |
//! | `weighed`, `ours` | nodes beside their packed weights; a graph of such nodes alone, planned |
//! | `mixed` | of anybody's graph, what is ours is one operator of tract, which runs the rest |
//! | `prepared` | nodes and packed weights, in a file that this device made |
//! | [`Engine`], `memory` | what graphs share: kernel, threads, and the memory of runs |
//! | [`Graph`] | a loaded graph: plans, runs, checks inputs and outputs |
//! | `audit` | in which arithmetic each product runs |
//! | `reference`, `digest` | this CPU's kernel compared with the scalar one; with other machines' |
//!
//! A [`Graph`] is checked against the inputs that its caller expects before anything runs, and
//! every output is checked to be finite. A graph with an int8 product that cannot run in int8 is
//! refused, and the refusal names the node; the product never runs in float. Nothing here knows
//! what a graph is for, and nothing here opens or writes a file: bytes come in and go out.

// A library has no terminal: what is said leaves by a return value.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod arithmetic;
mod audit;
mod body;
mod digest;
mod engine;
mod error;
mod floats;
mod graph;
pub mod kernels;
mod made_up;
mod memory;
mod mixed;
mod onnx;
mod ours;
mod plan;
mod prepared;
mod reference;
mod refused;
mod tensor;
mod typed;
mod weighed;

pub use arithmetic::Arithmetic;
pub use audit::{Product, Profile, StepTime, median};
pub use digest::ProductDigest;
pub use engine::{Engine, Settings};
pub use error::{EngineError, MORE_MEMORY};
pub use graph::Graph;
pub use memory::available_memory;
pub use mixed::TractNode;
pub use prepared::{Origin, PreparedFile, PreparedKey};
pub use reference::{Compared, ReferenceError, compare_with_reference};
pub use tensor::{ElementType, Expected, Side, Tensor};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
