//! A node of ONNX as an operator of ours: the one place that knows how ONNX writes them.
//!
//! In go nodes of float arithmetic and the opset of their file, out come typed ones. Each attribute
//! is read here or refused by name: what would be passed over in silence might change the answer.
//! Old forms and new ones become the same operator.

use std::ops::RangeInclusive;

use super::allowed::{self, MANY};
use super::proto::{AttributeProto, AttributeType, DataType, NodeProto, TensorProto};
use super::{DOMAIN, MICROSOFT, Refused, Source, Values, source};
use crate::kernels::Activation;
use crate::typed::{
    Binary, Codes, Fill, Function, Node, Number, Operator, Reduction, Resize, TypedGraph, Window,
};

/// Factor of QuickGELU, `x * sigmoid(1.702 x)` (Hendrycks & Gimpel 2016).
pub(super) const QUICK: f32 = 1.702;

const NOT_KNOWN: &str = "is an operator that is not known here";

/// Reads every node of a graph.
///
/// # Errors
/// [`Refused`], with the node to blame.
pub(super) fn graph(source: Source, opset: i64) -> Result<TypedGraph, Refused> {
    let typed = |node: NodeProto| match operator(&node, opset) {
        Ok(operator) => Ok(Node {
            operator,
            inputs: node.input,
            outputs: node.output,
        }),
        Err(why) => Err(Refused::node(&node, why)),
    };
    Ok(TypedGraph {
        inputs: source.inputs,
        outputs: source.outputs,
        nodes: source
            .nodes
            .into_iter()
            .map(typed)
            .collect::<Result<_, _>>()?,
        constants: source.constants,
    })
}

/// Reads a node.
///
/// # Errors
/// A sentence on what of it is not known here.
pub(super) fn operator(node: &NodeProto, opset: i64) -> Result<Operator, String> {
    let mut given = Given {
        node,
        read: Vec::new(),
    };
    let (inputs, operator) = given.operator(opset)?;
    allowed::inputs(node, &inputs)?;
    if node.input[..*inputs.start()].iter().any(String::is_empty) {
        return Err("lacks an input".to_owned());
    }
    let made = node.output.len();
    let fits = made == 1 || (made > 1 && matches!(operator, Operator::Split(..)));
    if !fits || node.output.iter().any(String::is_empty) {
        return Err(format!("has {made} outputs, which is not known here"));
    }
    given.nothing_else()?;
    Ok(operator)
}

/// How many inputs an operator has, and what it is.
type Read = (RangeInclusive<usize>, Operator);

/// What a node says, and what of it was read.
struct Given<'a> {
    node: &'a NodeProto,
    read: Vec<&'static str>,
}

impl<'a> Given<'a> {
    fn operator(&mut self, opset: i64) -> Result<Read, String> {
        let name = self.node.op_type.as_str();
        let operator = match (self.node.domain.as_str(), name) {
            ("", name) => return self.plain(name, opset),
            (MICROSOFT, "Gelu") => Operator::Activation(Activation::Gelu),
            (MICROSOFT, "FastGelu") => Operator::TanhGelu,
            (MICROSOFT, "QuickGelu") => {
                let apart = (self.float("alpha", QUICK)? - QUICK).abs();
                if apart.is_nan() || apart > 1e-6 {
                    return Err("is a QuickGelu of another factor".to_owned());
                }
                Operator::Activation(Activation::QuickGelu)
            }
            // What int8 forms become beside plain nodes; no file's own.
            (DOMAIN, "Requantise") => Operator::Requantise(Codes {
                scale: self.float("scale", 1.0)?,
                zero: self.int("zero", 0)? as f32,
                least: self.int("least", 0)? as f32,
                most: self.int("most", 0)? as f32,
            }),
            (DOMAIN, "Softmax") => {
                let joins = self.int("opset", 13)? < 13;
                let axis = self.int("axis", -1)?;
                Operator::Softmax { axis, joins }
            }
            (domain, _) => {
                return Err(format!("is an operator of {domain} that is not known here"));
            }
        };
        Ok((1..=1, operator))
    }

