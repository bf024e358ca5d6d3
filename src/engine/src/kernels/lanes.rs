//! A row as lanes: loads, stores and sums of rows whose length is no multiple of the lanes. Called by
//! the loops over rows of all operators; touches nothing beyond the row that it is given.
//!
//! A helper calls what it is given at one place: a closure called at two would be compiled by
//! itself, outside `Isa::enter`, without the instruction set.

use super::isa::{Isa, MOST_LANES};

/// Lanes of a row from `at`; `fill` where the row has ended.
#[inline(always)]
pub(super) fn load_from<I: Isa>(isa: I, row: &[f32], at: usize, fill: f32) -> I::F {
    match row.get(at..at + I::LANES) {
        Some(whole) => isa.load(whole),
        None => {
            let mut rest = [fill; MOST_LANES];
            rest[..row.len() - at].copy_from_slice(&row[at..]);
            isa.load(&rest)
        }
    }
}

/// Writes lanes of a row from `at`, as far as the row goes.
#[inline(always)]
pub(super) fn store_to<I: Isa>(isa: I, value: I::F, row: &mut [f32], at: usize) {
    match row.get_mut(at..at + I::LANES) {
        Some(whole) => isa.store(value, whole),
        None => {
            let mut rest = [0.0; MOST_LANES];
            isa.store(value, &mut rest);
            let left = row.len() - at;
            row[at..].copy_from_slice(&rest[..left]);
        }
    }
}

/// Sum over a row of what `of` makes of its values; `of(fill)` is 0.
#[inline(always)]
pub(super) fn sum_over<I: Isa>(isa: I, row: &[f32], fill: f32, of: impl Fn(I::F) -> I::F) -> f32 {
    let mut sum = isa.splat(0.0);
    for at in (0..row.len()).step_by(I::LANES) {
        sum = isa.add(sum, of(load_from(isa, row, at, fill)));
    }
    isa.sum(sum)
}
