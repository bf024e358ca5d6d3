//! The operators that we run, each with its attributes.
//!
//! Another operator is another variant: the compiler then names every place that must know it.
//! Attributes have the form in which they are used; what no variant can say is refused by the
//! reader, and never met behind it.

use serde::{Deserialize, Serialize};

use crate::kernels::{Activation, PatchOrder};

/// What a node does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Operator {
    // Value by value.
    Function(Function),
    Binary(Binary),
    Sum,
    Activation(Activation),
    /// GELU by its approximation with `tanh`.
    TanhGelu,
    /// Bounds are inputs 1 and 2, or stand here, as opset 6 writes them.
    Clip {
        least: Option<f32>,
        most: Option<f32>,
    },
    Where,
    Cast(Number),
    /// To the nearest code of a quantiser and back.
    Requantise(Codes),
    // Along axes.
    /// Along this axis, and what is added to the variance.
    LayerNormalization(i64, f32),
    Softmax {
        axis: i64,
        /// All axes from this one on are taken together, as before opset 13.
        joins: bool,
    },
    ReduceMean(Reduction),
    ReduceProd(Reduction),
    // Products.
    MatMul,
    /// Whether the weights lie `[channels, inputs]`.
    Gemm(bool),
    Conv(Window),
    ConvTranspose(Window),
    /// A product with constant weights, which the last four become.
    Product(Product),
    // Images.
    /// Of 2 x 2 pixels, without overlap.
    MaxPool,
    Resize(Resize),
    // Moves.
    Identity,
    /// Whether 0 asks for an axis without elements, not for the axis that was there.
    Reshape(bool),
    /// At this axis.
    Flatten(i64),
    /// Axes are input 1, or stand here, as before opset 13; so they do in the next.
    Squeeze(Vec<i64>),
    Unsqueeze(Vec<i64>),
    /// The axes in this order; turned around where it is empty.
    Transpose(Vec<i64>),
    Slice,
    /// Along this axis.
    Gather(i64),
    Expand,
    /// By zeros.
    Pad,
    /// Along this axis, into these lengths; into even ones where there are none.
    Split(i64, Vec<i64>),
    /// Along this axis.
    Concat(i64),
    // Shapes.
    /// From one axis to before another.
    Shape(i64, i64),
    ConstantOfShape(Fill),
    Range,
}

/// An enumeration whose variants have ONNX's names.
macro_rules! named {
    ($(#[$of_all:meta])* $kind:ident { $($(#[$of_one:meta])* $variant:ident),* $(,)? }) => {
        $(#[$of_all])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) enum $kind {
            $($(#[$of_one])* $variant),*
        }

        impl $kind {
            /// The one of this name.
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $(stringify!($variant) => Some(Self::$variant),)*
                    _ => None,
                }
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => stringify!($variant)),*
                }
            }
        }
    };
}

named! {
    /// One value of one.
    Function {
        Neg,
        Abs,
        Sqrt,
        Reciprocal,
        Exp,
        Log,
        Sin,
        Cos,
        Tanh,
        Erf,
        Floor,
        Ceil,
        /// To the nearest, halves to even.
        Round,
        /// 1 where the value is 0, else 0.
        Not,
    }
}

named! {
    /// One value of two; of more, each next with what came of those before.
    Binary {
        Add,
        Sub,
        Mul,
        Div,
        Pow,
        Min,
        Max,
        /// Comparisons give 1 or 0.
        Equal,
        Greater,
        Less,
        GreaterOrEqual,
        LessOrEqual,
        /// Of truths.
        And,
        /// Of truths.
        Or,
    }
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Number {
    Float,
    Int32,
    Int64,
    Bool,
}

/// 8-bit codes: their scale, their zero point, the least and the largest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Codes {
    pub scale: f32,
    pub zero: f32,
    pub least: f32,
    pub most: f32,
}

/// Over which axes; those of input 1 where there is one, all where there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reduction {
    pub axes: Vec<i64>,
    /// Whether they stay, of length one.
    pub keeps: bool,
}

/// How a convolution walks over an image: rows and columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Window {
    /// The weights' own, where it is said.
    pub kernel: Option<[usize; 2]>,
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
}

/// A product with constant weights. Inputs: the activation, and a constant bias or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Product {
    /// The name of its weights.
    pub weights: String,
    /// What is done to each sum on its way out.
    pub activation: Activation,
    pub over: Over,
}

/// What a product's rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Over {
    /// Those of the last axis.
    Rows,
    /// Patches of an image: a convolution.
    Patches {
        kernel: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 4],
        order: PatchOrder,
    },
    /// Pixels, each of which becomes a patch: a transposed convolution without overlap.
    Pixels { kernel: [usize; 2] },
}

/// How an image gets another size: inputs 2 or 3 say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Resize {
    /// Each pixel so many times, by whole factors up to this one.
    Repeat { most: usize },
    /// Between the four nearest, by the middles of pixels.
    Bilinear,
}

/// What a new tensor is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Fill {
    Float(f32),
    Whole(i64),
}

impl Operator {
    /// Whether it is a product as a file has it, whatever its weights are.
    pub fn is_product(&self) -> bool {
        matches!(
            self,
            Self::MatMul | Self::Gemm(_) | Self::Conv(_) | Self::ConvTranspose(_)
        )
    }

    /// ONNX's name, or our own of what ONNX has none for: how messages call a node.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Function(function) => function.name(),
            Self::Binary(binary) => binary.name(),
            Self::Sum => "Sum",
            Self::Activation(Activation::Identity) | Self::Identity => "Identity",
            Self::Activation(Activation::Relu) => "Relu",
            Self::Activation(Activation::Sigmoid) => "Sigmoid",
            Self::Activation(Activation::Gelu) | Self::TanhGelu => "Gelu",
            Self::Activation(Activation::QuickGelu) => "QuickGelu",
            Self::Clip { .. } => "Clip",
            Self::Where => "Where",
            Self::Cast(_) => "Cast",
            Self::Requantise(_) => "Requantise",
            Self::LayerNormalization(..) => "LayerNormalization",
            Self::Softmax { .. } => "Softmax",
            Self::ReduceMean(_) => "ReduceMean",
            Self::ReduceProd(_) => "ReduceProd",
            Self::MatMul => "MatMul",
            Self::Gemm(_) => "Gemm",
            Self::Conv(_) => "Conv",
            Self::ConvTranspose(_) => "ConvTranspose",
            Self::Product(product) => match product.over {
                Over::Rows => "Linear",
                Over::Patches { .. } => "Convolution",
                Over::Pixels { .. } => "TransposedConvolution",
            },
            Self::MaxPool => "MaxPool",
            Self::Resize(_) => "Resize",
            Self::Reshape(_) => "Reshape",
            Self::Flatten(_) => "Flatten",
            Self::Squeeze(_) => "Squeeze",
            Self::Unsqueeze(_) => "Unsqueeze",
            Self::Transpose(_) => "Transpose",
            Self::Slice => "Slice",
            Self::Gather(_) => "Gather",
            Self::Expand => "Expand",
            Self::Pad => "Pad",
            Self::Split(..) => "Split",
            Self::Concat(_) => "Concat",
            Self::Shape(..) => "Shape",
            Self::ConstantOfShape(_) => "ConstantOfShape",
            Self::Range => "Range",
        }
    }
}
