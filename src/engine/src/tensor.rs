//! What crosses the border of this crate: float tensors, and what a caller expects of a graph's
//! inputs.

/// A float tensor at the border of this crate, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// `shape`'s product of values.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A tensor of this shape.
    ///
    /// # Panics
    /// Where `data` has another length than the shape says: a fault of the caller's.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "shape {shape:?}"
        );
        Self {
            shape: shape.to_vec(),
            data,
        }
    }
}

/// The type of a graph's input or output. At the border of this crate all of them are held as floats:
/// whole numbers exactly, up to 2^24; truths as 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementType {
    /// 32-bit floats.
    Float32,
    /// 32-bit whole numbers.
    Int32,
    /// 64-bit whole numbers.
    Int64,
    /// Truths.
    Bool,
}

impl ElementType {
    /// Its name, as numpy has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Bool => "bool",
        }
    }
}

/// One axis of an input that a caller expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This length and no other.
    Is(usize),
    /// Any length; the graph leaves the axis open.
    Open,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(length) => write!(f, "{length}"),
            Self::Open => f.write_str("?"),
        }
    }
}

/// Name and axes of one expected input.
pub type Expected<'a> = (&'a str, &'a [Side]);

/// An expected input in a line.
pub(super) fn describe((name, axes): &Expected<'_>) -> String {
    let axes: Vec<String> = axes.iter().map(ToString::to_string).collect();
    format!("{name} [{}]", axes.join(", "))
}
