//! Every kernel that this CPU can run, against definitions written out in the plainest
//! way. Integer results must be equal, float results within the bound stated.
//!
//! A file a topic; here what they share: values from a seed, the kernels, and operators on
//! tensors without gaps.

mod attention;
mod linear;
mod packed;
mod pixels;
mod pointwise;
mod rows;
mod threads;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use super::*;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 48 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Values from a seed: mostly near 0, some large, some exactly 0.
fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let value = |bits: u64| {
        let unit = (bits >> 40) as f32 / (1 << 24) as f32 - 0.5;
        match bits % 64 {
            0 => 0.0,
            1 => unit * 100.0,
            _ => unit * 4.0,
        }
    };
    (0..count).map(|_| value(next())).collect()
}

fn codes(seed: u64, count: usize) -> Vec<i8> {
    // -128 too: no quantiser of ours makes it, other people's graphs hold it.
    let code = |x: f32| (x * 60.0).clamp(-128.0, 127.0) as i8;
    values(seed, count).into_iter().map(code).collect()
}

/// The sizes that a property tries, below `most`: Miri takes some thousand times as long.
const fn below(most: usize) -> std::ops::Range<usize> {
    1..if cfg!(miri) { 8 } else { most }
}

/// Every kernel with two threads; with one under Miri, where a thread that waits for work
/// keeps the other from doing it, and the pool has tests of its own.
fn cpus() -> Vec<Cpu> {
    let kernels = Kernel::available();
    assert_eq!(kernels.last().map(|k| k.name()), Some("scalar"));
    kernels
        .into_iter()
        .map(|kernel| Cpu::new(kernel, if cfg!(miri) { 1 } else { 2 }))
        .collect()
}

/// Int8 weights, the same scale for all.
fn int8(kernel: Kernel, codes: &[i8], scale: f32, shape: [usize; 2]) -> PackedLinear {
    PackedLinear::int8(
        kernel,
        codes,
        Order::OutputsFirst,
        &vec![scale; shape[0]],
        shape,
    )
    .unwrap()
}

/// A layer of these weights and no more.
fn bare(weights: &PackedLinear) -> Linear<'_> {
    Linear {
        weights,
        norm: None,
        bias: None,
        activation: Activation::Identity,
    }
}

/// What a layer makes of rows without gaps.
fn through(cpu: &Cpu, layer: &Linear<'_>, x: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (layer.weights.inputs(), layer.weights.outputs());
    let rows = x.len() / inputs;
    let mut out = vec![f32::NAN; rows * outputs];
    let input = Input::Rows {
        data: x,
        stride: inputs,
    };
    let output = Output::rows(&mut out, outputs);
    super::linear(cpu, rows, &input, layer, Residual::None, output).unwrap();
    out
}

/// An attention on `[batch][row][head][dim]` without gaps.
fn attend(cpu: &Cpu, shape: &Attention, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let row = shape.heads * shape.dim;
    let view = |data, rows| Heads {
        data,
        batch: rows * row,
        row,
        head: shape.dim,
    };
    let mut out = vec![f32::NAN; shape.batch * shape.queries * row];
    let to = HeadsMut {
        data: &mut out,
        batch: shape.queries * row,
        row,
        head: shape.dim,
    };
    let (q, k, v) = (
        view(q, shape.queries),
        view(k, shape.keys),
        view(v, shape.keys),
    );
    super::attention(cpu, shape, q, k, v, to).unwrap();
    out
}

fn close(found: &[f32], expected: &[f32], bound: f32) -> TestCaseResult {
    prop_assert_eq!(found.len(), expected.len());
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        prop_assert!((a - b).abs() <= bound * (1.0 + b.abs()), "{i}: {a} and {b}");
    }
    Ok(())
}
