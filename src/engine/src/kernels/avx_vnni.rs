//! AVX-VNNI: 8 lanes; one instruction multiplies four codes a lane. Unsigned by signed as
//! in `avx512_vnni.rs`.

use std::arch::x86_64::*;

use super::isa::Routine;
use super::ymm::{Products, Ymm};

/// Proof that the CPU has AVX-VNNI, AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vex(());

/// The instruction set.
pub(super) type AvxVnni = Ymm<Vex>;

impl AvxVnni {
    /// `None` where the CPU lacks one of them.
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avxvnni")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        has.then_some(Ymm(Vex(())))
    }
}

#[target_feature(enable = "avx2,fma,avxvnni")]
fn enter<R: Routine>(isa: AvxVnni, routine: R) -> R::Output {
    routine.run(isa)
}

/// What both encodings of the instruction share.
macro_rules! unsigned_weights {
    () => {
        const UNIT: usize = 4;
        const OFFSET: u8 = 128;
        type Code = i8;

        #[inline(always)]
        fn store_pair(words: __m256i, to: &mut [i8], step: usize) {
            let to = &mut to[..step + 8];
            // SAFETY: the CPU has AVX2; both places are in bounds.
            unsafe {
                let codes = _mm256_packs_epi16(words, words);
                _mm_storeu_si64(to.as_mut_ptr().cast(), _mm256_castsi256_si128(codes));
                let second = _mm256_extracti128_si256::<1>(codes);
                _mm_storeu_si64(to.as_mut_ptr().add(step).cast(), second);
            }
        }
        #[inline(always)]
        unsafe fn spread(from: *const i8) -> __m256i {
            // SAFETY: the CPU has AVX2; the pointer is the caller's to answer for.
            unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
        }
        #[inline(always)]
        unsafe fn columns(from: *const u8) -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_loadu_si256(from.cast()) }
        }
    };
}

impl Products for Vex {
    const NAME: &'static str = "avxvnni";
    unsigned_weights!();

    fn enter<R: Routine>(isa: AvxVnni, routine: R) -> R::Output {
        // SAFETY: `isa` is the proof.
        unsafe { enter(isa, routine) }
    }
    #[inline(always)]
    fn dot(self, sums: __m256i, row: __m256i, columns: __m256i) -> __m256i {
        // SAFETY: `self` is the proof.
        unsafe { _mm256_dpbusd_avx_epi32(sums, columns, row) }
    }
}

/// The same instruction in AVX-512's encoding: what lets CPUs without AVX-VNNI, which
/// are most of those with AVX-512, test this file.
#[cfg(test)]
pub(super) mod evex {
    use super::*;

    /// Proof that the CPU has AVX-512 VL and VNNI, AVX2 and FMA.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Evex(());

    impl Ymm<Evex> {
        /// `None` where the CPU lacks one of them.
        pub fn new() -> Option<Self> {
            let has = is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma");
            has.then_some(Ymm(Evex(())))
        }
    }

    #[target_feature(enable = "avx2,fma,avx512vl,avx512vnni")]
    fn enter<R: Routine>(isa: Ymm<Evex>, routine: R) -> R::Output {
        routine.run(isa)
    }

    impl Products for Evex {
        const NAME: &'static str = "avxvnni-evex";
        unsigned_weights!();

        fn enter<R: Routine>(isa: Ymm<Evex>, routine: R) -> R::Output {
            // SAFETY: `isa` is the proof.
            unsafe { enter(isa, routine) }
        }
        #[inline(always)]
        fn dot(self, sums: __m256i, row: __m256i, columns: __m256i) -> __m256i {
            // SAFETY: `self` is the proof.
            unsafe { _mm256_dpbusd_epi32(sums, columns, row) }
        }
    }
}
