//! The operators that tract runs for us: how many inputs and outputs they may have, and which of
//! their attributes tract reads.
//!
//! Called for every node that is not ours. An operator stands here once the ONNX project's own node
//! tests and random graphs against onnxruntime gave no wrong answer (`scripts/onnx_cases`); what was
//! found wrong in tract stands in `docs/upstream.md`. No operator of an int8 form stands here.

use std::ops::RangeInclusive;

use crate::onnx::allowed::Allowed::{self, Float, Int, Ints, OnlyInt, Tensor, Word};
use crate::onnx::allowed::{self, AXIS, Attributes, CONVOLUTION, MANY, NONE, plain_domain};
use crate::onnx::{Attributes as _, MICROSOFT, NodeProto};

const TRANSPOSED: [(&str, Allowed); 8] = [
    ("kernel_shape", Ints),
    ("strides", Ints),
    ("pads", Ints),
    ("dilations", Ints),
    ("group", Int),
    ("auto_pad", Word),
    ("output_padding", Ints),
    ("output_shape", Ints),
];
const MAX_POOL: [(&str, Allowed); 7] = [
    ("kernel_shape", Ints),
    ("strides", Ints),
    ("pads", Ints),
    ("dilations", Ints),
    ("auto_pad", Word),
    ("storage_order", Int),
    ("ceil_mode", Int),
];
const AVERAGE_POOL: [(&str, Allowed); 7] = [
    ("kernel_shape", Ints),
    ("strides", Ints),
    ("pads", Ints),
    ("dilations", Ints),
    ("auto_pad", Word),
    // The last window may begin in the padding: tract 0.23.9 averages it wrongly.
    ("ceil_mode", OnlyInt(0)),
    ("count_include_pad", Int),
];
const RESIZE: Attributes = &[
    ("mode", Word),
    ("coordinate_transformation_mode", Word),
    ("nearest_mode", Word),
    ("cubic_coeff_a", Float),
    ("extrapolation_value", Float),
    ("exclude_outside", Int),
    ("antialias", Int),
    ("axes", Ints),
    ("keep_aspect_ratio_policy", Word),
];
const REDUCTION: Attributes = &[
    ("axes", Ints),
    ("keepdims", Int),
    ("noop_with_empty_axes", Int),
];
const EPSILON: Attributes = &[("epsilon", Float)];
const ALPHA: Attributes = &[("alpha", Float)];

type Known = (RangeInclusive<usize>, RangeInclusive<usize>, Attributes);