    fn plain(&mut self, name: &str, opset: i64) -> Result<Read, String> {
        Ok(match name {
            "Relu" => (1..=1, Operator::Activation(Activation::Relu)),
            "Sigmoid" => (1..=1, Operator::Activation(Activation::Sigmoid)),
            "Gelu" => match self.word("approximate")? {
                "" | "none" => (1..=1, Operator::Activation(Activation::Gelu)),
                "tanh" => (1..=1, Operator::TanhGelu),
                other => return Err(format!("is a Gelu by {other}, which is not known here")),
            },
            "Min" | "Max" => (1..=MANY, self.pointwise(name)?),
            "Sum" => (1..=MANY, Operator::Sum),
            "Clip" => {
                let bounds = [self.bound("min")?, self.bound("max")?];
                if bounds != [None; 2] && self.node.input.len() > 1 {
                    return Err("has bounds of two kinds".to_owned());
                }
                let [least, most] = bounds;
                (1..=3, Operator::Clip { least, most })
            }
            "Where" => (3..=3, Operator::Where),
            "Cast" => (1..=1, self.cast()?),
            "LayerNormalization" => {
                // In which type it is computed: ours is this one.
                self.only("stash_type", 1)?;
                let (axis, epsilon) = (self.int("axis", -1)?, self.float("epsilon", 1e-5)?);
                (2..=3, Operator::LayerNormalization(axis, epsilon))
            }
            "Softmax" => {
                // Before, all axes from this one on were taken together.
                let joins = opset < 13;
                let axis = self.int("axis", if joins { 1 } else { -1 })?;
                (1..=1, Operator::Softmax { axis, joins })
            }
            "ReduceMean" => (1..=2, Operator::ReduceMean(self.reduction()?)),
            "ReduceProd" => (1..=2, Operator::ReduceProd(self.reduction()?)),
            "MatMul" => (2..=2, Operator::MatMul),
            "Gemm" => (2..=3, self.gemm()?),
            "Conv" => (2..=3, Operator::Conv(self.window()?)),
            "ConvTranspose" => {
                let window = self.window()?;
                let more = self.ints("output_padding")?.iter().any(|pad| *pad != 0);
                if more || window.padding != [0; 4] {
                    return Err("is a transposed convolution whose kernels overlap".to_owned());
                }
                (2..=3, Operator::ConvTranspose(window))
            }
            "MaxPool" => (1..=1, self.max_pool()?),
            "Resize" => (1..=4, self.resize(opset)?),
            _ => return self.move_or_shape(name),
        })
    }

    fn move_or_shape(&mut self, name: &str) -> Result<Read, String> {
        Ok(match name {
            "Identity" => (1..=1, Operator::Identity),
            "Reshape" => (2..=2, Operator::Reshape(self.int("allowzero", 0)? != 0)),
            "Flatten" => (1..=1, Operator::Flatten(self.int("axis", 1)?)),
            "Squeeze" => (1..=2, Operator::Squeeze(self.ints("axes")?.to_vec())),
            "Unsqueeze" => (1..=2, Operator::Unsqueeze(self.ints("axes")?.to_vec())),
            "Transpose" => (1..=1, Operator::Transpose(self.ints("perm")?.to_vec())),
            "Slice" => (3..=5, Operator::Slice),
            "Gather" => (2..=2, Operator::Gather(self.int("axis", 0)?)),
            "Expand" => (2..=2, Operator::Expand),
            "Pad" => match self.word("mode")? {
                "" | "constant" => (2..=3, Operator::Pad),
                other => return Err(format!("pads by {other}, which is not known here")),
            },
            "Split" => {
                self.only("num_outputs", self.node.output.len() as i64)?;
                let sizes = self.ints("split")?.to_vec();
                (1..=2, Operator::Split(self.int("axis", 0)?, sizes))
            }
            "Concat" => (1..=MANY, Operator::Concat(self.int("axis", 0)?)),
            "Shape" => {
                let (start, end) = (self.int("start", 0)?, self.int("end", i64::MAX)?);
                (1..=1, Operator::Shape(start, end))
            }
            "ConstantOfShape" => (1..=1, Operator::ConstantOfShape(self.fill()?)),
            "Range" => (3..=3, Operator::Range),
            _ => match Function::named(name) {
                Some(function) => (1..=1, Operator::Function(function)),
                None => (2..=2, self.pointwise(name)?),
            },
        })
    }

