//! Operators that work value by value on views: sums, products, comparisons, copies.
//!
//! They are the glue between the operators that cost time. The loops are plain Rust over
//! runs that all operands share; the innermost run is mostly contiguous. A copy between two
//! orders is the kernels'.

use super::view::{Run, View};
use crate::kernels::{Cpu, ShapeError, transpose};
use crate::typed::{Binary, Codes, Function};

/// An operator of one operand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unary {
    /// The value itself: a copy into another order.
    Copy,
    /// Times a number.
    Scale(f32),
    Function(Function),
    /// GELU by its approximation with `tanh`.
    TanhGelu,
    /// Towards zero, as a cast to a whole number does; no number from this size on.
    Truncate(f32),
    Clip(f32, f32),
    /// To the nearest code of a quantiser and back.
    Requantise(Codes),
}

impl Codes {
    fn of(self, x: f32) -> f32 {
        // Whole numbers of this size are exact.
        let code = (x / self.scale).round_ties_even() + self.zero;
        (code.clamp(self.least, self.most) - self.zero) * self.scale
    }
}

impl Binary {
    fn of(self, a: f32, b: f32) -> f32 {
        let truth = |t: bool| f32::from(u8::from(t));
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul | Self::And => a * b,
            Self::Div => a / b,
            Self::Pow => a.powf(b),
            // What is no number is not hidden.
            Self::Min | Self::Max | Self::Or if a.is_nan() || b.is_nan() => f32::NAN,
            Self::Min => a.min(b),
            Self::Max | Self::Or => a.max(b),
            Self::Equal => truth(a == b),
            Self::Greater => truth(a > b),
            Self::Less => truth(a < b),
            Self::GreaterOrEqual => truth(a >= b),
            Self::LessOrEqual => truth(a <= b),
        }
    }
}

impl Function {
    fn of(self, x: f32) -> f32 {
        match self {
            Self::Neg => -x,
            Self::Abs => x.abs(),
            Self::Sqrt => x.sqrt(),
            Self::Reciprocal => 1.0 / x,
            Self::Exp => x.exp(),
            Self::Log => x.ln(),
            Self::Sin => x.sin(),
            Self::Cos => x.cos(),
            Self::Tanh => x.tanh(),
            Self::Erf => libm::erff(x),
            Self::Floor => x.floor(),
            Self::Ceil => x.ceil(),
            Self::Round => x.round_ties_even(),
            Self::Not => f32::from(u8::from(x == 0.0)),
        }
    }
}

impl Unary {
    /// The operator on one value.
    pub fn of(self, x: f32) -> f32 {
        match self {
            Self::Copy => x,
            Self::Scale(factor) => x * factor,
            Self::Function(function) => function.of(x),
            Self::TanhGelu => {
                let root = (2.0 / std::f32::consts::PI).sqrt();
                0.5 * x * (1.0 + (root * (x + 0.044_715 * x * x * x)).tanh())
            }
            Self::Truncate(limit) if x.abs() < limit => x.trunc(),
            Self::Truncate(_) => f32::NAN,
            Self::Clip(..) | Self::Requantise(_) if x.is_nan() => x,
            Self::Requantise(codes) => codes.of(x),
            Self::Clip(low, high) => x.max(low).min(high),
        }
    }
}

/// Shared runs of several views, outermost first: one length, and each view's stride.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shared<const N: usize> {
    offsets: [usize; N],
    runs: Vec<(usize, [usize; N])>,
}

impl<const N: usize> Shared<N> {
    /// Cuts the views' runs at the same places; `None` where they cross. The views have
    /// the same shape; the first decides the order of the loops: its strides fall.
    pub fn of(views: [&View; N]) -> Option<Self> {
        let mut left: Vec<Vec<Run>> = views.iter().map(|view| view.joined()).collect();
        let mut runs = Vec::new();
        while left.iter().any(|runs| !runs.is_empty()) {
            let shortest = left
                .iter()
                .map(|runs| runs.last().map_or(1, |r| r.length))
                .min()
                // Of a value without elements there is nothing to walk.
                .filter(|shortest| *shortest > 0)?;
            let mut strides = [0; N];
            for (runs, stride) in left.iter_mut().zip(&mut strides) {
                let run = runs.last_mut()?;
                if run.length % shortest != 0 {
                    return None;
                }
                *stride = run.stride;
                run.length /= shortest;
                run.stride *= shortest;
                if run.length == 1 {
                    runs.pop();
                }
            }
            runs.push((shortest, strides));
        }
        runs.reverse();
        runs.sort_by_key(|(_, strides)| std::cmp::Reverse(strides[0]));
        Some(Self {
            offsets: views.map(|view| view.offset),
            runs: joined(runs),
        })
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.runs.iter().map(|(length, _)| length).product()
    }

