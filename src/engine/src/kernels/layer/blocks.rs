//! How one layer's work is cut into parts for threads to take.

use std::ops::Range;

use super::left::LeftShape;
use crate::kernels::cpu::Cpu;
use crate::kernels::packed::PackedLinear;

/// Bytes of left panels that one block may fill: they stay in the second-level cache
/// beside the panel of weights that passes.
const BLOCK_BYTES: usize = 192 << 10;

/// Work is cut into this many parts a thread, so that none waits long for the last.
pub(super) const PARTS_A_THREAD: usize = 4;

/// Below this many rows a thread, threads share the panels of weights, not the rows.
const FEW_ROWS: usize = 256;

/// How one layer's work is cut.
pub(super) enum Split {
    /// Blocks of rows, each quantised and multiplied by one thread.
    Rows(Blocks),
    /// Few rows: quantised once by all threads, then each takes panels of weights.
    Columns,
}

/// `rows` cut into `count` blocks of `size`, the last one shorter.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    rows: usize,
    size: usize,
    pub count: usize,
}

impl Blocks {
    pub fn rows(self, block: usize) -> Range<usize> {
        block * self.size..self.rows.min((block + 1) * self.size)
    }
}

impl Split {
    pub fn new(cpu: &Cpu, rows: usize, weights: &PackedLinear) -> Self {
        let threads = cpu.threads();
        if threads > 1 && rows < threads * FEW_ROWS && weights.panel_count() >= 2 * threads {
            return Self::Columns;
        }
        let shape = LeftShape::new(cpu, weights);
        let parts = match threads {
            1 => 1,
            threads => threads * PARTS_A_THREAD,
        };
        let fitting = (BLOCK_BYTES / shape.panel_bytes()).max(1) * shape.tile.rows;
        let count = rows.div_ceil(fitting).max(parts);
        let size = rows
            .div_ceil(count)
            .max(1)
            .next_multiple_of(shape.tile.rows);
        Self::Rows(Blocks {
            rows,
            size,
            count: rows.div_ceil(size),
        })
    }
}
