//! Every int8 form of ONNX to plain float nodes beside int8 weights.
//!
//! The forms: weights read back by `DequantizeLinear`; `QuantizeLinear` and
//! `DequantizeLinear` around each node (QDQ); `QLinearMatMul`, `QLinearConv`, `QGemm` and
//! their kin; `DynamicQuantizeLinear` with `MatMulInteger` or `ConvInteger`. What they
//! say of weights is kept to the bit where it is symmetric. What they say of
//! activations is dropped: our operators quantise each row by what stands in it, which
//! is never coarser than a range fixed beforehand. One thing of it has a meaning of
//! its own: a range that begins at zero also clamps there, as `Relu` does.
//!
//! Nothing of an int8 form is left when this is done, or the graph is refused by node:
//! no product that the file wants in int8 runs in float unnoticed.

use std::collections::HashMap;

use super::proto::NodeProto;

use super::{Attributes, Constant, Refused, Source, Values};

/// A constant in int8: `codes * scales`.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::engine) struct Quantised {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The codes, row-major.
    pub codes: Vec<i8>,
    /// One scale, or one for each index of `axis`.
    pub scales: Vec<f32>,
    /// The axis that the scales run along.
    pub axis: usize,
}

impl Quantised {
    /// How many neighbouring codes share a scale.
    fn run(&self) -> usize {
        if self.scales.len() == 1 {
            self.codes.len().max(1)
        } else {
            self.shape[self.axis + 1..].iter().product()
        }
    }

    /// The floats that the codes stand for.
    pub fn floats(&self) -> Vec<f32> {
        let scales = self.scales.iter().cycle();
        self.codes
            .chunks(self.run())
            .zip(scales)
            .flat_map(|(codes, scale)| codes.iter().map(move |code| f32::from(*code) * scale))
            .collect()
    }

    /// The same with its two axes exchanged.
    fn transposed(&self) -> Option<Self> {
        let [rows, columns] = self.shape[..] else {
            return None;
        };
        let code = |i: usize| self.codes[i % rows * columns + i / rows];
        Some(Self {
            shape: vec![columns, rows],
            codes: (0..rows * columns).map(code).collect(),
            scales: self.scales.clone(),
            axis: 1 - self.axis.min(1),
        })
    }
}

/// Rewrites the graph in place; gives its int8 constants by name.
///
/// # Errors
/// [`Refused`], with the node of a form that is not known.
pub(in crate::engine) fn rewrite(
    source: &mut Source,
) -> Result<HashMap<String, Quantised>, Refused> {
    let mut rewriting = Rewriting {
        outputs: source.outputs.clone(),
        ..Rewriting::default()
    };
    for node in std::mem::take(&mut source.nodes) {
        rewriting.node(node, &mut source.constants)?;
    }
    for output in &source.outputs {
        if rewriting.products.contains_key(output) || rewriting.scales.contains_key(output) {
            return Err(Refused::value(output, "an integer product as an output"));
        }
    }
    source.nodes = rewriting.nodes;
    Ok(rewriting.quantised)
}

type Constants = std::collections::BTreeMap<String, Constant>;

/// An integer product whose scale has not been met yet.
#[derive(Clone)]
struct Product {
    op: &'static str,
    x: String,
    weight: String,
    node: NodeProto,
}

#[derive(Default)]
struct Rewriting {
    /// The graph's outputs, which keep their names.
    outputs: Vec<String>,
    nodes: Vec<NodeProto>,
    /// Integer activation to the float one that it stands for.
    real: HashMap<String, String>,
    /// Value to the one that takes its place.
    renamed: HashMap<String, String>,
    quantised: HashMap<String, Quantised>,
    products: HashMap<String, Product>,
    /// Run-time scale: of which activation, times which constant scales.
    scales: HashMap<String, (String, Vec<f32>)>,
    /// Operator that makes each value.
    makers: HashMap<String, String>,
}

