//! What codes of activations stand for: which float value, by which scale and zero point, and
//! between which bounds codes can lie at all.
//!
//! Our operators take the float value itself, so the rounding to codes is left out; the bounds
//! are not: quantisers rely on them in place of a `Relu` or a `Clip`.

use super::{Constants, Rewriting, floats, plain, zero_points};
use crate::onnx::proto::NodeProto;
use crate::onnx::{Constant, Refused, Values};

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
                    && zero_points(zero, constants) == [range.zero]
            }
        }
    }
}

impl Rewriting {
    /// The name of a value that is `value` within the bounds of this range: itself, where it
    /// leaves them by no more than a code's step.
    pub(super) fn bounded(
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