    fn pointwise(&self, name: &str) -> Result<Operator, String> {
        let binary = Binary::named(name).ok_or(NOT_KNOWN)?;
        Ok(Operator::Binary(binary))
    }

    fn cast(&mut self) -> Result<Operator, String> {
        self.only("saturate", 1)?;
        let number = self.int("to", 0)?;
        let known = i32::try_from(number).map(DataType::try_from);
        let to = match known {
            Ok(Ok(DataType::Float)) => Number::Float,
            Ok(Ok(DataType::Int32)) => Number::Int32,
            Ok(Ok(DataType::Int64)) => Number::Int64,
            Ok(Ok(DataType::Bool)) => Number::Bool,
            _ => return Err(format!("casts to type {number}, which is not known")),
        };
        Ok(Operator::Cast(to))
    }

    fn reduction(&mut self) -> Result<Reduction, String> {
        self.only("noop_with_empty_axes", 0)?;
        Ok(Reduction {
            axes: self.ints("axes")?.to_vec(),
            keeps: self.int("keepdims", 1)? == 1,
        })
    }

    fn gemm(&mut self) -> Result<Operator, String> {
        let factors = [self.float("alpha", 1.0)?, self.float("beta", 1.0)?];
        if factors != [1.0; 2] || self.int("transA", 0)? != 0 {
            return Err("is a Gemm with factors or a turned activation".to_owned());
        }
        Ok(Operator::Gemm(self.int("transB", 0)? != 0))
    }

    /// A window of two axes without gaps, groups or automatic pads.
    fn window(&mut self) -> Result<Window, String> {
        let automatic = !matches!(self.word("auto_pad")?, "" | "NOTSET");
        let gaps = self.ints("dilations")?.iter().any(|by| *by != 1);
        if automatic || gaps || self.int("group", 1)? != 1 {
            let why = "is a convolution with groups, dilation or automatic pads";
            return Err(why.to_owned());
        }
        Ok(Window {
            kernel: self.pair("kernel_shape")?,
            stride: self.pair("strides")?.unwrap_or([1; 2]),
            padding: self.padding()?,
        })
    }

    fn max_pool(&mut self) -> Result<Operator, String> {
        let sides = [self.pair("kernel_shape")?, self.pair("strides")?];
        let whole = self.padding()? == [0; 4]
            && self.ints("dilations")?.iter().all(|by| *by == 1)
            && self.int("ceil_mode", 0)? == 0
            && matches!(self.word("auto_pad")?, "" | "NOTSET");
        self.only("storage_order", 0)?;
        if !whole || sides != [Some([2; 2]); 2] {
            return Err("pools by another kernel than 2 x 2 with stride 2".to_owned());
        }
        Ok(Operator::MaxPool)
    }

    fn resize(&mut self, opset: i64) -> Result<Operator, String> {
        // One of an older file that names them was made here (`composed`).
        if opset < 11 && self.word("nearest_mode")?.is_empty() {
            return Err(format!(
                "is a Resize of opset {opset}, which names no coordinates"
            ));
        }
        let mode = self.word("mode")?;
        let coordinates = self.word("coordinate_transformation_mode")?;
        let rounding = self.word("nearest_mode")?;
        // Of modes that are refused below.
        self.float("cubic_coeff_a", 0.0)?;
        self.float("extrapolation_value", 0.0)?;
        self.only("exclude_outside", 0)?;
        self.only("antialias", 0)?;
        if !matches!(self.word("keep_aspect_ratio_policy")?, "" | "stretch") {
            return Err("keeps the ratio of its sides, which is not known here".to_owned());
        }
        let most = match (mode, coordinates, rounding) {
            ("linear", "" | "half_pixel", _) => return Ok(Operator::Resize(Resize::Bilinear)),
            // New pixel `i` lies at `(i + 0.5) / factor - 0.5`: less than half a pixel from the old.
            ("" | "nearest", "" | "half_pixel", "" | "round_prefer_floor" | "round_prefer_ceil")
            // At `i / factor`.
            | ("" | "nearest", "asymmetric", "floor") => usize::MAX,
            ("" | "nearest", "asymmetric", "" | "round_prefer_floor") => 2,
            ("" | "nearest", ..) => {
                let why = "resizes to the nearest pixel by a rule that does not repeat each";
                return Err(why.to_owned());
            }
            _ => return Err(format!("resizes by {mode} {coordinates}")),
        };
        Ok(Operator::Resize(Resize::Repeat { most }))
    }

