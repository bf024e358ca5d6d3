//! The reference: plain Rust, one value at a time, on any CPU.
//!
//! The other instruction sets are tested against this one. It is here to be right, not
//! to be quick.

use super::isa::{Factors, Isa, Routine, Tile};

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
    fn products(self, left: &[i8], right: &[u8], _sums: &[i32], out: &mut [i32]) {
        let Tile { rows, columns, .. } = Self::TILE;
        let out = &mut out[..rows * columns];
        out.fill(0);
        for (codes, weights) in left.chunks_exact(rows).zip(right.chunks_exact(columns)) {
            for (row, &code) in out.chunks_exact_mut(columns).zip(codes) {
                for (sum, &weight) in row.iter_mut().zip(weights) {
                    *sum = sum.wrapping_add(i32::from(code) * i32::from(weight as i8));
                }
            }
        }
    }

    #[inline(always)]
    fn scaled_products(
        self,
        left: &[i8],
        right: &[u8],
        sums: &[i32],
        factors: Factors<'_>,
        out: &mut [f32],
    ) {
        let Tile { rows, columns, .. } = Self::TILE;
        let mut whole = [0; 4 * 8];
        self.products(left, right, sums, &mut whole);
        for r in 0..rows {
            for c in 0..columns {
                let factor = factors.rows[r] * factors.columns[c];
                let sum = whole[r * columns + c] as f32;
                out[r * columns + c] = sum.mul_add(factor, factors.bias[c]);
            }
        }
    }

    #[inline(always)]
    fn float_products(self, left: &[f32], right: &[f32], out: &mut [f32]) {
        let Tile { rows, columns, .. } = Self::FLOAT_TILE;
        let out = &mut out[..rows * columns];
        out.fill(0.0);
        for (values, weights) in left.chunks_exact(rows).zip(right.chunks_exact(columns)) {
            for (row, &value) in out.chunks_exact_mut(columns).zip(values) {
                for (sum, &weight) in row.iter_mut().zip(weights) {
                    *sum = value.mul_add(weight, *sum);
                }
            }
        }
    }
}