/// Operators that move values about and so may work on codes.
const MOVERS: [&str; 12] = [
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "MaxPool",
    "Pad",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
];

impl Rewriting {
    fn node(&mut self, mut node: NodeProto, constants: &mut Constants) -> Result<(), Refused> {
        for name in &mut node.input {
            if let Some(other) = self.renamed.get(name) {
                name.clone_from(other);
            }
        }
        match node.op_type.as_str() {
            "QuantizeLinear" => self.quantize(&node, constants),
            "DynamicQuantizeLinear" => {
                let [codes, scale, _] = outputs(&node)?;
                let x = node.input[0].clone();
                self.scales.insert(scale.clone(), (x.clone(), vec![1.0]));
                self.real.insert(codes.clone(), x);
                Ok(())
            }
            "DequantizeLinear" => self.dequantize(&node, constants),
            "MatMulInteger" => self.product(node, "MatMul", constants),
            "ConvInteger" => self.product(node, "Conv", constants),
            "Cast" if self.products.contains_key(&node.input[0]) => {
                let product = self.products[&node.input[0]].clone();
                self.products.insert(node.output[0].clone(), product);
                Ok(())
            }
            "Mul" => self.scale(node, constants),
            "QLinearMatMul" => self.qlinear(&node, "MatMul", &QLINEAR, constants),
            "QLinearConv" => self.qlinear(&node, "Conv", &QLINEAR, constants),
            "QGemm" => self.qlinear(&node, "Gemm", &QGEMM, constants),
            "QLinearAdd" => self.qlinear_float(&node, "Add", &[0, 3], 7, constants),
            "QLinearMul" => self.qlinear_float(&node, "Mul", &[0, 3], 7, constants),
            "QLinearSigmoid" => self.qlinear_float(&node, "Sigmoid", &[0], 4, constants),
            "QLinearSoftmax" => self.qlinear_float(&node, "Softmax", &[0], 4, constants),
            "QLinearConcat" => {
                let parts: Vec<usize> = (2..node.input.len()).step_by(3).collect();
                self.qlinear_float(&node, "Concat", &parts, 1, constants)
            }
            "Transpose" if self.quantised.contains_key(&node.input[0]) => {
                let turned = self.quantised[&node.input[0]].transposed();
                let turned = turned.ok_or_else(|| {
                    Refused::node(&node, "int8 weights of more than two axes are turned")
                })?;
                self.quantised.insert(node.output[0].clone(), turned);
                Ok(())
            }
            _ => self.other(node, constants),
        }
    }

    /// A node of no int8 form; it may still carry codes from one place to another, or
    /// read an int8 constant as floats.
    fn other(&mut self, mut node: NodeProto, constants: &mut Constants) -> Result<(), Refused> {
        let mut carries = false;
        for name in &mut node.input {
            if let Some(real) = self.real.get(name) {
                carries = true;
                name.clone_from(real);
            }
            if self.products.contains_key(name) || self.scales.contains_key(name) {
                return Err(Refused::node(
                    &node,
                    "reads an integer product before its scale",
                ));
            }
        }
        if carries {
            if !MOVERS.contains(&node.op_type.as_str()) && node.op_type != "Unsqueeze" {
                return Err(Refused::node(
                    &node,
                    "an int8 operator that is not known here",
                ));
            }
            for output in &mut node.output {
                *output = self.stands_for(output);
            }
        }
        let reads_weight = matches!(
            node.op_type.as_str(),
            "MatMul" | "Gemm" | "Conv" | "ConvTranspose"
        );
        for (i, name) in node.input.iter().enumerate() {
            if !(reads_weight && i == 1)
                && let Some(quantised) = self.quantised.get(name)
            {
                let floats = Constant::float(&quantised.shape, quantised.floats());
                constants.insert(name.clone(), floats);
            }
        }
        self.push(node);
        Ok(())
    }