    fn fill(&mut self) -> Result<Fill, String> {
        const TYPE: &str = "fills a shape with a type that is not known";
        let Some(tensor) = self.tensor("value")? else {
            return Ok(Fill::Float(0.0));
        };
        if tensor.data_type == DataType::Double as i32 {
            return Err(TYPE.to_owned());
        }
        match source::constant(tensor.clone())?.values {
            Values::F32(floats) if floats.len() == 1 => Ok(Fill::Float(floats[0])),
            Values::Int(whole) if whole.len() == 1 => Ok(Fill::Whole(whole[0])),
            _ => Err(TYPE.to_owned()),
        }
    }

    /// The attribute of this name, which is in this form. Files of old do not say which one it has.
    fn attribute(
        &mut self,
        name: &'static str,
        form: AttributeType,
    ) -> Result<Option<&'a AttributeProto>, String> {
        self.read.push(name);
        let found = self.node.attribute.iter().find(|a| a.name == name);
        match found {
            Some(found) if found.r#type != 0 && found.r#type != form as i32 => Err(format!(
                "has the attribute {name} in another form than ONNX's"
            )),
            found => Ok(found),
        }
    }

    /// An integer, or what ONNX says where it is left out.
    fn int(&mut self, name: &'static str, otherwise: i64) -> Result<i64, String> {
        let found = self.attribute(name, AttributeType::Int)?;
        Ok(found.map_or(otherwise, |a| a.i))
    }

    /// An integer that must be this one where it is said.
    fn only(&mut self, name: &'static str, only: i64) -> Result<(), String> {
        match self.int(name, only)? {
            found if found == only => Ok(()),
            found => Err(format!("has {name} {found}; only {only} is known here")),
        }
    }

    fn float(&mut self, name: &'static str, otherwise: f32) -> Result<f32, String> {
        Ok(self.bound(name)?.unwrap_or(otherwise))
    }

    fn bound(&mut self, name: &'static str) -> Result<Option<f32>, String> {
        let found = self.attribute(name, AttributeType::Float)?;
        Ok(found.map(|a| a.f))
    }

    /// Integers; empty where left out.
    fn ints(&mut self, name: &'static str) -> Result<&'a [i64], String> {
        let found = self.attribute(name, AttributeType::Ints)?;
        Ok(found.map_or(&[], |a| &a.ints))
    }

    /// A word; empty where left out.
    fn word(&mut self, name: &'static str) -> Result<&'a str, String> {
        let found = self.attribute(name, AttributeType::String)?;
        let word = found.map_or(Ok(""), |a| std::str::from_utf8(&a.s));
        word.map_err(|_| format!("has {name} in no letters"))
    }

    fn tensor(&mut self, name: &'static str) -> Result<Option<&'a TensorProto>, String> {
        let found = self.attribute(name, AttributeType::Tensor)?;
        found
            .map(|a| a.t.as_ref().ok_or_else(|| format!("has {name} of nothing")))
            .transpose()
    }

    /// Two positive numbers.
    fn pair(&mut self, name: &'static str) -> Result<Option<[usize; 2]>, String> {
        match *self.ints(name)? {
            [] => Ok(None),
            [a, b] if a > 0 && b > 0 => Ok(Some([a as usize, b as usize])),
            ref other => Err(format!("has {name} {other:?}")),
        }
    }

    /// Top, left, bottom, right.
    fn padding(&mut self) -> Result<[usize; 4], String> {
        match *self.ints("pads")? {
            [] => Ok([0; 4]),
            [t, l, b, r] if [t, l, b, r].iter().all(|p| (0..1 << 20).contains(p)) => {
                Ok([t as usize, l as usize, b as usize, r as usize])
            }
            ref other => Err(format!("has pads {other:?}")),
        }
    }

    /// Every attribute was read, and stands there once.
    fn nothing_else(&self) -> Result<(), String> {
        for (i, attribute) in self.node.attribute.iter().enumerate() {
            let name = attribute.name.as_str();
            if !self.read.contains(&name) {
                return Err(format!("has the attribute {name}, which is not read"));
            }
            if self.node.attribute[..i].iter().any(|a| a.name == name) {
                return Err(format!("has the attribute {name} twice"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
