//! The left operand of a layer: rows fetched, normalised, quantised and laid out tile by tile.
//!
//! In go a layer's input and the rows that one thread has taken; out come the panels that
//! `multiply.rs` reads. It never looks at a row beyond those.

use std::ops::Range;

use super::Linear;
use crate::kernels::aligned::{LINE, lines_of, take, view_mut};
use crate::kernels::cpu::Cpu;
use crate::kernels::isa::{Isa, Routine, Tile};
use crate::kernels::norm::{Norm, norm_row};
use crate::kernels::packed::{Arithmetic, PackedLinear};
use crate::kernels::quantize::quantize_pair;
use crate::kernels::rows::Input;

/// The left operand of one layer in memory: tile by tile, each its panel, then (int8
/// only) one scale and one sum of codes a row.
#[derive(Clone, Copy)]
pub(super) struct LeftShape {
    pub arithmetic: Arithmetic,
    pub tile: Tile,
    /// Values of a row, filled up to whole units.
    pub depth: usize,
    value_bytes: usize,
}

impl LeftShape {
    pub fn new(cpu: &Cpu, weights: &PackedLinear) -> Self {
        let kernel = cpu.kernel();
        let (tile, value_bytes) = match weights.arithmetic() {
            Arithmetic::Int8 => (kernel.tile(), kernel.code_bytes()),
            Arithmetic::Float => (kernel.float_tile(), size_of::<f32>()),
        };
        Self {
            arithmetic: weights.arithmetic(),
            tile,
            depth: tile.padded_depth(weights.inputs()),
            value_bytes,
        }
    }

    pub fn panel_bytes(self) -> usize {
        (self.tile.rows * self.depth * self.value_bytes).next_multiple_of(LINE)
    }

    pub fn tile_bytes(self) -> usize {
        let factors = match self.arithmetic {
            Arithmetic::Int8 => lines_of::<f32>(self.tile.rows) + lines_of::<i32>(self.tile.rows),
            Arithmetic::Float => 0,
        };
        self.panel_bytes() + factors
    }

    pub fn bytes(self, rows: usize) -> usize {
        rows.div_ceil(self.tile.rows) * self.tile_bytes()
    }

    /// Memory for two rows fetched, two normalised, and one of zeros.
    pub fn staging_bytes(self) -> usize {
        5 * lines_of::<f32>(self.depth)
    }
}

/// Fetches `rows` and lays them out as the left operand.
pub(super) fn fill(
    cpu: &Cpu,
    input: &Input<'_>,
    layer: &Linear<'_>,
    rows: Range<usize>,
    left: &mut [u8],
    staging: &mut [u8],
) {
    let shape = LeftShape::new(cpu, layer.weights);
    cpu.kernel().enter(Fill {
        input,
        layer,
        shape,
        rows,
        left,
        staging,
    });
}

struct Fill<'a> {
    input: &'a Input<'a>,
    layer: &'a Linear<'a>,
    shape: LeftShape,
    rows: Range<usize>,
    left: &'a mut [u8],
    staging: &'a mut [u8],
}

impl Routine for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (shape, rows) = (self.shape, self.rows);
        let (tile, depth) = (shape.tile, shape.depth);
        let inputs = self.layer.weights.inputs();
        let mut staging = self.staging;
        let mut one = || &mut take(&mut staging, inputs)[..];
        let source = LayerRows {
            input: self.input,
            norm: self.layer.norm,
            rows: rows.clone(),
        };
        let mut buffers = [[one(), one()], [one(), one()]];
        let zeros = one();
        zeros.fill(0.0);
        let tiles = self.left.chunks_exact_mut(shape.tile_bytes());
        for (left, first) in tiles.zip(rows.step_by(tile.rows)) {
            let (panel, mut factors) = left.split_at_mut(shape.panel_bytes());
            match shape.arithmetic {
                Arithmetic::Int8 => {
                    let scales = take(&mut factors, tile.rows);
                    let sums = take(&mut factors, tile.rows);
                    let panel = &mut view_mut(panel)[..tile.rows * depth];
                    for r in (0..tile.rows).step_by(2) {
                        let [a, b] = &mut buffers;
                        let pair = [
                            source.row(isa, first + r, a).unwrap_or(zeros),
                            source.row(isa, first + r + 1, b).unwrap_or(zeros),
                        ];
                        let quantised = quantize_pair(isa, pair, zeros, panel, r);
                        for i in 0..2 {
                            (scales[r + i], sums[r + i]) = quantised[i];
                        }
                    }
                }
                Arithmetic::Float => {
                    let panel = &mut view_mut(panel)[..tile.rows * depth];
                    for r in 0..tile.rows {
                        let row = source.row(isa, first + r, &mut buffers[0]);
                        let to = panel[r..].iter_mut().step_by(tile.rows);
                        to.zip(row.unwrap_or(zeros))
                            .for_each(|(to, value)| *to = *value);
                    }
                }
            }
        }
    }
}

/// The rows of one block as a layer's product takes them.
struct LayerRows<'a> {
    input: &'a Input<'a>,
    norm: Option<Norm<'a>>,
    rows: Range<usize>,
}

impl<'a> LayerRows<'a> {
    /// Row `row`, normalised; `None` where it is zeros or only fills up the last tile.
    #[inline(always)]
    fn row<'r, I: Isa>(
        &self,
        isa: I,
        row: usize,
        [fetched, normed]: &'r mut [&mut [f32]; 2],
    ) -> Option<&'r [f32]>
    where
        'a: 'r,
    {
        if row >= self.rows.end {
            return None;
        }
        let values = self.input.fetch(row, fetched)?;
        Some(match &self.norm {
            Some(norm) => {
                norm_row(isa, values, norm, normed);
                normed
            }
            None => values,
        })
    }
}
