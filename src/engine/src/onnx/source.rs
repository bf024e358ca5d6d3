//! An ONNX file as this crate works on it: nodes in order, constants apart.
//!
//! Decoding only. Nothing is judged here but that the file is one whole graph whose
//! every value comes before its use.

use std::collections::{BTreeMap, HashMap, HashSet};

use prost::Message;

use super::proto::{
    self, AttributeProto, DataType, Dimension, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};
use super::{Constant, Input, Refused, Values};

/// A file's graph: what goes in, what is done in which order, what comes out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    pub inputs: Vec<Input>,
    pub outputs: Vec<String>,
    pub nodes: Vec<NodeProto>,
    pub constants: BTreeMap<String, Constant>,
}

/// The messages of an ONNX file, ONNX's own domain by one of its two names.
///
/// # Errors
/// [`Refused`]: no ONNX file.
pub(super) fn decode(bytes: &[u8]) -> Result<ModelProto, Refused> {
    let model = ModelProto::decode(bytes);
    let mut model = model.map_err(|error| Refused::file(format!("no ONNX file: {error}")))?;
    let nodes = model.graph.iter_mut().flat_map(|graph| &mut graph.node);
    for node in nodes.filter(|node| node.domain == "ai.onnx") {
        node.domain.clear();
    }
    Ok(model)
}

impl Source {
    /// The graph of an ONNX file. `read` decides what becomes of each constant: one that it keeps
    /// for itself is none of the graph's. The order of the nodes is not checked.
    ///
    /// # Errors
    /// [`Refused`]: no graph, or what `read` refuses.
    pub fn of_model(
        model: ModelProto,
        mut read: impl FnMut(TensorProto) -> Result<Option<Constant>, Refused>,
    ) -> Result<Self, Refused> {
        let graph = model
            .graph
            .ok_or_else(|| Refused::file("holds no graph".to_owned()))?;
        let (mut given, mut constants) = (HashSet::new(), BTreeMap::new());
        for tensor in graph.initializer {
            let name = tensor.name.clone();
            given.insert(name.clone());
            constants.extend(read(tensor)?.map(|constant| (name, constant)));
        }
        let inputs = graph
            .input
            .iter()
            .filter(|input| !given.contains(&input.name))
            .map(input)
            .collect();
        let mut nodes = Vec::with_capacity(graph.node.len());
        let mut same = HashMap::new();
        for mut node in graph.node {
            for name in &mut node.input {
                if let Some(first) = same.get(name) {
                    *name = String::clone(first);
                }
            }
            match node.op_type.as_str() {
                "Constant" => {
                    let name = output(&node)?.to_owned();
                    let tensor = constant_node(&node).map_err(|why| Refused::node(&node, why))?;
                    let named = TensorProto {
                        name: name.clone(),
                        ..tensor
                    };
                    constants.extend(read(named)?.map(|constant| (name, constant)));
                }
                "Identity" if !is_output(&graph.output, &node) => {
                    same.insert(output(&node)?.to_owned(), node.input[0].clone());
                }
                _ => nodes.push(node),
            }
        }
        Ok(Self {
            inputs,
            outputs: graph.output.into_iter().map(|o| o.name).collect(),
            nodes,
            constants,
        })
    }

    /// Every value is made before it is used, or is one that `elsewhere` knows: ONNX says so, and
    /// lowering relies on it.
    pub fn check_order(&self, elsewhere: &dyn Fn(&str) -> bool) -> Result<(), Refused> {
        let mut known: HashSet<&str> = self.constants.keys().map(String::as_str).collect();
        known.extend(self.inputs.iter().map(|input| input.name.as_str()));
        known.insert("");
        for node in &self.nodes {
            let missing = |name: &&String| !known.contains(name.as_str()) && !elsewhere(name);
            if let Some(missing) = node.input.iter().find(missing) {
                let why = format!("reads `{missing}`, which nothing before it makes");
                return Err(Refused::node(node, why));
            }
            known.extend(node.output.iter().map(String::as_str));
        }
        match self.outputs.iter().find(|o| !known.contains(o.as_str())) {
            Some(missing) => Err(Refused::value(missing, "an output that nothing makes")),
            None => Ok(()),
        }
    }
}

fn is_output(outputs: &[ValueInfoProto], node: &NodeProto) -> bool {
    outputs.iter().any(|o| node.output.contains(&o.name))
}

fn output(node: &NodeProto) -> Result<&str, Refused> {
    match (node.output.as_slice(), node.input.len()) {
        ([name], 0 | 1) => Ok(name),
        _ => Err(Refused::node(node, "has no single output")),
    }
}

fn input(value: &ValueInfoProto) -> Input {
    let shape = proto::tensor_type(value).and_then(|tensor| tensor.shape.as_ref());
    let axes = shape.map_or(&[][..], |shape| &shape.dim).iter();
    Input {
        name: value.name.clone(),
        axes: axes
            .map(|axis| match axis.value {
                Some(Dimension::DimValue(length)) => usize::try_from(length).ok(),
                _ => None,
            })
            .collect(),
    }
}