    /// The name of the float value that these codes stand for.
    fn stands_for(&mut self, codes: &str) -> String {
        let real = format!("{codes}.real");
        self.real.insert(codes.to_owned(), real.clone());
        real
    }

    fn push(&mut self, node: NodeProto) {
        for output in &node.output {
            self.makers.insert(output.clone(), node.op_type.clone());
        }
        self.nodes.push(node);
    }

    fn quantize(&mut self, node: &NodeProto, constants: &Constants) -> Result<(), Refused> {
        let (x, codes) = (&node.input[0], &node.output[0]);
        if constants.contains_key(x) {
            return Err(Refused::node(node, "quantises a constant at run time"));
        }
        let mut real = x.clone();
        if clamps(node.input.get(2), constants) && !self.is_positive(x) {
            real = format!("{codes}.clamped");
            self.push(plain("Relu", &[x], &real));
        }
        self.real.insert(codes.clone(), real);
        Ok(())
    }

    fn is_positive(&self, name: &str) -> bool {
        let maker = self.makers.get(name).map(String::as_str);
        matches!(maker, Some("Relu" | "Sigmoid" | "Softmax"))
    }

    fn dequantize(&mut self, node: &NodeProto, constants: &mut Constants) -> Result<(), Refused> {
        let (x, y) = (&node.input[0], &node.output[0]);
        if let Some(real) = self.real.get(x).cloned() {
            if self.outputs.contains(y) {
                self.push(plain("Identity", &[&real], y));
            } else {
                self.renamed.insert(y.clone(), real);
            }
            return Ok(());
        }
        let Some(codes) = constants.get(x) else {
            return Err(Refused::node(node, "reads codes that nothing here made"));
        };
        if node.int("block_size", 0) != 0 {
            return Err(Refused::node(node, "scales a block are not known here"));
        }
        let scales = floats(node, 1, constants)?;
        let axis = axis(node, codes.shape.len(), scales.len())?;
        let zero = zero_points(node.input.get(2), constants);
        if let Values::Int(values) = &codes.values {
            let read = read_back(&codes.shape, values, &scales, &zero, axis);
            let read = read.ok_or_else(|| Refused::node(node, UNEVEN))?;
            constants.insert(y.clone(), Constant::float(&codes.shape.clone(), read));
            return Ok(());
        }
        let quantised = symmetric(codes, scales, &zero, axis);
        let quantised = quantised.ok_or_else(|| Refused::node(node, UNEVEN))?;
        self.quantised.insert(y.clone(), quantised);
        Ok(())
    }

    /// `MatMulInteger` and `ConvInteger`: the product waits for its scale.
    fn product(
        &mut self,
        node: NodeProto,
        op: &'static str,
        constants: &Constants,
    ) -> Result<(), Refused> {
        let x = self.real.get(&node.input[0]).cloned();
        let x = x.ok_or_else(|| Refused::node(&node, "reads codes that nothing here made"))?;
        let weight = self.weight(&node, 1, vec![1.0], node.input.get(3), constants)?;
        let product = Product {
            op,
            x,
            weight,
            node: node.clone(),
        };
        self.products.insert(node.output[0].clone(), product);
        Ok(())
    }

    /// A `Mul` that makes or applies the scale of an integer product; or any other.
    fn scale(&mut self, node: NodeProto, constants: &mut Constants) -> Result<(), Refused> {
        let [a, b] = [node.input[0].clone(), node.input[1].clone()];
        for (one, other) in [(&a, &b), (&b, &a)] {
            let constant = constants.get(other).and_then(Constant::floats);
            if let (Some((x, scales)), Some(factor)) = (self.scales.get(one), constant) {
                let scales = times(scales, factor)
                    .ok_or_else(|| Refused::node(&node, "scales that do not fit"))?;
                let entry = (x.clone(), scales);
                self.scales.insert(node.output[0].clone(), entry);
                return Ok(());
            }
            if let (Some(product), Some((x, scales))) =
                (self.products.get(one), self.scales.get(other))
            {
                if product.x != *x && self.real.get(&product.x) != Some(x) {
                    return Err(Refused::node(&node, "scales a product by another's scale"));
                }
                let (product, scales) = (product.clone(), scales.clone());
                return self.scaled(&node, product, scales);
            }
        }
        self.other(node, constants)
    }

