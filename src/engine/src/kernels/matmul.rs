//! Products of two float matrices, neither of which is known beforehand.

use super::ShapeError;
use super::aligned::{Aligned, lines_of, take};
use super::cpu::Cpu;
use super::isa::{Isa, MOST_COLUMNS, MOST_ROWS, Routine, Strided, Valid};
use super::rows::{Output, Residual, Sink};
use super::turn::turn_within;

/// The sides of `A B`, and where the values of both lie.
#[derive(Debug, Clone, Copy)]
pub struct MatMul {
    /// Rows of `A`.
    pub rows: usize,
    /// Columns of `B`.
    pub columns: usize,
    /// Columns of `A`, which are rows of `B`.
    pub depth: usize,
    /// Floats from one row of `A` to the next, and from one column.
    pub left: [usize; 2],
    /// Floats from one row of `B` to the next, and from one column.
    pub right: [usize; 2],
}

/// `out = A B`, rows one after the other.
///
/// # Errors
/// Where lengths do not fit.
pub fn matmul(
    cpu: &Cpu,
    sides: &MatMul,
    left: &[f32],
    right: &[f32],
    out: &mut [f32],
) -> Result<(), ShapeError> {
    let MatMul {
        rows,
        columns,
        depth,
        ..
    } = *sides;
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    ShapeError::unless_at_least("the matrices' depth", depth, 1)?;
    let reach = |counts: [usize; 2], strides: [usize; 2]| {
        let steps = counts.into_iter().zip(strides);
        steps.fold(1, |sum: usize, (count, stride)| {
            sum.saturating_add((count - 1).saturating_mul(stride))
        })
    };
    let (a, b) = (
        reach([rows, depth], sides.left),
        reach([depth, columns], sides.right),
    );
    ShapeError::unless_at_least("the left matrix' length", left.len(), a)?;
    ShapeError::unless_at_least("the right matrix' length", right.len(), b)?;
    let sink = Sink::new(Output::rows(out, columns), Residual::None, rows, columns)?;
    let width = cpu.kernel().float_tile().columns;
    cpu.pool().run(columns.div_ceil(width), |worker, panel| {
        cpu.kernel().enter(Panel {
            sides,
            left,
            right,
            sink: &sink,
            columns: panel * width..columns.min((panel + 1) * width),
            scratch: &mut cpu.scratch(worker),
        });
    });
    Ok(())
}

/// All rows against one panel of columns.
struct Panel<'a> {
    sides: &'a MatMul,
    left: &'a [f32],
    right: &'a [f32],
    sink: &'a Sink<'a>,
    columns: std::ops::Range<usize>,
    scratch: &'a mut Aligned,
}

impl Routine for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (tile, sides) = (I::FLOAT_TILE, self.sides);
        let length = sides.depth * tile.columns;
        let mut memory = self.scratch.grow(lines_of::<f32>(length));
        let panel: &mut [f32] = take(&mut memory, length);
        let width = self.columns.len();
        if width < tile.columns {
            panel.fill(0.0);
        }
        let [step, column] = sides.right;
        let right = &self.right[self.columns.start * column..];
        if column == 1 {
            for k in 0..sides.depth {
                panel[k * tile.columns..][..width].copy_from_slice(&right[k * step..][..width]);
            }
        } else if step == 1 {
            turn_within([width, sides.depth], right, column, panel, tile.columns);
        } else {
            for k in 0..sides.depth {
                for c in 0..width {
                    panel[k * tile.columns + c] = right[k * step + c * column];
                }
            }
        }
        let mut out = [0.0; MOST_ROWS * MOST_COLUMNS];
        let out = &mut out[..tile.rows * tile.columns];
        let [row, step] = sides.left;
        for first in (0..sides.rows).step_by(tile.rows) {
            let left = Strided {
                data: &self.left[first * row..],
                row,
                step,
            };
            let valid = Valid {
                rows: tile.rows.min(sides.rows - first),
                columns: width,
            };
            isa.float_products(left, panel, valid, out);
            for r in 0..valid.rows {
                let values = &out[r * tile.columns..][..width];
                // SAFETY: within the rows and columns that `Sink::new` was told of; no
                // other task has this panel.
                unsafe { self.sink.write(isa, first + r, self.columns.start, values) };
            }
        }
    }
}
