//! One step of a plan: an operator with everything about it settled but the values.
//!
//! A step reads buffers and writes one. Which buffers is the plan's affair; a step sees
//! slices. It never allocates: tables and strides were worked out when it was planned.

use std::collections::BTreeMap;

use super::elementwise::{Shared, Unary, binary, choose, gathered, unary};
use crate::kernels::{
    Activation, Cpu, Input, Linear, MatMul, Norm, Output, PackedLinear, Patches, Residual,
    RowTable, ShapeError, add, apply, layer_norm, linear, matmul, mlp, softmax,
};
use crate::typed::Binary;

/// Packed weights by the name that nodes give them.
pub(crate) type Weights = BTreeMap<String, PackedLinear>;

/// Where a step's values lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// An input of the graph.
    Input(usize),
    /// A constant of the plan.
    Constant(usize),
    /// A buffer of the arena.
    Buffer(usize),
}

/// An operator, what it reads and what it writes.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// The node whose output this makes.
    pub node: String,
    pub work: Work,
    /// What it reads; `work` names them by their index.
    pub reads: Vec<Place>,
    /// The buffer it writes.
    pub writes: usize,
}

/// What a step does. Numbers named `*_at` are indices into the step's reads.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    Product(Box<Product>),
    Attention(Box<super::heads::Attention>),
    /// Layer normalisation of contiguous rows: input, gain, shift.
    Norm {
        epsilon: f32,
    },
    /// Softmax of contiguous rows.
    Softmax {
        width: usize,
    },
    /// The sum of two contiguous reads, in the kernel's own loops.
    Add,
    /// The whole input, value by value, in the kernel's own loops.
    Activate(Activation),
    Unary(Unary, Shared<2>),
    Binary(Binary, Shared<3>),
    Choose(Shared<4>),
    /// Rows of the first read, some of them zeros, with the second.
    Gathered {
        op: Binary,
        width: usize,
        rows: Vec<Option<usize>>,
    },
    /// Rows at any offset as contiguous ones; `None` for zeros.
    Rows {
        op: Unary,
        width: usize,
        rows: Vec<Option<usize>>,
    },
    /// `[.., M, K] x [.., K, N]` in float: where no faster operator fits.
    MatMul(Shared<3>, MatMul),
    /// The mean; the output is broadcast over the `usize` values that it is of.
    Mean(Shared<2>, usize),
    MaxPool(Box<super::pixels::Pool>),
    Resize(Box<super::pixels::Scale>),
}

/// One or two linear layers over rows.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    pub rows: usize,
    pub input: RowsRead,
    pub layer: Layer,
    /// A second layer right behind, as in an MLP.
    pub second: Option<Layer>,
    pub residual: Added,
    pub output: Target,
}

/// Where a product's rows come from, in its first read.
#[derive(Debug, Clone)]
pub(crate) enum RowsRead {
    Rows {
        offset: usize,
        stride: usize,
    },
    Table {
        offset: usize,
        stride: usize,
        table: RowTable,
    },
    Patches(Geometry),
}

/// A convolution's geometry.
#[derive(Debug, Clone)]
pub(crate) struct Geometry {
    /// Images, channels, rows, columns.
    pub image: [usize; 4],
    pub order: crate::kernels::PatchOrder,
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 4],
}

/// Where a product's rows go.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub row_stride: usize,
    pub column_stride: usize,
    pub table: Option<RowTable>,
    pub groups: usize,
}

/// What is added to a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Added {
    Nothing,
    InPlace,
    From { at: usize, offset: usize },
}

/// One linear layer.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub weight: String,
    pub bias_at: Option<usize>,
    /// Gain, shift, epsilon.
    pub norm_at: Option<(usize, usize, f32)>,
    pub activation: Activation,
}

