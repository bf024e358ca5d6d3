//! A filled left operand times panels of weights, and what follows the product: bias, activation,
//! residual, each on a tile before it leaves the first-level cache.
//!
//! In go what `left.rs` filled and a layer's weights; out, through the sink, go rows of the
//! output. No two threads may multiply the same rows with the same panel.

use std::ops::Range;

use super::Linear;
use super::left::LeftShape;
use crate::kernels::activation::activate;
use crate::kernels::aligned::{lines_of, view};
use crate::kernels::cpu::Cpu;
use crate::kernels::isa::{Factors, Isa, MOST_COLUMNS, MOST_ROWS, Routine, Strided, Valid};
use crate::kernels::packed::Arithmetic;
use crate::kernels::rows::Sink;

/// Multiplies a filled left operand, whose first row is row `rows.start` of the output,
/// with panels of weights.
pub(super) fn multiply(
    cpu: &Cpu,
    layer: &Linear<'_>,
    rows: Range<usize>,
    left: &[u8],
    panels: Range<usize>,
    sink: &Sink<'_>,
) {
    let shape = LeftShape::new(cpu, layer.weights);
    cpu.kernel().enter(Multiply {
        layer,
        shape,
        rows,
        left,
        panels,
        sink,
    });
}

struct Multiply<'a> {
    layer: &'a Linear<'a>,
    shape: LeftShape,
    rows: Range<usize>,
    left: &'a [u8],
    panels: Range<usize>,
    sink: &'a Sink<'a>,
}

impl Routine for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (shape, rows) = (self.shape, self.rows);
        let (tile, weights) = (shape.tile, self.layer.weights);
        let mut out = [0.0; MOST_ROWS * MOST_COLUMNS];
        let out = &mut out[..tile.rows * tile.columns];
        for p in self.panels {
            let columns = p * tile.columns..weights.outputs().min((p + 1) * tile.columns);
            let mut bias = [0.0; MOST_COLUMNS];
            if let Some(all) = self.layer.bias {
                bias[..columns.len()].copy_from_slice(&all[columns.clone()]);
            }
            let right = weights.panel(p);
            for t in 0..rows.len().div_ceil(tile.rows) {
                let first = rows.start + t * tile.rows;
                let left = &self.left[t * shape.tile_bytes()..][..shape.tile_bytes()];
                let (panel, factors) = left.split_at(shape.panel_bytes());
                let last = rows.end.min(first + tile.rows);
                let valid = Valid {
                    rows: last - first,
                    columns: columns.len(),
                };
                for row in first..last {
                    self.sink.prefetch(isa, row, columns.start, valid.columns);
                }
                match shape.arithmetic {
                    Arithmetic::Int8 => {
                        let (scales, sums) = factors.split_at(lines_of::<f32>(tile.rows));
                        let factors = Factors {
                            rows: view(scales),
                            columns: &weights.scales()[p * tile.columns..],
                            bias: &bias,
                        };
                        let panel = &view(panel)[..tile.rows * shape.depth];
                        isa.scaled_products(panel, right, view(sums), factors, valid, out);
                    }
                    Arithmetic::Float => {
                        let left = Strided {
                            data: &view(panel)[..tile.rows * shape.depth],
                            row: 1,
                            step: tile.rows,
                        };
                        isa.float_products(left, view(right), valid, out);
                        add_bias(isa, out, &bias[..tile.columns]);
                    }
                }
                let out = &mut out[..valid.rows * tile.columns];
                activate(isa, self.layer.activation, out);
                for r in 0..valid.rows {
                    let values = &out[r * tile.columns..][..valid.columns];
                    // SAFETY: within the rows and outputs that `Sink::new` was told of;
                    // no other thread multiplies the same rows with the same panel.
                    unsafe { self.sink.write(isa, first + r, columns.start, values) };
                }
            }
        }
    }
}

#[inline(always)]
fn add_bias<I: Isa>(isa: I, out: &mut [f32], bias: &[f32]) {
    for r in 0..out.len() / bias.len() {
        for v in 0..bias.len() / I::LANES {
            let to = &mut out[r * bias.len() + v * I::LANES..];
            isa.store(isa.add(isa.load(to), isa.load(&bias[v * I::LANES..])), to);
        }
    }
}