/// Inputs, outputs and attributes of an operator; `None` where tract does not run it for us.
fn operator(domain: &str, name: &str) -> Option<Known> {
    let one = |inputs, attributes| Some((inputs, 1..=1, attributes));
    match (domain, name) {
        (
            "",
            "Identity" | "Abs" | "Acos" | "Acosh" | "Asin" | "Asinh" | "Atan" | "Atanh" | "Ceil"
            | "Cos" | "Cosh" | "Erf" | "Exp" | "Floor" | "HardSwish" | "IsNaN" | "Log" | "Mish"
            | "Neg" | "Not" | "Reciprocal" | "Relu" | "Round" | "Sigmoid" | "Sign" | "Sin" | "Sinh"
            | "Size" | "Softplus" | "Softsign" | "Sqrt" | "Tan" | "Tanh" | "GlobalAveragePool"
            | "GlobalMaxPool",
        ) => one(1..=1, NONE),
        (
            "",
            "Add" | "Sub" | "Mul" | "Div" | "Pow" | "And" | "Or" | "Xor" | "Equal" | "Greater"
            | "Less" | "GreaterOrEqual" | "LessOrEqual" | "PRelu" | "MatMul" | "Expand" | "Tile",
        ) => one(2..=2, NONE),
        ("", "Min" | "Max" | "Sum" | "Mean") => one(1..=MANY, NONE),
        ("", "Where" | "Range") => one(3..=3, NONE),
        ("", "Mod") => one(2..=2, &[("fmod", Int)]),
        ("", "Elu" | "LeakyRelu" | "ThresholdedRelu") => one(1..=1, ALPHA),
        // By another alpha than 1 tract 0.23.9 scales the wrong side.
        ("", "Celu") => one(1..=1, NONE),
        ("", "Selu") => one(1..=1, &[("alpha", Float), ("gamma", Float)]),
        ("", "HardSigmoid") => one(1..=1, &[("alpha", Float), ("beta", Float)]),
        ("", "Shrink") => one(1..=1, &[("bias", Float), ("lambd", Float)]),
        ("", "Gelu") => one(1..=1, &[("approximate", Word)]),
        ("", "IsInf") => one(1..=1, &[("detect_positive", Int), ("detect_negative", Int)]),
        ("", "Clip") => one(1..=3, &[("min", Float), ("max", Float)]),
        ("", "Cast") => one(1..=1, &[("to", Int), ("saturate", OnlyInt(1))]),
        ("", "Shape") => one(1..=1, &[("start", Int), ("end", Int)]),
        ("", "Reshape") => one(2..=2, &[("allowzero", Int)]),
        ("", "Squeeze" | "Unsqueeze") => one(1..=2, &[("axes", Ints)]),
        ("", "Transpose") => one(1..=1, &[("perm", Ints)]),
        ("", "Slice") => one(3..=5, NONE),
        ("", "Split") => Some((
            1..=2,
            1..=MANY,
            &[("axis", Int), ("split", Ints), ("num_outputs", Int)],
        )),
        ("", "Concat") => one(1..=MANY, AXIS),
        ("", "Flatten" | "Softmax" | "LogSoftmax" | "Hardmax") => one(1..=1, AXIS),
        ("", "Gather" | "GatherElements") => one(2..=2, AXIS),
        ("", "GatherND") => one(2..=2, &[("batch_dims", Int)]),
        ("", "ScatterElements") => one(3..=3, &[("axis", Int), ("reduction", Word)]),
        ("", "ScatterND") => one(3..=3, &[("reduction", Word)]),
        ("", "Pad") => one(2..=4, &[("mode", Word)]),
        ("", "ConstantOfShape") => one(1..=1, &[("value", Tensor)]),
        ("", "EyeLike") => one(1..=1, &[("dtype", Int), ("k", Int)]),
        ("", "Trilu") => one(1..=2, &[("upper", Int)]),
        ("", "OneHot") => one(3..=3, AXIS),
        ("", "CumSum") => one(2..=2, &[("exclusive", Int), ("reverse", Int)]),
        ("", "DepthToSpace") => one(1..=1, &[("blocksize", Int), ("mode", Word)]),
        // Its mode CRD is read as the other.
        ("", "SpaceToDepth") => one(1..=1, &[("blocksize", Int)]),
        (
            "",
            "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax"
            | "ReduceMean" | "ReduceMin" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare",
        ) => one(1..=2, REDUCTION),
        ("", "ArgMax" | "ArgMin") => one(
            1..=1,
            &[("axis", Int), ("keepdims", Int), ("select_last_index", Int)],
        ),
        ("", "Conv") => one(2..=3, CONVOLUTION),
        ("", "ConvTranspose") => one(2..=3, &TRANSPOSED),
        ("", "MaxPool") => one(1..=1, &MAX_POOL),
        ("", "AveragePool") => one(1..=1, &AVERAGE_POOL),
        ("", "BatchNormalization") => one(
            5..=5,
            &[
                ("epsilon", Float),
                // Of training alone.
                ("momentum", Float),
                ("training_mode", OnlyInt(0)),
                ("spatial", OnlyInt(1)),
            ],
        ),
        ("", "InstanceNormalization") => one(3..=3, EPSILON),
        ("", "GroupNormalization") => one(
            3..=3,
            &[
                ("epsilon", Float),
                ("num_groups", Int),
                ("stash_type", OnlyInt(1)),
            ],
        ),
        ("", "LayerNormalization") => one(
            2..=3,
            &[
                ("axis", Int),
                ("epsilon", Float),
                ("stash_type", OnlyInt(1)),
            ],
        ),
        ("", "RMSNormalization") => one(
            2..=2,
            &[
                ("axis", Int),
                ("epsilon", Float),
                ("stash_type", OnlyInt(1)),
            ],
        ),
        ("", "LpNormalization") => one(1..=1, &[("axis", Int), ("p", Int)]),
        ("", "LRN") => one(
            1..=1,
            &[
                ("alpha", Float),
                ("beta", Float),
                ("bias", Float),
                ("size", Int),
            ],
        ),
        ("", "Gemm") => one(
            2..=3,
            &[
                ("alpha", Float),
                ("beta", Float),
                ("transA", Int),
                ("transB", Int),
            ],
        ),
        ("", "Einsum") => one(1..=MANY, &[("equation", Word)]),
        ("", "Resize") => one(2..=4, RESIZE),
        ("", "GridSample") => one(
            2..=2,
            &[
                ("mode", Word),
                ("padding_mode", Word),
                ("align_corners", Int),
            ],
        ),
        // Outside of training it does nothing; its third input would say otherwise.
        ("", "Dropout") => one(1..=2, &[("ratio", Float), ("seed", Int)]),
        (MICROSOFT, "Gelu" | "FastGelu") => one(1..=1, NONE),
        (MICROSOFT, "QuickGelu") => one(1..=1, ALPHA),
        (MICROSOFT, "BiasGelu") => one(2..=2, NONE),
        (MICROSOFT, "SkipLayerNormalization") => one(3..=5, EPSILON),
        _ => None,
    }
}

