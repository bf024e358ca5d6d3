//! Constants of a graph.

use serde::{Deserialize, Serialize};

use crate::floats::Floats;

/// A constant of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Constant {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub values: Values,
}

/// Values of a constant, in the types that the graphs of this project hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Values {
    /// `INT8`.
    I8(Vec<i8>),
    /// `UINT8`.
    U8(Vec<u8>),
    /// `INT32`, `INT64` and `BOOL`: shapes, indices, biases of integer products.
    Int(Vec<i64>),
    /// `FLOAT`. A prepared file has them apart, to be used where they lie. It stands last: serde
    /// counts what it skips when it writes, and not when it reads.
    #[serde(skip)]
    F32(Floats),
}

impl Constant {
    /// A float constant.
    pub fn float(shape: &[usize], values: Vec<f32>) -> Self {
        Self {
            shape: shape.to_vec(),
            values: Values::F32(values.into()),
        }
    }

    /// The floats, where it holds floats.
    pub fn floats(&self) -> Option<&Floats> {
        match &self.values {
            Values::F32(values) => Some(values),
            _ => None,
        }
    }

    /// The integers, widened, where it holds integers.
    pub fn ints(&self) -> Option<Vec<i64>> {
        match &self.values {
            Values::F32(_) => None,
            Values::I8(values) => Some(values.iter().map(|v| i64::from(*v)).collect()),
            Values::U8(values) => Some(values.iter().map(|v| i64::from(*v)).collect()),
            Values::Int(values) => Some(values.clone()),
        }
    }

    /// The only value, where there is just one and it is a float.
    pub fn scalar(&self) -> Option<f32> {
        match self.floats().map(|floats| &**floats) {
            Some([value]) => Some(*value),
            _ => None,
        }
    }
}
