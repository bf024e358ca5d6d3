//! Products with constant weights to our own three: `Linear`, `Convolution`,
//! `TransposedConvolution`.
//!
//! A node of ours names its weight by the attribute `weight`; the matrix itself stands
//! apart, one row an output channel, so that it can be packed, written and mapped.
//! Inputs: the activation, and a constant bias or nothing.

use std::collections::{BTreeMap, HashMap};

use super::proto::NodeProto;

use super::int8::{Quantised, plain};
use super::{Attributes, Constant, DOMAIN, Refused, Source, word};
use crate::Arithmetic;
use crate::kernels::Order;

/// Float matrices with fewer values than this stay float where int8 is asked for.
const QUANTISE_FROM: usize = 2048;

/// A weight as every kernel packs it: one row an output channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Matrix {
    /// Output channels.
    pub channels: usize,
    /// Inputs of each channel. Of a convolution: a patch, in the order of its image.
    pub depth: usize,
    /// Whether each channel's inputs lie together, or each input's channels.
    pub order: Order,
    /// The values.
    pub values: MatrixValues,
}

/// Values of a [`Matrix`], `channels x depth`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum MatrixValues {
    /// `codes * scales[channel]`.
    Int8 {
        /// The codes.
        codes: Vec<i8>,
        /// One scale a channel.
        scales: Vec<f32>,
    },
    /// Plain floats.
    Float(Vec<f32>),
}

/// Replaces every product with constant weights by ours; gives the weights by name.
///
/// # Errors
/// [`Refused`]: an int8 product of a form that we do not run.
pub(crate) fn take_weights(
    source: &mut Source,
    mut quantised: HashMap<String, Quantised>,
    arithmetic: Arithmetic,
) -> Result<BTreeMap<String, Matrix>, Refused> {
    let uses: HashMap<String, usize> = source
        .uses()
        .into_iter()
        .map(|(name, uses)| (name.to_owned(), uses))
        .collect();
    let mut weights = BTreeMap::new();
    let mut nodes = Vec::with_capacity(source.nodes.len());
    for node in std::mem::take(&mut source.nodes) {
        let Some(weight) = Weight::of(&node, &source.constants, &mut quantised, &uses) else {
            nodes.push(node);
            continue;
        };
        let int8_weight = weight.scales.is_some();
        let reads_input = source.inputs.iter().any(|i| i.name == node.input[0]);
        match replace(&node, weight, &source.constants, reads_input) {
            Ok((ours, mut matrix, after)) => {
                match arithmetic {
                    Arithmetic::AsWritten => {}
                    Arithmetic::Int8 => matrix.quantise(),
                    Arithmetic::Float => matrix.widen(),
                }
                weights.insert(node.output[0].clone(), matrix);
                nodes.push(ours);
                nodes.extend(after);
            }
            Err(why) if int8_weight => return Err(Refused::node(&node, why)),
            // A float product of another form stays as it is.
            Err(_) => nodes.push(node),
        }
    }
    source.nodes = nodes;
    drop_unread(source);
    Ok(weights)
}

fn drop_unread(source: &mut Source) {
    let uses = source.uses();
    let unread: Vec<String> = source
        .constants
        .keys()
        .filter(|name| !uses.contains_key(name.as_str()))
        .cloned()
        .collect();
    for name in unread {
        source.constants.remove(&name);
    }
}

impl Matrix {
    /// The output channel of the value at `i`.
    fn channel(&self, i: usize) -> usize {
        match self.order {
            Order::OutputsFirst => i / self.depth,
            Order::InputsFirst => i % self.channels,
        }
    }

    /// Int8 codes become the floats that they stand for.
    fn widen(&mut self) {
        let MatrixValues::Int8 { codes, scales } = &self.values else {
            return;
        };
        let float = |(i, code): (usize, &i8)| f32::from(*code) * scales[self.channel(i)];
        self.values = MatrixValues::Float(codes.iter().enumerate().map(float).collect());
    }

    /// Symmetric int8, one scale a channel: the largest value becomes 127. A matrix so small
    /// that this saves nothing stays as it is.
    fn quantise(&mut self) {
        let MatrixValues::Float(values) = &self.values else {
            return;
        };
        if values.len() < QUANTISE_FROM {
            return;
        }
        let mut scales = vec![0.0_f32; self.channels];
        for (i, value) in values.iter().enumerate() {
            let widest = &mut scales[self.channel(i)];
            *widest = widest.max(value.abs());
        }
        for scale in &mut scales {
            *scale = if *scale > 0.0 { *scale / 127.0 } else { 1.0 };
        }
        let code = |(i, value): (usize, &f32)| {
            (value / scales[self.channel(i)])
                .round_ties_even()
                .clamp(-127.0, 127.0) as i8
        };
        let codes = values.iter().enumerate().map(code).collect();
        self.values = MatrixValues::Int8 { codes, scales };
    }
}

