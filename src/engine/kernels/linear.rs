//! Linear layers, and what is linear in disguise: convolutions are rows of patches.
//!
//! Rows are fetched, normalised and quantised tile by tile; a block of them stays in the
//! second-level cache while every panel of weights passes through the first. What follows
//! the product (scale, bias, activation, residual) is done on a tile before it leaves the
//! first-level cache.

use std::ops::Range;

use super::ShapeError;
use super::aligned::{Aligned, LINE, lines_of, take, view, view_mut};
use super::cpu::{Cpu, Parts};
use super::isa::{Factors, Isa, MOST_COLUMNS, MOST_ROWS, Routine, Strided, Tile, Wanted};
use super::math;
use super::packed::{Arithmetic, PackedLinear};
use super::pointwise;
use super::quantize::quantize_pair;
use super::rows::{Input, Output, Residual, Sink};

/// Bytes of left panels that one block may fill: they stay in the second-level cache
/// beside the panel of weights that passes.
const BLOCK_BYTES: usize = 192 << 10;

/// Work is cut into this many parts a thread, so that none waits long for the last.
const PARTS_A_THREAD: usize = 4;

/// Below this many rows a thread, threads share the panels of weights, not the rows.
const FEW_ROWS: usize = 256;

/// What follows a layer's product and bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `x Phi(x)`, by the error function.
    Gelu,
    /// `x sigmoid(1.702 x)`
    QuickGelu,
    /// `1 / (1 + e^-x)`
    Sigmoid,
}

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

/// How one layer's work is cut.
enum Split {
    /// Blocks of rows, each quantised and multiplied by one thread.
    Rows(Blocks),
    /// Few rows: quantised once by all threads, then each takes panels of weights.
    Columns,
}

/// `rows` cut into `count` blocks of `size`, the last one shorter.
#[derive(Clone, Copy)]
struct Blocks {
    rows: usize,
    size: usize,
    count: usize,
}

impl Blocks {
    fn rows(self, block: usize) -> Range<usize> {
        block * self.size..self.rows.min((block + 1) * self.size)
    }
}

impl Split {
    fn new(cpu: &Cpu, rows: usize, weights: &PackedLinear) -> Self {
        let threads = cpu.threads();
        if threads > 1 && rows < threads * FEW_ROWS && weights.panel_count() >= 2 * threads {
            return Self::Columns;
        }
        let shape = LeftShape::new(cpu, weights);
        let parts = match threads {
            1 => 1,
            threads => threads * PARTS_A_THREAD,
        };
        let fitting = (BLOCK_BYTES / shape.panel_bytes()).max(1) * shape.tile.rows;
        let count = rows.div_ceil(fitting).max(parts);
        let size = rows
            .div_ceil(count)
            .max(1)
            .next_multiple_of(shape.tile.rows);
        Self::Rows(Blocks {
            rows,
            size,
            count: rows.div_ceil(size),
        })
    }
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

/// The left operand of one layer in memory: tile by tile, each its panel, then (int8
/// only) one scale and one sum of codes a row.
#[derive(Clone, Copy)]
struct LeftShape {
    arithmetic: Arithmetic,
    tile: Tile,
    /// Values of a row, filled up to whole units.
    depth: usize,
    value_bytes: usize,
}

impl LeftShape {
    fn new(cpu: &Cpu, weights: &PackedLinear) -> Self {
        let kernel = cpu.kernel();
        let (tile, value_bytes) = match weights.arithmetic() {
            Arithmetic::Int8 => (kernel.tile(), kernel.code_bytes()),
            Arithmetic::Float => (kernel.float_tile(), size_of::<f32>()),
        };
        Self {
            arithmetic: weights.arithmetic(),
            tile,
            depth: tile.padded_depth(weights.inputs()),
            value_bytes,
        }
    }

    fn panel_bytes(self) -> usize {
        (self.tile.rows * self.depth * self.value_bytes).next_multiple_of(LINE)
    }

    fn tile_bytes(self) -> usize {
        let factors = match self.arithmetic {
            Arithmetic::Int8 => lines_of::<f32>(self.tile.rows) + lines_of::<i32>(self.tile.rows),
            Arithmetic::Float => 0,
        };
        self.panel_bytes() + factors
    }

