//! The loops of one tile, unrolled over registers: shared by the vector instruction sets.
//!
//! A tile's sums stay in registers from the first unit of depth to the last. Constants of
//! the instruction set reach the loops as const generics, and arrays are indexed by plain
//! counters: the compiler then unrolls the loops and turns arrays into registers. With
//! iterators it leaves them in memory, at a third of the speed.
#![allow(clippy::needless_range_loop)]

use super::isa::{Factors, Isa, Strided, Tile};

/// Vectors of [`Isa::LANES`] integer sums.
pub(super) trait Sums: Isa {
    /// The vector.
    type I: Copy;

    /// Each sum as the nearest float.
    fn to_floats(self, sums: Self::I) -> Self::F;
}

/// Writes a tile's sums as floats: `sum * (row factor * column factor) + bias`.
#[inline(always)]
pub(super) fn store_scaled<I: Sums, const R: usize, const V: usize>(
    isa: I,
    sums: [[I::I; V]; R],
    factors: Factors<'_>,
    out: &mut [f32],
) {
    let (width, stride) = (V * I::LANES, I::TILE.columns);
    let (columns, bias) = (&factors.columns[..width], &factors.bias[..width]);
    assert!(factors.rows.len() >= R && out.len() >= R * stride);
    for v in 0..V {
        let at = v * I::LANES;
        let (column, bias) = (isa.load(&columns[at..]), isa.load(&bias[at..]));
        for r in 0..R {
            let factor = isa.mul(isa.splat(factors.rows[r]), column);
            let value = isa.mul_add(isa.to_floats(sums[r][v]), factor, bias);
            isa.store(value, &mut out[r * stride + at..]);
        }
    }
}

/// [`Isa::float_products`] of up to `R` rows and `V` vectors of columns.
#[inline(always)]
pub(super) fn float_products<I: Isa, const R: usize, const V: usize>(
    isa: I,
    left: Strided<'_>,
    rows: usize,
    right: &[f32],
    out: &mut [f32],
) {
    let mut at = [0; R];
    if rows >= R && left.row == 1 {
        // Places that are known while compiling need no register each.
        for r in 0..R {
            at[r] = r;
        }
        return products_at::<I, R, V>(isa, left, at, right, out);
    }
    for r in 0..R {
        // For rows that are not valid, the last one once more.
        at[r] = r.min(rows - 1) * left.row;
    }
    products_at::<I, R, V>(isa, left, at, right, out);
}

/// Products of the rows that start `at` these places.
#[inline(always)]
fn products_at<I: Isa, const R: usize, const V: usize>(
    isa: I,
    left: Strided<'_>,
    at: [usize; R],
    right: &[f32],
    out: &mut [f32],
) {
    let Tile { rows, columns, .. } = I::FLOAT_TILE;
    assert!(R <= rows && V * I::LANES <= columns && out.len() >= R * columns);
    let depth = right.len() / columns;
    assert!(depth > 0 && left.data.len() > at[R - 1] + (depth - 1) * left.step);
    let mut sums = [[isa.splat(0.0); V]; R];
    let (mut from, mut right) = (left.data.as_ptr(), right.as_ptr());
    for _ in 0..depth {
        // SAFETY: `depth` values of the last row, so of all, and `depth` times all columns
        // are in bounds, by the assertions and by how `depth` is counted.
        unsafe {
            let mut vectors = [isa.splat(0.0); V];
            for v in 0..V {
                let from = right.add(v * I::LANES);
                vectors[v] = isa.load(std::slice::from_raw_parts(from, I::LANES));
            }
            for r in 0..R {
                let row = isa.splat(*from.add(at[r]));
                for v in 0..V {
                    sums[r][v] = isa.mul_add(row, vectors[v], sums[r][v]);
                }
            }
            // Beyond the end after the last turn, and not followed there.
            from = from.wrapping_add(left.step);
            right = right.add(columns);
        }
    }
    for r in 0..R {
        for v in 0..V {
            isa.store(sums[r][v], &mut out[r * columns + v * I::LANES..]);
        }
    }
}
