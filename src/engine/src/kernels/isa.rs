//! What every instruction set gives: lanes of floats, and tiles of integer and float
//! products. One file per instruction set implements [`Isa`]; everything else in this
//! module is written once, over it.
//!
//! A value of a type that is [`Isa`] is the proof that this CPU has the instructions: its
//! `new` answers `None` where it has not. Methods are inlined into [`Isa::enter`], the
//! only function compiled for the instruction set; nothing must call them from elsewhere.

use super::aligned::Plain;

/// Rows and columns of one tile of a matrix product, and how many neighbours along the
/// inner dimension lie side by side in both panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// Rows of the left matrix in one tile.
    pub rows: usize,
    /// Columns of the right matrix in one tile.
    pub columns: usize,
    /// Neighbours along the inner dimension that one instruction takes together.
    pub unit: usize,
}

impl Tile {
    /// `depth` filled up to whole units.
    pub(super) const fn padded_depth(self, depth: usize) -> usize {
        depth.next_multiple_of(self.unit)
    }
}

/// The largest [`Tile::rows`] of any instruction set.
pub(super) const MOST_ROWS: usize = 16;
/// The largest [`Tile::columns`] of any instruction set.
pub(super) const MOST_COLUMNS: usize = 64;
/// The largest [`Isa::LANES`].
pub(super) const MOST_LANES: usize = 16;

/// What turns one tile's integer sums into floats.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    /// One factor a row.
    pub rows: &'a [f32],
    /// One factor a column.
    pub columns: &'a [f32],
    /// One float a column, added last.
    pub bias: &'a [f32],
}

/// The valid rows and columns of a tile, from its first ones on: the last tile of a matrix is
/// seldom full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Valid {
    /// Valid rows.
    pub rows: usize,
    /// Valid columns.
    pub columns: usize,
}

/// Rows of floats anywhere in memory: value `k` of row `r` lies at `r * row + k * step`.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    /// The values.
    pub data: &'a [f32],
    /// Floats from one row to the next.
    pub row: usize,
    /// Floats from one value of a row to the next.
    pub step: usize,
}

/// An instruction set. Floats are IEEE single precision, rounded to nearest even.
///
/// Panels: the left one holds `[unit][row][neighbour]` codes, the right one
/// `[unit][column][neighbour]` bytes, each the weight's code plus [`Isa::OFFSET`].
pub(super) trait Isa: Copy + Send + Sync + 'static {
    /// The name that `MEDFOCUS_KERNEL` knows it by.
    const NAME: &'static str;
    /// Floats in one [`Isa::F`].
    const LANES: usize;
    /// Tile of the integer product.
    const TILE: Tile;
    /// Added to each weight's code where it is stored: instructions that multiply
    /// unsigned by signed want the weights unsigned.
    const OFFSET: u8;
    /// Tile of the float product; its unit is 1.
    const FLOAT_TILE: Tile;

    /// A vector of floats.
    type F: Copy;
    /// An activation's code as the left panel holds it.
    type Code: Plain + From<i8>;

    /// Runs a routine compiled for this instruction set.
    fn enter<R: Routine>(self, routine: R) -> R::Output;

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::F;
    /// The first [`Isa::LANES`] floats.
    fn load(self, from: &[f32]) -> Self::F;
    /// Writes the first [`Isa::LANES`] floats.
    fn store(self, value: Self::F, to: &mut [f32]);
    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The smaller one; a NaN in `b` stays, one in `a` may be lost.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger one; a NaN in `b` stays, one in `a` may be lost.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `|a|`
    fn abs(self, a: Self::F) -> Self::F;
    /// The nearest whole number, halves to even; `|a|` is below 2^22.
    fn round(self, a: Self::F) -> Self::F;
    /// `a * 2^n`, where `n` is whole and in -126..=127.
    fn scale_by_power(self, a: Self::F, n: Self::F) -> Self::F;
    /// The sum of all lanes.
    fn sum(self, a: Self::F) -> f32;
    /// The largest lane; unspecified where one is NaN.
    fn largest(self, a: Self::F) -> f32;
    /// Writes each lane, rounded to the nearest whole number, halves to even; `|a|` is at
    /// most 127.5.
    fn store_codes(self, a: Self::F, to: &mut [i8]);
    /// The same for two rows of a left panel, each of whose units lies `step` codes behind
    /// the one before: `to` starts where the first lane of the first row goes.
    fn store_pair(self, rows: [Self::F; 2], to: &mut [Self::Code], step: usize);

    /// Asks for the cache line at `at`, which will soon be read. Any address will do.
    fn prefetch_read(self, at: *const f32);
    /// Asks for the cache line at `at`, which will soon be written. Any address will do.
    fn prefetch_write(self, at: *const f32);

    /// `out[row][column] = sum * (row factor * column factor) + bias`, the product and
    /// the last sum rounded once, where `sum` is that of `left * right` over the depth,
    /// exact modulo 2^32. `sums` holds the sum of each row's codes.
    ///
    /// Rows and columns beyond the valid ones may be written, with anything.
    fn scaled_products(
        self,
        left: &[Self::Code],
        right: &[u8],
        sums: &[i32],
        factors: Factors<'_>,
        valid: Valid,
        out: &mut [f32],
    );
    /// `out[row][column] = sum of left * right` over floats. The left rows lie where they
    /// are, packed or not, and of those beyond the valid ones nothing is read; the right
    /// panel holds `[depth][column]`.
    ///
    /// Rows and columns beyond the valid ones may be written, with anything.
    fn float_products(self, left: Strided<'_>, right: &[f32], valid: Valid, out: &mut [f32]);
}

/// Work written once for every instruction set.
pub(super) trait Routine {
    /// What it answers.
    type Output;
    /// The work. Implementations are `#[inline(always)]`.
    fn run<I: Isa>(self, isa: I) -> Self::Output;
}
