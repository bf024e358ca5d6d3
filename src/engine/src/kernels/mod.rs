//! The arithmetic of the int8 engine, written for the CPU it runs on.
//!
//! | layer, lowest first | file |
//! |---|---|
//! | the operations that an instruction set must have | `isa.rs`, and one file for each: `scalar.rs`, ... |
//! | the instruction set that this process uses | `select.rs`: [`Kernel`] |
//! | threads that share one operator's work | `pool.rs` |
//! | kernel, threads and scratch memory together | `cpu.rs`: [`Cpu`], which every operator takes |
//! | tiles in registers, dot products, transposes | `tile.rs`, `dot.rs`, `turn.rs` |
//! | a row as lanes; exponentials over lanes | `lanes.rs`, `math.rs` |
//! | activation functions, GELU among them; the layer norm of a row | `activation.rs`, `norm.rs` |
//! | weights, laid out for one kernel | `packed.rs`: [`PackedLinear`] |
//! | rows in and out: strides, tables, patches | `rows.rs`, `row_table.rs` |
//! | linear layers, convolutions, both halves of an MLP | `layer/`, `quantize.rs` |
//! | attention; products of two activations | `attention/`, `matmul.rs` |
//! | whole tensors, value by value or row by row | `pointwise.rs`, `pixels.rs` |
//!
//! Integer results are the same bits on every instruction set and with any number of
//! threads. Float results depend on the instruction set within the bound that each
//! function states, and never on the number of threads.
//!
//! A value that is not finite is never hidden: every result that depends on a row with such a
//! value is NaN.
//!
//! Hot loops use a plain counter. A routine is inlined into its instruction set's `enter`, which
//! makes a very large function. There the compiler does not inline `Zip::next` and closures, and
//! each call would pass its vectors through memory.
//!
//! This module knows nothing of graphs or files. All `unsafe` code of the library is in it; each
//! block says why it is sound.
#![allow(unsafe_code)]

mod activation;
mod aligned;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
mod avx_vnni;
mod cpu;
#[cfg(target_arch = "x86_64")]
mod dot;
mod isa;
mod lanes;
mod layer;
mod math;
mod matmul;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(target_arch = "aarch64")]
mod neon_i8mm;
#[cfg(target_arch = "aarch64")]
mod neon_sdot;
#[cfg(target_arch = "aarch64")]
mod neon_smlal;
mod norm;
mod packed;
mod pixels;
mod pointwise;
mod pool;
mod quantize;
mod row_table;
mod rows;
mod scalar;
mod select;
#[cfg(test)]
mod tests;
mod tile;
mod turn;
#[cfg(target_arch = "x86_64")]
mod ymm;

pub use activation::Activation;
pub use aligned::floats_of;
pub use attention::{Attention, AttentionArithmetic, Heads, HeadsMut, attention};
pub use cpu::Cpu;
pub use isa::Tile;
pub use layer::{Linear, linear, mlp};
pub use matmul::{MatMul, matmul};
pub use norm::Norm;
pub use packed::{Arithmetic, Order, PackError, PackedLinear};
pub use pixels::{PixelView, PixelViewMut, Resize, max_pool_2x2, resize};
pub use pointwise::{add, apply, l2_normalize, layer_norm, softmax};
pub use pool::physical_cores;
pub use row_table::{NO_ROW, RowTable};
pub use rows::{Input, Output, PatchOrder, Patches, Residual};
pub use select::{Kernel, KernelError};
pub use turn::transpose;

/// Arguments of an operator that do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is {found}; expected {expected}")]
pub struct ShapeError {
    /// What was measured.
    pub what: &'static str,
    /// What it is.
    pub found: usize,
    /// What it should be (at least, where it is a length of memory).
    pub expected: usize,
}

impl ShapeError {
    /// Refuses unless `found` is `expected`.
    fn unless_equal(what: &'static str, found: usize, expected: usize) -> Result<(), Self> {
        let error = Self {
            what,
            found,
            expected,
        };
        (found == expected).then_some(()).ok_or(error)
    }

    /// Refuses unless `found` is `expected` or more.
    fn unless_at_least(what: &'static str, found: usize, expected: usize) -> Result<(), Self> {
        let error = Self {
            what,
            found,
            expected,
        };
        (found >= expected).then_some(()).ok_or(error)
    }
}
