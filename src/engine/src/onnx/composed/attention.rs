//! Attention in one node, as plain products, factor and softmax: what lowering makes one step of.

use super::known::Known;
use super::writing::{self, Writing};
use super::{Composed, float, given, int};
use crate::onnx::proto::{DataType, NodeProto};

/// What is added where a query must not see a key.
const UNSEEN: f32 = f32::MIN;

/// Queries, keys and values: `[batch, heads, length, width]`, keys turned: `[batch, heads, width,
/// length]`.
struct Heads {
    queries: String,
    keys: String,
    values: String,
}

impl Heads {
    /// The same with scores that are multiplied by this.
    fn scaled(self, by: f32, to: &mut Writing) -> Self {
        let queries = to.scaled(&self.queries, by);
        Self { queries, ..self }
    }
}

/// What is added to the scores.
#[derive(Default)]
struct Biases {
    /// Values of the scores' shape, or one that is spread to it.
    values: Vec<String>,
}

/// onnxruntime's `Attention`: queries, keys and values made by one product.
pub(super) fn of_one_input(node: &NodeProto, known: &Known<'_>, to: &mut Writing) -> Composed {
    const READ: [&str; 6] = [
        "num_heads",
        "scale",
        "unidirectional",
        "mask_filter_value",
        "qkv_hidden_sizes",
        "past_present_share_buffer",
    ];
    to.only(node, 2, &READ)?;
    if given(node, 4).is_some() || given(node, 6).is_some() || node.output.len() > 1 {
        return Err("keeps keys and values of before".to_owned());
    }
    let heads = heads(node, "num_heads")?;
    let x = &node.input[0];
    let weights = known.constant(&node.input[1]);
    let weights = weights
        .as_ref()
        .filter(|constant| constant.shape.len() == 2);
    let weights = weights.and_then(|constant| Some((&constant.shape, constant.floats()?)));
    let (shape, weights) = weights.ok_or("has weights that are no 32-bit constant")?;
    let [depth, columns] = [shape[0], shape[1]];
    let own = node.attribute.iter().find(|a| a.name == "qkv_hidden_sizes");
    let sizes: Vec<usize> = match own {
        Some(own) => own
            .ints
            .iter()
            .map(|side| usize::try_from(*side).unwrap_or(0))
            .collect(),
        None => vec![columns / 3; 3],
    };
    let [of_query, of_key, of_value] = sizes[..] else {
        return Err("has other parts than queries, keys and values".to_owned());
    };
    let whole = sizes
        .iter()
        .try_fold(0_usize, |sum, side| sum.checked_add(*side));
    if whole != Some(columns)
        || of_query != of_key
        || of_query % heads != 0
        || of_value % heads != 0
    {
        return Err("has parts that do not fit its weights".to_owned());
    }
    let bias = given(node, 2).map(|name| known.floats(name));
    let bias = bias.map(|bias| bias.ok_or("has a bias that is no 32-bit constant"));
    let bias = bias.transpose()?;
    if bias.as_ref().is_some_and(|bias| bias.len() != columns) {
        return Err("has a bias that does not fit its weights".to_owned());
    }
    let mut at = 0;
    let mut parts = [of_query, of_key, of_value].into_iter().map(|side| {
        let rows = weights
            .chunks(columns.max(1))
            .flat_map(|row| &row[at..at + side]);
        let part: Vec<f32> = rows.copied().collect();
        let weight = to.floats(&[depth, side], &part);
        let mut made = to.node("MatMul", &[x, &weight]);
        if let Some(bias) = &bias {
            let bias = to.floats(&[side], &bias[at..at + side]);
            made = to.node("Add", &[&made, &bias]);
        }
        at += side;
        made
    });
    let (Some(query), Some(key), Some(value)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("has other parts than queries, keys and values".to_owned());
    };
    drop(parts);
    let scale = scale(node).unwrap_or(1.0 / ((of_query / heads) as f32).sqrt());
    let biases = biases(node, [3, 5], known, [&query, &key], to)?;
    let heads = split([&query, &key, &value], [heads; 3], to).scaled(scale, to);
    attend(&heads, &biases, &node.output[0], to);
    Ok(())
}

