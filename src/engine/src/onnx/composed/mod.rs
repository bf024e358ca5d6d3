//! Operators that stand for several, as exporters and onnxruntime's optimisers write them, as the plain
//! nodes that they are defined by: attention, norms with a sum before them, products with an activation
//! behind them, weights of 4 bits in blocks.
//!
//! In goes the graph as it was decoded, functions inlined; out it comes with such nodes replaced, before
//! anything looks at types or int8 forms. A form of them that has no plain nodes here is refused by node
//! and reason. Nothing is computed but on weights.
//!
//! | file | what |
//! |---|---|
//! | `writing.rs` | nodes and constants in the making |
//! | `attention.rs` | attention by the three operators that say it |
//! | `products.rs` | products with weights in blocks, turned sides, activations; fused int8 forms |
//! | `known.rs` | ranks, shapes and types as far as the file says them |

mod attention;
mod known;
mod products;
mod writing;

use super::allowed::plain_domain;
use super::proto::{GraphProto, NodeProto};
use super::{MICROSOFT, Refused};
use known::Known;
use writing::Writing;

/// Why a node has no plain nodes.
type Composed = Result<(), String>;

/// What replaces an operator; `None` where it stays.
type Rewrite = fn(&NodeProto, &Known<'_>, &mut Writing) -> Composed;

fn rewrite(node: &NodeProto, opset: i64) -> Option<Rewrite> {
    let has = |name: &str| node.attribute.iter().any(|a| a.name == name);
    Some(match (plain_domain(node), node.op_type.as_str()) {
        (MICROSOFT, "Attention") => attention::of_one_input,
        (MICROSOFT, "MultiHeadAttention") => attention::multi_head,
        ("", "Attention") => attention::plain,
        (MICROSOFT, "BiasGelu") => |node, _, to| {
            to.only(node, 2, &[])?;
            let sum = to.node("Add", &[&node.input[0], &node.input[1]]);
            to.theirs("Gelu", &[&sum], &node.output[0]);
            Ok(())
        },
        (MICROSOFT, "FastGelu") if node.input.len() == 2 => |node, _, to| {
            to.only(node, 2, &[])?;
            let sum = to.node("Add", &[&node.input[0], &node.input[1]]);
            to.theirs("FastGelu", &[&sum], &node.output[0]);
            Ok(())
        },
        (MICROSOFT, "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization") => skip_norm,
        ("", "SimplifiedLayerNormalization") => root_mean_square,
        ("", "RMSNormalization") if !has("axis") || int(node, "axis", -1) == -1 => root_mean_square,
        ("", "Swish") => |node, _, to| {
            to.only(node, 1, &["alpha"])?;
            let x = &node.input[0];
            let alpha = to.scalar(float(node, "alpha", 1.0));
            let scaled = to.node("Mul", &[x, &alpha]);
            let gate = to.node("Sigmoid", &[&scaled]);
            to.last("Mul", &[x, &gate], &[], &node.output[0]);
            Ok(())
        },
        ("", "Upsample") => upsample,
        ("", "Resize") if opset < 11 => upsample,
        (MICROSOFT, "FusedMatMul") => products::fused_matmul,
        (MICROSOFT, "FusedConv") => products::fused_conv,
        (MICROSOFT, "FusedGemm") => products::fused_gemm,
        (MICROSOFT, "MatMulNBits") => products::blocks,
        (MICROSOFT, "DynamicQuantizeMatMul") => products::dynamic,
        (MICROSOFT, "MatMulIntegerToFloat") => products::integer,
        _ => return None,
    })
}

/// Replaces what stands for several nodes.
///
/// # Errors
/// [`Refused`], with the node to blame.
pub(super) fn take_apart(graph: &mut GraphProto, opset: i64) -> Result<(), Refused> {
    if !graph.node.iter().any(|node| rewrite(node, opset).is_some()) {
        return Ok(());
    }
    let nodes = std::mem::take(&mut graph.node);
    let known = Known::of(graph, &nodes);
    let mut made = Writing::new(opset);
    for node in &nodes {
        let Some(rewrite) = rewrite(node, opset).filter(|_| !node.output.is_empty()) else {
            made.keep(node.clone());
            continue;
        };
        made.begin(&node.output[0]);
        rewrite(node, &known, &mut made).map_err(|why| Refused::node(node, why))?;
    }
    (graph.node, graph.initializer) = made.into_graph(graph);
    Ok(())
}

fn int(node: &NodeProto, name: &str, otherwise: i64) -> i64 {
    let own = node.attribute.iter().find(|a| a.name == name);
    own.map_or(otherwise, |a| a.i)
}

fn float(node: &NodeProto, name: &str, otherwise: f32) -> f32 {
    let own = node.attribute.iter().find(|a| a.name == name);
    own.map_or(otherwise, |a| a.f)
}

/// The input at this place, where it is given.
fn given(node: &NodeProto, place: usize) -> Option<&str> {
    let name = node.input.get(place)?;
    (!name.is_empty()).then_some(name)
}

/// The sum of two values and, perhaps, a bias, normalised.
fn skip_norm(node: &NodeProto, _: &Known<'_>, to: &mut Writing) -> Composed {
    to.only(node, 3, &["epsilon"])?;
    let is_simple = node.op_type == "SkipSimplifiedLayerNormalization";
    let bias = given(node, if is_simple { 3 } else { 4 });
    if node.output[1..].iter().take(2).any(|name| !name.is_empty()) {
        return Err("gives the mean and deviation of training".to_owned());
    }
    let sum = node.output.get(3).filter(|name| !name.is_empty());
    let both = match (bias, sum) {
        (None, Some(sum)) => to.named("Add", &[&node.input[0], &node.input[1]], sum),
        _ => to.node("Add", &[&node.input[0], &node.input[1]]),
    };
    let whole = match (bias, sum) {
        (None, _) => both,
        (Some(bias), Some(sum)) => to.named("Add", &[&both, bias], sum),
        (Some(bias), None) => to.node("Add", &[&both, bias]),
    };
    let epsilon = float(node, "epsilon", 1e-12);
    if is_simple {
        return by_root_mean_square(to, &whole, &node.input[2], epsilon, &node.output[0]);
    }
    let mut inputs = vec![whole.as_str(), &node.input[2]];
    inputs.extend(given(node, 3));
    let attributes = [
        writing::int("axis", -1),
        writing::decimal("epsilon", epsilon),
    ];
    to.last("LayerNormalization", &inputs, &attributes, &node.output[0]);
    Ok(())
}

fn root_mean_square(node: &NodeProto, known: &Known<'_>, to: &mut Writing) -> Composed {
    to.only(node, 2, &["axis", "epsilon", "stash_type"])?;
    let last = known.rank(&node.input[0]).map(|rank| rank as i64 - 1);
    let axis = int(node, "axis", -1);
    if axis != -1 && Some(axis) != last {
        return Err("normalises over more than the last axis".to_owned());
    }
    if int(node, "stash_type", 1) != 1 {
        return Err("computes in another type than it is given".to_owned());
    }
    let epsilon = float(node, "epsilon", 1e-5);
    by_root_mean_square(to, &node.input[0], &node.input[1], epsilon, &node.output[0])
}

fn by_root_mean_square(
    to: &mut Writing,
    x: &str,
    scale: &str,
    epsilon: f32,
    output: &str,
) -> Composed {
    let square = to.node("Mul", &[x, x]);
    let mean = to.mean_of_rows(&square);
    let epsilon = to.scalar(epsilon);
    let sum = to.node("Add", &[&mean, &epsilon]);
    let root = to.node("Sqrt", &[&sum]);
    let unit = to.node("Div", &[x, &root]);
    to.last("Mul", &[&unit, scale], &[], output);
    Ok(())
}

/// `Upsample`, and `Resize` of opset 10, which mean the same: places are scaled from the edge. What
/// makes an image smaller by its nearest pixels was never defined.
fn upsample(node: &NodeProto, known: &Known<'_>, to: &mut Writing) -> Composed {
    to.only(node, 1, &["mode", "scales"])?;
    let own = node.attribute.iter().find(|a| a.name == "scales");
    let scales = match own {
        Some(own) => own.floats.clone(),
        None => given(node, 1)
            .and_then(|name| known.floats(name))
            .ok_or("resizes by scales that are no constants")?,
    };
    let mode = node.attribute.iter().find(|a| a.name == "mode");
    let mode = mode.map_or(&b"nearest"[..], |mode| &mode.s);
    let mode = match mode {
        b"nearest" => "nearest",
        b"linear" | b"bilinear" => "linear",
        _ => return Err("resizes in a mode that is not known here".to_owned()),
    };
    if scales
        .iter()
        .any(|scale| !(*scale >= 1.0 && scale.is_finite()))
    {
        return Err("makes an image smaller, which this opset does not define".to_owned());
    }
    let scales = to.floats(&[scales.len()], &scales);
    let attributes = [
        writing::word("mode", mode),
        writing::word("coordinate_transformation_mode", "asymmetric"),
        writing::word("nearest_mode", "floor"),
    ];
    to.last(
        "Resize",
        &[&node.input[0], "", &scales],
        &attributes,
        &node.output[0],
    );
    Ok(())
}