/// A constant as a file holds it.
pub(crate) fn tensor((name, constant): (&String, &Constant)) -> TensorProto {
    let (data_type, raw_data) = match &constant.values {
        Values::F32(v) => (
            DataType::Float,
            v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Values::Int(v) => (
            DataType::Int64,
            v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        ),
        Values::I8(v) => (
            DataType::Int8,
            v.iter().map(|v| v.cast_unsigned()).collect(),
        ),
        Values::U8(v) => (DataType::Uint8, v.clone()),
    };
    TensorProto {
        name: name.clone(),
        dims: constant.shape.iter().map(|side| *side as i64).collect(),
        data_type: data_type as i32,
        raw_data,
        ..TensorProto::default()
    }
}

/// The tensor of a node that is nothing else.
fn constant_node(node: &NodeProto) -> Result<TensorProto, String> {
    let [attribute] = node.attribute.as_slice() else {
        return Err("a constant of an unknown form".to_owned());
    };
    let floats = |dims, float_data| TensorProto {
        dims,
        data_type: DataType::Float as i32,
        float_data,
        ..TensorProto::default()
    };
    let ints = |dims, int64_data| TensorProto {
        dims,
        data_type: DataType::Int64 as i32,
        int64_data,
        ..TensorProto::default()
    };
    let along = |count: usize| vec![count as i64];
    match attribute.name.as_str() {
        "value" => Ok(attribute.t.clone().ok_or("an empty constant")?),
        "value_float" => Ok(floats(vec![], vec![attribute.f])),
        "value_floats" => Ok(floats(
            along(attribute.floats.len()),
            attribute.floats.clone(),
        )),
        "value_int" => Ok(ints(vec![], vec![attribute.i])),
        "value_ints" => Ok(ints(along(attribute.ints.len()), attribute.ints.clone())),
        other => Err(format!("a constant given by {other} is not read")),
    }
}

/// The constant that a tensor holds.
pub(super) fn constant(tensor: TensorProto) -> Result<Constant, String> {
    if !tensor.external_data.is_empty() {
        return Err("its values lie outside the file".to_owned());
    }
    let shape: Option<Vec<usize>> = tensor
        .dims
        .iter()
        .map(|&side| usize::try_from(side).ok())
        .collect();
    let shape = shape.ok_or("an axis of negative length")?;
    let count = shape
        .iter()
        .try_fold(1_usize, |product, &side| product.checked_mul(side))
        .ok_or("a shape too large to be")?;
    let (values, found) = values(tensor)?;
    if found != count {
        return Err(format!("holds {found} values; its shape needs {count}"));
    }
    Ok(Constant { shape, values })
}

fn values(tensor: TensorProto) -> Result<(Values, usize), String> {
    fn all<A, B>(values: Vec<A>, of: fn(A) -> B) -> Vec<B> {
        values.into_iter().map(of).collect()
    }
    let (raw, narrow) = (tensor.raw_data, tensor.int32_data);
    let values = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => {
            Values::F32(words(&raw, tensor.float_data, f32::from_le_bytes)?.into())
        }
        Ok(DataType::Double) => {
            let wide = words(&raw, tensor.double_data, f64::from_le_bytes)?;
            Values::F32(all(wide, |v| v as f32).into())
        }
        Ok(DataType::Int8) => Values::I8(words(&raw, all(narrow, |v| v as i8), i8::from_le_bytes)?),
        Ok(DataType::Uint8) => {
            Values::U8(words(&raw, all(narrow, |v| v as u8), u8::from_le_bytes)?)
        }
        Ok(DataType::Int64) => Values::Int(words(&raw, tensor.int64_data, i64::from_le_bytes)?),
        Ok(DataType::Int32) => {
            Values::Int(all(words(&raw, narrow, i32::from_le_bytes)?, i64::from))
        }
        Ok(DataType::Bool) => Values::Int(words(&raw, all(narrow, i64::from), |[v]| i64::from(v))?),
        Ok(other) => return Err(format!("values of type {other:?} are not read")),
        Err(_) => return Err(format!("type {} is none of ONNX's", tensor.data_type)),
    };
    let count = match &values {
        Values::F32(v) => v.len(),
        Values::I8(v) => v.len(),
        Values::U8(v) => v.len(),
        Values::Int(v) => v.len(),
    };
    Ok((values, count))
}

/// Values of a tensor, which stand as bytes or, where there are none, one by one.
fn words<const N: usize, T>(
    raw: &[u8],
    given: Vec<T>,
    decode: fn([u8; N]) -> T,
) -> Result<Vec<T>, String> {
    let (words, rest) = raw.as_chunks::<N>();
    match (raw.is_empty(), rest.is_empty()) {
        (true, _) => Ok(given),
        (_, true) => Ok(words.iter().map(|word| decode(*word)).collect()),
        _ => Err("its values are cut short".to_owned()),
    }
}

/// Reading a node's attributes.
pub(crate) trait Attributes {
    /// The attribute of this name.
    fn attribute(&self, name: &str) -> Option<&AttributeProto>;

    /// An integer, or what ONNX says where it is left out.
    fn int(&self, name: &str, otherwise: i64) -> i64 {
        self.attribute(name).map_or(otherwise, |a| a.i)
    }

    /// Integers; empty where left out.
    fn ints(&self, name: &str) -> &[i64] {
        self.attribute(name).map_or(&[], |a| &a.ints)
    }

    /// A word; empty where left out.
    fn text(&self, name: &str) -> &str {
        self.attribute(name)
            .and_then(|a| std::str::from_utf8(&a.s).ok())
            .unwrap_or("")
    }
}

impl Attributes for NodeProto {
    fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.attribute.iter().find(|a| a.name == name)
    }
}
