//! Which values hold floats, which whole numbers or truths: a run computes in floats alone.
//!
//! Whole numbers that are known beforehand fold away ([`Known`](super::known::Known)). Others may
//! be moved, compared and cast, which floats do exactly up to 2^24; whatever would compute with
//! them is refused here, since floats divide, round and overflow otherwise.

use super::lower::{Lower, Lowering};
use super::tensor::Kind;
use crate::typed::{Binary, Function, Node, Number, Operator, Values};

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
    pub fn kind_made(&self, node: &Node) -> Lower<Kind> {
        use Binary::{
            Add, And, Div, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Max, Min, Mul, Or,
            Pow, Sub,
        };
        let of = |i: usize| node.input(i).map_or(Kind::Float, |name| self.kind(name));
        let floats = |count: usize| {
            let all = (0..count).all(|i| of(i) == Kind::Float);
            if all { Ok(Kind::Float) } else { refused() }
        };
        match &node.operator {
            Operator::Cast(Number::Int32 | Number::Int64) => Ok(Kind::Whole),
            Operator::Cast(Number::Bool) => Ok(Kind::Truth),
            Operator::Cast(Number::Float) | Operator::ConstantOfShape(_) => Ok(Kind::Float),
            // What a cast could not hold is no number by now, which is neither more nor less.
            Operator::Binary(Greater | Less | GreaterOrEqual | LessOrEqual)
                if (0..2).any(|i| of(i) == Kind::Whole && self.numbers(node, i).is_none()) =>
            {
                refused()
            }
            Operator::Binary(Equal | Greater | Less | GreaterOrEqual | LessOrEqual | And | Or)
            | Operator::Function(Function::Not) => Ok(Kind::Truth),
            Operator::Where => Ok(of(1)),
            Operator::Identity
            | Operator::Reshape(_)
            | Operator::Flatten(_)
            | Operator::Squeeze(_)
            | Operator::Unsqueeze(_)
            | Operator::Transpose(_)
            | Operator::Slice
            | Operator::Gather(_)
            | Operator::Expand
            | Operator::Pad
            | Operator::Split(..)
            | Operator::Concat(_) => Ok(of(0)),
            Operator::Binary(Add | Sub | Mul | Div | Min | Max)
            | Operator::Sum
            | Operator::MatMul => floats(node.inputs.len()),
            // An exponent may be whole; the inputs behind the first of others say how.
            Operator::Binary(Pow)
            | Operator::Function(_)
            | Operator::Activation(_)
            | Operator::TanhGelu
            | Operator::Clip { .. }
            | Operator::Requantise(_)
            | Operator::LayerNormalization(..)
            | Operator::Softmax { .. }
            | Operator::ReduceMean(_)
            | Operator::ReduceProd(_)
            | Operator::Gemm(_)
            | Operator::Conv(_)
            | Operator::ConvTranspose(_)
            | Operator::Product(_)
            | Operator::MaxPool
            | Operator::Resize(_)
            | Operator::Shape(..)
            | Operator::Range => floats(1),
        }
    }
}

fn refused() -> Lower<Kind> {
    let why = "computes with whole numbers or truths that are not known beforehand, are of 8 bits \
               or leave their type";
    Err(why.to_owned())
}
