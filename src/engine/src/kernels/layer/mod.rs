//! Linear layers, and what is linear in disguise: convolutions are rows of patches.
//!
//! | file | what for |
//! |---|---|
//! | `blocks.rs` | how the work is cut into parts for threads |
//! | `left.rs` | rows fetched, normalised, quantised: the left operand |
//! | `multiply.rs` | the product with the weights, and what follows it |
//!
//! Rows are fetched, normalised and quantised tile by tile; a block of them stays in the
//! second-level cache while every panel of weights passes through the first. What follows
//! the product (scale, bias, activation, residual) is done on a tile before it leaves the
//! first-level cache.
//!
//! The planner's steps call [`linear`] and [`mlp`]. A row's result must never depend on which
//! other rows there are, nor on the number of threads.

mod blocks;
mod left;
mod multiply;

use std::ops::Range;

use super::ShapeError;
use super::activation::Activation;
use super::aligned::{Aligned, lines_of, take};
use super::cpu::{Cpu, Parts};
use super::norm::Norm;
use super::packed::PackedLinear;
use super::rows::{Input, Output, Residual, Sink};
use blocks::{PARTS_A_THREAD, Split};
use left::{LeftShape, fill};
use multiply::multiply;

/// A layer: optional norm, product with the weights, bias, activation.
#[derive(Debug, Clone, Copy)]
pub struct Linear<'a> {
    /// The weights.
    pub weights: &'a PackedLinear,
    /// Done on each row before the product; rows of zeros that an [`Input`] fills in stay
    /// zeros.
    pub norm: Option<Norm<'a>>,
    /// One summand an output.
    pub bias: Option<&'a [f32]>,
    /// Done on each output.
    pub activation: Activation,
}

impl Linear<'_> {
    fn check(&self, cpu: &Cpu) -> Result<(), ShapeError> {
        let foreign = usize::from(self.weights.kernel() != cpu.kernel());
        ShapeError::unless_equal("weights packed for another kernel", foreign, 0)?;
        if let Some(norm) = &self.norm {
            let inputs = self.weights.inputs();
            ShapeError::unless_equal("the norm's gains", norm.gain.len(), inputs)?;
            ShapeError::unless_equal("the norm's shifts", norm.shift.len(), inputs)?;
        }
        if let Some(bias) = self.bias {
            ShapeError::unless_equal("the bias' length", bias.len(), self.weights.outputs())?;
        }
        Ok(())
    }
}

/// Runs a layer on `rows` rows of [`PackedLinear::inputs`] values; each becomes a row of
/// [`PackedLinear::outputs`] values.
///
/// In int8 each row is quantised by itself, symmetrically, and the sums are exact. A row
/// that holds a value that is not finite becomes NaN.
///
/// # Errors
/// Where lengths do not fit, or the weights are packed for another kernel.
pub fn linear(
    cpu: &Cpu,
    rows: usize,
    input: &Input<'_>,
    layer: &Linear<'_>,
    residual: Residual<'_>,
    output: Output<'_>,
) -> Result<(), ShapeError> {
    layer.check(cpu)?;
    input.check(rows, layer.weights.inputs())?;
    let sink = Sink::new(output, residual, rows, layer.weights.outputs())?;
    run(cpu, rows, input, layer, &sink);
    Ok(())
}

