//! Nodes and constants in the making: each by a name that nothing of the file has.

use std::collections::HashSet;

use super::{Composed, MICROSOFT};
use crate::onnx::int8::plain;
use crate::onnx::proto::{
    AttributeProto, AttributeType, DataType, GraphProto, NodeProto, TensorProto,
};

/// The graph's nodes as far as they are there, and new constants.
pub(super) struct Writing {
    opset: i64,
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
    /// What the node that is replaced makes.
    output: String,
    count: usize,
}

impl Writing {
    pub fn new(opset: i64) -> Self {
        Self {
            opset,
            nodes: Vec::new(),
            constants: Vec::new(),
            output: String::new(),
            count: 0,
        }
    }

    /// A node that stays.
    pub fn keep(&mut self, node: NodeProto) {
        self.nodes.push(node);
    }

    /// From now on what is made stands for this value.
    pub fn begin(&mut self, output: &str) {
        output.clone_into(&mut self.output);
    }

    /// The graph's nodes and constants, those that only replaced nodes read left out.
    pub fn into_graph(self, graph: &mut GraphProto) -> (Vec<NodeProto>, Vec<TensorProto>) {
        let mut constants = std::mem::take(&mut graph.initializer);
        {
            let mut read: HashSet<&str> = HashSet::new();
            read.extend(self.nodes.iter().flat_map(|n| &n.input).map(String::as_str));
            read.extend(graph.output.iter().map(|output| output.name.as_str()));
            let inputs: HashSet<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
            constants.retain(|tensor| {
                read.contains(tensor.name.as_str()) || inputs.contains(tensor.name.as_str())
            });
        }
        constants.extend(self.constants);
        (self.nodes, constants)
    }

    /// Whether a node has so many inputs at least, and no attributes but these.
    pub fn only(&self, node: &NodeProto, least: usize, attributes: &[&str]) -> Composed {
        let inputs = node
            .input
            .iter()
            .take(least)
            .filter(|name| !name.is_empty());
        if inputs.count() < least {
            return Err("lacks an input".to_owned());
        }
        let mut own = node
            .attribute
            .iter()
            .map(|attribute| attribute.name.as_str());
        match own.find(|name| !attributes.contains(name)) {
            Some(name) => Err(format!("has the attribute {name}, which is not read")),
            None => Ok(()),
        }
    }

    fn name(&mut self) -> String {
        self.count += 1;
        format!("{}.part{}", self.output, self.count)
    }

    /// A plain node, by the name of what it makes.
    pub fn node(&mut self, op: &str, inputs: &[&str]) -> String {
        self.with(op, inputs, &[])
    }

    /// The same with attributes.
    pub fn with(&mut self, op: &str, inputs: &[&str], attributes: &[AttributeProto]) -> String {
        let name = self.name();
        self.last(op, inputs, attributes, &name);
        name
    }

    /// The same by a name of the file's.
    pub fn named(&mut self, op: &str, inputs: &[&str], output: &str) -> String {
        self.last(op, inputs, &[], output);
        output.to_owned()
    }

    /// The node that makes what the replaced one made.
    pub fn last(&mut self, op: &str, inputs: &[&str], attributes: &[AttributeProto], output: &str) {
        let mut node = plain(op, inputs, output);
        node.attribute = attributes.to_vec();
        self.nodes.push(node);
    }

    /// The same of onnxruntime's own operators.
    pub fn theirs(&mut self, op: &str, inputs: &[&str], output: &str) {
        let mut node = plain(op, inputs, output);
        MICROSOFT.clone_into(&mut node.domain);
        self.nodes.push(node);
    }

    /// A mean over the last axis that keeps it, in the form of the file's opset.
    pub fn mean_of_rows(&mut self, x: &str) -> String {
        if self.opset < 18 {
            return self.with(
                "ReduceMean",
                &[x],
                &[ints("axes", &[-1]), int("keepdims", 1)],
            );
        }
        let axes = self.numbers(&[-1]);
        self.with("ReduceMean", &[x, &axes], &[int("keepdims", 1)])
    }

    /// Whole numbers along one axis.
    pub fn numbers(&mut self, values: &[i64]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(DataType::Int64, &[values.len()], raw)
    }

    /// A whole number without axes.
    pub fn numbers_alone(&mut self, number: i64) -> String {
        self.constant(DataType::Int64, &[], number.to_le_bytes().to_vec())
    }

    /// A value times a factor.
    pub fn scaled(&mut self, x: &str, factor: f32) -> String {
        let factor = self.scalar(factor);
        self.node("Mul", &[x, &factor])
    }

    /// Codes of a value, their scale and zero point, found while the graph runs.
    pub fn quantised(&mut self, x: &str) -> [String; 3] {
        let made = [self.name(), self.name(), self.name()];
        let mut node = plain("DynamicQuantizeLinear", &[x], &made[0]);
        node.output = made.to_vec();
        self.nodes.push(node);
        made
    }

    pub fn scalar(&mut self, value: f32) -> String {
        self.floats(&[], &[value])
    }

    pub fn floats(&mut self, shape: &[usize], values: &[f32]) -> String {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(DataType::Float, shape, raw)
    }

    fn constant(&mut self, kind: DataType, shape: &[usize], raw: Vec<u8>) -> String {
        let name = self.name();
        self.constants.push(tensor(&name, kind, shape, raw));
        name
    }
}

/// A tensor as a file holds it.
pub(super) fn tensor(name: &str, kind: DataType, shape: &[usize], raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: kind as i32,
        dims: shape.iter().map(|side| *side as i64).collect(),
        raw_data: raw,
        ..TensorProto::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: kind as i32,
        ..AttributeProto::default()
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        i: value,
        ..attribute(name, AttributeType::Int)
    }
}

pub(super) fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto {
        ints: values.to_vec(),
        ..attribute(name, AttributeType::Ints)
    }
}

pub(super) fn decimal(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        f: value,
        ..attribute(name, AttributeType::Float)
    }
}

pub(super) fn word(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        s: value.as_bytes().to_vec(),
        ..attribute(name, AttributeType::String)
    }
}

/// A tensor of one value, as `ConstantOfShape` takes it.
pub(super) fn value(number: f32) -> AttributeProto {
    AttributeProto {
        t: Some(tensor(
            "",
            DataType::Float,
            &[1],
            number.to_le_bytes().to_vec(),
        )),
        ..attribute("value", AttributeType::Tensor)
    }
}
