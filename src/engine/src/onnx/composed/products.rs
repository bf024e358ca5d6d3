//! Products as optimisers write them: with turned sides and a factor, with an activation behind them,
//! with weights of few bits in blocks, and the fused forms of dynamic int8.

use super::known::Known;
use super::writing::{self, Writing};
use super::{Composed, float, given, int};
use crate::onnx::Values;
use crate::onnx::proto::{AttributeProto, DataType, NodeProto};

/// `alpha * (A or its transpose) (B or its transpose)`.
pub(super) fn fused_matmul(node: &NodeProto, known: &Known<'_>, to: &mut Writing) -> Composed {
    to.only(
        node,
        2,
        &["alpha", "transA", "transB", "transBatchA", "transBatchB"],
    )?;
    if int(node, "transBatchA", 0) != 0 || int(node, "transBatchB", 0) != 0 {
        return Err("turns its batches".to_owned());
    }
    let a = side(node, 0, int(node, "transA", 0) != 0, known, to)?;
    let b = side(node, 1, int(node, "transB", 0) != 0, known, to)?;
    let alpha = float(node, "alpha", 1.0);
    if alpha == 1.0 {
        to.last("MatMul", &[&a, &b], &[], &node.output[0]);
        return Ok(());
    }
    let product = to.node("MatMul", &[&a, &b]);
    let alpha = to.scalar(alpha);
    to.last("Mul", &[&product, &alpha], &[], &node.output[0]);
    Ok(())
}

/// An input, its last two axes exchanged where it says so.
fn side(
    node: &NodeProto,
    place: usize,
    turned: bool,
    known: &Known<'_>,
    to: &mut Writing,
) -> Result<String, String> {
    let name = &node.input[place];
    if !turned {
        return Ok(name.clone());
    }
    let rank = known.rank(name).ok_or_else(|| {
        format!("turns `{name}`, of which the file does not say how many axes it has")
    })?;
    if rank < 2 {
        return Err(format!("turns `{name}`, which has not two axes"));
    }
    if let (2, Some(constant)) = (rank, known.constant(name))
        && let Some(floats) = constant.floats()
    {
        let [rows, columns] = [constant.shape[0], constant.shape[1]];
        let value = |i: usize| floats[i % rows * columns + i / rows];
        let values: Vec<f32> = (0..rows * columns).map(value).collect();
        return Ok(to.floats(&[columns, rows], &values));
    }
    let mut order: Vec<i64> = (0..rank as i64).collect();
    order.swap(rank - 2, rank - 1);
    Ok(to.with("Transpose", &[name], &[writing::ints("perm", &order)]))
}

const ACTIVATION: [&str; 5] = [
    "activation",
    "activation_params",
    "activation_alpha",
    "activation_beta",
    "activation_gamma",
];

/// A convolution with, perhaps, a sum and an activation behind it.
pub(super) fn fused_conv(node: &NodeProto, _: &Known<'_>, to: &mut Writing) -> Composed {
    let inputs = [Some(node.input[0].as_str()), given(node, 1), given(node, 2)];
    fused("Conv", node, &inputs, given(node, 3), to)
}

pub(super) fn fused_gemm(node: &NodeProto, _: &Known<'_>, to: &mut Writing) -> Composed {
    let inputs = [Some(node.input[0].as_str()), given(node, 1), given(node, 2)];
    fused("Gemm", node, &inputs, None, to)
}