    fn scaled(
        &mut self,
        node: &NodeProto,
        product: Product,
        scales: Vec<f32>,
    ) -> Result<(), Refused> {
        let mut weight = self.quantised[&product.weight].clone();
        weight.axis = if product.op == "Conv" {
            0
        } else {
            weight.shape.len().saturating_sub(1)
        };
        if scales.len() != 1 && weight.shape.get(weight.axis) != Some(&scales.len()) {
            return Err(Refused::node(node, "scales that do not fit the weights"));
        }
        weight.scales = times(&weight.scales, &scales)
            .ok_or_else(|| Refused::node(node, "scales that do not fit the weights"))?;
        let name = format!("{}.scaled", product.weight);
        self.quantised.insert(name.clone(), weight);
        let mut plain = plain(product.op, &[&product.x, &name], &node.output[0]);
        plain.attribute = product.node.attribute;
        self.push(plain);
        Ok(())
    }

    /// Int8 weights at input `i`, under a name of their own.
    fn weight(
        &mut self,
        node: &NodeProto,
        i: usize,
        scales: Vec<f32>,
        zero: Option<&String>,
        constants: &Constants,
    ) -> Result<String, Refused> {
        let name = &node.input[i];
        let Some(codes) = constants.get(name) else {
            let why = "multiplies two activations in int8, which is not known here";
            return Err(Refused::node(node, why));
        };
        let axis = match node.op_type.as_str() {
            "QLinearConv" | "ConvInteger" => 0,
            "QGemm" if node.int("transB", 0) != 0 => 0,
            _ => codes.shape.len().saturating_sub(1),
        };
        let zero = zero_points(zero, constants);
        let scales = if scales.len() == 1 {
            scales.repeat(zero.len())
        } else {
            scales
        };
        let quantised = symmetric(codes, scales, &zero, axis);
        let quantised = quantised.ok_or_else(|| Refused::node(node, UNEVEN))?;
        let own = format!("{name}.of.{}", node.output[0]);
        self.quantised.insert(own.clone(), quantised);
        Ok(own)
    }

    /// The float value that an integer input of a `QLinear` node stands for.
    fn real_input(
        &mut self,
        node: &NodeProto,
        i: usize,
        constants: &mut Constants,
    ) -> Result<String, Refused> {
        let name = &node.input[i];
        if let Some(real) = self.real.get(name) {
            return Ok(real.clone());
        }
        let Some(codes) = constants.get(name) else {
            return Err(Refused::node(node, "reads codes that nothing here made"));
        };
        let zero = zero_points(node.input.get(i + 2), constants);
        let scales = floats(node, i + 1, constants)?;
        let quantised =
            symmetric(codes, scales, &zero, 0).ok_or_else(|| Refused::node(node, UNEVEN))?;
        let own = format!("{name}.of.{}", node.output[0]);
        let floats = Constant::float(&quantised.shape, quantised.floats());
        constants.insert(own.clone(), floats);
        Ok(own)
    }

