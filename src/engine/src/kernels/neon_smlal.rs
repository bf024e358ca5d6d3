//! Plain NEON (Cortex-A53, A72): products of codes in 16 bits, sums in 32.
//!
//! Two products of codes fit in 16 bits (`2 * 127 * 128 < 2^15`; an activation's code is
//! never -128), so `smull` and `smlal` make them, eight a time, and `sadalp` adds
//! neighbours to the sums.
// Plain counters: see `tile.rs`.
#![allow(clippy::needless_range_loop)]

use std::arch::aarch64::*;

use super::isa::{Factors, Routine, Tile, Valid};
use super::neon::{Neon, Products};
use super::tile;

/// Every 64-bit ARM has NEON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Smlal(());

/// The instruction set.
pub(super) type NeonSmlal = Neon<Smlal>;

impl NeonSmlal {
    /// Every 64-bit ARM has it.
    pub(super) fn new() -> Option<Self> {
        Some(Neon(Smlal(())))
    }
}

/// 12 sums, 6 half vectors of columns, 8 pairs of rows, and products: the compiler, which
/// loads all rows first, spills two registers; with 8 rows it spilled ten.
const ROWS: usize = 4;
const VECTORS: usize = 3;

#[target_feature(enable = "neon")]
fn enter<R: Routine>(isa: NeonSmlal, routine: R) -> R::Output {
    routine.run(isa)
}

impl Products for Smlal {
    const NAME: &'static str = "neon-smlal";
    const TILE: Tile = Tile {
        rows: ROWS,
        columns: 4 * VECTORS,
        unit: 4,
    };

    fn enter<R: Routine>(isa: NeonSmlal, routine: R) -> R::Output {
        // SAFETY: every 64-bit ARM has NEON.
        unsafe { enter(isa, routine) }
    }

    #[inline(always)]
    fn scaled_products(
        isa: NeonSmlal,
        left: &[i8],
        right: &[u8],
        factors: Factors<'_>,
        _valid: Valid,
        out: &mut [f32],
    ) {
        tile::store_scaled(isa, accumulate(left, right), factors, out);
    }
}

/// The sums of a tile.
#[inline(always)]
fn accumulate(left: &[i8], right: &[u8]) -> [[int32x4_t; VECTORS]; ROWS] {
    let columns = Smlal::TILE.columns;
    let units = right.len() / (columns * 4);
    assert!(left.len() >= units * ROWS * 4);
    // SAFETY: NEON is part of 64-bit ARM; `units` whole units of all rows and columns are
    // in bounds, by the assertion and by how `units` is counted.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); VECTORS]; ROWS];
        let (mut left, mut right) = (left.as_ptr(), right.as_ptr().cast::<i16>());
        for _ in 0..units {
            // A unit of each of four columns, its even and its odd pair of codes apart.
            let mut pairs = [vdup_n_s8(0); 2 * VECTORS];
            for v in 0..VECTORS {
                let four = vld2_s16(right.add(v * 8));
                pairs[2 * v] = vreinterpret_s8_s16(four.0);
                pairs[2 * v + 1] = vreinterpret_s8_s16(four.1);
            }
            for r in 0..ROWS {
                let pair = |n: usize| {
                    let pair = left.add(r * 4 + n * 2).cast::<i16>().read_unaligned();
                    vreinterpret_s8_s16(vdup_n_s16(pair))
                };
                let (even, odd) = (pair(0), pair(1));
                for v in 0..VECTORS {
                    let products = vmull_s8(pairs[2 * v], even);
                    let products = vmlal_s8(products, pairs[2 * v + 1], odd);
                    sums[r][v] = vpadalq_s16(sums[r][v], products);
                }
            }
            left = left.add(ROWS * 4);
            // In pairs of codes.
            right = right.add(columns * 2);
        }
        sums
    }
}
