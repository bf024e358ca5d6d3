//! Whole tensors, value by value or row by row.

use super::ShapeError;
use super::activation::{Activation, activate};
use super::cpu::{Cpu, Parts};
use super::isa::{Isa, MOST_LANES, Routine};
use super::lanes::{load_from, store_to, sum_over};
use super::math;
use super::norm::{Norm, norm_row};

/// Values in one task: enough to be worth a thread's while.
const TASK_VALUES: usize = 1 << 14;

/// Applies an activation to every value.
///
/// # Errors
/// Where the lengths differ.
pub fn apply(
    cpu: &Cpu,
    activation: Activation,
    from: &[f32],
    to: &mut [f32],
) -> Result<(), ShapeError> {
    ShapeError::unless_equal("the output's length", to.len(), from.len())?;
    by_rows(cpu, to, 1, |at, to| {
        let from = &from[at..][..to.len()];
        cpu.kernel().enter(Apply {
            activation,
            from,
            to,
        });
    });
    Ok(())
}

/// `a + b`, value by value.
///
/// # Errors
/// Where the lengths differ.
pub fn add(cpu: &Cpu, a: &[f32], b: &[f32], to: &mut [f32]) -> Result<(), ShapeError> {
    ShapeError::unless_equal("the second summand's length", b.len(), a.len())?;
    ShapeError::unless_equal("the output's length", to.len(), a.len())?;
    by_rows(cpu, to, 1, |at, to| {
        cpu.kernel().enter(Sum {
            a: &a[at..][..to.len()],
            b: &b[at..][..to.len()],
            to,
        });
    });
    Ok(())
}

/// A layer norm over rows of the norm's length.
///
/// # Errors
/// Where the lengths do not fit.
pub fn layer_norm(
    cpu: &Cpu,
    norm: &Norm<'_>,
    from: &[f32],
    to: &mut [f32],
) -> Result<(), ShapeError> {
    ShapeError::unless_equal("the norm's shifts", norm.shift.len(), norm.gain.len())?;
    rows(cpu, RowWork::Norm(*norm), norm.gain.len(), from, to)
}

/// `e^x / sum of e^x` over rows of `width` values.
///
/// # Errors
/// Where the lengths do not fit.
pub fn softmax(cpu: &Cpu, width: usize, from: &[f32], to: &mut [f32]) -> Result<(), ShapeError> {
    rows(cpu, RowWork::Softmax, width, from, to)
}

/// `x / max(|x|, 1e-12)` over rows of `width` values, as PyTorch's `normalize`.
///
/// # Errors
/// Where the lengths do not fit.
pub fn l2_normalize(
    cpu: &Cpu,
    width: usize,
    from: &[f32],
    to: &mut [f32],
) -> Result<(), ShapeError> {
    rows(cpu, RowWork::L2, width, from, to)
}

fn rows(
    cpu: &Cpu,
    work: RowWork<'_>,
    width: usize,
    from: &[f32],
    to: &mut [f32],
) -> Result<(), ShapeError> {
    ShapeError::unless_equal("the output's length", to.len(), from.len())?;
    ShapeError::unless_at_least("a row's length", width, 1)?;
    ShapeError::unless_equal(
        "the input's length over a row's, left",
        from.len() % width,
        0,
    )?;
    by_rows(cpu, to, width, |at, to| {
        let from = &from[at..][..to.len()];
        cpu.kernel().enter(Rows {
            work,
            width,
            from,
            to,
        });
    });
    Ok(())
}

/// Cuts the output into tasks of whole rows; tells each where it starts.
fn by_rows(cpu: &Cpu, to: &mut [f32], width: usize, task: impl Fn(usize, &mut [f32]) + Sync) {
    let length = (TASK_VALUES / width).max(1) * width;
    let parts = Parts::new(to, length);
    cpu.pool().run(parts.count(), |_, i| {
        // SAFETY: each task takes the part of its own number.
        task(i * length, unsafe { parts.take(i) });
    });
}

struct Sum<'a> {
    a: &'a [f32],
    b: &'a [f32],
    to: &'a mut [f32],
}

impl Routine for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        for at in (0..self.to.len()).step_by(I::LANES) {
            let (a, b) = (
                load_from(isa, self.a, at, 0.0),
                load_from(isa, self.b, at, 0.0),
            );
            store_to(isa, isa.add(a, b), self.to, at);
        }
    }
}

struct Apply<'a> {
    activation: Activation,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Routine for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        self.to.copy_from_slice(self.from);
        let whole = self.to.len() / I::LANES * I::LANES;
        let (vectors, rest) = self.to.split_at_mut(whole);
        let mut last = [0.0; MOST_LANES];
        last[..rest.len()].copy_from_slice(rest);
        for part in [vectors, &mut last] {
            activate(isa, self.activation, part);
        }
        rest.copy_from_slice(&last[..rest.len()]);
    }
}

#[derive(Clone, Copy)]
enum RowWork<'a> {
    Norm(Norm<'a>),
    Softmax,
    L2,
}

struct Rows<'a> {
    work: RowWork<'a>,
    width: usize,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Routine for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let from = self.from.chunks_exact(self.width);
        for (from, to) in from.zip(self.to.chunks_exact_mut(self.width)) {
            match &self.work {
                RowWork::Norm(norm) => norm_row(isa, from, norm, to),
                RowWork::Softmax => softmax_row(isa, from, to),
                RowWork::L2 => l2_row(isa, from, to),
            }
        }
    }
}

/// A softmax of one row.
#[inline(always)]
fn softmax_row<I: Isa>(isa: I, from: &[f32], to: &mut [f32]) {
    let lowest = f32::NEG_INFINITY;
    let mut top = isa.splat(lowest);
    for at in (0..from.len()).step_by(I::LANES) {
        top = isa.max(top, load_from(isa, from, at, lowest));
    }
    let top = isa.splat(isa.largest(top));
    let mut sum = isa.splat(0.0);
    for at in (0..from.len()).step_by(I::LANES) {
        let power = math::exp(isa, isa.sub(load_from(isa, from, at, lowest), top));
        sum = isa.add(sum, power);
        store_to(isa, power, to, at);
    }
    let factor = isa.splat(1.0 / isa.sum(sum));
    for at in (0..to.len()).step_by(I::LANES) {
        store_to(isa, isa.mul(load_from(isa, to, at, 0.0), factor), to, at);
    }
}

/// A row over its length.
#[inline(always)]
fn l2_row<I: Isa>(isa: I, from: &[f32], to: &mut [f32]) {
    let length = sum_over(isa, from, 0.0, |x| isa.mul(x, x)).sqrt();
    // Not `max`, which would hide a NaN.
    let length = isa.splat(if length < 1e-12 { 1e-12 } else { length });
    for at in (0..from.len()).step_by(I::LANES) {
        let x = load_from(isa, from, at, 0.0);
        store_to(isa, isa.div(x, length), to, at);
    }
}
