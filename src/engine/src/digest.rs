//! Digests of what a graph's int8 products come to: the same on every instruction set, with
//! any number of threads, or a kernel is wrong.
//!
//! A whole run would not do: between two products lie norms and float attention, whose order
//! of sums is the instruction set's, and whose last bits the next product's codes show. So
//! each product gets rows made for it alone, as many as it has in a run, and its own weights.

use sha2::{Digest, Sha256};

use super::audit::layers;
use super::kernels::{
    Activation, Arithmetic, Cpu, Input, Linear, Output, PackedLinear, Residual, ShapeError, linear,
};
use super::made_up::MadeUp;
use super::plan::{Plan, Weights, Work};

/// One int8 product's digest.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProductDigest {
    /// The weight's node.
    pub node: String,
    /// Rows, inner length and columns.
    pub shape: [usize; 3],
    /// SHA-256 of every sum as its float, row by row, the first half of it.
    pub digest: String,
}

/// Of every int8 product of a plan, in order.
pub(super) fn digests(
    plan: &Plan,
    weights: &Weights,
    cpu: &Cpu,
) -> Result<Vec<ProductDigest>, ShapeError> {
    let products = plan.steps.iter().filter_map(|step| match &step.work {
        Work::Product(product) => Some(product),
        _ => None,
    });
    let layers = products.flat_map(|product| layers(product).map(|layer| (product.rows, layer)));
    let int8 = layers.filter_map(|(rows, layer)| {
        let packed = weights.get(&layer.weight)?;
        (packed.arithmetic() == Arithmetic::Int8).then_some((rows, &layer.weight, packed))
    });
    int8.map(|(rows, node, packed)| {
        let out = product(cpu, rows, packed)?;
        let mut hash = Sha256::new();
        for value in &out {
            hash.update(value.to_le_bytes());
        }
        Ok(ProductDigest {
            node: node.clone(),
            shape: [rows, packed.inputs(), packed.outputs()],
            digest: hash.finalize()[..16]
                .iter()
                .map(|b| format!("{b:02x}"))
                .collect(),
        })
    })
    .collect()
}

/// The weights' product with rows made up: each value a whole number over a power of two, and
/// each row's largest another, so that every row has a scale of its own.
fn product(cpu: &Cpu, rows: usize, weights: &PackedLinear) -> Result<Vec<f32>, ShapeError> {
    let (inputs, outputs) = (weights.inputs(), weights.outputs());
    let mut bytes = MadeUp::new(inputs as u64);
    let mut data = Vec::with_capacity(rows * inputs);
    for row in 0..rows {
        let reach = 1.0 + (row % 7) as f32;
        data.extend((0..inputs).map(|_| reach * f32::from(bytes.byte().cast_signed()) / 64.0));
    }
    let layer = Linear {
        weights,
        norm: None,
        bias: None,
        activation: Activation::Identity,
    };
    let input = Input::Rows {
        data: &data,
        stride: inputs,
    };
    let mut out = vec![f32::NAN; rows * outputs];
    let output = Output::rows(&mut out, outputs);
    linear(cpu, rows, &input, &layer, Residual::None, output)?;
    Ok(out)
}