/// A constant weight as the file has it.
struct Weight {
    shape: Vec<usize>,
    values: MatrixValues,
    /// Axis of the scales, where there is one a channel.
    scales: Option<usize>,
}

impl Weight {
    fn of(
        node: &NodeProto,
        constants: &BTreeMap<String, Constant>,
        quantised: &mut HashMap<String, Quantised>,
        uses: &HashMap<String, usize>,
    ) -> Option<Self> {
        let products = ["MatMul", "Gemm", "Conv", "ConvTranspose"];
        if !products.contains(&node.op_type.as_str()) || !node.domain.is_empty() {
            return None;
        }
        let name = node.input.get(1)?;
        // Taken out, not copied, where this is the only product that reads it.
        let last = uses.get(name).is_none_or(|uses| *uses == 1);
        let taken = if last {
            quantised.remove(name)
        } else {
            quantised.get(name).cloned()
        };
        if let Some(q) = taken {
            return Some(Self {
                shape: q.shape,
                scales: Some(q.axis),
                values: MatrixValues::Int8 {
                    codes: q.codes,
                    scales: q.scales,
                },
            });
        }
        let constant = constants.get(name)?;
        Some(Self {
            shape: constant.shape.clone(),
            scales: None,
            values: MatrixValues::Float(constant.floats()?.to_vec()),
        })
    }

    /// The matrix whose rows are `channel` of this weight's axes, in the order of
    /// `order`; the first `outer` axes of it are the channels.
    fn matrix(&self, order: &[usize], outer: usize, channel: usize) -> Result<Matrix, String> {
        let sides: Vec<usize> = order.iter().map(|&axis| self.shape[axis]).collect();
        let channels: usize = sides[..outer].iter().product();
        let depth: usize = sides[outer..].iter().product();
        if channels == 0 || depth == 0 {
            return Err("has weights without values".to_owned());
        }
        let values = match &self.values {
            MatrixValues::Float(values) => MatrixValues::Float(turned(values, &self.shape, order)),
            MatrixValues::Int8 { codes, scales } => {
                let scales = match (scales.as_slice(), self.scales) {
                    ([one], _) => vec![*one; channels],
                    (many, Some(axis)) if axis == channel => {
                        // The channel is the innermost of the outer axes, so its scales
                        // repeat for each index of those before it.
                        many.iter().copied().cycle().take(channels).collect()
                    }
                    _ => return Err("has int8 scales along its inputs".to_owned()),
                };
                let codes = turned(codes, &self.shape, order);
                MatrixValues::Int8 { codes, scales }
            }
        };
        Ok(Matrix {
            channels,
            depth,
            order: Order::OutputsFirst,
            values,
        })
    }

    /// The matrix of a product whose weights lie `[inputs, channels]`, as they are.
    fn inputs_first(self) -> Result<Matrix, String> {
        let [depth, channels] = self.shape[..] else {
            return Err("has weights of other than two axes".to_owned());
        };
        if channels == 0 || depth == 0 {
            return Err("has weights without values".to_owned());
        }
        let values = match (self.values, self.scales) {
            (MatrixValues::Int8 { codes, scales }, Some(axis)) => {
                let scales = match scales.as_slice() {
                    [one] => vec![*one; channels],
                    _ if axis == 1 => scales,
                    _ => return Err("has int8 scales along its inputs".to_owned()),
                };
                MatrixValues::Int8 { codes, scales }
            }
            (values, _) => values,
        };
        Ok(Matrix {
            channels,
            depth,
            order: Order::InputsFirst,
            values,
        })
    }
}

/// `values` of `shape` with its axes in another order.
fn turned<T: Copy>(values: &[T], shape: &[usize], order: &[usize]) -> Vec<T> {
    if order.iter().enumerate().all(|(i, axis)| i == *axis) {
        return values.to_vec();
    }
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    let mut offsets = vec![0];
    for &axis in order {
        let (length, stride) = (shape[axis], strides[axis]);
        offsets = offsets
            .iter()
            .flat_map(|o| (0..length).map(move |i| o + i * stride))
            .collect();
    }
    offsets.into_iter().map(|o| values[o]).collect()
}

type Replaced = (NodeProto, Matrix, Option<NodeProto>);

