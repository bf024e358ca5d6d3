//! What codes of activations stand for: which float value, by which scale and zero point, and
//! between which bounds codes can lie at all.
//!
//! Our int8 products take the float value itself and quantise it row by row, so before them the
//! rounding to codes is left out; the bounds are not: quantisers rely on them in place of a `Relu`
//! or a `Clip`. Before anything else values are rounded as the file says (`Requantise`).

use std::collections::{HashMap, HashSet};

use super::{Constants, MOVERS, Rewriting, floats, plain, zero_points};
use crate::onnx::proto::NodeProto;
use crate::onnx::{Constant, DOMAIN, Refused, Source, Values, decimal, int};

/// The float value that codes stand for, and how.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Real {
    pub value: String,
    pub by: By,
}

/// How codes are made of values.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum By {
    Fixed(Range),
    /// Scale and zero point of a `DynamicQuantizeLinear`, by their names.
    Dynamic {
        scale: String,
        zero: String,
    },
}

/// A constant scale and zero point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    scale: f32,
    zero: i64,
    /// The least and the largest code.
    codes: (i64, i64),
}

impl Range {
    /// By the node's inputs `scale` and `scale + 1`.
    pub fn of(node: &NodeProto, scale: usize, constants: &Constants) -> Result<Self, Refused> {
        let refused = |why: &str| Refused::node(node, why);
        let scales = floats(node, scale, constants)?;
        let [scale_value] = scales[..] else {
            return Err(refused("quantises an activation along an axis"));
        };
        if !(scale_value.is_normal() && scale_value > 0.0) {
            return Err(refused("quantises by a scale that is none"));
        }
        let zero = node.input.get(scale + 1).filter(|name| !name.is_empty());
        let is_plain = node.op_type == "QuantizeLinear";
        let (zero, codes) = match zero {
            // Left out, it is an unsigned zero.
            None if is_plain => (0, (0, 255)),
            None => return Err(refused("names no zero point, and so no type of codes")),
            Some(name) => match constants.get(name).map(|constant| &constant.values) {
                Some(Values::U8(values)) if values.len() == 1 => (values[0].into(), (0, 255)),
                Some(Values::I8(values)) if values.len() == 1 => (values[0].into(), (-128, 127)),
                Some(_) => return Err(refused("has codes of a type that is not known here")),
                None => return Err(refused("its zero point is no constant")),
            },
        };
        Ok(Self {
            scale: scale_value,
            zero,
            codes,
        })
    }

    /// A constant's codes, rounded to the nearest, ties to even, as ONNX says; `None` where it holds
    /// no floats, or what is no number.
    pub fn codes_of(self, constant: &Constant) -> Option<Constant> {
        let floats = constant.floats()?;
        let (least, most) = self.codes;
        let code = |value: &f32| {
            let code = (value / self.scale).round_ties_even() as i64;
            (!value.is_nan()).then_some(code.saturating_add(self.zero).clamp(least, most))
        };
        let codes: Vec<i64> = floats.iter().map(code).collect::<Option<_>>()?;
        let values = if least < 0 {
            Values::I8(codes.into_iter().map(|code| code as i8).collect())
        } else {
            Values::U8(codes.into_iter().map(|code| code as u8).collect())
        };
        Some(Constant {
            shape: constant.shape.clone(),
            values,
        })
    }

    /// The least and the largest value that a code can stand for.
    fn bounds(self) -> (f32, f32) {
        let value = |code: i64| (code - self.zero) as f32 * self.scale;
        (value(self.codes.0), value(self.codes.1))
    }
}

impl By {
    /// Whether scale and zero point under these names are the ones that the codes were made by:
    /// read by others they would stand for other values.
    pub fn is(&self, scale: &str, zero: Option<&String>, constants: &Constants) -> bool {
        match self {
            Self::Dynamic {
                scale: own,
                zero: own_zero,
            } => scale == own && zero.is_some_and(|zero| zero == own_zero),
            Self::Fixed(range) => {
                let found = constants.get(scale).and_then(Constant::floats);
                let known = zero.is_none_or(|zero| zero.is_empty() || constants.contains_key(zero));
                known
                    && found.is_some_and(|found| **found == [range.scale])
                    && zero_points(zero, constants) == Some(vec![range.zero])
            }
        }
    }
}

/// Who reads each value.
#[derive(Default)]
pub(super) struct Readers(HashMap<String, Vec<Reader>>);

/// What reads a value.
#[derive(Clone)]
enum Reader {
    /// A product with int8 weights, which quantises what it reads.
    Product,
    /// What passes the value on, as these.
    Passing(Vec<String>),
    Other,
}