impl Step {
    /// Runs the step.
    ///
    /// # Errors
    /// [`ShapeError`]: a fault of the plan's, told rather than panicked over.
    pub fn run(
        &self,
        cpu: &Cpu,
        weights: &Weights,
        reads: &[&[f32]],
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        match &self.work {
            Work::Product(product) => return product.run(cpu, weights, reads, out),
            Work::Attention(attention) => return attention.run(cpu, reads, out),
            Work::Norm { epsilon } => {
                let norm = Norm {
                    gain: reads[1],
                    shift: reads[2],
                    epsilon: *epsilon,
                };
                return layer_norm(cpu, &norm, reads[0], out);
            }
            Work::MaxPool(pool) => return pool.run(cpu, reads[0], out),
            Work::Resize(scale) => return scale.run(cpu, reads[0], out),
            Work::Softmax { width } => return softmax(cpu, *width, reads[0], out),
            Work::Activate(activation) => return apply(cpu, *activation, reads[0], out),
            Work::Add => return add(cpu, reads[0], reads[1], out),
            Work::Unary(op, shared) => return unary(cpu, *op, shared, out, reads[0]),
            Work::Binary(op, shared) => binary(*op, shared, out, reads[0], reads[1]),
            Work::Choose(shared) => choose(shared, out, reads[0], reads[1], reads[2]),
            Work::Gathered { op, width, rows } => {
                gathered(*op, *width, rows, out, reads[0], reads[1]);
            }
            Work::Rows { op, width, rows } => {
                let targets = out.chunks_exact_mut(*width);
                targets.zip(rows).for_each(|(to, row)| match row {
                    Some(row) => {
                        let from = &reads[0][*row..row + width];
                        to.iter_mut()
                            .zip(from)
                            .for_each(|(to, from)| *to = op.of(*from));
                    }
                    None => to.fill(op.of(0.0)),
                });
            }
            Work::MatMul(shared, sides) => return products(cpu, shared, sides, reads, out),
            Work::Mean(shared, count) => mean(shared, *count, out, reads[0]),
        }
        Ok(())
    }
}

impl Product {
    fn run(
        &self,
        cpu: &Cpu,
        weights: &Weights,
        reads: &[&[f32]],
        out: &mut [f32],
    ) -> Result<(), ShapeError> {
        let first = self.layer.bind(weights, reads)?;
        let residual = match self.residual {
            Added::Nothing => Residual::None,
            Added::InPlace => Residual::InPlace,
            Added::From { at, offset } => Residual::From(&reads[at][offset..]),
        };
        let output = Output {
            data: out,
            row_stride: self.output.row_stride,
            column_stride: self.output.column_stride,
            table: self.output.table.as_ref(),
            groups: self.output.groups,
        };
        let input = self.input.bind(reads[0]);
        match &self.second {
            None => linear(cpu, self.rows, &input, &first, residual, output),
            Some(second) => {
                let second = second.bind(weights, reads)?;
                mlp(cpu, self.rows, &input, [&first, &second], residual, output)
            }
        }
    }
}

impl RowsRead {
    fn bind<'a>(&'a self, data: &'a [f32]) -> Input<'a> {
        match self {
            Self::Rows { offset, stride } => Input::Rows {
                data: &data[*offset..],
                stride: *stride,
            },
            Self::Table {
                offset,
                stride,
                table,
            } => Input::Gathered {
                data: &data[*offset..],
                stride: *stride,
                table,
            },
            Self::Patches(geometry) => {
                let [batch, channels, height, width] = geometry.image;
                Input::Patches(Patches {
                    data,
                    batch,
                    channels,
                    height,
                    width,
                    order: geometry.order,
                    kernel: geometry.kernel,
                    stride: geometry.stride,
                    padding: geometry.padding,
                })
            }
        }
    }
}

impl Layer {
    fn bind<'a>(
        &self,
        weights: &'a Weights,
        reads: &[&'a [f32]],
    ) -> Result<Linear<'a>, ShapeError> {
        let missing = ShapeError {
            what: "the weights of this name",
            found: 0,
            expected: 1,
        };
        Ok(Linear {
            weights: weights.get(&self.weight).ok_or(missing)?,
            norm: self.norm_at.map(|(gain, shift, epsilon)| Norm {
                gain: reads[gain],
                shift: reads[shift],
                epsilon,
            }),
            bias: self.bias_at.map(|at| reads[at]),
            activation: self.activation,
        })
    }
}

/// `A B`, batch by batch.
fn products(
    cpu: &Cpu,
    shared: &Shared<3>,
    sides: &MatMul,
    reads: &[&[f32]],
    out: &mut [f32],
) -> Result<(), ShapeError> {
    let size = sides.rows * sides.columns;
    let mut done = Ok(());
    shared.each(&mut |[to, a, b], length, [to_step, a_step, b_step]| {
        for i in 0..length {
            let (a, b) = (&reads[0][a + i * a_step..], &reads[1][b + i * b_step..]);
            let out = &mut out[to + i * to_step..][..size];
            if done.is_ok() {
                done = matmul(cpu, sides, a, b, out);
            }
        }
    });
    done
}

/// The mean of each `count` values of the second view's order, which hold the first's.
fn mean(shared: &Shared<2>, count: usize, out: &mut [f32], from: &[f32]) {
    out.fill(0.0);
    shared.each(&mut |[to, at], length, [to_step, step]| {
        for i in 0..length {
            out[to + i * to_step] += from[at + i * step];
        }
    });
    let factor = 1.0 / count as f32;
    out.iter_mut().for_each(|value| *value *= factor);
}