    fn qlinear(
        &mut self,
        node: &NodeProto,
        op: &str,
        slots: &Slots,
        constants: &mut Constants,
    ) -> Result<(), Refused> {
        let x = self.real_input(node, 0, constants)?;
        let inner = (op == "MatMul" && !constants.contains_key(&node.input[3]))
            .then(|| self.real_input(node, 3, constants))
            .transpose()?;
        let weight = match inner {
            Some(other) => other,
            None => {
                let scales = floats(node, 4, constants)?;
                self.weight(node, 3, scales, node.input.get(5), constants)?
            }
        };
        let mut inputs = vec![x, weight];
        if let Some(bias) = node.input.get(slots.bias).filter(|bias| !bias.is_empty()) {
            let own = format!("{bias}.of.{}", node.output[0]);
            let floats = bias_floats(node, bias, constants)?;
            constants.insert(own.clone(), floats);
            inputs.push(own);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut plain = plain(op, &inputs, &node.output[0]);
        plain.attribute.clone_from(&node.attribute);
        self.push_clamped(plain, node.input.get(slots.zero), constants);
        Ok(())
    }

    fn qlinear_float(
        &mut self,
        node: &NodeProto,
        op: &str,
        parts: &[usize],
        zero: usize,
        constants: &mut Constants,
    ) -> Result<(), Refused> {
        let inputs = parts
            .iter()
            .map(|&i| self.real_input(node, i, constants))
            .collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut plain = plain(op, &inputs, &node.output[0]);
        plain.attribute.clone_from(&node.attribute);
        self.push_clamped(plain, node.input.get(zero), constants);
        Ok(())
    }

    /// Pushes a node that once gave codes with this zero point.
    fn push_clamped(&mut self, mut node: NodeProto, zero: Option<&String>, constants: &Constants) {
        let codes = node.output[0].clone();
        let real = self.stands_for(&codes);
        let positive = matches!(node.op_type.as_str(), "Sigmoid" | "Softmax");
        if clamps(zero, constants) && !positive {
            node.output[0] = format!("{codes}.unclamped");
            let relu = plain("Relu", &[&node.output[0]], &real);
            self.push(node);
            self.push(relu);
        } else {
            node.output[0] = real;
            self.push(node);
        }
    }
}

const UNEVEN: &str = "scales, zero points and weights do not fit each other";

/// Where a `QLinear` product has its output's zero point and its bias.
struct Slots {
    zero: usize,
    bias: usize,
}

const QLINEAR: Slots = Slots { zero: 7, bias: 8 };
const QGEMM: Slots = Slots { zero: 8, bias: 6 };

fn outputs<const N: usize>(node: &NodeProto) -> Result<&[String; N], Refused> {
    node.output
        .as_slice()
        .try_into()
        .map_err(|_| Refused::node(node, format!("has not {N} outputs")))
}

/// A node of the plain ONNX domain.
pub(super) fn plain(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: inputs.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        ..NodeProto::default()
    }
}

/// Whether codes of this zero point cannot stand for a value under zero.
fn clamps(zero: Option<&String>, constants: &Constants) -> bool {
    match zero.and_then(|name| constants.get(name)).map(|c| &c.values) {
        Some(Values::U8(values)) => values.iter().all(|v| *v == 0),
        Some(Values::I8(values)) => values.iter().all(|v| *v == i8::MIN),
        // Left out, it is an unsigned zero.
        None => zero.is_none_or(String::is_empty),
        Some(_) => false,
    }
}

fn zero_points(zero: Option<&String>, constants: &Constants) -> Vec<i64> {
    zero.and_then(|name| constants.get(name))
        .and_then(Constant::ints)
        .unwrap_or_else(|| vec![0])
}

fn floats(node: &NodeProto, i: usize, constants: &Constants) -> Result<Vec<f32>, Refused> {
    node.input
        .get(i)
        .and_then(|name| constants.get(name)?.floats())
        .map(|floats| floats.to_vec())
        .ok_or_else(|| Refused::node(node, "its scales are no constants"))
}

fn axis(node: &NodeProto, rank: usize, scales: usize) -> Result<usize, Refused> {
    let axis = node.int("axis", 1);
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(axis) {
        _ if scales == 1 => Ok(0),
        Ok(axis) if axis < rank => Ok(axis),
        _ => Err(Refused::node(node, format!("has no axis {axis}"))),
    }
}