/// Whether tract runs this node rightly.
///
/// # Errors
/// A sentence on why it does not.
pub(crate) fn can(node: &NodeProto, opset: i64) -> Result<(), String> {
    let known = operator(plain_domain(node), &node.op_type);
    let (inputs, outputs, attributes) = known.ok_or("nor does tract run it for us")?;
    allowed::inputs(node, &inputs)?;
    let given = node.output.len();
    if !outputs.contains(&given) || node.output.iter().any(String::is_empty) {
        return Err(format!("tract gives not all of its {given} outputs"));
    }
    let needed = match node.op_type.as_str() {
        // Its region, scales and sizes may each be left out.
        "Resize" => 1,
        _ => *inputs.start(),
    };
    if node.input[..needed].iter().any(String::is_empty) {
        return Err("lacks an input".to_owned());
    }
    allowed::attributes(node, attributes)?;
    by_opset(node, opset)
}

/// What an operator meant in other opsets, where tract reads it by another one's rule.
fn by_opset(node: &NodeProto, opset: i64) -> Result<(), String> {
    let axes_are_input = match node.op_type.as_str() {
        "ReduceSum" | "Squeeze" | "Unsqueeze" => opset >= 13,
        name if name.starts_with("Reduce") => opset >= 18,
        _ => return known_faults(node, opset),
    };
    let as_input = node.input.len() > 1;
    let as_attribute = node.attribute("axes").is_some();
    if (axes_are_input && as_attribute) || (!axes_are_input && as_input) {
        return Err(format!("names its axes in another way than opset {opset}"));
    }
    Ok(())
}

/// What tract does otherwise than ONNX says.
fn known_faults(node: &NodeProto, opset: i64) -> Result<(), String> {
    if node.op_type == "Resize" && opset < 11 {
        return Err("is a Resize that names no coordinates".to_owned());
    }
    let padded = !matches!(node.text("auto_pad"), "" | "NOTSET" | "VALID");
    if node.op_type == "AveragePool" && padded {
        return Err("averages what it pads by itself".to_owned());
    }
    let apart = node.ints("dilations").iter().any(|by| *by != 1);
    if node.op_type == "MaxPool" && padded && apart {
        return Err(
            "pads by itself for a window with gaps, which runtimes do differently".to_owned(),
        );
    }
    let by_scales = node.input.get(2).is_some_and(|name| !name.is_empty());
    if node.op_type == "Resize"
        && by_scales
        && node.text("coordinate_transformation_mode") == "align_corners"
    {
        // A side that is no whole number of pixels long is rounded too early.
        return Err("aligns corners by scales, which tract 0.23.9 does wrongly".to_owned());
    }
    const ALIKE: [i64; 6] = [1, 6, 7, 9, 10, 11];
    if node.op_type == "Cast" && !ALIKE.contains(&node.int("to", 0)) {
        return Err(format!("casts to type {}", node.int("to", 0)));
    }
    Ok(())
}
