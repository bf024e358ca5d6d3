//! ONNX in, our own operators out, in this order: a file is decoded ([`proto`], [`source`]), it is
//! checked that all it says is understood ([`check`]), old forms become new ones ([`older`]), every
//! int8 form becomes the one that we run ([`int8`]); so far goes [`opened`]. Then products with
//! constant weights become our own ([`weights`]), and chains of nodes become one node ([`fuse`]).
//!
//! Nothing here knows an input's shape, so this is done once for a graph, or never where a prepared
//! file holds the result. Nothing here computes on activations.

pub(super) mod allowed;
mod check;
mod fuse;
mod half;
mod int8;
mod older;
mod opened;
mod proto;
mod source;
mod weights;

pub(super) use int8::Quantised;
pub(super) use opened::{Opened, Rest, open};
pub(super) use proto::{
    AttributeProto, DataType, Dimension, DimensionProto, GraphProto, ModelProto, NodeProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
};
pub(super) use source::{Attributes, Constant, Input, Source, Values, tensor};
pub(super) use weights::{Matrix, MatrixValues};

use std::collections::{BTreeMap, HashMap};

use proto::AttributeType;

use super::Arithmetic;

/// The domain of our own operators.
pub(super) const DOMAIN: &str = "medfocus";
/// The domain of onnxruntime's own operators, which its quantisers and optimisers write.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// Why a graph cannot be run, and which node or value of it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{why}")]
pub(super) struct Refused {
    place: String,
    why: String,
    /// What the node to blame makes first.
    output: Option<String>,
}

impl Refused {
    /// The whole file is to blame.
    pub fn file(why: String) -> Self {
        Self {
            place: String::new(),
            why,
            output: None,
        }
    }

    /// One node is to blame.
    pub fn node(node: &NodeProto, why: impl Into<String>) -> Self {
        let name = node.output.first().unwrap_or(&node.name);
        Self {
            place: format!("{} `{name}`: ", node.op_type),
            why: why.into(),
            output: Some(name.clone()),
        }
    }

    /// One value is to blame.
    pub fn value(name: &str, why: impl Into<String>) -> Self {
        Self {
            place: format!("`{name}`: "),
            why: why.into(),
            output: None,
        }
    }

    /// What the node to blame makes first, where a node is.
    pub fn output(&self) -> Option<&str> {
        self.output.as_deref()
    }

    /// Why, without the place.
    pub fn why(&self) -> &str {
        &self.why
    }
}

/// Decodes an ONNX file and rewrites it: the graph in our operators, and its weights by
/// the name that its nodes give them.
///
/// # Errors
/// [`Refused`], with the node or value to blame.
pub(super) fn read(
    bytes: &[u8],
    arithmetic: Arithmetic,
) -> Result<(Source, BTreeMap<String, Matrix>), Refused> {
    let opened = open(bytes, &Rest::Refused)?;
    ours(opened.source, opened.quantised, arithmetic)
}

/// Products with constant weights become our own, chains of nodes one node.
///
/// # Errors
/// [`Refused`], with the node to blame.
pub(super) fn ours(
    mut source: Source,
    quantised: HashMap<String, Quantised>,
    arithmetic: Arithmetic,
) -> Result<(Source, BTreeMap<String, Matrix>), Refused> {
    let weights = weights::take_weights(&mut source, quantised, arithmetic)?;
    fuse::fuse(&mut source);
    source.check_order(&|_| false)?;
    Ok((source, weights))
}

/// Whole numbers as an attribute.
fn numbers(name: &str, values: Vec<i64>) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Ints as i32,
        ints: values,
        ..AttributeProto::default()
    }
}

/// A whole number as an attribute.
fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Int as i32,
        i: value,
        ..AttributeProto::default()
    }
}

/// A number as an attribute.
fn decimal(name: &str, value: f32) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Float as i32,
        f: value,
        ..AttributeProto::default()
    }
}

/// A word as an attribute.
fn word(name: &str, value: &str) -> AttributeProto {
    AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::String as i32,
        s: value.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}
