//! 128-bit lanes of 64-bit ARM, over any way of making integer products: `neon_smlal.rs`,
//! `neon_sdot.rs` and `neon_i8mm.rs`.

use std::arch::aarch64::*;
use std::arch::asm;
use std::fmt::Debug;

use super::isa::{Factors, Isa, Routine, Strided, Tile, Valid};
use super::tile::{self, Sums};

/// Integer products in 128-bit registers. A value is the proof that the CPU has their
/// instructions.
pub(super) trait Products: Copy + Debug + PartialEq + Eq + Send + Sync + 'static {
    /// As [`Isa::NAME`].
    const NAME: &'static str;
    /// As [`Isa::TILE`].
    const TILE: Tile;

    /// Runs a routine compiled for these instructions.
    fn enter<R: Routine>(isa: Neon<Self>, routine: R) -> R::Output;
    /// As [`Isa::scaled_products`]; codes are int8 and weights have no offset.
    fn scaled_products(
        isa: Neon<Self>,
        left: &[i8],
        right: &[u8],
        factors: Factors<'_>,
        valid: Valid,
        out: &mut [f32],
    );
}

/// An instruction set of 128-bit registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Neon<P>(pub(super) P);

/// 24 float sums, 3 vectors of columns, one row: 28 of 32 registers.
const ROWS: usize = 8;
const VECTORS: usize = 3;

// SAFETY of every block below: NEON is part of 64-bit ARM; pointers come from slices whose
// length is checked just before.
impl<P: Products> Isa for Neon<P> {
    const NAME: &'static str = P::NAME;
    const LANES: usize = 4;
    const TILE: Tile = P::TILE;
    const OFFSET: u8 = 0;
    const FLOAT_TILE: Tile = Tile {
        rows: ROWS,
        columns: 4 * VECTORS,
        unit: 1,
    };

    type F = float32x4_t;
    type Code = i8;

    fn enter<R: Routine>(self, routine: R) -> R::Output {
        P::enter(self, routine)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> float32x4_t {
        let from = &from[..Self::LANES];
        unsafe { vld1q_f32(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, value: float32x4_t, to: &mut [f32]) {
        let to = &mut to[..Self::LANES];
        unsafe { vst1q_f32(to.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn add(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    fn div(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    fn min(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vminq_f32(a, b) }
    }
    #[inline(always)]
    fn max(self, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    fn abs(self, a: float32x4_t) -> float32x4_t {
        unsafe { vabsq_f32(a) }
    }
    #[inline(always)]
    fn round(self, a: float32x4_t) -> float32x4_t {
        unsafe { vrndnq_f32(a) }
    }
    #[inline(always)]
    fn scale_by_power(self, a: float32x4_t, n: float32x4_t) -> float32x4_t {
        unsafe {
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        }
    }
    #[inline(always)]
    fn sum(self, a: float32x4_t) -> f32 {
        unsafe { vaddvq_f32(a) }
    }
    #[inline(always)]
    fn largest(self, a: float32x4_t) -> f32 {
        unsafe { vmaxvq_f32(a) }
    }
    #[inline(always)]
    fn store_codes(self, a: float32x4_t, to: &mut [i8]) {
        let to = &mut to[..Self::LANES];
        unsafe {
            let words = vmovn_s32(vcvtnq_s32_f32(a));
            let codes = vmovn_s16(vcombine_s16(words, words));
            to.as_mut_ptr()
                .cast::<u32>()
                .write_unaligned(vget_lane_u32::<0>(vreinterpret_u32_s8(codes)));
        }
    }
    #[inline(always)]
    fn store_pair(self, [a, b]: [float32x4_t; 2], to: &mut [i8], _step: usize) {
        // Four lanes are a unit, or a half of one: the second row's is a unit behind.
        let unit = P::TILE.unit;
        let to = &mut to[..unit + 4];
        unsafe {
            let words = [a, b].map(|row| vmovn_s32(vcvtnq_s32_f32(row)));
            let codes = vreinterpret_u32_s8(vmovn_s16(vcombine_s16(words[0], words[1])));
            let to = to.as_mut_ptr();
            to.cast::<u32>().write_unaligned(vget_lane_u32::<0>(codes));
            to.add(unit)
                .cast::<u32>()
                .write_unaligned(vget_lane_u32::<1>(codes));
        }
    }

    // The intrinsics are not stable yet.
    #[inline(always)]
    fn prefetch_read(self, at: *const f32) {
        unsafe {
            asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(readonly, nostack, preserves_flags))
        }
    }
    #[inline(always)]
    fn prefetch_write(self, at: *const f32) {
        unsafe {
            asm!("prfm pstl1keep, [{at}]", at = in(reg) at, options(readonly, nostack, preserves_flags))
        }
    }

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
        P::scaled_products(self, left, right, factors, valid, out);
    }
    #[inline(always)]
    fn float_products(self, left: Strided<'_>, right: &[f32], valid: Valid, out: &mut [f32]) {
        let rows = valid.rows;
        match rows {
            0..=4 => tile::float_products::<_, 4, VECTORS>(self, left, rows, right, out),
            _ => tile::float_products::<_, ROWS, VECTORS>(self, left, rows, right, out),
        }
    }
}

impl<P: Products> Sums for Neon<P> {
    type I = int32x4_t;

    #[inline(always)]
    fn to_floats(self, sums: int32x4_t) -> float32x4_t {
        unsafe { vcvtq_f32_s32(sums) }
    }
}
