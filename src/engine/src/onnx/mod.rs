//! ONNX in, a typed graph of our own operators out, in this order: a file is decoded ([`proto`],
//! [`source`]), it is checked that all it says is understood ([`check`]), every int8 form becomes the
//! one that we run ([`int8`]); so far goes [`opened`]. Then each node is read as an operator
//! ([`read`]), products with constant weights become our own ([`weights`]), and chains of nodes
//! become one node ([`fuse`]).
//!
//! Nothing here knows an input's shape, so this is done once for a graph, or never where a prepared
//! file holds the result. Nothing here computes on activations.

pub(super) mod allowed;
mod check;
mod composed;
mod functions;
mod fuse;
mod half;
mod int8;
mod opened;
mod proto;
mod read;
mod source;
mod versions;
mod weights;

pub(super) use int8::Quantised;
pub(super) use opened::{Opened, Rest, open};
pub(super) use proto::{
    AttributeProto, DataType, Dimension, DimensionProto, GraphProto, ModelProto, NodeProto,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto,
};
pub(super) use source::{Attributes, Source, tensor};
pub(super) use weights::{Matrix, MatrixValues};

use std::collections::{BTreeMap, HashMap};

use proto::AttributeType;

use super::Arithmetic;
use super::refused::Blamed;
pub(super) use super::refused::Refused;
use super::typed::TypedGraph;
pub(super) use super::typed::{Constant, Input, Values};

/// The domain of our own operators.
pub(super) const DOMAIN: &str = "medfocus";
/// The domain of onnxruntime's own operators, which its quantisers and optimisers write.
pub(super) const MICROSOFT: &str = "com.microsoft";

impl Blamed for NodeProto {
    fn operator(&self) -> &str {
        &self.op_type
    }

    fn made(&self) -> &str {
        self.output.first().unwrap_or(&self.name)
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
) -> Result<(TypedGraph, BTreeMap<String, Matrix>), Refused> {
    let Opened {
        source,
        quantised,
        opset,
        ..
    } = open(bytes, &Rest::Refused)?;
    ours(source, opset, quantised, arithmetic)
}

/// Nodes become operators, products with constant weights our own, chains of nodes one node.
///
/// # Errors
/// [`Refused`], with the node to blame.
pub(super) fn ours(
    source: Source,
    opset: i64,
    quantised: HashMap<String, Quantised>,
    arithmetic: Arithmetic,
) -> Result<(TypedGraph, BTreeMap<String, Matrix>), Refused> {
    let mut graph = read::graph(source, opset)?;
    let weights = weights::take_weights(&mut graph, quantised, arithmetic)?;
    fuse::fuse(&mut graph);
    Ok((graph, weights))
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