/// onnxruntime's `MultiHeadAttention`: of queries, keys and values by themselves.
pub(super) fn multi_head(node: &NodeProto, known: &Known<'_>, to: &mut Writing) -> Composed {
    to.only(
        node,
        3,
        &["num_heads", "scale", "unidirectional", "mask_filter_value"],
    )?;
    if (6..node.input.len()).any(|place| given(node, place).is_some()) || node.output.len() > 1 {
        return Err("keeps keys and values of before".to_owned());
    }
    let heads = heads(node, "num_heads")?;
    let mut parts = [0, 1, 2].map(|place| node.input[place].clone());
    if let Some(name) = parts.iter().find(|name| known.rank(name) != Some(3)) {
        return Err(format!(
            "reads `{name}`, of which the file does not say that it has three axes"
        ));
    }
    let mut width = known.side(&parts[0], 2);
    if let Some(bias) = given(node, 3) {
        let bias = known
            .floats(bias)
            .ok_or("has a bias that is no 32-bit constant")?;
        let side = width.unwrap_or(bias.len() / 3);
        if 2 * side > bias.len() {
            return Err("has a bias that does not fit its queries".to_owned());
        }
        width = Some(side);
        let (queries, rest) = bias.split_at(side);
        let (keys, values) = rest.split_at(side);
        for (part, own) in parts.iter_mut().zip([queries, keys, values]) {
            let own = to.floats(&[own.len()], own);
            *part = to.node("Add", &[part, &own]);
        }
    }
    let [query, key, value] = &parts;
    let scale = match (scale(node), width) {
        (Some(scale), _) => scale,
        (None, Some(width)) if width % heads == 0 => 1.0 / ((width / heads) as f32).sqrt(),
        _ => {
            return Err(
                "names no scale, and the file does not say how wide its heads are".to_owned(),
            );
        }
    };
    let biases = biases(node, [4, 5], known, [query, key], to)?;
    let heads = split([query, key, value], [heads; 3], to).scaled(scale, to);
    attend(&heads, &biases, &node.output[0], to);
    Ok(())
}

/// ONNX's own, of opset 23 and later.
pub(super) fn plain(node: &NodeProto, known: &Known<'_>, to: &mut Writing) -> Composed {
    const READ: [&str; 7] = [
        "is_causal",
        "scale",
        "q_num_heads",
        "kv_num_heads",
        "softcap",
        "softmax_precision",
        "qk_matmul_output_mode",
    ];
    to.only(node, 3, &READ)?;
    if (4..node.input.len()).any(|place| given(node, place).is_some()) || node.output.len() > 1 {
        return Err("keeps keys and values of before, or gives its scores".to_owned());
    }
    if float(node, "softcap", 0.0) != 0.0 || !matches!(int(node, "softmax_precision", 1), 0 | 1) {
        return Err("caps its scores, or computes them in another type".to_owned());
    }
    let inputs = [0, 1, 2].map(|place| node.input[place].as_str());
    let ranks = inputs.map(|name| known.rank(name));
    let sides = |axis: usize| inputs.map(|name| known.side(name, axis));
    let (split, width) = match ranks {
        [Some(3), Some(3), Some(3)] => {
            let (own, others) = (heads(node, "q_num_heads")?, heads(node, "kv_num_heads")?);
            if own != others {
                return Err("shares keys and values among its heads".to_owned());
            }
            let width = sides(2)[0].filter(|width| width % own == 0);
            (split(inputs, [own; 3], to), width.map(|width| width / own))
        }
        [Some(4), Some(4), Some(4)] => {
            let [Some(a), Some(b), Some(c)] = sides(1) else {
                return Err("has heads of which the file does not say how many".to_owned());
            };
            if a != b || b != c {
                return Err("shares keys and values among its heads".to_owned());
            }
            let turned = [writing::ints("perm", &[0, 1, 3, 2])];
            let heads = Heads {
                queries: inputs[0].to_owned(),
                keys: to.with("Transpose", &[inputs[1]], &turned),
                values: inputs[2].to_owned(),
            };
            (heads, sides(3)[0])
        }
        _ => {
            return Err(
                "reads values of which the file does not say how many axes they have".to_owned(),
            );
        }
    };
    let scale = match (scale(node), width) {
        (Some(scale), _) => scale,
        (None, Some(width)) => 1.0 / (width as f32).sqrt(),
        _ => {
            return Err(
                "names no scale, and the file does not say how wide its heads are".to_owned(),
            );
        }
    };
    let mut biases = Biases::default();
    if let Some(mask) = given(node, 3) {
        biases.values.push(mask_of(mask, known, to)?);
    }
    if int(node, "is_causal", 0) != 0 {
        let lengths = [(split.queries.as_str(), 2), (split.keys.as_str(), 3)];
        biases.values.push(causal(lengths, to));
    }
    let heads = split.scaled(scale, to);
    let joined = (ranks[0] == Some(3)).then_some(node.output[0].as_str());
    match joined {
        Some(output) => attend(&heads, &biases, output, to),
        None => {
            let weights = weights(&heads, &biases, to);
            to.last("MatMul", &[&weights, &heads.values], &[], &node.output[0]);
        }
    }
    Ok(())
}