fn times(a: &[f32], b: &[f32]) -> Option<Vec<f32>> {
    match (a, b) {
        ([a], b) => Some(b.iter().map(|b| a * b).collect()),
        (a, [b]) => Some(a.iter().map(|a| a * b).collect()),
        (a, b) if a.len() == b.len() => Some(a.iter().zip(b).map(|(a, b)| a * b).collect()),
        _ => None,
    }
}

/// The bias of an integer product: int32 in units of the product of both scales.
fn bias_floats(node: &NodeProto, bias: &str, constants: &Constants) -> Result<Constant, Refused> {
    let codes = constants.get(bias);
    let codes = codes.ok_or_else(|| Refused::node(node, "its bias is no constant"))?;
    let (x, weight) = (floats(node, 1, constants)?, floats(node, 4, constants)?);
    let scales = times(&x, &weight).ok_or_else(|| Refused::node(node, UNEVEN))?;
    let values = codes.ints().unwrap_or_default();
    let read = read_back(&[values.len()], &values, &scales, &[0], 0);
    let read = read.ok_or_else(|| Refused::node(node, UNEVEN))?;
    Ok(Constant::float(&[read.len()], read))
}

/// `(code - zero) * scale` for codes of any width.
fn read_back(
    shape: &[usize],
    codes: &[i64],
    scales: &[f32],
    zero: &[i64],
    axis: usize,
) -> Option<Vec<f32>> {
    let run = run_of(shape, scales.len(), zero.len(), axis)?;
    let channel = |i: usize| i / run % scales.len();
    let zero = |i: usize| zero[channel(i) % zero.len()];
    let value = |(i, code): (usize, &i64)| (code - zero(i)) as f32 * scales[channel(i)];
    Some(codes.iter().enumerate().map(value).collect())
}

fn run_of(shape: &[usize], scales: usize, zeros: usize, axis: usize) -> Option<usize> {
    if scales == 0 || (zeros != 1 && zeros != scales) {
        return None;
    }
    if scales == 1 {
        return Some(shape.iter().product::<usize>().max(1));
    }
    (shape.get(axis) == Some(&scales)).then(|| shape[axis + 1..].iter().product::<usize>().max(1))
}

/// Codes about any zero point as codes about zero. Signed codes about 0 and unsigned
/// ones about 128 are kept to the bit; others are spread over the whole range again,
/// which costs at most half a step of the wider scale.
fn symmetric(codes: &Constant, scales: Vec<f32>, zero: &[i64], axis: usize) -> Option<Quantised> {
    let run = run_of(&codes.shape, scales.len(), zero.len(), axis)?;
    let quantised = |codes_: Vec<i8>, scales| Quantised {
        shape: codes.shape.clone(),
        codes: codes_,
        scales,
        axis,
    };
    match &codes.values {
        Values::I8(values) if zero.iter().all(|z| *z == 0) => {
            return Some(quantised(values.clone(), scales));
        }
        Values::U8(values) if zero.iter().all(|z| *z == 128) => {
            let codes = values.iter().map(|v| (v ^ 0x80).cast_signed()).collect();
            return Some(quantised(codes, scales));
        }
        _ => {}
    }
    let values = codes.ints()?;
    let channel = |i: usize| i / run % scales.len();
    let distance = |i: usize, code: i64| code - zero[channel(i) % zero.len()];
    let mut widest = vec![0_i64; scales.len()];
    for (i, code) in values.iter().enumerate() {
        let widest = &mut widest[channel(i)];
        *widest = (*widest).max(distance(i, *code).abs());
    }
    let stretched = |(i, code): (usize, &i64)| {
        let widest = widest[channel(i)].max(1) as f32;
        (distance(i, *code) as f32 * (127.0 / widest)).round_ties_even() as i8
    };
    let codes = values.iter().enumerate().map(stretched).collect();
    let scales = scales
        .iter()
        .zip(&widest)
        .map(|(scale, widest)| scale * (*widest).max(1) as f32 / 127.0)
        .collect();
    Some(quantised(codes, scales))
}
