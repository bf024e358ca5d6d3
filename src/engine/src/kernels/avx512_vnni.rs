//! AVX-512 with VNNI: 16 lanes; one instruction multiplies four codes a lane.
//!
//! `vpdpbusd` takes unsigned by signed, and only the signed operand can be spread from
//! memory for nothing: so the weights are the unsigned one (their code + 128), and each
//! row's sum starts at -128 times the sum of its codes.

use std::arch::x86_64::*;

use super::dot::{self, Dot};
use super::isa::{Factors, Isa, Routine, Strided, Tile, Valid};
use super::tile::{self, Sums};

/// Proof that the CPU has AVX-512 F, BW, VL and VNNI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Avx512Vnni(());

impl Avx512Vnni {
    /// `None` where the CPU lacks one of them.
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        has.then_some(Self(()))
    }
}

/// 24 sums, 2 vectors of columns and one row: 27 of 32 registers.
const ROWS: usize = 12;
const VECTORS: usize = 2;

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn enter<R: Routine>(isa: Avx512Vnni, routine: R) -> R::Output {
    routine.run(isa)
}

// SAFETY of every block below: a value of `Avx512Vnni` is the proof that the CPU has the
// instruction; pointers come from slices whose length is checked just before.
impl Isa for Avx512Vnni {
    const NAME: &'static str = "avx512vnni";
    const LANES: usize = 16;
    const TILE: Tile = Tile {
        rows: ROWS,
        columns: 16 * VECTORS,
        unit: 4,
    };
    const OFFSET: u8 = 128;
    const FLOAT_TILE: Tile = Tile {
        rows: ROWS,
        columns: 16 * VECTORS,
        unit: 1,
    };

    type F = __m512;
    type Code = i8;

    fn enter<R: Routine>(self, routine: R) -> R::Output {
        // SAFETY: `self` is the proof.
        unsafe { enter(self, routine) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> __m512 {
        let from = &from[..Self::LANES];
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, value: __m512, to: &mut [f32]) {
        let to = &mut to[..Self::LANES];
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        unsafe { _mm512_abs_ps(a) }
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn scale_by_power(self, a: __m512, n: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(a, n) }
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(a) }
    }
    #[inline(always)]
    fn largest(self, a: __m512) -> f32 {
        unsafe { _mm512_reduce_max_ps(a) }
    }
    #[inline(always)]
    fn store_codes(self, a: __m512, to: &mut [i8]) {
        let to = &mut to[..Self::LANES];
        unsafe {
            let codes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a));
            _mm_storeu_si128(to.as_mut_ptr().cast(), codes);
        }
    }
    #[inline(always)]
    fn store_pair(self, [a, b]: [__m512; 2], to: &mut [i8], step: usize) {
        let to = &mut to[..3 * step + 8];
        unsafe {
            // Each quarter: a unit of the first row, the same unit of the second.
            let words = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
            let codes = _mm512_packs_epi16(words, words);
            let to = to.as_mut_ptr();
            _mm_storeu_si64(to.cast(), _mm512_castsi512_si128(codes));
            _mm_storeu_si64(to.add(step).cast(), _mm512_extracti32x4_epi32::<1>(codes));
            _mm_storeu_si64(
                to.add(2 * step).cast(),
                _mm512_extracti32x4_epi32::<2>(codes),
            );
            _mm_storeu_si64(
                to.add(3 * step).cast(),
                _mm512_extracti32x4_epi32::<3>(codes),
            );
        }
    }

    #[inline(always)]
    fn prefetch_read(self, at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn prefetch_write(self, at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(at.cast()) }
    }

    #[inline(always)]
    fn scaled_products(
        self,
        left: &[i8],
        right: &[u8],
        sums: &[i32],
        factors: Factors<'_>,
        valid: Valid,
        out: &mut [f32],
    ) {
        macro_rules! cut {
            ($($rows:literal)*) => {
                match (valid.rows.next_multiple_of(2), valid.columns > Self::LANES) {
                    $(
                        ($rows, false) => {
                            dot::scaled_products::<_, $rows, 1>(self, left, right, sums, factors, out);
                        }
                        ($rows, true) => {
                            dot::scaled_products::<_, $rows, VECTORS>(self, left, right, sums, factors, out);
                        }
                    )*
                    (_, false) => {
                        dot::scaled_products::<_, ROWS, 1>(self, left, right, sums, factors, out);
                    }
                    (_, true) => {
                        dot::scaled_products::<_, ROWS, VECTORS>(self, left, right, sums, factors, out);
                    }
                }
            };
        }
        // CLIP B/32 has 50 rows, B/16 197: two and five in the last tile.
        cut!(2 4 6 8 10);
    }
    #[inline(always)]
    fn float_products(self, left: Strided<'_>, right: &[f32], valid: Valid, out: &mut [f32]) {
        let rows = valid.rows;
        match (rows.div_ceil(4), valid.columns > Self::LANES) {
            (0 | 1, false) => tile::float_products::<_, 4, 1>(self, left, rows, right, out),
            (0 | 1, true) => tile::float_products::<_, 4, VECTORS>(self, left, rows, right, out),
            (2, false) => tile::float_products::<_, 8, 1>(self, left, rows, right, out),
            (2, true) => tile::float_products::<_, 8, VECTORS>(self, left, rows, right, out),
            (_, false) => tile::float_products::<_, ROWS, 1>(self, left, rows, right, out),
            (_, true) => tile::float_products::<_, ROWS, VECTORS>(self, left, rows, right, out),
        }
    }
}

impl Sums for Avx512Vnni {
    type I = __m512i;

    #[inline(always)]
    fn to_floats(self, sums: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}

impl Dot for Avx512Vnni {
    #[inline(always)]
    fn start(self, sum: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(sum.wrapping_mul(-128)) }
    }
    #[inline(always)]
    unsafe fn spread(self, from: *const i8) -> __m512i {
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn columns(self, from: *const u8) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    fn dot(self, sums: __m512i, row: __m512i, columns: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sums, columns, row) }
    }
}