fn heads(node: &NodeProto, name: &str) -> Result<usize, String> {
    let heads = usize::try_from(int(node, name, 0)).ok();
    heads
        .filter(|heads| *heads > 0)
        .ok_or(format!("has no {name}"))
}

/// The scale that it names; nought stands for none.
fn scale(node: &NodeProto) -> Option<f32> {
    Some(float(node, "scale", 0.0)).filter(|scale| *scale != 0.0)
}

/// `[batch, length, heads * width]` as heads, keys turned.
fn split(parts: [&str; 3], heads: [usize; 3], to: &mut Writing) -> Heads {
    let mut of = |place: usize, order: &[i64]| {
        let shape = to.numbers(&[0, 0, heads[place] as i64, -1]);
        let apart = to.node("Reshape", &[parts[place], &shape]);
        to.with("Transpose", &[&apart], &[writing::ints("perm", order)])
    };
    Heads {
        queries: of(0, &[0, 2, 1, 3]),
        keys: of(1, &[0, 2, 3, 1]),
        values: of(2, &[0, 2, 1, 3]),
    }
}

/// Softmax of the scores.
fn weights(heads: &Heads, biases: &Biases, to: &mut Writing) -> String {
    let mut scores = to.node("MatMul", &[&heads.queries, &heads.keys]);
    for bias in &biases.values {
        scores = to.node("Add", &[&scores, bias]);
    }
    to.with("Softmax", &[&scores], &[writing::int("axis", -1)])
}

/// What comes of heads, joined again.
fn attend(heads: &Heads, biases: &Biases, output: &str, to: &mut Writing) {
    let weights = weights(heads, biases, to);
    let mixed = to.node("MatMul", &[&weights, &heads.values]);
    let order = [writing::ints("perm", &[0, 2, 1, 3])];
    let turned = to.with("Transpose", &[&mixed], &order);
    let shape = to.numbers(&[0, 0, -1]);
    to.last("Reshape", &[&turned, &shape], &[], output);
}

/// The mask at the first place (which keys of a row are seen), what is added to the scores at the
/// second, and that queries see no later keys.
fn biases(
    node: &NodeProto,
    places: [usize; 2],
    known: &Known<'_>,
    [query, key]: [&str; 2],
    to: &mut Writing,
) -> Result<Biases, String> {
    let mut biases = Biases::default();
    if let Some(mask) = given(node, places[0]) {
        if known.rank(mask) != Some(2) || known.kind(mask) != DataType::Int32 as i32 {
            return Err("has a mask in another form than a number for each key".to_owned());
        }
        let kind = [writing::int("to", DataType::Float as i64)];
        let mask = to.with("Cast", &[mask], &kind);
        let nought = to.scalar(0.0);
        let seen = to.node("Greater", &[&mask, &nought]);
        let hidden = to.scalar(float(node, "mask_filter_value", -10_000.0));
        let added = to.node("Where", &[&seen, &nought, &hidden]);
        let shape = to.numbers(&[0, 1, 1, -1]);
        // The batch is kept; the keys go to the end.
        biases.values.push(to.node("Reshape", &[&added, &shape]));
    }
    if let Some(bias) = given(node, places[1]) {
        biases.values.push(bias.to_owned());
    }
    if int(node, "unidirectional", 0) != 0 {
        if given(node, places[0]).is_some() {
            return Err("has a mask and sees no later keys".to_owned());
        }
        biases.values.push(causal([(query, 1), (key, 1)], to));
    }
    Ok(biases)
}

/// What is added so that a query sees no key behind its own place; the lengths are those of these axes.
fn causal(lengths: [(&str, i64); 2], to: &mut Writing) -> String {
    let sides = lengths.map(|(value, axis)| {
        let shape = to.node("Shape", &[value]);
        let axis = to.numbers(&[axis]);
        to.with("Gather", &[&shape, &axis], &[writing::int("axis", 0)])
    });
    let shape = to.with(
        "Concat",
        &[&sides[0], &sides[1]],
        &[writing::int("axis", 0)],
    );
    let hidden = to.with("ConstantOfShape", &[&shape], &[writing::value(UNSEEN)]);
    let above = to.numbers_alone(1);
    to.with("Trilu", &[&hidden, &above], &[writing::int("upper", 1)])
}

/// A mask of truths, or of values to be added.
fn mask_of(mask: &str, known: &Known<'_>, to: &mut Writing) -> Result<String, String> {
    match known.kind(mask) {
        kind if kind == DataType::Float as i32 => Ok(mask.to_owned()),
        kind if kind == DataType::Bool as i32 => {
            let (nought, hidden) = (to.scalar(0.0), to.scalar(f32::NEG_INFINITY));
            Ok(to.node("Where", &[mask, &nought, &hidden]))
        }
        _ => Err("has a mask of which the file does not say the type".to_owned()),
    }
}
