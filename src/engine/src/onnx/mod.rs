//! ONNX in, our own operators out, in this order: a file is decoded ([`proto`], [`source`]), it is
//! checked that all it says is understood ([`check`]), old forms become new ones ([`older`]), every
//! int8 form becomes the one that we run ([`int8`]), products with constant weights become our own
//! ([`weights`]), and chains of nodes become one node ([`fuse`]).
//!
//! Nothing here knows an input's shape, so this is done once for a graph, or never where a prepared
//! file holds the result. Nothing here computes on activations.

mod check;
mod fuse;
mod int8;
mod older;
mod proto;
mod source;
mod weights;

pub(super) use proto::NodeProto;
pub(super) use source::{Attributes, Constant, Input, Source, Values};
pub(super) use weights::{Matrix, MatrixValues};

use std::collections::BTreeMap;

use proto::{AttributeProto, AttributeType};

use super::Arithmetic;

/// The domain of our own operators.
pub(super) const DOMAIN: &str = "medfocus";
/// The domain of onnxruntime's own operators, which its quantisers and optimisers write.
const MICROSOFT: &str = "com.microsoft";

/// Why a graph cannot be run, and which node or value of it is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{why}")]
pub(super) struct Refused {
    place: String,
    why: String,
}

impl Refused {
    /// The whole file is to blame.
    pub fn file(why: String) -> Self {
        Self {
            place: String::new(),
            why,
        }
    }

    /// One node is to blame.
    pub fn node(node: &NodeProto, why: impl Into<String>) -> Self {
        let name = node.output.first().unwrap_or(&node.name);
        Self {
            place: format!("{} `{name}`: ", node.op_type),
            why: why.into(),
        }
    }

    /// One value is to blame.
    pub fn value(name: &str, why: impl Into<String>) -> Self {
        Self {
            place: format!("`{name}`: "),
            why: why.into(),
        }
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
    let model = Source::decode(bytes)?;
    let graph = model.graph.as_ref();
    let graph = graph.ok_or_else(|| Refused::file("holds no graph".to_owned()))?;
    let opset = check::check(&model, graph)?;
    let mut source = Source::from_model(model, BTreeMap::new())?;
    older::renew(&mut source, opset)?;
    let quantised = int8::rewrite(&mut source)?;
    let weights = weights::take_weights(&mut source, quantised, arithmetic)?;
    fuse::fuse(&mut source);
    source.check_order()?;
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