fn fused(
    op: &str,
    node: &NodeProto,
    inputs: &[Option<&str>],
    sum: Option<&str>,
    to: &mut Writing,
) -> Composed {
    let inputs: Vec<&str> = inputs.iter().flatten().copied().collect();
    let is_activation = |a: &&AttributeProto| ACTIVATION.contains(&a.name.as_str());
    let own: Vec<AttributeProto> = node
        .attribute
        .iter()
        .filter(|a| !is_activation(a))
        .cloned()
        .collect();
    let mut made = to.with(op, &inputs, &own);
    if let Some(sum) = sum {
        made = to.node("Add", &[&made, sum]);
    }
    let mut params: Vec<f32> = Vec::new();
    for name in &ACTIVATION[1..] {
        if let Some(own) = node.attribute.iter().find(|a| a.name == *name) {
            params.extend(&own.floats);
            if own.floats.is_empty() {
                params.push(own.f);
            }
        }
    }
    let word = node.attribute.iter().find(|a| a.name == "activation");
    let word = word.map_or(&b""[..], |word| &word.s);
    let output = &node.output[0];
    match (word, &params[..]) {
        (b"Relu", []) => to.last("Relu", &[&made], &[], output),
        (b"Sigmoid", []) => to.last("Sigmoid", &[&made], &[], output),
        (b"Tanh", []) => to.last("Tanh", &[&made], &[], output),
        (b"LeakyRelu", [alpha]) => {
            let alpha = [writing::decimal("alpha", *alpha)];
            to.last("LeakyRelu", &[&made], &alpha, output);
        }
        (b"HardSigmoid", [alpha, beta]) => {
            let both = [
                writing::decimal("alpha", *alpha),
                writing::decimal("beta", *beta),
            ];
            to.last("HardSigmoid", &[&made], &both, output);
        }
        (b"Clip", [least, most]) => {
            let (least, most) = (to.scalar(*least), to.scalar(*most));
            to.last("Clip", &[&made, &least, &most], &[], output);
        }
        (b"", []) => {
            let nothing = to.scalar(0.0);
            to.last("Add", &[&made, &nothing], &[], output);
        }
        _ => {
            let word = String::from_utf8_lossy(word);
            return Err(format!(
                "has the activation {word}, which is not known here"
            ));
        }
    }
    Ok(())
}

/// Weights of 4 or 8 bits, a scale and perhaps a zero point for each block of an output's inputs: a
/// product with the floats that they stand for.
pub(super) fn blocks(node: &NodeProto, known: &Known<'_>, to: &mut Writing) -> Composed {
    to.only(
        node,
        3,
        &[
            "K",
            "N",
            "bits",
            "block_size",
            "accuracy_level",
            "weight_prepacked",
        ],
    )?;
    if given(node, 4).is_some() {
        return Err("names the groups of its inputs".to_owned());
    }
    if int(node, "weight_prepacked", 0) != 0 {
        return Err("has weights in one machine's order".to_owned());
    }
    let weights = Blocks::of(node, known)?.floats()?;
    let [depth, channels] = [weights.depth, weights.channels];
    let weight = to.floats(&[depth, channels], &weights.values);
    let (x, output) = (&node.input[0], &node.output[0]);
    match given(node, 5) {
        None => to.last("MatMul", &[x, &weight], &[], output),
        Some(bias) => {
            let product = to.node("MatMul", &[x, &weight]);
            to.last("Add", &[&product, bias], &[], output);
        }
    }
    Ok(())
}

/// Weights in blocks, as the file has them.
struct Blocks {
    depth: usize,
    channels: usize,
    bits: usize,
    block: usize,
    codes: Vec<u8>,
    scales: Vec<f32>,
    zeros: Option<Vec<u8>>,
}

/// The floats that they stand for: `[depth, channels]`.
struct Weights {
    depth: usize,
    channels: usize,
    values: Vec<f32>,
}

impl Blocks {
    fn of(node: &NodeProto, known: &Known<'_>) -> Result<Self, String> {
        let positive = |name: &str, otherwise: i64| {
            let value = usize::try_from(int(node, name, otherwise)).ok();
            value
                .filter(|value| *value > 0)
                .ok_or(format!("has a wrong {name}"))
        };
        let bytes = |place: usize| {
            let constant = given(node, place).and_then(|name| known.constant(name));
            match constant.map(|constant| constant.values) {
                Some(Values::U8(bytes)) => Ok(bytes),
                _ => Err("has codes or zero points that are no constants of 8 bits".to_owned()),
            }
        };
        let bits = positive("bits", 4)?;
        if ![4, 8].contains(&bits) {
            return Err(format!(
                "has weights of {bits} bits; 4 and 8 are known here"
            ));
        }
        let scales = given(node, 2).and_then(|name| known.floats(name));
        let zeros = given(node, 3).map(|_| bytes(3)).transpose()?;
        Ok(Self {
            depth: positive("K", 0)?,
            channels: positive("N", 0)?,
            bits,
            block: positive("block_size", 0)?,
            codes: bytes(1)?,
            scales: scales.ok_or("has scales that are no 32-bit constants")?,
            zeros,
        })
    }

