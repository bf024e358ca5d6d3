//! 256-bit lanes with AVX2 and FMA, over either way of making integer products: `avx2.rs`
//! and `avx_vnni.rs`.

use std::arch::x86_64::*;
use std::fmt::Debug;

use super::aligned::Plain;
use super::dot::{self, Dot};
use super::isa::{Factors, Isa, Routine, Strided, Tile, Valid};
use super::tile::{self, Sums};

/// 12 sums, 2 vectors of columns, one row and one product: all 16 registers.
pub(super) const ROWS: usize = 6;
pub(super) const VECTORS: usize = 2;

/// Integer products in 256-bit registers. A value is the proof that the CPU has their
/// instructions, and AVX2 and FMA.
pub(super) trait Products: Copy + Debug + PartialEq + Eq + Send + Sync + 'static {
    /// As [`Isa::NAME`].
    const NAME: &'static str;
    /// As [`Isa::TILE`]'s.
    const UNIT: usize;
    /// As [`Isa::OFFSET`].
    const OFFSET: u8;
    /// As [`Isa::Code`].
    type Code: Plain + From<i8>;

    /// Runs a routine compiled for these instructions.
    fn enter<R: Routine>(isa: Ymm<Self>, routine: R) -> R::Output;
    /// As [`Isa::store_pair`], of codes as words: in each half, four of the first row, then
    /// four of the second.
    fn store_pair(words: __m256i, to: &mut [Self::Code], step: usize);
    /// As [`Dot::spread`].
    ///
    /// # Safety
    /// As there.
    unsafe fn spread(from: *const Self::Code) -> __m256i;
    /// As [`Dot::columns`].
    ///
    /// # Safety
    /// As there.
    unsafe fn columns(from: *const u8) -> __m256i;
    /// As [`Dot::dot`].
    fn dot(self, sums: __m256i, row: __m256i, columns: __m256i) -> __m256i;
}

/// An instruction set of 256-bit registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ymm<P>(pub(super) P);

// SAFETY of every block below: a value of `Products` is the proof that the CPU has the
// instruction; pointers come from slices whose length is checked just before.
impl<P: Products> Isa for Ymm<P> {
    const NAME: &'static str = P::NAME;
    const LANES: usize = 8;
    const TILE: Tile = Tile {
        rows: ROWS,
        columns: 8 * VECTORS,
        unit: P::UNIT,
    };
    const OFFSET: u8 = P::OFFSET;
    const FLOAT_TILE: Tile = Tile {
        rows: ROWS,
        columns: 8 * VECTORS,
        unit: 1,
    };

    type F = __m256;
    type Code = P::Code;

    fn enter<R: Routine>(self, routine: R) -> R::Output {
        P::enter(self, routine)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    fn load(self, from: &[f32]) -> __m256 {
        let from = &from[..Self::LANES];
        unsafe { _mm256_loadu_ps(from.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, value: __m256, to: &mut [f32]) {
        let to = &mut to[..Self::LANES];
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), value) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn scale_by_power(self, a: __m256, n: __m256) -> __m256 {
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        }
    }
    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        unsafe {
            let a = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_add_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_add_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn largest(self, a: __m256) -> f32 {
        unsafe {
            let a = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let a = _mm_max_ps(a, _mm_movehl_ps(a, a));
            _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)))
        }
    }
    #[inline(always)]
    fn store_codes(self, a: __m256, to: &mut [i8]) {
        let to = &mut to[..Self::LANES];
        unsafe {
            let whole = _mm256_cvtps_epi32(a);
            let (low, high) = (
                _mm256_castsi256_si128(whole),
                _mm256_extracti128_si256::<1>(whole),
            );
            let words = _mm_packs_epi32(low, high);
            _mm_storeu_si64(to.as_mut_ptr().cast(), _mm_packs_epi16(words, words));
        }
    }
    #[inline(always)]
    fn store_pair(self, [a, b]: [__m256; 2], to: &mut [P::Code], step: usize) {
        // SAFETY: `self` is the proof that the CPU has AVX2.
        let words = unsafe { _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b)) };
        P::store_pair(words, to, step);
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
        left: &[P::Code],
        right: &[u8],
        sums: &[i32],
        factors: Factors<'_>,
        valid: Valid,
        out: &mut [f32],
    ) {
        match (valid.rows.div_ceil(2), valid.columns > Self::LANES) {
            (0 | 1, false) => {
                dot::scaled_products::<_, 2, 1>(self, left, right, sums, factors, out)
            }
            (0 | 1, true) => {
                dot::scaled_products::<_, 2, VECTORS>(self, left, right, sums, factors, out)
            }
            (2, false) => dot::scaled_products::<_, 4, 1>(self, left, right, sums, factors, out),
            (2, true) => {
                dot::scaled_products::<_, 4, VECTORS>(self, left, right, sums, factors, out)
            }
            (_, false) => dot::scaled_products::<_, ROWS, 1>(self, left, right, sums, factors, out),
            (_, true) => {
                dot::scaled_products::<_, ROWS, VECTORS>(self, left, right, sums, factors, out)
            }
        }
    }
    #[inline(always)]
    fn float_products(self, left: Strided<'_>, right: &[f32], valid: Valid, out: &mut [f32]) {
        let rows = valid.rows;
        match (rows.div_ceil(2), valid.columns > Self::LANES) {
            (0 | 1, false) => tile::float_products::<_, 2, 1>(self, left, rows, right, out),
            (0 | 1, true) => tile::float_products::<_, 2, VECTORS>(self, left, rows, right, out),
            (2, false) => tile::float_products::<_, 4, 1>(self, left, rows, right, out),
            (2, true) => tile::float_products::<_, 4, VECTORS>(self, left, rows, right, out),
            (_, false) => tile::float_products::<_, ROWS, 1>(self, left, rows, right, out),
            (_, true) => tile::float_products::<_, ROWS, VECTORS>(self, left, rows, right, out),
        }
    }
}

impl<P: Products> Sums for Ymm<P> {
    type I = __m256i;

    #[inline(always)]
    fn to_floats(self, sums: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(sums) }
    }
}

impl<P: Products> Dot for Ymm<P> {
    #[inline(always)]
    fn start(self, sum: i32) -> __m256i {
        let offset = i32::from(P::OFFSET);
        unsafe { _mm256_set1_epi32(sum.wrapping_mul(-offset)) }
    }
    #[inline(always)]
    unsafe fn spread(self, from: *const P::Code) -> __m256i {
        unsafe { P::spread(from) }
    }
    #[inline(always)]
    unsafe fn columns(self, from: *const u8) -> __m256i {
        unsafe { P::columns(from) }
    }
    #[inline(always)]
    fn dot(self, sums: __m256i, row: __m256i, columns: __m256i) -> __m256i {
        self.0.dot(sums, row, columns)
    }
}