    fn bytes(self, rows: usize) -> usize {
        rows.div_ceil(self.tile.rows) * self.tile_bytes()
    }

    /// Room for two rows fetched, two normalised, and one of zeros.
    fn staging_bytes(self) -> usize {
        5 * lines_of::<f32>(self.depth)
    }
}

/// Fetches `rows` and lays them out as the left operand.
fn fill(
    cpu: &Cpu,
    input: &Input<'_>,
    layer: &Linear<'_>,
    rows: Range<usize>,
    left: &mut [u8],
    staging: &mut [u8],
) {
    let shape = LeftShape::new(cpu, layer.weights);
    cpu.kernel().enter(Fill {
        input,
        layer,
        shape,
        rows,
        left,
        staging,
    });
}

/// Multiplies a filled left operand, whose first row is row `rows.start` of the output,
/// with panels of weights.
fn multiply(
    cpu: &Cpu,
    layer: &Linear<'_>,
    rows: Range<usize>,
    left: &[u8],
    panels: Range<usize>,
    sink: &Sink<'_>,
) {
    let shape = LeftShape::new(cpu, layer.weights);
    cpu.kernel().enter(Multiply {
        layer,
        shape,
        rows,
        left,
        panels,
        sink,
    });
}

struct Fill<'a> {
    input: &'a Input<'a>,
    layer: &'a Linear<'a>,
    shape: LeftShape,
    rows: Range<usize>,
    left: &'a mut [u8],
    staging: &'a mut [u8],
}

impl Routine for Fill<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (shape, rows) = (self.shape, self.rows);
        let (tile, depth) = (shape.tile, shape.depth);
        let inputs = self.layer.weights.inputs();
        let mut staging = self.staging;
        let mut room = || &mut take(&mut staging, inputs)[..];
        let source = Source {
            input: self.input,
            norm: self.layer.norm,
            rows: rows.clone(),
        };
        let mut rooms = [[room(), room()], [room(), room()]];
        let zeros = room();
        zeros.fill(0.0);
        let tiles = self.left.chunks_exact_mut(shape.tile_bytes());
        for (left, first) in tiles.zip(rows.step_by(tile.rows)) {
            let (panel, mut factors) = left.split_at_mut(shape.panel_bytes());
            match shape.arithmetic {
                Arithmetic::Int8 => {
                    let scales = take(&mut factors, tile.rows);
                    let sums = take(&mut factors, tile.rows);
                    let panel = &mut view_mut(panel)[..tile.rows * depth];
                    for r in (0..tile.rows).step_by(2) {
                        let [a, b] = &mut rooms;
                        let pair = [
                            source.row(isa, first + r, a).unwrap_or(zeros),
                            source.row(isa, first + r + 1, b).unwrap_or(zeros),
                        ];
                        let quantised = quantize_pair(isa, pair, zeros, panel, r);
                        for i in 0..2 {
                            (scales[r + i], sums[r + i]) = quantised[i];
                        }
                    }
                }
                Arithmetic::Float => {
                    let panel = &mut view_mut(panel)[..tile.rows * depth];
                    for r in 0..tile.rows {
                        let row = source.row(isa, first + r, &mut rooms[0]);
                        let to = panel[r..].iter_mut().step_by(tile.rows);
                        to.zip(row.unwrap_or(zeros))
                            .for_each(|(to, value)| *to = *value);
                    }
                }
            }
        }
    }
}

/// The rows of one block as a layer's product takes them.
struct Source<'a> {
    input: &'a Input<'a>,
    norm: Option<Norm<'a>>,
    rows: Range<usize>,
}

impl<'a> Source<'a> {
    /// Row `row`, normalised; `None` where it is zeros or only fills up the last tile.
    #[inline(always)]
    fn row<'r, I: Isa>(
        &self,
        isa: I,
        row: usize,
        [fetched, normed]: &'r mut [&mut [f32]; 2],
    ) -> Option<&'r [f32]>
    where
        'a: 'r,
    {
        if row >= self.rows.end {
            return None;
        }
        let values = self.input.fetch(row, fetched)?;
        Some(match &self.norm {
            Some(norm) => {
                pointwise::norm_row(isa, values, norm, normed);
                normed
            }
            None => values,
        })
    }
}

