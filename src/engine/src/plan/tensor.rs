//! A value as the walk over the nodes knows it: whole numbers, floats in a buffer and how they
//! lie there, or attention scores that wait for the rest of their attention.

use super::known::Known;
use super::step::Place;
use super::view::View;

/// What a value holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    Whole,
    /// 1 or 0.
    Truth,
}

/// Values that the walk has met.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// Whole numbers that are known.
    Known(Known),
    /// Floats in a buffer.
    Tensor(Tensor),
    /// A product of queries and keys, or its softmax, that waits to become attention.
    Scores(Box<Scores>),
}

/// Floats in a buffer, as a node sees them.
#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub place: Place,
    pub layout: Layout,
    /// What every element is still to be multiplied by.
    pub factor: f32,
    /// Whether this is the only way by which anything reads the buffer.
    pub sole: bool,
}

/// Queries times turned keys, not computed yet.
#[derive(Debug, Clone)]
pub(super) struct Scores {
    pub node: String,
    /// `[.., M, D]`.
    pub queries: Tensor,
    /// `[.., D, N]`.
    pub keys: Tensor,
    pub factor: f32,
    pub is_softmax: bool,
}

impl Scores {
    /// How many axes they have.
    pub fn rank(&self) -> usize {
        let sides = [&self.queries, &self.keys].map(|side| side.shape().len());
        sides[0].max(sides[1]).max(1)
    }

    /// The same scores times a number.
    pub fn scaled(mut self, factor: f32) -> Self {
        self.factor *= factor;
        self
    }
}

/// How a tensor's elements lie.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    View(View),
    /// Rows of the last axis at any offset; `None` for a row of zeros.
    Rows {
        shape: Vec<usize>,
        rows: Vec<Option<usize>>,
    },
}

impl Layout {
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::View(view) => view.shape(),
            Self::Rows { shape, .. } => shape.clone(),
        }
    }

    /// Offset of each row of the last axis, where rows lie whole.
    pub fn rows(&self) -> Option<Vec<Option<usize>>> {
        match self {
            Self::View(view) => Some(view.rows()?.into_iter().map(Some).collect()),
            Self::Rows { rows, .. } => Some(rows.clone()),
        }
    }
}

impl Tensor {
    pub fn shape(&self) -> Vec<usize> {
        self.layout.shape()
    }

    /// The view, where it is one.
    pub fn view(&self) -> Option<&View> {
        match &self.layout {
            Layout::View(view) => Some(view),
            Layout::Rows { .. } => None,
        }
    }

    /// The same buffer, seen otherwise.
    pub fn seen(&self, view: View) -> Self {
        Self {
            layout: Layout::View(view),
            ..self.clone()
        }
    }
}
