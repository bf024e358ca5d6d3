//! Rows of floats become rows of int8 codes, and codes become panels.
//!
//! A row's scale is its largest magnitude / 127; a code is the value / scale, rounded to
//! the nearest whole number, halves to even. These are IEEE operations in a fixed order,
//! so codes and scales are the same bits on every instruction set.

use super::aligned::{view_as, view_as_mut};
use super::isa::Isa;
use super::turn::turn;

/// Below this a row counts as zeros: 127 over it would not be a finite float.
pub(super) const SMALLEST: f32 = 1e-36;

/// Writes the codes of a row and answers its scale: 0 for a row of zeros, NaN (and codes
/// of 0) for a row that holds a value that is not finite.
#[inline(always)]
pub(super) fn quantize<I: Isa>(isa: I, row: &[f32], codes: &mut [i8]) -> f32 {
    let vectors = row.len() / I::LANES;
    let rest = &row[vectors * I::LANES..];
    let (mut top, mut spoilt) = (isa.splat(0.0), isa.splat(0.0));
    for v in 0..vectors {
        let x = isa.load(&row[v * I::LANES..]);
        top = isa.max(top, isa.abs(x));
        spoilt = isa.mul_add(x, isa.splat(0.0), spoilt);
    }
    let mut whole = isa.sum(spoilt);
    let mut largest = isa.largest(top);
    for &x in rest {
        whole += x * 0.0;
        largest = largest.max(x.abs());
    }
    if whole.is_nan() || largest < SMALLEST {
        codes.fill(0);
        return if whole.is_nan() { f32::NAN } else { 0.0 };
    }
    let factor = 127.0 / largest;
    for v in 0..vectors {
        let x = isa.load(&row[v * I::LANES..]);
        isa.store_codes(isa.mul(x, isa.splat(factor)), &mut codes[v * I::LANES..]);
    }
    for (i, x) in rest.iter().enumerate() {
        codes[vectors * I::LANES + i] = (x * factor).round_ties_even() as i8;
    }
    codes[row.len()..].fill(0);
    largest / 127.0
}

/// The sum of a row's codes.
#[inline(always)]
pub(super) fn sum_of(codes: &[i8]) -> i32 {
    codes.iter().map(|&code| i32::from(code)).sum()
}

/// Lays `rows * depth` codes out as one left panel: `[unit][row][neighbour]`.
#[inline(always)]
pub(super) fn interleave<I: Isa>(codes: &[i8], depth: usize, panel: &mut [I::Code]) {
    let (rows, unit) = (I::TILE.rows, I::TILE.unit);
    // Whole units move as one value where codes need no widening.
    match (size_of::<I::Code>(), unit) {
        (1, 4) => turn::<u32>(rows, depth / 4, view_as(codes), view_as_mut(panel)),
        (1, 8) => turn::<u64>(rows, depth / 8, view_as(codes), view_as_mut(panel)),
        _ => {
            // Counters: as iterators over two neighbours these were calls.
            let (codes, panel) = (&codes[..rows * depth], &mut panel[..rows * depth]);
            for u in 0..depth / unit {
                for r in 0..rows {
                    for n in 0..unit {
                        let code = codes[r * depth + u * unit + n];
                        panel[(u * rows + r) * unit + n] = I::Code::from(code);
                    }
                }
            }
        }
    }
}
