//! The type of each value of a file, and what may be computed in it.
//!
//! In goes an opened file; its nodes are walked once, by ONNX's own rules of types. Whole numbers are
//! tract's: it folds shapes away, and where they are data it takes them exactly. Floats of 16 bits are
//! moved and cast, but nothing is computed in them: each runtime rounds otherwise in between.

use std::collections::HashMap;

use crate::onnx::{Attributes, DataType, NodeProto, Opened, Values};

/// What a file says of its values' types; 0 where it says nothing.
#[derive(Debug)]
pub(super) struct Types<'a>(HashMap<&'a str, i32>);

pub(super) const FLOAT: i32 = DataType::Float as i32;
const HALVES: [i32; 2] = [DataType::Float16 as i32, DataType::Bfloat16 as i32];
const INT64: i32 = DataType::Int64 as i32;
const BOOL: i32 = DataType::Bool as i32;

/// Operators that move values about, whatever they are.
const MOVES: [&str; 22] = [
    "Cast",
    "Concat",
    "ConstantOfShape",
    "DepthToSpace",
    "Expand",
    "EyeLike",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "OneHot",
    "Reshape",
    "Shape",
    "Size",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// Operators on whole numbers and truths that every runtime computes alike.
const WHOLE: [&str; 26] = [
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "CumSum",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Range",
    "ScatterElements",
    "ScatterND",
    "Sign",
    "Sub",
    "Trilu",
    "Xor",
];

/// Operators of which tract 0.23.9 makes a number where what they read is none.
const DROPS: [&str; 4] = ["Clip", "Max", "Min", "Relu"];

/// Reductions of 64-bit whole numbers; in 32 bits they leave their type in different ways.
const REDUCTIONS: [&str; 4] = ["ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum"];

impl<'a> Types<'a> {
    pub fn of(opened: &'a Opened) -> Self {
        let given = opened.types.iter();
        let mut types = Self(
            given
                .map(|(name, number)| (name.as_str(), *number))
                .collect(),
        );
        for (name, constant) in &opened.source.constants {
            // What int8 forms became is float, whatever the file calls the codes.
            if matches!(constant.values, Values::F32(_)) {
                types.0.insert(name, FLOAT);
            }
        }
        for name in opened.quantised.keys() {
            types.0.insert(name, FLOAT);
        }
        for node in &opened.source.nodes {
            for (i, made) in node.output.iter().enumerate() {
                let number = types.made(node, i);
                types.0.insert(made, number);
            }
        }
        types
    }

    pub fn is_float(&self, name: &str) -> bool {
        self.0
            .get(name)
            .is_none_or(|number| *number == FLOAT || *number == 0)
    }

    fn read(&self, node: &NodeProto, input: usize) -> i32 {
        let name = node.input.get(input);
        name.and_then(|name| self.0.get(name.as_str()))
            .copied()
            .unwrap_or(FLOAT)
    }

    /// The type of one of a node's outputs, by ONNX's definition of its operator.
    fn made(&self, node: &NodeProto, output: usize) -> i32 {
        let number = |name: &str, otherwise: i32| {
            let given = node.attribute(name).and_then(|a| i32::try_from(a.i).ok());
            given.unwrap_or(otherwise)
        };
        match node.op_type.as_str() {
            "Shape" | "Size" | "ArgMax" | "ArgMin" | "NonZero" => INT64,
            "Equal" | "Greater" | "Less" | "GreaterOrEqual" | "LessOrEqual" | "Not" | "And"
            | "Or" | "Xor" | "IsNaN" | "IsInf" => BOOL,
            "Cast" => number("to", 0),
            "Where" => self.read(node, 1),
            "OneHot" => self.read(node, 2),
            "EyeLike" => number("dtype", self.read(node, 0)),
            "ConstantOfShape" => {
                let value = node.attribute("value").and_then(|value| value.t.as_ref());
                value.map_or(FLOAT, |tensor| tensor.data_type)
            }
            "TopK" | "MaxPool" if output == 1 => INT64,
            _ => self.read(node, 0),
        }
    }

    /// Whether tract may compute this node in the type of what it reads.
    ///
    /// # Errors
    /// A sentence on why it may not.
    pub fn allow(&self, node: &NodeProto) -> Result<(), String> {
        let operator = node.op_type.as_str();
        let of = self.read(node, usize::from(operator == "Where"));
        let name = || match DataType::try_from(of) {
            Ok(known) => format!("{known:?}"),
            Err(_) => format!("type {of}"),
        };
        if MOVES.contains(&operator) || of == 0 {
            return Ok(());
        }
        match DataType::try_from(of) {
            Ok(DataType::Float | DataType::Double) if DROPS.contains(&operator) => {
                Err("is left to nobody who drops what is no number".to_owned())
            }
            Ok(DataType::Float | DataType::Double) => Ok(()),
            Ok(DataType::Int32 | DataType::Int64 | DataType::Bool)
                if WHOLE.contains(&operator) || (of == INT64 && REDUCTIONS.contains(&operator)) =>
            {
                Ok(())
            }
            _ if HALVES.contains(&of) => Err(format!(
                "computes in {}, which each runtime rounds otherwise",
                name()
            )),
            _ => Err(format!("computes {operator} in {}", name())),
        }
    }
}