/// Our node for this one, its weight, and a node that must follow it.
fn replace(
    node: &NodeProto,
    weight: Weight,
    constants: &BTreeMap<String, Constant>,
    reads_input: bool,
) -> Result<Replaced, String> {
    let ours = |op: &str, bias: &str| {
        let mut ours = plain(op, &[&node.input[0], bias], &node.output[0]);
        DOMAIN.clone_into(&mut ours.domain);
        ours.attribute = vec![word("weight", &node.output[0])];
        ours
    };
    let bias = node.input.get(2).map_or("", String::as_str);
    if !bias.is_empty() && !constants.contains_key(bias) {
        return Err("has a bias that is no constant".to_owned());
    }
    match (node.op_type.as_str(), weight.shape.len()) {
        ("MatMul", 2) => Ok((ours("Linear", ""), weight.inputs_first()?, None)),
        ("Gemm", 2) => gemm(node, weight, bias, constants, &ours),
        ("Conv", 4) => convolution(node, &weight, bias, reads_input, &ours),
        ("ConvTranspose", 4) => transposed(node, &weight, bias, &ours),
        (op, rank) => Err(format!("is a {op} with weights of {rank} axes")),
    }
}

fn gemm(
    node: &NodeProto,
    weight: Weight,
    bias: &str,
    constants: &BTreeMap<String, Constant>,
    ours: &dyn Fn(&str, &str) -> NodeProto,
) -> Result<Replaced, String> {
    let plain_factors = node.float("alpha", 1.0) == 1.0 && node.float("beta", 1.0) == 1.0;
    if !plain_factors || node.int("transA", 0) != 0 {
        return Err("is a Gemm with factors or a turned activation".to_owned());
    }
    let matrix = if node.int("transB", 0) == 0 {
        weight.inputs_first()?
    } else {
        weight.matrix(&[0, 1], 1, 0)?
    };
    let fits = constants
        .get(bias)
        .is_some_and(|b| b.shape == [matrix.channels] || b.shape == [1, matrix.channels]);
    if bias.is_empty() || fits {
        return Ok((ours("Linear", bias), matrix, None));
    }
    let mut linear = ours("Linear", "");
    linear.output[0] = format!("{}.product", node.output[0]);
    let add = plain("Add", &[&linear.output[0], bias], &node.output[0]);
    Ok((linear, matrix, Some(add)))
}

/// Images come in with their channels first; between products of ours the channels lie
/// last. The patches, and so the weights, lie as the image does.
fn convolution(
    node: &NodeProto,
    weight: &Weight,
    bias: &str,
    reads_input: bool,
    ours: &dyn Fn(&str, &str) -> NodeProto,
) -> Result<Replaced, String> {
    geometry(node)?;
    let mut convolution = ours("Convolution", bias);
    copy_attributes(node, &mut convolution, weight);
    if reads_input {
        return Ok((convolution, weight.matrix(&[0, 1, 2, 3], 1, 0)?, None));
    }
    convolution.attribute.push(word("order", "channels_last"));
    Ok((convolution, weight.matrix(&[0, 2, 3, 1], 1, 0)?, None))
}

fn transposed(
    node: &NodeProto,
    weight: &Weight,
    bias: &str,
    ours: &dyn Fn(&str, &str) -> NodeProto,
) -> Result<Replaced, String> {
    geometry(node)?;
    let [_, _, height, width] = weight.shape[..] else {
        return Err("has no kernel of two axes".to_owned());
    };
    let strides = node.ints("strides");
    if strides != [height as i64, width as i64]
        || node.ints("pads").iter().any(|pad| *pad != 0)
        || !node.ints("output_padding").iter().all(|pad| *pad == 0)
    {
        return Err("is a transposed convolution whose kernels overlap".to_owned());
    }
    let mut convolution = ours("TransposedConvolution", bias);
    copy_attributes(node, &mut convolution, weight);
    // One output row holds the whole kernel's patch: row, column, channel.
    Ok((convolution, weight.matrix(&[2, 3, 1, 0], 3, 1)?, None))
}

fn geometry(node: &NodeProto) -> Result<(), String> {
    let automatic = !matches!(node.text("auto_pad"), "" | "NOTSET");
    if automatic || node.int("group", 1) != 1 || node.ints("dilations").iter().any(|d| *d != 1) {
        return Err("is a convolution with groups, dilation or automatic pads".to_owned());
    }
    Ok(())
}

fn copy_attributes(node: &NodeProto, ours: &mut NodeProto, weight: &Weight) {
    let kept = ["strides", "pads"];
    let kept = node
        .attribute
        .iter()
        .filter(|a| kept.contains(&a.name.as_str()));
    ours.attribute.extend(kept.cloned());
    let sides = weight.shape[2..].iter().map(|side| *side as i64).collect();
    ours.attribute.push(super::numbers("kernel", sides));
}
