//! NEON with int8 matrix multiplication (Cortex-X2, A510, Neoverse V1 and later): one
//! instruction multiplies two rows by two columns, eight codes deep.
// Plain counters: see `tile.rs`.
#![allow(clippy::needless_range_loop)]

use std::arch::aarch64::*;
use std::arch::asm;

use super::isa::{Factors, Routine, Tile, Valid};
use super::neon::{Neon, Products};
use super::tile;

/// Proof that the CPU has int8 matrix multiplication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct I8mm(());

/// The instruction set.
pub(super) type NeonI8mm = Neon<I8mm>;

impl NeonI8mm {
    /// `None` where the CPU lacks it.
    pub(super) fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("i8mm").then_some(Neon(I8mm(())))
    }
}

/// 24 sums of two rows by two columns, 6 pairs of columns, one pair of rows: 31 of 32
/// registers.
const ROWS: usize = 8;
const VECTORS: usize = 3;
const COLUMN_PAIRS: usize = 2 * VECTORS;

#[target_feature(enable = "neon,i8mm")]
fn enter<R: Routine>(isa: NeonI8mm, routine: R) -> R::Output {
    routine.run(isa)
}

impl Products for I8mm {
    const NAME: &'static str = "neon-i8mm";
    const TILE: Tile = Tile {
        rows: ROWS,
        columns: 4 * VECTORS,
        unit: 8,
    };

    fn enter<R: Routine>(isa: NeonI8mm, routine: R) -> R::Output {
        // SAFETY: `isa` is the proof.
        unsafe { enter(isa, routine) }
    }

    #[inline(always)]
    fn scaled_products(
        isa: NeonI8mm,
        left: &[i8],
        right: &[u8],
        factors: Factors<'_>,
        valid: Valid,
        out: &mut [f32],
    ) {
        match valid.rows {
            0..=4 => {
                let sums: [_; 4] = accumulate::<2, 4>(left, right);
                tile::store_scaled(isa, sums, factors, out);
            }
            _ => {
                let sums: [_; ROWS] = accumulate::<4, ROWS>(left, right);
                tile::store_scaled(isa, sums, factors, out);
            }
        }
    }
}

/// `sums + rows * columns`, two by two. The intrinsic is not stable yet.
#[inline(always)]
fn multiply(sums: int32x4_t, rows: int8x16_t, columns: int8x16_t) -> int32x4_t {
    let mut sums = sums;
    // SAFETY: only entered where the CPU has the instruction.
    unsafe {
        asm!(
            "smmla {s:v}.4s, {r:v}.16b, {c:v}.16b",
            s = inout(vreg) sums, r = in(vreg) rows, c = in(vreg) columns,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// The sums of the first `R = 2 P` rows.
#[inline(always)]
fn accumulate<const P: usize, const R: usize>(
    left: &[i8],
    right: &[u8],
) -> [[int32x4_t; VECTORS]; R] {
    let Tile { rows, columns, .. } = I8mm::TILE;
    let units = right.len() / (columns * 8);
    assert!(R == 2 * P && R <= rows && left.len() >= units * rows * 8);
    // SAFETY: NEON is part of 64-bit ARM; `units` whole units of all rows and columns are
    // in bounds, by the assertion and by how `units` is counted.
    unsafe {
        let mut blocks = [[vdupq_n_s32(0); COLUMN_PAIRS]; P];
        let (mut left, mut right) = (left.as_ptr(), right.as_ptr().cast::<i8>());
        for _ in 0..units {
            let mut pairs = [vdupq_n_s8(0); COLUMN_PAIRS];
            for c in 0..COLUMN_PAIRS {
                pairs[c] = vld1q_s8(right.add(c * 16));
            }
            for p in 0..P {
                let two = vld1q_s8(left.add(p * 16));
                for c in 0..COLUMN_PAIRS {
                    blocks[p][c] = multiply(blocks[p][c], two, pairs[c]);
                }
            }
            left = left.add(rows * 8);
            right = right.add(columns * 8);
        }
        // A block holds row 0's two sums, then row 1's: halves make rows.
        let mut sums = [[vdupq_n_s32(0); VECTORS]; R];
        for p in 0..P {
            for v in 0..VECTORS {
                let [a, b] = [blocks[p][2 * v], blocks[p][2 * v + 1]]
                    .map(|block| vreinterpretq_s64_s32(block));
                sums[2 * p][v] = vreinterpretq_s32_s64(vzip1q_s64(a, b));
                sums[2 * p + 1][v] = vreinterpretq_s32_s64(vzip2q_s64(a, b));
            }
        }
        sums
    }
}
