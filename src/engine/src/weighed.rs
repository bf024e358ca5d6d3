//! A rewritten graph with its weights packed for a kernel: what a plan is made of.

use std::collections::BTreeMap;

use super::Arithmetic;
use super::kernels::{Kernel, PackError, PackedLinear};
use super::onnx::{self, Matrix, MatrixValues};
use super::plan::Weights;
use super::refused::Refused;
use super::typed::TypedGraph;

/// Nodes of ours, and their weights by name.
#[derive(Clone)]
pub(super) struct Weighed {
    pub source: TypedGraph,
    pub weights: Weights,
}

impl Weighed {
    /// From a file that is ours alone.
    ///
    /// # Errors
    /// [`Refused`], with the node or value to blame.
    pub fn read(kernel: Kernel, bytes: &[u8], arithmetic: Arithmetic) -> Result<Self, Refused> {
        let (source, matrices) = onnx::read(bytes, arithmetic)?;
        Self::new(kernel, source, matrices)
    }

    /// Packs the weights.
    ///
    /// # Errors
    /// [`Refused`]: a weight that is too large.
    pub fn new(
        kernel: Kernel,
        source: TypedGraph,
        matrices: BTreeMap<String, Matrix>,
    ) -> Result<Self, Refused> {
        let mut weights = Weights::new();
        for (node, matrix) in matrices {
            let packed = pack(kernel, &matrix);
            let packed = packed.map_err(|error| Refused::value(&node, error.to_string()))?;
            weights.insert(node, packed);
        }
        Ok(Self { source, weights })
    }
}

fn pack(kernel: Kernel, matrix: &Matrix) -> Result<PackedLinear, PackError> {
    let sides = [matrix.channels, matrix.depth];
    match &matrix.values {
        MatrixValues::Int8 { codes, scales } => {
            PackedLinear::int8(kernel, codes, matrix.order, scales, sides)
        }
        MatrixValues::Float(values) => PackedLinear::float(kernel, values, matrix.order, sides),
    }
}
