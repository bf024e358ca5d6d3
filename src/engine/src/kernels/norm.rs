//! The layer norm of one row: in go a row, gains and shifts; out comes the row, normalised. Called by
//! products that normalise their rows, and by the operator of its own.

use super::isa::Isa;
use super::lanes::{load_from, store_to, sum_over};

/// A layer norm: `(x - mean) / sqrt(variance + epsilon) * gain + shift`.
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// One factor a value.
    pub gain: &'a [f32],
    /// One summand a value.
    pub shift: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

/// A layer norm of one row: mean, then variance about it, as ONNX defines it.
#[inline(always)]
pub(super) fn norm_row<I: Isa>(isa: I, from: &[f32], norm: &Norm<'_>, to: &mut [f32]) {
    let count = from.len() as f32;
    let mean = sum_over(isa, from, 0.0, |x| x) / count;
    let about = isa.splat(mean);
    let squares = sum_over(isa, from, mean, |x| {
        let x = isa.sub(x, about);
        isa.mul(x, x)
    });
    let factor = isa.splat(1.0 / (squares / count + norm.epsilon).sqrt());
    for at in (0..from.len()).step_by(I::LANES) {
        let x = isa.mul(isa.sub(load_from(isa, from, at, 0.0), about), factor);
        let gain = load_from(isa, norm.gain, at, 0.0);
        let shift = load_from(isa, norm.shift, at, 0.0);
        store_to(isa, isa.mul_add(x, gain, shift), to, at);
    }
}
