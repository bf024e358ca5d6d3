//! What a plan really multiplies in, product by product; and what each step costs.

use std::time::Duration;

use serde::Serialize;

use super::kernels::{Arithmetic, AttentionArithmetic, PackedLinear};
use super::plan::{self, Plan, RowsRead, Step, Weights, Work};

/// One matrix product of a plan: a MatMul, Gemm or Conv of the graph, or the two of an
/// attention together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Product {
    /// The node whose output it makes, or the weight's own where two are one step.
    pub node: String,
    /// `linear`, `convolution`, `attention` or `matmul`.
    pub operator: &'static str,
    /// Rows, inner length and columns; of an attention: batch x heads, queries, keys,
    /// length of a head's row.
    pub shape: Vec<usize>,
    /// `int8` or `float`.
    pub arithmetic: &'static str,
    /// The instruction set.
    pub kernel: &'static str,
    /// Multiplications with an addition.
    pub macs: u64,
}

/// One step of a profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepTime {
    /// The node whose output it makes.
    pub node: String,
    /// The operator, as in [`Product`], or another's name.
    pub operator: &'static str,
    /// Multiplications with an addition; 0 where it has none.
    pub macs: u64,
    /// Median over the runs, in milliseconds.
    pub median_ms: f64,
}

/// A graph's times over several runs with the same inputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// Milliseconds to plan.
    pub plan_ms: f64,
    /// Milliseconds of each run, in order.
    pub runs_ms: Vec<f64>,
    /// Bytes that a run needs beside inputs, outputs and weights.
    pub arena_bytes: usize,
    /// Bytes of packed weights.
    pub weight_bytes: usize,
    /// The steps in order.
    pub steps: Vec<StepTime>,
}

/// All products of a plan, in order.
pub(super) fn products(plan: &Plan, weights: &Weights, kernel: &'static str) -> Vec<Product> {
    plan.steps
        .iter()
        .flat_map(|step| products_of(step, weights, kernel))
        .collect()
}

/// The steps with the median of the times that each run took for them.
pub(super) fn step_times(plan: &Plan, weights: &Weights, runs: &[Vec<Duration>]) -> Vec<StepTime> {
    let macs = |step: &Step| products_of(step, weights, "").iter().map(|p| p.macs).sum();
    let times = |i: usize| runs.iter().map(|run| run[i].as_secs_f64() * 1e3).collect();
    plan.steps
        .iter()
        .enumerate()
        .map(|(i, step)| StepTime {
            node: step.node.clone(),
            operator: operator(&step.work),
            macs: macs(step),
            median_ms: median(times(i)),
        })
        .collect()
}

/// The middle value; of an even number, the lower of the two.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values
        .get(values.len().saturating_sub(1) / 2)
        .copied()
        .unwrap_or(0.0)
}

fn products_of(step: &Step, weights: &Weights, kernel: &'static str) -> Vec<Product> {
    let product = |node: &str, operator, shape: Vec<usize>, arithmetic, macs: usize| Product {
        node: node.to_owned(),
        operator,
        shape,
        arithmetic,
        kernel,
        macs: macs as u64,
    };
    match &step.work {
        Work::Product(work) => layers(work)
            .filter_map(|layer| {
                let packed = weights.get(&layer.weight)?;
                let (inputs, outputs) = (packed.inputs(), packed.outputs());
                Some(product(
                    &layer.weight,
                    operator(&step.work),
                    vec![work.rows, inputs, outputs],
                    arithmetic(packed),
                    work.rows * inputs * outputs,
                ))
            })
            .collect(),
        Work::Attention(attention) => {
            let shape = attention.shape;
            let heads = shape.batch * shape.heads;
            let macs = 2 * heads * shape.queries * shape.keys * shape.dim;
            let name = match shape.arithmetic {
                AttentionArithmetic::Int8 => "int8",
                AttentionArithmetic::Float => "float",
            };
            let sides = vec![heads, shape.queries, shape.keys, shape.dim];
            vec![product(&step.node, "attention", sides, name, macs)]
        }
        Work::MatMul(shared, sides) => {
            let batch = shared.count();
            let shape = vec![batch * sides.rows, sides.depth, sides.columns];
            let macs = shape.iter().product();
            vec![product(&step.node, "matmul", shape, "float", macs)]
        }
        _ => Vec::new(),
    }
}

/// The layer of a product, or both.
pub(super) fn layers(product: &plan::Product) -> impl Iterator<Item = &plan::Layer> {
    std::iter::once(&product.layer).chain(&product.second)
}

fn arithmetic(weight: &PackedLinear) -> &'static str {
    match weight.arithmetic() {
        Arithmetic::Int8 => "int8",
        Arithmetic::Float => "float",
    }
}

fn operator(work: &Work) -> &'static str {
    match work {
        Work::Product(work) => match (&work.input, &work.second) {
            (RowsRead::Patches(_), _) => "convolution",
            (_, Some(_)) => "mlp",
            (_, None) => "linear",
        },
        Work::Attention(_) => "attention",
        Work::Norm { .. } => "norm",
        Work::Softmax { .. } => "softmax",
        Work::Activate(_) => "activation",
        Work::Add => "add",
        Work::Unary(super::plan::Unary::Copy, _) | Work::Rows { .. } => "copy",
        Work::Unary(..) | Work::Binary(..) | Work::Choose(_) | Work::Gathered { .. } => "pointwise",
        Work::MatMul(..) => "matmul",
        Work::Mean(..) => "mean",
        Work::MaxPool(_) => "max_pool",
        Work::Resize(_) => "resize",
    }
}
