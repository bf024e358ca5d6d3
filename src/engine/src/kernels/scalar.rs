//! The reference: plain Rust, one value at a time, on any CPU.
//!
//! The other instruction sets are tested against this one. It is here to be right, not
//! to be quick.

use super::isa::{Factors, Isa, Routine, Strided, Tile, Valid};

/// No vectors at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scalar;

impl Scalar {
    /// Every CPU has it.
    pub(super) fn new() -> Option<Self> {
        Some(Self)
    }
}

impl Isa for Scalar {
    const NAME: &'static str = "scalar";
    const LANES: usize = 1;
    const TILE: Tile = Tile {
        rows: 4,
        columns: 8,
        unit: 1,
    };
    const OFFSET: u8 = 0;
    const FLOAT_TILE: Tile = Tile {
        rows: 4,
        columns: 8,
        unit: 1,
    };

    type F = f32;
    type Code = i8;

    #[inline]
    fn enter<R: Routine>(self, routine: R) -> R::Output {
        routine.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> f32 {
        value
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> f32 {
        from[0]
    }
    #[inline(always)]
    fn store(self, value: f32, to: &mut [f32]) {
        to[0] = value;
    }
    #[inline(always)]
    fn add(self, a: f32, b: f32) -> f32 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32, b: f32) -> f32 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32, b: f32) -> f32 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32, b: f32) -> f32 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn min(self, a: f32, b: f32) -> f32 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    fn max(self, a: f32, b: f32) -> f32 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    fn abs(self, a: f32) -> f32 {
        a.abs()
    }
    #[inline(always)]
    fn round(self, a: f32) -> f32 {
        a.round_ties_even()
    }
    #[inline(always)]
    fn scale_by_power(self, a: f32, n: f32) -> f32 {
        // A whole number in -126..=127 plus the bias is a valid exponent field.
        a * f32::from_bits(((n as i32 + 127) as u32) << 23)
    }
    #[inline(always)]
    fn sum(self, a: f32) -> f32 {
        a
    }
    #[inline(always)]
    fn largest(self, a: f32) -> f32 {
        a
    }
    #[inline(always)]
    fn store_codes(self, a: f32, to: &mut [i8]) {
        to[0] = a.round_ties_even() as i8;
    }
    #[inline(always)]
    fn store_pair(self, rows: [f32; 2], to: &mut [i8], _step: usize) {
        for r in 0..2 {
            to[r] = rows[r].round_ties_even() as i8;
        }
    }

    #[inline(always)]
    fn prefetch_read(self, _at: *const f32) {}
    #[inline(always)]
    fn prefetch_write(self, _at: *const f32) {}

    #[inline(always)]
    fn scaled_products(
        self,
        left: &[i8],
        right: &[u8],
        _sums: &[i32],
        factors: Factors<'_>,
        valid: Valid,
        out: &mut [f32],
    ) {
        let Tile { rows, columns, .. } = Self::TILE;
        for r in 0..valid.rows {
            for c in 0..valid.columns {
                let codes = left[r..].iter().step_by(rows);
                let weights = right[c..].iter().step_by(columns);
                let products = codes
                    .zip(weights)
                    .map(|(a, b)| i32::from(*a) * i32::from(*b as i8));
                let sum = products.fold(0, i32::wrapping_add) as f32;
                let factor = factors.rows[r] * factors.columns[c];
                out[r * columns + c] = sum.mul_add(factor, factors.bias[c]);
            }
        }
    }

    #[inline(always)]
    fn float_products(self, left: Strided<'_>, right: &[f32], valid: Valid, out: &mut [f32]) {
        let columns = Self::FLOAT_TILE.columns;
        for r in 0..valid.rows {
            for c in 0..valid.columns {
                let values = left.data[r * left.row..].iter().step_by(left.step);
                let products = values.zip(right[c..].iter().step_by(columns));
                let sum = products.fold(0.0, |sum, (a, b): (&f32, &f32)| a.mul_add(*b, sum));
                out[r * columns + c] = sum;
            }
        }
    }
}
