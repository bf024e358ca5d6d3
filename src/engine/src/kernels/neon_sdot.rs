//! NEON with the dot product (Cortex-A76, Neoverse N1 and later): one instruction
//! multiplies four codes a lane, with one unit of a row taken from a register of four.
// Plain counters: see `tile.rs`.
#![allow(clippy::needless_range_loop)]

use std::arch::aarch64::*;
use std::arch::asm;

use super::isa::{Factors, Routine, Tile, Valid};
use super::neon::{Neon, Products};
use super::tile;

/// Proof that the CPU has the dot product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sdot(());

/// The instruction set.
pub(super) type NeonSdot = Neon<Sdot>;

impl NeonSdot {
    /// `None` where the CPU lacks it.
    pub(super) fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Neon(Sdot(())))
    }
}

/// 24 sums, 3 vectors of columns, two of rows: 29 of 32 registers.
const ROWS: usize = 8;
const VECTORS: usize = 3;

#[target_feature(enable = "neon,dotprod")]
fn enter<R: Routine>(isa: NeonSdot, routine: R) -> R::Output {
    routine.run(isa)
}

impl Products for Sdot {
    const NAME: &'static str = "neon-sdot";
    const TILE: Tile = Tile {
        rows: ROWS,
        columns: 4 * VECTORS,
        unit: 4,
    };

    fn enter<R: Routine>(isa: NeonSdot, routine: R) -> R::Output {
        // SAFETY: `isa` is the proof.
        unsafe { enter(isa, routine) }
    }

    #[inline(always)]
    fn scaled_products(
        isa: NeonSdot,
        left: &[i8],
        right: &[u8],
        factors: Factors<'_>,
        valid: Valid,
        out: &mut [f32],
    ) {
        match valid.rows {
            0..=4 => {
                let sums: [_; 4] = accumulate::<1, 4>(left, right);
                tile::store_scaled(isa, sums, factors, out);
            }
            _ => {
                let sums: [_; ROWS] = accumulate::<2, ROWS>(left, right);
                tile::store_scaled(isa, sums, factors, out);
            }
        }
    }
}

/// `sums + unit LANE of rows . columns`. The intrinsic is not stable yet.
#[inline(always)]
fn dot<const LANE: usize>(sums: int32x4_t, columns: int8x16_t, rows: int8x16_t) -> int32x4_t {
    let mut sums = sums;
    macro_rules! lane {
        ($lane:literal) => {
            // SAFETY: only entered where the CPU has the instruction.
            unsafe {
                asm!(
                    concat!("sdot {s:v}.4s, {c:v}.16b, {r:v}.4b[", $lane, "]"),
                    s = inout(vreg) sums, c = in(vreg) columns, r = in(vreg) rows,
                    options(pure, nomem, nostack, preserves_flags),
                )
            }
        };
    }
    match LANE {
        0 => lane!(0),
        1 => lane!(1),
        2 => lane!(2),
        _ => lane!(3),
    }
    sums
}

/// The sums of the first `R = 4 Q` rows.
#[inline(always)]
fn accumulate<const Q: usize, const R: usize>(
    left: &[i8],
    right: &[u8],
) -> [[int32x4_t; VECTORS]; R] {
    let Tile { rows, columns, .. } = Sdot::TILE;
    let units = right.len() / (columns * 4);
    assert!(R == 4 * Q && R <= rows && left.len() >= units * rows * 4);
    // SAFETY: NEON is part of 64-bit ARM; `units` whole units of all rows and columns are
    // in bounds, by the assertion and by how `units` is counted.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); VECTORS]; R];
        let (mut left, mut right) = (left.as_ptr(), right.as_ptr().cast::<i8>());
        for _ in 0..units {
            let mut vectors = [vdupq_n_s8(0); VECTORS];
            for v in 0..VECTORS {
                vectors[v] = vld1q_s8(right.add(v * 16));
            }
            for q in 0..Q {
                let four = vld1q_s8(left.add(q * 16));
                for v in 0..VECTORS {
                    let r = q * 4;
                    sums[r][v] = dot::<0>(sums[r][v], vectors[v], four);
                    sums[r + 1][v] = dot::<1>(sums[r + 1][v], vectors[v], four);
                    sums[r + 2][v] = dot::<2>(sums[r + 2][v], vectors[v], four);
                    sums[r + 3][v] = dot::<3>(sums[r + 3][v], vectors[v], four);
                }
            }
            left = left.add(rows * 4);
            right = right.add(columns * 4);
        }
        sums
    }
}
