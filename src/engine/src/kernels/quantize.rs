//! Rows of floats become rows of int8 codes, and codes become panels.
//!
//! A row's scale is its largest magnitude / 127; a code is the value / scale, rounded to
//! the nearest whole number, halves to even. These are IEEE operations in a fixed order,
//! so codes and scales are the same bits on every instruction set.
// Plain counters: see `tile.rs`.
#![allow(clippy::needless_range_loop)]

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

/// A row's scale and the sum of its codes, which undoes [`Isa::OFFSET`]: 0 where there is
/// nothing to undo.
pub(super) type Quantised = (f32, i32);

/// Writes the codes of two rows as rows `first` and the next of a left panel. What their
/// codes and scales are [`quantize`] says; `zeros` is as long as a row.
///
/// Two at once: alone, a row waits for its own largest value and sum at every step.
#[inline(always)]
pub(super) fn quantize_pair<'r, I: Isa>(
    isa: I,
    mut rows: [&'r [f32]; 2],
    zeros: &'r [f32],
    panel: &mut [I::Code],
    first: usize,
) -> [Quantised; 2] {
    let (all, unit) = (I::TILE.rows, I::TILE.unit);
    let length = zeros.len();
    let vectors = length / I::LANES;
    let (mut scales, mut factors) = ([0.0; 2], [0.0; 2]);
    let magnitudes = magnitudes(isa, rows.map(|row| &row[..length]));
    for r in 0..2 {
        match magnitudes[r] {
            None => (rows[r], scales[r]) = (zeros, f32::NAN),
            Some(largest) if largest < SMALLEST => {}
            Some(largest) => (scales[r], factors[r]) = (largest / 127.0, 127.0 / largest),
        }
    }
    let place = |r: usize, k: usize| (k / unit * all + first + r) * unit + k % unit;
    let mut sums = [isa.splat(0.0); 2];
    for v in 0..vectors {
        let at = v * I::LANES;
        let mut codes = [isa.splat(0.0); 2];
        for r in 0..2 {
            let x = isa.load(&rows[r][at..]);
            codes[r] = isa.mul(x, isa.splat(factors[r]));
            if I::OFFSET != 0 {
                // Whole numbers below 2^24, so floats hold their sums.
                codes[r] = isa.round(codes[r]);
                sums[r] = isa.add(sums[r], codes[r]);
            }
        }
        isa.store_pair(codes, &mut panel[place(0, at)..], all * unit);
    }
    let mut quantised = [(0.0, 0); 2];
    for r in 0..2 {
        let mut sum = isa.sum(sums[r]) as i32;
        for k in vectors * I::LANES..length.next_multiple_of(unit) {
            let x = rows[r].get(k).copied().unwrap_or(0.0);
            let code = (x * factors[r]).round_ties_even() as i8;
            panel[place(r, k)] = I::Code::from(code);
            sum += i32::from(code);
        }
        quantised[r] = (scales[r], sum);
    }
    quantised
}

/// The largest magnitude of each row; `None` where a value is not finite.
#[inline(always)]
fn magnitudes<I: Isa>(isa: I, rows: [&[f32]; 2]) -> [Option<f32>; 2] {
    let vectors = rows[0].len() / I::LANES;
    let (mut tops, mut spoilt) = ([isa.splat(0.0); 2], [isa.splat(0.0); 2]);
    for v in 0..vectors {
        for r in 0..2 {
            let x = isa.load(&rows[r][v * I::LANES..]);
            tops[r] = isa.max(tops[r], isa.abs(x));
            spoilt[r] = isa.mul_add(x, isa.splat(0.0), spoilt[r]);
        }
    }
    let mut found = [None; 2];
    for r in 0..2 {
        let (mut largest, mut whole) = (isa.largest(tops[r]), isa.sum(spoilt[r]));
        for &x in &rows[r][vectors * I::LANES..] {
            whole += x * 0.0;
            largest = largest.max(x.abs());
        }
        found[r] = (!whole.is_nan()).then_some(largest);
    }
    found
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
