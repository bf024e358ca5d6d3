//! Whether a file says only what is understood here.
//!
//! Called once, on the nodes as the file has them. An operator, an attribute, an input, a type
//! or an opset that nothing behind this reads makes a node none of ours, by name and reason: what
//! would be passed over in silence might change the answer. Plain nodes are read as what they will be
//! ([`read`]); the table here lists the int8 forms, which become plain ones first.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::allowed::Allowed::{Float, Int, OnlyInt};
use super::allowed::{self, AXIS, Attributes, CONVOLUTION, MANY, NONE};
use super::proto::{self, DataType, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::{DOMAIN, MICROSOFT, Refused, read};

/// Opsets whose operators mean what is done here. Below, `Add` and its like broadcast otherwise.
const OPSETS: RangeInclusive<i64> = 7..=26;

/// How many inputs an int8 form has, and its attributes; `None` where it is no such form.
fn int8_form(domain: &str, name: &str) -> Option<(RangeInclusive<usize>, Attributes)> {
    Some(match (domain, name) {
        ("", "DynamicQuantizeLinear") => (1..=1, NONE),
        ("" | MICROSOFT, "QuantizeLinear" | "DequantizeLinear") => (
            2..=3,
            &[
                ("axis", Int),
                ("saturate", OnlyInt(1)),
                ("block_size", OnlyInt(0)),
                ("output_dtype", OnlyInt(0)),
                ("precision", OnlyInt(0)),
            ],
        ),
        ("", "MatMulInteger") => (2..=4, NONE),
        ("", "ConvInteger") => (2..=4, CONVOLUTION),
        ("", "QLinearMatMul") => (8..=8, NONE),
        ("", "QLinearConv") => (8..=9, CONVOLUTION),
        (MICROSOFT, "QGemm") => (9..=9, &[("alpha", Float), ("transA", Int), ("transB", Int)]),
        (MICROSOFT, "QLinearAdd" | "QLinearMul") => (8..=8, NONE),
        (MICROSOFT, "QLinearSigmoid") => (5..=5, NONE),
        (MICROSOFT, "QLinearSoftmax") => (5..=5, &[("axis", Int), ("opset", Int)]),
        (MICROSOFT, "QLinearConcat") => (5..=MANY, AXIS),
        _ => return None,
    })
}

/// What a file comes to.
pub(super) struct Checked {
    /// The opset of its plain operators.
    pub opset: i64,
    /// The nodes that say more than is read here, by their place, and what that is.
    pub foreign: Vec<(usize, Refused)>,
}

/// Checks a file. What enters and leaves a graph of ours alone is `FLOAT`; `mixed` says that not
/// all of it is ours.
///
/// # Errors
/// [`Refused`], with the value or node that nobody could read.
pub(super) fn check(
    model: &ModelProto,
    graph: &GraphProto,
    mixed: bool,
) -> Result<Checked, Refused> {
    let opset = opset(model)?;
    if !graph.sparse_initializer.is_empty() {
        return Err(Refused::file(
            "holds sparse constants, which are not read".to_owned(),
        ));
    }
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    for input in &graph.input {
        if !constants.contains(input.name.as_str()) {
            has_known_type(input, "an input", mixed)?;
        }
    }
    for output in &graph.output {
        has_known_type(output, "an output", mixed)?;
    }
    let mut foreign = Vec::new();
    let mut made: HashSet<&str> = constants;
    made.extend(graph.input.iter().map(|input| input.name.as_str()));
    for (i, node) in graph.node.iter().enumerate() {
        if node.output.first().is_none_or(String::is_empty) {
            return Err(Refused::node(node, "makes nothing"));
        }
        if let Err(why) = check_node(node, opset) {
            foreign.push((i, Refused::node(node, why)));
        }
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if !made.insert(output) {
                let why = format!("makes `{output}`, which is there already");
                return Err(Refused::node(node, why));
            }
        }
    }
    Ok(Checked { opset, foreign })
}

/// The opset of a file's plain operators.
///
/// # Errors
/// [`Refused`]: none that is known here.
pub(super) fn opset(model: &ModelProto) -> Result<i64, Refused> {
    let plain = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let mut versions = model.opset_import.iter().filter(|set| plain(&set.domain));
    let version = versions.next().map(|set| set.version);
    match version {
        Some(version) if OPSETS.contains(&version) => Ok(version),
        Some(version) => Err(Refused::file(format!(
            "is of opset {version}; {} to {} are known here",
            OPSETS.start(),
            OPSETS.end()
        ))),
        None => Err(Refused::file("names no opset".to_owned())),
    }
}

/// Whatever passes the border of a graph of ours is `FLOAT`: whole numbers would be rounded
/// unnoticed. Where tract takes part, whole numbers and truths are checked value by value.
fn has_known_type(value: &ValueInfoProto, what: &str, mixed: bool) -> Result<(), Refused> {
    match proto::tensor_type(value).map(|tensor| tensor.elem_type) {
        // Where a file does not say, what makes the value does.
        Some(1 | 0) | None => Ok(()),
        Some(6 | 7 | 9) if mixed => Ok(()),
        Some(other) => {
            let name = DataType::try_from(other)
                .map_or_else(|_| format!("number {other}"), |known| format!("{known:?}"));
            let why = format!("{what} of type {name}; only Float is known here");
            Err(Refused::value(&value.name, why))
        }
    }
}

fn check_node(node: &NodeProto, opset: i64) -> Result<(), String> {
    if node.op_type == "Constant" && node.domain.is_empty() {
        // Its attribute is its value; reading it tells what is wrong.
        allowed::inputs(node, &(0..=0))?;
        return makes(node, 1);
    }
    if let Some((inputs, attributes)) = int8_form(&node.domain, &node.op_type) {
        allowed::inputs(node, &inputs)?;
        // Zero points may be left out of some, with inputs behind them.
        let may_lack = node.op_type.starts_with("QLinear") || node.op_type == "QGemm";
        if !may_lack && node.input[..*inputs.start()].iter().any(String::is_empty) {
            return Err("lacks an input".to_owned());
        }
        let made = if node.op_type == "DynamicQuantizeLinear" {
            3
        } else {
            1
        };
        makes(node, made)?;
        return allowed::attributes(node, attributes);
    }
    // Our own domain is what int8 forms become, and no file's.
    if node.domain == DOMAIN {
        return Err(format!("is an operator of {DOMAIN} that is not known here"));
    }
    read::operator(node, opset).map(|_| ())
}

fn makes(node: &NodeProto, expected: usize) -> Result<(), String> {
    let given = node.output.len();
    if given != expected || node.output.iter().any(String::is_empty) {
        return Err(format!("has {given} outputs, which is not known here"));
    }
    Ok(())
}