/// Runs two layers one after the other, as in a transformer's MLP. What passes between
/// them stays in the cache where there are rows enough.
///
/// # Errors
/// As [`linear`].
pub fn mlp(
    cpu: &Cpu,
    rows: usize,
    input: &Input<'_>,
    [first, second]: [&Linear<'_>; 2],
    residual: Residual<'_>,
    output: Output<'_>,
) -> Result<(), ShapeError> {
    first.check(cpu)?;
    second.check(cpu)?;
    input.check(rows, first.weights.inputs())?;
    let width = first.weights.outputs();
    ShapeError::unless_equal("the second layer's inputs", second.weights.inputs(), width)?;
    let sink = Sink::new(output, residual, rows, second.weights.outputs())?;
    if let Split::Rows(blocks) = Split::new(cpu, rows, second.weights) {
        cpu.pool().run(blocks.count, |worker, block| {
            let block = blocks.rows(block);
            mlp_block(
                cpu,
                input,
                [first, second],
                block,
                &sink,
                &mut cpu.scratch(worker),
            );
        });
        return Ok(());
    }
    let mut between = cpu.between();
    let mut between = between.grow(lines_of::<f32>(rows * width));
    let hidden = take::<f32>(&mut between, rows * width);
    run(cpu, rows, input, first, &Sink::block(hidden, width));
    let input = Input::Rows {
        data: hidden,
        stride: width,
    };
    run(cpu, rows, &input, second, &sink);
    Ok(())
}

/// Runs a layer whose arguments are checked.
fn run(cpu: &Cpu, rows: usize, input: &Input<'_>, layer: &Linear<'_>, sink: &Sink<'_>) {
    match Split::new(cpu, rows, layer.weights) {
        Split::Rows(blocks) => cpu.pool().run(blocks.count, |worker, block| {
            let block = blocks.rows(block);
            row_block(cpu, input, layer, block, sink, &mut cpu.scratch(worker));
        }),
        Split::Columns => run_by_columns(cpu, rows, input, layer, sink),
    }
}

/// A block of rows through one layer.
fn row_block(
    cpu: &Cpu,
    input: &Input<'_>,
    layer: &Linear<'_>,
    rows: Range<usize>,
    sink: &Sink<'_>,
    scratch: &mut Aligned,
) {
    let shape = LeftShape::new(cpu, layer.weights);
    let left_bytes = shape.bytes(rows.len());
    let mut memory = scratch.grow(left_bytes + shape.staging_bytes());
    let left = take(&mut memory, left_bytes);
    fill(cpu, input, layer, rows.clone(), left, memory);
    multiply(cpu, layer, rows, left, 0..layer.weights.panel_count(), sink);
}

/// A block of rows through two layers; what passes between stays in scratch.
fn mlp_block(
    cpu: &Cpu,
    input: &Input<'_>,
    [first, second]: [&Linear<'_>; 2],
    rows: Range<usize>,
    sink: &Sink<'_>,
    scratch: &mut Aligned,
) {
    let (count, width) = (rows.len(), first.weights.outputs());
    let shapes = [first, second].map(|layer| LeftShape::new(cpu, layer.weights));
    let [first_bytes, second_bytes] = shapes.map(|shape| shape.bytes(count));
    let [a, b] = shapes.map(LeftShape::staging_bytes);
    let left_bytes = first_bytes.max(second_bytes);
    let hidden_bytes = lines_of::<f32>(count * width);
    let mut memory = scratch.grow(left_bytes + hidden_bytes + a.max(b));
    let left: &mut [u8] = take(&mut memory, left_bytes);
    let hidden: &mut [f32] = take(&mut memory, count * width);

    let filled = &mut left[..first_bytes];
    fill(cpu, input, first, rows.clone(), filled, memory);
    let between = Sink::block(hidden, width);
    multiply(
        cpu,
        first,
        0..count,
        filled,
        0..first.weights.panel_count(),
        &between,
    );

    let filled = &mut left[..second_bytes];
    let input = Input::Rows {
        data: hidden,
        stride: width,
    };
    fill(cpu, &input, second, 0..count, filled, memory);
    multiply(
        cpu,
        second,
        rows,
        filled,
        0..second.weights.panel_count(),
        sink,
    );
}

fn run_by_columns(cpu: &Cpu, rows: usize, input: &Input<'_>, layer: &Linear<'_>, sink: &Sink<'_>) {
    let shape = LeftShape::new(cpu, layer.weights);
    let mut common = cpu.common();
    let bytes = shape.bytes(rows);
    let left = &mut common.grow(bytes)[..bytes];
    let parts = Parts::new(left, shape.tile_bytes());
    cpu.pool().run(parts.count(), |worker, t| {
        let tile = t * shape.tile.rows..rows.min((t + 1) * shape.tile.rows);
        // SAFETY: each task takes the part of its own number.
        let left = unsafe { parts.take(t) };
        let mut scratch = cpu.scratch(worker);
        fill(
            cpu,
            input,
            layer,
            tile,
            left,
            scratch.grow(shape.staging_bytes()),
        );
    });
    let left = &*left;
    let panels = layer.weights.panel_count();
    let parts = panels.min(cpu.threads() * PARTS_A_THREAD);
    cpu.pool().run(parts, |_, part| {
        let panels = part * panels / parts..(part + 1) * panels / parts;
        multiply(cpu, layer, 0..rows, left, panels, sink);
    });
}