impl Reader {
    fn of(node: &NodeProto, weights: &HashSet<&str>) -> Self {
        match node.op_type.as_str() {
            "MatMulInteger" | "ConvInteger" | "QLinearMatMul" | "QLinearConv" | "QGemm" => {
                Self::Product
            }
            "MatMul" | "Gemm" | "Conv" | "ConvTranspose"
                if node
                    .input
                    .get(1)
                    .is_some_and(|name| weights.contains(name.as_str())) =>
            {
                Self::Product
            }
            "DequantizeLinear" | "QuantizeLinear" => Self::Passing(node.output.clone()),
            // Of what the operators of images do, the rounding is a part.
            "Resize" | "MaxPool" => Self::Other,
            op if MOVERS.contains(&op) => Self::Passing(node.output.clone()),
            _ => Self::Other,
        }
    }
}

impl Readers {
    pub fn of(source: &Source) -> Self {
        let mut readers: HashMap<String, Vec<Reader>> = HashMap::new();
        // QuantizeLinear, QLinearAdd and their like, QGemm.
        let quantises = |op: &str| op.starts_with('Q');
        if !source.nodes.iter().any(|node| quantises(&node.op_type)) {
            return Self::default();
        }
        let reads_back = source.nodes.iter().filter(|node| {
            let constant = node
                .input
                .first()
                .is_some_and(|x| source.constants.contains_key(x));
            node.op_type == "DequantizeLinear" && constant
        });
        let weights = reads_back.flat_map(|node| node.output.iter().map(String::as_str));
        let weights: HashSet<&str> = weights.collect();
        for node in &source.nodes {
            let reader = Reader::of(node, &weights);
            for input in &node.input {
                readers
                    .entry(input.clone())
                    .or_default()
                    .push(reader.clone());
            }
        }
        for output in &source.outputs {
            readers
                .entry(output.clone())
                .or_default()
                .push(Reader::Other);
        }
        Self(readers)
    }

    /// Whether nothing but products with int8 weights reads a value, moved or not.
    fn are_products(&self, value: &str) -> bool {
        let mut seen = HashSet::new();
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            for reader in self.0.get(value).into_iter().flatten() {
                match reader {
                    Reader::Product => {}
                    Reader::Other => return false,
                    Reader::Passing(outputs) => {
                        let new = outputs.iter().map(String::as_str);
                        open.extend(new.filter(|output| seen.insert(*output)));
                    }
                }
            }
        }
        true
    }
}

impl Rewriting {
    /// The name of what `value` is as codes of this range, which `codes` are: rounded and
    /// bounded, or only bounded where products alone read it. It is the value itself where that
    /// leaves the bounds by no more than a code's step.
    pub(super) fn as_codes(
        &mut self,
        value: &str,
        range: Range,
        codes: &str,
        constants: &mut Constants,
    ) -> String {
        let own = format!("{codes}.bounded");
        if self.readers.are_products(codes) {
            return self.bounded(value, range, &own, constants);
        }
        let mut node = plain("Requantise", &[value], &own);
        DOMAIN.clone_into(&mut node.domain);
        node.attribute = vec![
            decimal("scale", range.scale),
            int("zero", range.zero),
            int("least", range.codes.0),
            int("most", range.codes.1),
        ];
        self.push(node);
        self.bounds.insert(own.clone(), range.bounds());
        own
    }

    fn bounded(
        &mut self,
        value: &str,
        range: Range,
        own: &str,
        constants: &mut Constants,
    ) -> String {
        let (least, most) = range.bounds();
        let (low, high) = self.bounds.get(value).copied().unwrap_or(UNBOUNDED);
        if low >= least && high <= most + range.scale {
            return value.to_owned();
        }
        let bounds = [("least", least), ("most", most)].map(|(name, bound)| {
            let name = format!("{own}.{name}");
            constants.insert(name.clone(), Constant::float(&[], vec![bound]));
            name
        });
        // A lower bound of zero is a Relu, which products do on their way out.
        let mut value = value.to_owned();
        if least == 0.0 && low < 0.0 {
            let positive = format!("{own}.positive");
            self.push(plain("Relu", &[&value], &positive));
            value = positive;
        }
        self.push(plain("Clip", &[&value, &bounds[0], &bounds[1]], own));
        self.bounds.insert(own.to_owned(), (least, most));
        own.to_owned()
    }

    /// Bounds of what a node gives, where they are known.
    pub(super) fn note_bounds(&mut self, node: &NodeProto) {
        let of = |name: Option<&String>| name.and_then(|name| self.bounds.get(name)).copied();
        let bounds = match node.op_type.as_str() {
            "Sigmoid" | "Softmax" => (0.0, 1.0),
            "Relu" => {
                let (_, high) = of(node.input.first()).unwrap_or(UNBOUNDED);
                (0.0, high)
            }
            "Reshape" | "Transpose" | "Flatten" | "Squeeze" | "Unsqueeze" | "Slice" | "Gather"
            | "Split" | "Expand" | "MaxPool" | "Identity" => match of(node.input.first()) {
                Some(bounds) => bounds,
                None => return,
            },
            _ => return,
        };
        for output in &node.output {
            self.bounds.insert(output.clone(), bounds);
        }
    }
}

const UNBOUNDED: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);
