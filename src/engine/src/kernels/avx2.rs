//! AVX2: 8 lanes; one instruction multiplies two codes a lane.
//!
//! `vpmaddubsw` would take twice as many, but it saturates. So codes are 16-bit words:
//! activations are stored so, weights are widened as they are loaded, and `vpmaddwd` is
//! exact.

use std::arch::x86_64::*;

use super::isa::Routine;
use super::ymm::{Products, Ymm};

/// Proof that the CPU has AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Words(());

/// The instruction set.
pub(super) type Avx2 = Ymm<Words>;

impl Avx2 {
    /// `None` where the CPU lacks AVX2 or FMA.
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        has.then_some(Ymm(Words(())))
    }
}

#[target_feature(enable = "avx2,fma")]
fn enter<R: Routine>(isa: Avx2, routine: R) -> R::Output {
    routine.run(isa)
}

// SAFETY of every block below: a value of `Words` is the proof that the CPU has the
// instruction; pointers are the caller's to answer for.
impl Products for Words {
    const NAME: &'static str = "avx2";
    const UNIT: usize = 2;
    const OFFSET: u8 = 0;
    type Code = i16;

    fn enter<R: Routine>(isa: Avx2, routine: R) -> R::Output {
        // SAFETY: `isa` is the proof.
        unsafe { enter(isa, routine) }
    }
    #[inline(always)]
    fn store_pair(words: __m256i, to: &mut [i16], step: usize) {
        let to = &mut to[..3 * step + 4];
        unsafe {
            // A unit of the first row beside the same unit of the second.
            let units = _mm256_shuffle_epi32::<0b11_01_10_00>(words);
            let to = to.as_mut_ptr();
            for (i, two) in [
                _mm256_castsi256_si128(units),
                _mm256_extracti128_si256::<1>(units),
            ]
            .into_iter()
            .enumerate()
            {
                _mm_storeu_si64(to.add(2 * i * step).cast(), two);
                let second = _mm_unpackhi_epi64(two, two);
                _mm_storeu_si64(to.add((2 * i + 1) * step).cast(), second);
            }
        }
    }
    #[inline(always)]
    unsafe fn spread(from: *const i16) -> __m256i {
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn columns(from: *const u8) -> __m256i {
        unsafe { _mm256_cvtepi8_epi16(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    fn dot(self, sums: __m256i, row: __m256i, columns: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(row, columns)) }
    }
}
