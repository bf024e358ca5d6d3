//! Every int8 form of ONNX to plain float nodes beside int8 weights.
//!
//! The forms: weights read back by `DequantizeLinear`; `QuantizeLinear` and
//! `DequantizeLinear` around each node (QDQ); `QLinearMatMul`, `QLinearConv`, `QGemm` and
//! their kin; `DynamicQuantizeLinear` with `MatMulInteger` or `ConvInteger`. What they
//! say of weights is kept to the bit where it is symmetric. What they say of
//! activations is kept but for the rounding before products: those quantise each row by what
//! stands in it, which is never coarser than a range fixed beforehand. What codes cannot hold
//! is cut off there too, as quantisers rely on in place of a `Relu` or a `Clip`. Codes that are
//! read by another scale than they were made by are refused.
//!
//! Nothing of an int8 form is left when this is done, or the graph is refused by node:
//! no product that the file wants in int8 runs in float unnoticed.

mod codes;
mod dynamic;
mod qdq;
mod qlinear;
mod quantised;

use std::collections::HashMap;

use super::proto::NodeProto;
use super::{Attributes, Constant, Refused, Source};
use codes::{By, Readers, Real};
use dynamic::{Product, Scale};
use qlinear::{QGEMM, QLINEAR};
pub(crate) use quantised::Quantised;
use quantised::{UNEVEN, symmetric};

/// Rewrites the graph in place; gives its int8 constants by name.
///
/// # Errors
/// [`Refused`], with the node of a form that is not known.
pub(crate) fn rewrite(source: &mut Source) -> Result<HashMap<String, Quantised>, Refused> {
    let mut rewriting = Rewriting {
        outputs: source.outputs.clone(),
        readers: Readers::of(source),
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

/// ONNX's number of the type.
const FLOAT: i64 = 1;

const OTHER_SCALE: &str = "reads codes by another scale or zero point than they were made by";

type Constants = std::collections::BTreeMap<String, Constant>;

#[derive(Default)]
struct Rewriting {
    /// The graph's outputs, which keep their names.
    outputs: Vec<String>,
    readers: Readers,
    nodes: Vec<NodeProto>,
    /// Integer activation to the float one that it stands for.
    real: HashMap<String, Real>,
    /// The least and the largest value, where they are known.
    bounds: HashMap<String, (f32, f32)>,
    /// Value to the one that takes its place.
    renamed: HashMap<String, String>,
    quantised: HashMap<String, Quantised>,
    products: HashMap<String, Product>,
    /// Run-time scale: of which activation, times which constant scales.
    scales: HashMap<String, Scale>,
}

/// Operators that move values about and so may work on codes.
const MOVERS: [&str; 12] = [
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "MaxPool",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
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
                let [codes, scale, zero] = outputs(&node)?;
                let x = node.input[0].clone();
                self.scales.insert(scale.clone(), Scale::of(x.clone()));
                let by = By::Dynamic {
                    scale: scale.clone(),
                    zero: zero.clone(),
                };
                self.real.insert(codes.clone(), Real { value: x, by });
                Ok(())
            }
            "DequantizeLinear" => self.dequantize(&node, constants),
            "MatMulInteger" => self.product(node, "MatMul", constants),
            "ConvInteger" => self.product(node, "Conv", constants),
            "Cast" if self.products.contains_key(&node.input[0]) => {
                if node.int("to", 0) != FLOAT {
                    return Err(Refused::node(&node, "casts an integer product to no float"));
                }
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
        let mut carried = Vec::new();
        for name in &mut node.input {
            if let Some(real) = self.real.get(name) {
                carried.push(real.by.clone());
                name.clone_from(&real.value);
            }
            if self.products.contains_key(name) || self.scales.contains_key(name) {
                return Err(Refused::node(
                    &node,
                    "reads an integer product before its scale",
                ));
            }
        }
        if let Some(by) = carried.first().cloned() {
            if !MOVERS.contains(&node.op_type.as_str()) {
                return Err(Refused::node(
                    &node,
                    "an int8 operator that is not known here",
                ));
            }
            let all = node.op_type != "Concat" || carried.len() == node.input.len();
            if !all || carried.iter().any(|other| *other != by) {
                return Err(Refused::node(&node, "joins codes of different scales"));
            }
            for output in &mut node.output {
                *output = self.stands_for(output, by.clone());
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
    fn stands_for(&mut self, codes: &str, by: By) -> String {
        let value = format!("{codes}.real");
        let real = Real {
            value: value.clone(),
            by,
        };
        self.real.insert(codes.to_owned(), real);
        value
    }

    fn push(&mut self, node: NodeProto) {
        self.note_bounds(&node);
        self.nodes.push(node);
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
        let zero = zero_points(zero, constants).ok_or_else(|| Refused::node(node, ZERO))?;
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
}

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

/// Zero where none is named; `None` where it is no constant, or has axes that only its values'
/// order would stand for.
fn zero_points(zero: Option<&String>, constants: &Constants) -> Option<Vec<i64>> {
    let Some(name) = zero.filter(|name| !name.is_empty()) else {
        return Some(vec![0]);
    };
    let constant = constants.get(name)?;
    (constant.shape.len() <= 1).then(|| constant.ints())?
}

const ZERO: &str = "its zero points are no constants of at most one axis";

fn floats(node: &NodeProto, i: usize, constants: &Constants) -> Result<Vec<f32>, Refused> {
    node.input
        .get(i)
        .and_then(|name| constants.get(name))
        .filter(|constant| constant.shape.len() <= 1)
        .and_then(|constant| Some(constant.floats()?.to_vec()))
        .ok_or_else(|| Refused::node(node, "its scales are no constants of at most one axis"))
}
