//! The loops of one tile, unrolled over registers: shared by the vector instruction sets.
//!
//! A tile's sums stay in registers from the first unit of depth to the last. Constants of
//! the instruction set reach the loops as const generics, and arrays are indexed by plain
//! counters: the compiler then unrolls the loops and turns arrays into registers. With
//! iterators it leaves them in memory, at a third of the speed.
#![allow(clippy::needless_range_loop)]

use super::isa::{Factors, Isa, Tile};

/// Vectors of [`Isa::LANES`] integer sums.
pub(super) trait Sums: Isa {
    /// The vector.
    type I: Copy;

    /// Sums before the first product, in a row whose codes add up to `sum`: what undoes
    /// [`Isa::OFFSET`].
    fn start(self, sum: i32) -> Self::I;
    /// Each sum as the nearest float.
    fn to_floats(self, sums: Self::I) -> Self::F;
}

/// Sums that take one unit of one row against one unit of a vector of columns.
pub(super) trait Dot: Sums {
    /// One unit of a row, in every lane.
    ///
    /// # Safety
    /// `from` holds a unit of codes.
    unsafe fn spread(self, from: *const Self::Code) -> Self::I;
    /// One unit of [`Isa::LANES`] columns.
    ///
    /// # Safety
    /// `from` holds as many units of bytes.
    unsafe fn columns(self, from: *const u8) -> Self::I;
    /// `sums + row . column`, lane by lane.
    fn dot(self, sums: Self::I, row: Self::I, columns: Self::I) -> Self::I;
}

/// The sums of the first `R` rows and `V` vectors of columns of a tile.
#[inline(always)]
fn accumulate<I: Dot, const R: usize, const V: usize>(
    isa: I,
    left: &[I::Code],
    right: &[u8],
    row_sums: &[i32],
) -> [[I::I; V]; R] {
    let Tile {
        rows,
        columns,
        unit,
    } = I::TILE;
    assert!(R <= rows && V * I::LANES <= columns);
    let units = right.len() / (columns * unit);
    assert!(left.len() >= units * rows * unit && row_sums.len() >= R);
    let mut sums = [[isa.start(0); V]; R];
    for r in 0..R {
        sums[r] = [isa.start(row_sums[r]); V];
    }
    let (mut left, mut right) = (left.as_ptr(), right.as_ptr());
    for _ in 0..units {
        // SAFETY: `units` whole units of all rows and all columns are in bounds, by the
        // assertion and by how `units` is counted.
        unsafe {
            let mut vectors = [isa.start(0); V];
            for v in 0..V {
                vectors[v] = isa.columns(right.add(v * I::LANES * unit));
            }
            for r in 0..R {
                let row = isa.spread(left.add(r * unit));
                for v in 0..V {
                    sums[r][v] = isa.dot(sums[r][v], row, vectors[v]);
                }
            }
            left = left.add(rows * unit);
            right = right.add(columns * unit);
        }
    }
    sums
}

/// [`Isa::scaled_products`] of the first `R` rows and `V` vectors of columns.
#[inline(always)]
pub(super) fn scaled_products<I: Dot, const R: usize, const V: usize>(
    isa: I,
    left: &[I::Code],
    right: &[u8],
    sums: &[i32],
    factors: Factors<'_>,
    out: &mut [f32],
) {
    let sums = accumulate::<I, R, V>(isa, left, right, sums);
    store_scaled(isa, sums, factors, out);
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

/// [`Isa::float_products`] of the first `R` rows and `V` vectors of columns.
#[inline(always)]
pub(super) fn float_products<I: Isa, const R: usize, const V: usize>(
    isa: I,
    left: &[f32],
    right: &[f32],
    out: &mut [f32],
) {
    let Tile { rows, columns, .. } = I::FLOAT_TILE;
    assert!(R <= rows && V * I::LANES <= columns && out.len() >= R * columns);
    let depth = right.len() / columns;
    assert!(left.len() >= depth * rows);
    let mut sums = [[isa.splat(0.0); V]; R];
    let (mut left, mut right) = (left.as_ptr(), right.as_ptr());
    for _ in 0..depth {
        // SAFETY: `depth` values of all rows and all columns are in bounds, by the
        // assertion and by how `depth` is counted.
        unsafe {
            let mut vectors = [isa.splat(0.0); V];
            for v in 0..V {
                let from = right.add(v * I::LANES);
                vectors[v] = isa.load(std::slice::from_raw_parts(from, I::LANES));
            }
            for r in 0..R {
                let row = isa.splat(*left.add(r));
                for v in 0..V {
                    sums[r][v] = isa.mul_add(row, vectors[v], sums[r][v]);
                }
            }
            left = left.add(rows);
            right = right.add(columns);
        }
    }
    for r in 0..R {
        for v in 0..V {
            isa.store(sums[r][v], &mut out[r * columns + v * I::LANES..]);
        }
    }
}
