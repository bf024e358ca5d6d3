//! One attention as a step runs it: where the heads of queries, keys and values lie.

use crate::kernels::{self, AttentionArithmetic, Cpu, Heads, HeadsMut, ShapeError};

/// From this many queries on, quantising all keys and values pays.
pub(super) const INT8_FROM_QUERIES: usize = 64;

/// One attention's lengths and strides.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    pub shape: kernels::Attention,
    /// Offset, then strides of batch, row and head: queries, keys, values.
    pub inputs: [Strides; 3],
    pub output: Strides,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Strides {
    pub offset: usize,
    pub batch: usize,
    pub row: usize,
    pub head: usize,
}

impl Attention {
    /// One batch of it, with its first queries alone.
    pub fn of_queries(&self, queries: usize) -> Self {
        let mut part = self.clone();
        (part.shape.batch, part.shape.queries) = (1, queries);
        if queries < INT8_FROM_QUERIES {
            part.shape.arithmetic = AttentionArithmetic::Float;
        }
        part
    }

    pub fn run(&self, cpu: &Cpu, reads: &[&[f32]], out: &mut [f32]) -> Result<(), ShapeError> {
        let heads = |i: usize| {
            let at = self.inputs[i];
            Heads {
                data: &reads[i][at.offset..],
                batch: at.batch,
                row: at.row,
                head: at.head,
            }
        };
        let output = HeadsMut {
            data: out,
            batch: self.output.batch,
            row: self.output.row,
            head: self.output.head,
        };
        kernels::attention(cpu, &self.shape, heads(0), heads(1), heads(2), output)
    }
}