    fn floats(&self) -> Result<Weights, String> {
        let Self {
            depth,
            channels,
            bits,
            block,
            ..
        } = *self;
        let a_byte = 8 / bits;
        let blocks = depth.div_ceil(block);
        let block_bytes = block.div_ceil(a_byte);
        let zero_bytes = blocks.div_ceil(a_byte);
        let is = |length: usize, of: usize| channels.checked_mul(of) == Some(length);
        let row = blocks.checked_mul(block_bytes);
        let fits = row.is_some_and(|row| is(self.codes.len(), row))
            && is(self.scales.len(), blocks)
            && self
                .zeros
                .as_ref()
                .is_none_or(|zeros| is(zeros.len(), zero_bytes));
        let count = depth.checked_mul(channels).filter(|_| fits);
        let count = count.ok_or("has codes, scales and zero points that do not fit each other")?;
        let mask = u8::MAX >> (8 - bits);
        // The first code of a byte stands in its lowest bits.
        let code = |bytes: &[u8], at: usize| bytes[at / a_byte] >> (at % a_byte * bits) & mask;
        let middle = 1_u8 << (bits - 1);
        let mut values = vec![0.0; count];
        for channel in 0..channels {
            for (part, scale) in self.scales[channel * blocks..][..blocks].iter().enumerate() {
                let zero = self.zeros.as_ref();
                let zero = zero.map_or(middle, |zeros| code(&zeros[channel * zero_bytes..], part));
                let codes = &self.codes[(channel * blocks + part) * block_bytes..][..block_bytes];
                for at in 0..block.min(depth - part * block) {
                    let distance = i16::from(code(codes, at)) - i16::from(zero);
                    let place = (part * block + at) * channels + channel;
                    values[place] = f32::from(distance) * scale;
                }
            }
        }
        Ok(Weights {
            depth,
            channels,
            values,
        })
    }
}

/// A product in dynamic int8 in one node: quantised, multiplied, scaled.
pub(super) fn dynamic(node: &NodeProto, _: &Known<'_>, to: &mut Writing) -> Composed {
    to.only(node, 3, &[])?;
    let [codes, scale, zero] = to.quantised(&node.input[0]);
    let sides = [
        codes.as_str(),
        &node.input[1],
        &zero,
        given(node, 3).unwrap_or(""),
    ];
    scaled(
        sides,
        [&scale, &node.input[2]],
        given(node, 4),
        &node.output[0],
        to,
    )
}

/// The same of codes that were made before.
pub(super) fn integer(node: &NodeProto, _: &Known<'_>, to: &mut Writing) -> Composed {
    to.only(node, 4, &[])?;
    let at = |place: usize| given(node, place).unwrap_or("");
    scaled(
        [at(0), at(1), at(4), at(5)],
        [at(2), at(3)],
        given(node, 6),
        &node.output[0],
        to,
    )
}

fn scaled(
    sides: [&str; 4],
    scales: [&str; 2],
    bias: Option<&str>,
    output: &str,
    to: &mut Writing,
) -> Composed {
    let given = sides.iter().rposition(|side| !side.is_empty()).unwrap_or(0);
    let product = to.node("MatMulInteger", &sides[..=given]);
    let kind = [writing::int("to", DataType::Float as i64)];
    let product = to.with("Cast", &[&product], &kind);
    let scale = to.node("Mul", &scales);
    let Some(bias) = bias else {
        to.last("Mul", &[&product, &scale], &[], output);
        return Ok(());
    };
    let whole = to.node("Mul", &[&product, &scale]);
    to.last("Add", &[&whole, bias], &[], output);
    Ok(())
}
