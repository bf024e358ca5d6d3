//! Products with constant weights to our own [`Product`].
//!
//! It names its weights; the matrix itself stands apart, one row an output channel, so that it can
//! be packed, written and mapped.

use std::collections::{BTreeMap, HashMap};

use super::int8::Quantised;
use super::{Constant, Refused};
use crate::Arithmetic;
use crate::kernels::{Activation, Order, PatchOrder};
use crate::typed::{Binary, Node, Operator, Over, Product, TypedGraph, Window};

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
    graph: &mut TypedGraph,
    mut quantised: HashMap<String, Quantised>,
    arithmetic: Arithmetic,
) -> Result<BTreeMap<String, Matrix>, Refused> {
    let uses: HashMap<String, usize> = graph
        .uses()
        .into_iter()
        .map(|(name, uses)| (name.to_owned(), uses))
        .collect();
    let mut weights = BTreeMap::new();
    let mut nodes = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let Some(weight) = Weight::of(&node, &graph.constants, &mut quantised, &uses) else {
            nodes.push(node);
            continue;
        };
        let int8_weight = weight.scales.is_some();
        let reads_input = graph.inputs.iter().any(|i| i.name == node.inputs[0]);
        match replace(&node, weight, &graph.constants, reads_input) {
            Ok((ours, mut matrix, after)) => {
                match arithmetic {
                    Arithmetic::AsWritten => {}
                    Arithmetic::Int8 => matrix.quantise(),
                    Arithmetic::Float => matrix.widen(),
                }
                weights.insert(node.made().to_owned(), matrix);
                nodes.push(ours);
                nodes.extend(after);
            }
            Err(why) if int8_weight => return Err(Refused::node(&node, why)),
            // A float product of another form stays as it is.
            Err(_) => nodes.push(node),
        }
    }
    graph.nodes = nodes;
    drop_unread(graph);
    Ok(weights)
}

fn drop_unread(graph: &mut TypedGraph) {
    let mut constants = std::mem::take(&mut graph.constants);
    let uses = graph.uses();
    constants.retain(|name, _| uses.contains_key(name.as_str()));
    graph.constants = constants;
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
        node: &Node,
        constants: &BTreeMap<String, Constant>,
        quantised: &mut HashMap<String, Quantised>,
        uses: &HashMap<String, usize>,
    ) -> Option<Self> {
        if !node.operator.is_product() {
            return None;
        }
        let name = node.inputs.get(1)?;
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

type Replaced = (Node, Matrix, Option<Node>);

/// Our node for this one, its weight, and a node that must follow it.
fn replace(
    node: &Node,
    weight: Weight,
    constants: &BTreeMap<String, Constant>,
    reads_input: bool,
) -> Result<Replaced, String> {
    let bias = node.input(2).unwrap_or_default();
    if !bias.is_empty() && !constants.contains_key(bias) {
        return Err("has a bias that is no constant".to_owned());
    }
    match (&node.operator, &weight.shape[..]) {
        (Operator::MatMul, [_, _]) => {
            Ok((ours(node, Over::Rows, ""), weight.inputs_first()?, None))
        }
        (Operator::Gemm(turned), [_, _]) => gemm(node, weight, *turned, bias, constants),
        (Operator::Conv(window), [_, _, height, width]) => {
            let kernel = kernel(window, [*height, *width])?;
            convolution(node, &weight, window, kernel, bias, reads_input)
        }
        (Operator::ConvTranspose(window), [_, _, height, width]) => {
            let kernel = kernel(window, [*height, *width])?;
            if window.stride != kernel {
                return Err("is a transposed convolution whose kernels overlap".to_owned());
            }
            // One output row holds the whole kernel's patch: row, column, channel.
            let matrix = weight.matrix(&[2, 3, 1, 0], 3, 1)?;
            Ok((ours(node, Over::Pixels { kernel }, bias), matrix, None))
        }
        (operator, shape) => {
            let (name, rank) = (operator.name(), shape.len());
            Err(format!("is a {name} with weights of {rank} axes"))
        }
    }
}

fn ours(node: &Node, over: Over, bias: &str) -> Node {
    let product = Product {
        weights: node.made().to_owned(),
        activation: Activation::Identity,
        over,
    };
    Node::new(
        Operator::Product(product),
        &[&node.inputs[0], bias],
        node.made(),
    )
}

/// The weights' own sides, which the node may repeat.
fn kernel(window: &Window, sides: [usize; 2]) -> Result<[usize; 2], String> {
    match window.kernel {
        Some(said) if said != sides => Err(format!("names {said:?} for weights of {sides:?}")),
        _ => Ok(sides),
    }
}

fn gemm(
    node: &Node,
    weight: Weight,
    turned: bool,
    bias: &str,
    constants: &BTreeMap<String, Constant>,
) -> Result<Replaced, String> {
    let matrix = if turned {
        weight.matrix(&[0, 1], 1, 0)?
    } else {
        weight.inputs_first()?
    };
    let fits = constants
        .get(bias)
        .is_some_and(|b| b.shape == [matrix.channels] || b.shape == [1, matrix.channels]);
    if bias.is_empty() || fits {
        return Ok((ours(node, Over::Rows, bias), matrix, None));
    }
    let mut linear = ours(node, Over::Rows, "");
    let product = format!("{}.product", node.made());
    let add = Operator::Binary(Binary::Add);
    let add = Node::new(add, &[&product, bias], node.made());
    linear.outputs = vec![product];
    Ok((linear, matrix, Some(add)))
}

/// Images come in with their channels first; between products of ours the channels lie
/// last. The patches, and so the weights, lie as the image does.
fn convolution(
    node: &Node,
    weight: &Weight,
    window: &Window,
    kernel: [usize; 2],
    bias: &str,
    reads_input: bool,
) -> Result<Replaced, String> {
    let (order, axes) = if reads_input {
        (PatchOrder::ChannelsFirst, [0, 1, 2, 3])
    } else {
        (PatchOrder::ChannelsLast, [0, 2, 3, 1])
    };
    let over = Over::Patches {
        kernel,
        stride: window.stride,
        padding: window.padding,
        order,
    };
    Ok((ours(node, over, bias), weight.matrix(&axes, 1, 0)?, None))
}
