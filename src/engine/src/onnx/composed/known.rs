//! Ranks, shapes and types as far as the file says them: of constants, inputs, outputs and values that
//! it describes, and of what plain nodes make of those.

use std::collections::HashMap;

use crate::onnx::proto::{
    self, DataType, Dimension, GraphProto, NodeProto, TensorProto, ValueInfoProto,
};
use crate::onnx::{Constant, source};

/// A value's type and axes; axes of open length are `None`.
#[derive(Debug, Clone, Default)]
struct Fact {
    kind: i32,
    axes: Option<Vec<Option<usize>>>,
}

pub(super) struct Known<'a> {
    constants: HashMap<&'a str, &'a TensorProto>,
    facts: HashMap<&'a str, Fact>,
}

impl<'a> Known<'a> {
    pub fn of(graph: &'a GraphProto, nodes: &'a [NodeProto]) -> Self {
        let initializers = graph.initializer.iter().map(|t| (t.name.as_str(), t));
        let given = nodes.iter().filter(|node| node.op_type == "Constant");
        let given = given.filter_map(|node| {
            let tensor = node.attribute.first()?.t.as_ref()?;
            Some((node.output.first()?.as_str(), tensor))
        });
        let constants: HashMap<&str, &TensorProto> = initializers.chain(given).collect();
        let mut known = Self {
            constants,
            facts: HashMap::new(),
        };
        let described = graph
            .input
            .iter()
            .chain(&graph.output)
            .chain(&graph.value_info);
        for value in described {
            known.facts.insert(&value.name, described_as(value));
        }
        for (name, tensor) in &known.constants {
            let axes = tensor.dims.iter().map(|side| usize::try_from(*side).ok());
            let fact = Fact {
                kind: tensor.data_type,
                axes: Some(axes.collect()),
            };
            known.facts.insert(name, fact);
        }
        for node in nodes {
            known.follow(node);
        }
        known
    }

    /// What a plain node makes of what is known.
    fn follow(&mut self, node: &'a NodeProto) {
        let Some(made) = node.output.first() else {
            return;
        };
        if self
            .facts
            .get(made.as_str())
            .is_some_and(|fact| fact.axes.is_some())
        {
            return;
        }
        let rank = |place: usize| node.input.get(place).and_then(|name| self.rank(name));
        let of_input = || {
            let name = node.input.first()?;
            self.facts.get(name.as_str())?.axes.clone()
        };
        let axes = match node.op_type.as_str() {
            "Relu"
            | "Sigmoid"
            | "Tanh"
            | "Erf"
            | "Gelu"
            | "FastGelu"
            | "QuickGelu"
            | "Softmax"
            | "LayerNormalization"
            | "Identity"
            | "Cast"
            | "BiasGelu"
            | "SkipLayerNormalization"
            | "RMSNormalization"
            | "SimplifiedLayerNormalization" => of_input(),
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "MatMul" | "FusedMatMul" | "MatMulInteger" => {
                let ranks = rank(0).zip(rank(1));
                ranks.map(|(a, b)| vec![None; a.max(b)])
            }
            "MatMulNBits" | "Attention" | "MultiHeadAttention" => {
                rank(0).map(|rank| vec![None; rank])
            }
            "Gemm" => Some(vec![None; 2]),
            "Reshape" => {
                let shape = node.input.get(1).and_then(|name| self.length(name));
                shape.map(|rank| vec![None; rank])
            }
            "Transpose" => {
                let order = node.attribute.iter().find(|a| a.name == "perm");
                let own = of_input();
                own.zip(order).and_then(|(axes, order)| {
                    let from = |at: &i64| axes.get(usize::try_from(*at).ok()?).copied();
                    order.ints.iter().map(from).collect()
                })
            }
            _ => None,
        };
        let kind = match node.op_type.as_str() {
            "Greater" | "Less" | "Equal" | "And" | "Or" | "Not" | "GreaterOrEqual"
            | "LessOrEqual" => DataType::Bool as i32,
            "Cast" => {
                let to = node.attribute.iter().find(|a| a.name == "to");
                to.and_then(|to| i32::try_from(to.i).ok()).unwrap_or(0)
            }
            _ => {
                let first = node.input.first();
                let own = first.and_then(|name| self.facts.get(name.as_str()));
                own.map_or(0, |fact| fact.kind)
            }
        };
        self.facts.insert(made, Fact { kind, axes });
    }

    pub fn rank(&self, name: &str) -> Option<usize> {
        Some(self.facts.get(name)?.axes.as_ref()?.len())
    }

    /// The length of an axis.
    pub fn side(&self, name: &str, axis: usize) -> Option<usize> {
        *self.facts.get(name)?.axes.as_ref()?.get(axis)?
    }

    /// How many values a constant of one axis holds.
    fn length(&self, name: &str) -> Option<usize> {
        let [length] = self.constants.get(name)?.dims[..] else {
            return None;
        };
        usize::try_from(length).ok()
    }

    /// ONNX's number of a value's type; 0 where the file does not say.
    pub fn kind(&self, name: &str) -> i32 {
        self.facts.get(name).map_or(0, |fact| fact.kind)
    }

    /// A constant as it is read.
    pub fn constant(&self, name: &str) -> Option<Constant> {
        let tensor = *self.constants.get(name)?;
        source::constant(tensor.clone()).ok()
    }

    pub fn floats(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.constant(name)?.floats()?.to_vec())
    }
}

fn described_as(value: &ValueInfoProto) -> Fact {
    let tensor = proto::tensor_type(value);
    let shape = tensor.and_then(|tensor| tensor.shape.as_ref());
    let axes = shape.map(|shape| {
        let axes = shape.dim.iter().map(|axis| match axis.value {
            Some(Dimension::DimValue(length)) => usize::try_from(length).ok(),
            _ => None,
        });
        axes.collect()
    });
    Fact {
        kind: tensor.map_or(0, |tensor| tensor.elem_type),
        axes,
    }
}
