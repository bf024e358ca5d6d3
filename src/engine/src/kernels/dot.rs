//! Tiles of integer products for instructions that take one unit of one row, spread over
//! all lanes, against a vector of columns: those of x86-64.
// Plain counters: see `tile.rs`.
#![allow(clippy::needless_range_loop)]

use super::isa::{Factors, Tile};
use super::tile::{Sums, store_scaled};

/// Sums that take one unit of one row against one unit of a vector of columns.
pub(super) trait Dot: Sums {
    /// Sums before the first product, in a row whose codes add up to `sum`: what undoes
    /// [`Isa::OFFSET`].
    fn start(self, sum: i32) -> Self::I;
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
