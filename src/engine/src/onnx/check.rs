//! Whether a file says only what is understood here.
//!
//! Called once, on the nodes as the file has them. An operator, an attribute, an input, a type
//! or an opset that nothing behind this reads makes a node none of ours, by name and reason: what
//! would be passed over in silence might change the answer. The table lists, for each operator, its
//! number of inputs and every attribute that is read, or the one value of it that may stand
//! there.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::allowed::Allowed::{Float, Int, Ints, OnlyInt, OnlyWord, Tensor, Word};
use super::allowed::{self, AXIS, Attributes, CONVOLUTION, MANY, NONE, plain_domain};
use super::proto::{self, DataType, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::{MICROSOFT, Refused};

/// Opsets whose operators mean what is done here. Below, `Add` and its like broadcast otherwise.
const OPSETS: RangeInclusive<i64> = 7..=26;

const TRANSPOSED: Attributes = &[
    ("kernel_shape", Ints),
    ("strides", Ints),
    ("pads", Ints),
    ("output_padding", Ints),
    ("dilations", Ints),
    ("group", Int),
    ("auto_pad", Word),
];
const POOL: Attributes = &[
    ("kernel_shape", Ints),
    ("strides", Ints),
    ("pads", Ints),
    ("dilations", Ints),
    ("ceil_mode", Int),
    ("auto_pad", Word),
    ("storage_order", OnlyInt(0)),
];
const RESIZE: Attributes = &[
    ("mode", Word),
    ("coordinate_transformation_mode", Word),
    ("nearest_mode", Word),
    // Of modes that are refused where they are met.
    ("cubic_coeff_a", Float),
    ("extrapolation_value", Float),
    ("exclude_outside", OnlyInt(0)),
    ("antialias", OnlyInt(0)),
    ("keep_aspect_ratio_policy", OnlyWord("stretch")),
];
const REDUCTION: Attributes = &[
    ("axes", Ints),
    ("keepdims", Int),
    ("noop_with_empty_axes", OnlyInt(0)),
];

/// How many inputs an operator has, and its attributes; `None` where it is not known here.
fn operator(domain: &str, name: &str) -> Option<(RangeInclusive<usize>, Attributes)> {
    Some(match (domain, name) {
        // Its attribute is its value; reading it tells what is wrong.
        ("", "Constant") => (0..=0, NONE),
        (
            "",
            "Identity"
            | "Relu"
            | "Sigmoid"
            | "Neg"
            | "Abs"
            | "Sqrt"
            | "Reciprocal"
            | "Exp"
            | "Log"
            | "Sin"
            | "Cos"
            | "Tanh"
            | "Erf"
            | "Floor"
            | "Ceil"
            | "Round"
            | "Not"
            | "DynamicQuantizeLinear",
        )
        | (MICROSOFT, "Gelu" | "FastGelu") => (1..=1, NONE),
        (
            "",
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Equal" | "Greater" | "Less" | "GreaterOrEqual"
            | "LessOrEqual" | "And" | "Or" | "MatMul" | "Expand",
        ) => (2..=2, NONE),
        ("", "Min" | "Max" | "Sum") => (1..=MANY, NONE),
        ("", "Where" | "Range") => (3..=3, NONE),
        ("", "Gelu") => (1..=1, &[("approximate", Word)]),
        (MICROSOFT, "QuickGelu") => (1..=1, &[("alpha", Float)]),
        ("", "LayerNormalization") => (
            2..=3,
            &[
                ("axis", Int),
                ("epsilon", Float),
                // In which type it is computed: ours is this one.
                ("stash_type", OnlyInt(1)),
            ],
        ),
        ("", "Softmax" | "Flatten") => (1..=1, AXIS),
        ("", "Split") => (
            1..=2,
            &[("axis", Int), ("split", Ints), ("num_outputs", Int)],
        ),
        ("", "MaxPool") => (1..=1, POOL),
        ("", "Resize") => (1..=4, RESIZE),
        ("", "ReduceMean" | "ReduceProd") => (1..=2, REDUCTION),
        ("", "Concat") => (1..=MANY, AXIS),
        ("", "Cast") => (1..=1, &[("to", Int), ("saturate", OnlyInt(1))]),
        ("", "Clip") => (1..=3, &[("min", Float), ("max", Float)]),
        ("", "Reshape") => (2..=2, &[("allowzero", Int)]),
        ("", "Squeeze" | "Unsqueeze") => (1..=2, &[("axes", Ints)]),
        ("", "Transpose") => (1..=1, &[("perm", Ints)]),
        ("", "Slice") => (3..=5, NONE),
        ("", "Gather") => (2..=2, AXIS),
        ("", "Pad") => (2..=3, &[("mode", Word)]),
        ("", "Shape") => (1..=1, &[("start", Int), ("end", Int)]),
        ("", "ConstantOfShape") => (1..=1, &[("value", Tensor)]),
        ("", "Conv") => (2..=3, CONVOLUTION),
        ("", "ConvTranspose") => (2..=3, TRANSPOSED),
        ("", "Gemm") => (
            2..=3,
            &[
                ("alpha", Float),
                ("beta", Float),
                ("transA", Int),
                ("transB", Int),
            ],
        ),
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
        if let Err(why) = check_node(node) {
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

fn opset(model: &ModelProto) -> Result<i64, Refused> {
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

fn check_node(node: &NodeProto) -> Result<(), String> {
    let known = operator(plain_domain(node), &node.op_type);
    let (inputs, attributes) = known.ok_or_else(|| match plain_domain(node) {
        "" => "is an operator that is not known here".to_owned(),
        domain => format!("is an operator of {domain} that is not known here"),
    })?;
    allowed::inputs(node, &inputs)?;
    let needed = &node.input[..*inputs.start()];
    if node.op_type != "QGemm" && needed.iter().any(String::is_empty) && !may_lack_zero(node) {
        return Err("lacks an input".to_owned());
    }
    check_outputs(node)?;
    if node.op_type == "Constant" {
        return Ok(());
    }
    allowed::attributes(node, attributes)
}

/// Zero points may be left out of these, with inputs behind them.
fn may_lack_zero(node: &NodeProto) -> bool {
    node.op_type.starts_with("QLinear")
}

fn check_outputs(node: &NodeProto) -> Result<(), String> {
    let given = node.output.len();
    let fits = match node.op_type.as_str() {
        "Split" => given >= 1,
        "DynamicQuantizeLinear" => given == 3,
        _ => given == 1,
    };
    if !fits || node.output.iter().any(String::is_empty) {
        return Err(format!("has {given} outputs, which is not known here"));
    }
    Ok(())
}