struct Multiply<'a> {
    layer: &'a Linear<'a>,
    shape: LeftShape,
    rows: Range<usize>,
    left: &'a [u8],
    panels: Range<usize>,
    sink: &'a Sink<'a>,
}

impl Routine for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let (shape, rows) = (self.shape, self.rows);
        let (tile, weights) = (shape.tile, self.layer.weights);
        let mut out = [0.0; MOST_ROWS * MOST_COLUMNS];
        let out = &mut out[..tile.rows * tile.columns];
        for p in self.panels {
            let columns = p * tile.columns..weights.outputs().min((p + 1) * tile.columns);
            let mut bias = [0.0; MOST_COLUMNS];
            if let Some(all) = self.layer.bias {
                bias[..columns.len()].copy_from_slice(&all[columns.clone()]);
            }
            let right = weights.panel(p);
            for t in 0..rows.len().div_ceil(tile.rows) {
                let first = rows.start + t * tile.rows;
                let left = &self.left[t * shape.tile_bytes()..][..shape.tile_bytes()];
                let (panel, factors) = left.split_at(shape.panel_bytes());
                let last = rows.end.min(first + tile.rows);
                let wanted = Wanted {
                    rows: last - first,
                    columns: columns.len(),
                };
                for row in first..last {
                    self.sink.prefetch(isa, row, columns.start, wanted.columns);
                }
                match shape.arithmetic {
                    Arithmetic::Int8 => {
                        let (scales, sums) = factors.split_at(lines_of::<f32>(tile.rows));
                        let factors = Factors {
                            rows: view(scales),
                            columns: &weights.scales()[p * tile.columns..],
                            bias: &bias,
                        };
                        let panel = &view(panel)[..tile.rows * shape.depth];
                        isa.scaled_products(panel, right, view(sums), factors, wanted, out);
                    }
                    Arithmetic::Float => {
                        let left = Strided {
                            data: &view(panel)[..tile.rows * shape.depth],
                            row: 1,
                            step: tile.rows,
                        };
                        isa.float_products(left, view(right), wanted, out);
                        add_bias(isa, out, &bias[..tile.columns]);
                    }
                }
                let out = &mut out[..wanted.rows * tile.columns];
                activate(isa, self.layer.activation, out);
                for r in 0..wanted.rows {
                    let values = &out[r * tile.columns..][..wanted.columns];
                    // SAFETY: within the rows and outputs that `Sink::new` was told of;
                    // no other thread multiplies the same rows with the same panel.
                    unsafe { self.sink.write(isa, first + r, columns.start, values) };
                }
            }
        }
    }
}

#[inline(always)]
fn add_bias<I: Isa>(isa: I, out: &mut [f32], bias: &[f32]) {
    for r in 0..out.len() / bias.len() {
        for v in 0..bias.len() / I::LANES {
            let to = &mut out[r * bias.len() + v * I::LANES..];
            isa.store(isa.add(isa.load(to), isa.load(&bias[v * I::LANES..])), to);
        }
    }
}

/// The choice is made once: inside the loop it cost as much as the function.
#[inline(always)]
pub(super) fn activate<I: Isa>(isa: I, activation: Activation, out: &mut [f32]) {
    macro_rules! all {
        ($x:ident => $value:expr) => {
            for v in 0..out.len() / I::LANES {
                let to = &mut out[v * I::LANES..];
                let $x = isa.load(to);
                isa.store($value, to);
            }
        };
    }
    match activation {
        Activation::Identity => {}
        Activation::Relu => all!(x => isa.max(isa.splat(0.0), x)),
        Activation::Gelu => all!(x => math::gelu(isa, x)),
        Activation::QuickGelu => all!(x => math::quick_gelu(isa, x)),
        Activation::Sigmoid => all!(x => math::sigmoid(isa, x)),
    }
}