    /// Calls `inner` with the offsets of each innermost run, its length and strides.
    pub fn each(&self, inner: &mut dyn FnMut([usize; N], usize, [usize; N])) {
        let (length, strides) = self.runs.last().copied().unwrap_or((1, [0; N]));
        let outer = &self.runs[..self.runs.len().saturating_sub(1)];
        let mut offsets = self.offsets;
        let mut indices = vec![0; outer.len()];
        loop {
            inner(offsets, length, strides);
            let mut axis = outer.len();
            loop {
                let Some(next) = axis.checked_sub(1) else {
                    return;
                };
                axis = next;
                let (length, strides) = outer[axis];
                indices[axis] += 1;
                for (offset, stride) in offsets.iter_mut().zip(strides) {
                    *offset += stride;
                }
                if indices[axis] < length {
                    break;
                }
                indices[axis] = 0;
                for (offset, stride) in offsets.iter_mut().zip(strides) {
                    *offset -= stride * length;
                }
            }
        }
    }
}

/// Neighbouring runs joined where every view goes on evenly.
fn joined<const N: usize>(runs: Vec<(usize, [usize; N])>) -> Vec<(usize, [usize; N])> {
    let mut joined: Vec<(usize, [usize; N])> = Vec::new();
    for (length, strides) in runs {
        match joined.last_mut() {
            Some((outer, wide))
                if wide
                    .iter()
                    .zip(strides)
                    .all(|(wide, s)| *wide == s * length) =>
            {
                *outer *= length;
                *wide = strides;
            }
            _ => joined.push((length, strides)),
        }
    }
    joined
}

/// `to = op(from)`.
///
/// # Errors
/// [`ShapeError`]: a fault of the plan's.
pub(crate) fn unary(
    cpu: &Cpu,
    op: Unary,
    shared: &Shared<2>,
    to: &mut [f32],
    from: &[f32],
) -> Result<(), ShapeError> {
    if op == Unary::Copy
        && let [.., (rows, [down, 1]), (columns, [1, across])] = shared.runs[..]
        && across > 1
        && down >= columns
    {
        return turn(cpu, shared, [(rows, down), (columns, across)], to, from);
    }
    shared.each(&mut |[t, f], length, strides| match strides {
        [1, 1] => {
            let pairs = to[t..t + length].iter_mut().zip(&from[f..f + length]);
            match op {
                Unary::Copy => pairs.for_each(|(to, from)| *to = *from),
                Unary::Scale(factor) => pairs.for_each(|(to, from)| *to = from * factor),
                _ => pairs.for_each(|(to, from)| *to = op.of(*from)),
            }
        }
        [a, b] => (0..length).for_each(|i| to[t + i * a] = op.of(from[f + i * b])),
    });
    Ok(())
}

/// A copy whose two innermost runs, here with the stride of the other side, are contiguous
/// on one side each.
fn turn(
    cpu: &Cpu,
    shared: &Shared<2>,
    [(rows, down), (columns, across)]: [(usize, usize); 2],
    to: &mut [f32],
    from: &[f32],
) -> Result<(), ShapeError> {
    let outer = shared.runs[..shared.runs.len() - 2].iter().copied();
    let outer = Shared {
        offsets: shared.offsets,
        runs: outer.chain([(1, [0; 2])]).collect(),
    };
    let mut done = Ok(());
    outer.each(&mut |[t, f], _, _| {
        if done.is_ok() {
            let (from, to) = ((&from[f..], across), (&mut to[t..], down));
            done = transpose(cpu, [columns, rows], from, to);
        }
    });
    done
}

/// `to = op(a, b)`.
pub(crate) fn binary(op: Binary, shared: &Shared<3>, to: &mut [f32], a: &[f32], b: &[f32]) {
    match op {
        Binary::Add => binary_by(shared, to, a, b, |a, b| a + b),
        Binary::Sub => binary_by(shared, to, a, b, |a, b| a - b),
        Binary::Mul | Binary::And => binary_by(shared, to, a, b, |a, b| a * b),
        _ => binary_by(shared, to, a, b, |a, b| op.of(a, b)),
    }
}

