//! Which values hold floats, which whole numbers or truths: a run computes in floats alone.
//!
//! Whole numbers that are known beforehand fold away ([`Known`](super::known::Known)). Others may
//! be moved, compared and cast, which floats do exactly up to 2^24; whatever would compute with
//! them is refused here, since floats divide, round and overflow otherwise.

use super::lower::{Lower, Lowering};
use super::tensor::Kind;
use crate::onnx::{Attributes, DOMAIN, NodeProto, Values};

impl Lowering<'_> {
    pub fn kind(&self, name: &str) -> Kind {
        if let Some(kind) = self.kinds.get(name) {
            return *kind;
        }
        match self.source.constants.get(name).map(|c| &c.values) {
            None | Some(Values::F32(_)) => Kind::Float,
            Some(_) => Kind::Whole,
        }
    }

    /// What a node makes of inputs that are not all known beforehand.
    pub fn kind_made(&self, node: &NodeProto) -> Lower<Kind> {
        let of = |i: usize| {
            node.input
                .get(i)
                .map_or(Kind::Float, |name| self.kind(name))
        };
        if node.domain == DOMAIN {
            return match of(0) {
                Kind::Float => Ok(Kind::Float),
                _ => refused(),
            };
        }
        match node.op_type.as_str() {
            "Cast" => Ok(match node.int("to", 0) {
                6 | 7 => Kind::Whole,
                9 => Kind::Truth,
                _ => Kind::Float,
            }),
            // What a cast could not hold is no number by now, which is neither more nor less.
            "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual"
                if (0..2).any(|i| of(i) == Kind::Whole && self.numbers(node, i).is_none()) =>
            {
                refused()
            }
            "Equal" | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" | "Not" | "And"
            | "Or" => Ok(Kind::Truth),
            "Where" => Ok(of(1)),
            "Identity" | "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose"
            | "Slice" | "Gather" | "Expand" | "Pad" | "Split" | "Concat" => Ok(of(0)),
            "ConstantOfShape" => Ok(Kind::Float),
            "Add" | "Sum" | "Sub" | "Mul" | "Div" | "Min" | "Max" | "MatMul" => {
                let floats = (0..node.input.len()).all(|i| of(i) == Kind::Float);
                if floats { Ok(Kind::Float) } else { refused() }
            }
            // An exponent may be whole; the inputs behind the first of others say how.
            _ if of(0) == Kind::Float => Ok(Kind::Float),
            _ => refused(),
        }
    }
}

fn refused() -> Lower<Kind> {
    let why = "computes with whole numbers or truths that are not known beforehand, are of 8 bits \
               or leave their type";
    Err(why.to_owned())
}