fn binary_by(
    shared: &Shared<3>,
    to: &mut [f32],
    a: &[f32],
    b: &[f32],
    of: impl Fn(f32, f32) -> f32,
) {
    shared.each(&mut |[t, i, j], length, strides| match strides {
        [1, 1, 1] => {
            let values = a[i..i + length].iter().zip(&b[j..j + length]);
            let to = to[t..t + length].iter_mut();
            to.zip(values).for_each(|(to, (a, b))| *to = of(*a, *b));
        }
        [1, 1, 0] => {
            let b = b[j];
            let to = to[t..t + length].iter_mut();
            to.zip(&a[i..i + length])
                .for_each(|(to, a)| *to = of(*a, b));
        }
        [x, y, z] => {
            (0..length).for_each(|n| to[t + n * x] = of(a[i + n * y], b[j + n * z]));
        }
    });
}

/// `to = if condition is not 0 { a } else { b }`.
pub(crate) fn choose(shared: &Shared<4>, to: &mut [f32], condition: &[f32], a: &[f32], b: &[f32]) {
    shared.each(&mut |[t, c, i, j], length, [w, x, y, z]| {
        for n in 0..length {
            let chosen = if condition[c + n * x] != 0.0 {
                a[i + n * y]
            } else {
                b[j + n * z]
            };
            to[t + n * w] = chosen;
        }
    });
}

/// `to = op(a, b)` over rows of `width`, where row `i` of `a` starts at `rows[i]` or, at
/// `None`, holds zeros; `b` and `to` are contiguous, `b` repeated as often as it fits.
pub(crate) fn gathered(
    op: Binary,
    width: usize,
    rows: &[Option<usize>],
    to: &mut [f32],
    a: &[f32],
    b: &[f32],
) {
    let b_rows = b.chunks_exact(width).cycle();
    for ((to, row), b) in to.chunks_exact_mut(width).zip(rows).zip(b_rows) {
        match row {
            Some(row) => {
                let a = &a[*row..row + width];
                let values = a.iter().zip(b);
                to.iter_mut()
                    .zip(values)
                    .for_each(|(to, (a, b))| *to = op.of(*a, *b));
            }
            None => to
                .iter_mut()
                .zip(b)
                .for_each(|(to, b)| *to = op.of(0.0, *b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Kernel;

    fn turned(order: [usize; 3], shape: [usize; 3]) -> View {
        View::contiguous(&shape).transposed(&order)
    }

    #[test]
    fn a_copy_between_orders_is_a_transpose() {
        for (rows, columns) in [(1, 1), (3, 40), (33, 17), (64, 64)] {
            let from: Vec<f32> = (0..2 * rows * columns).map(|v| v as f32).collect();
            let view = turned([0, 2, 1], [2, rows, columns]);
            let target = View::contiguous(&[2, columns, rows]);
            let mut to = vec![0.0; from.len()];
            let shared = Shared::of([&target, &view]).unwrap();
            let cpu = Cpu::new(Kernel::detect().unwrap(), 1);
            unary(&cpu, Unary::Copy, &shared, &mut to, &from).unwrap();
            for (i, value) in to.iter().enumerate() {
                let (b, c, r) = (i / (rows * columns), i / rows % columns, i % rows);
                assert_eq!(
                    *value,
                    from[(b * rows + r) * columns + c],
                    "{rows} x {columns}"
                );
            }
        }
    }

    #[test]
    fn a_broadcast_operand_is_read_again() {
        let (a, b): (Vec<f32>, Vec<f32>) = ((0..6).map(|v| v as f32).collect(), vec![10.0, 20.0]);
        let view = View::contiguous(&[3, 2]);
        let row = View::contiguous(&[2]).broadcast(&[3, 2]).unwrap();
        let mut to = vec![0.0; 6];
        let shared = Shared::of([&view, &view, &row]).unwrap();
        binary(Binary::Add, &shared, &mut to, &a, &b);
        assert_eq!(to, [10.0, 21.0, 12.0, 23.0, 14.0, 25.0]);
        let column = View::contiguous(&[3, 1]).broadcast(&[3, 2]).unwrap();
        let shared = Shared::of([&view, &view, &column]).unwrap();
        binary(Binary::Mul, &shared, &mut to, &a, &[1.0, 0.0, -1.0]);
        assert_eq!(to, [0.0, 1.0, 0.0, 0.0, -4.0, -5.0]);
    }
}
