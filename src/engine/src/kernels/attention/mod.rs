//! Attention: `softmax(scale * Q K^T) V`, head by head.
//!
//! Keys pass in blocks; of the scores only those of one tile of queries and one block of
//! keys ever exist (the streaming softmax of Milakov and Gimelshein, arXiv 1805.02867).
//! One call serves whole images, batches of windows, pooled queries and cross attention:
//! they differ in lengths and strides only.
//!
//! Here: the cut into jobs, and where rows lie. How keys and values are cut, packed and
//! multiplied, and how scores become shares, is each arithmetic's own.

mod float;
mod int8;

use std::ops::Range;

use super::ShapeError;
use super::aligned::LINE;
use super::cpu::Cpu;
use super::isa::Isa;

/// How many rows ahead of their use rows are asked for.
const AHEAD: usize = 8;

/// What the products run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttentionArithmetic {
    /// Single precision throughout.
    Float,
    /// Both products in int8: queries and keys (less their mean, which softmax does not
    /// see) quantised row by row, values column by column within a block of keys,
    /// probabilities to 1/127 of the block's largest; sums and softmax in float. The
    /// result is the same bits on every instruction set.
    Int8,
}

/// Lengths and arithmetic of one attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attention {
    /// Independent attentions: images, or windows.
    pub batch: usize,
    /// Heads of each.
    pub heads: usize,
    /// Rows of the queries, and of the output.
    pub queries: usize,
    /// Rows of the keys and values.
    pub keys: usize,
    /// Values in a head's row, the same for queries, keys, values and output.
    pub dim: usize,
    /// Factor of the scores, mostly `1 / sqrt(dim)`.
    pub scale: f32,
    /// What the products run in.
    pub arithmetic: AttentionArithmetic,
}

/// Queries, keys or values in memory: the row of `dim` values of batch `b`, row `r`, head
/// `h` starts at `b * batch + r * row + h * head`. A packed `[row][3][head][dim]` tensor
/// is three of these with other starts.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a> {
    /// The values.
    pub data: &'a [f32],
    /// Floats from one batch to the next.
    pub batch: usize,
    /// Floats from one row to the next.
    pub row: usize,
    /// Floats from one head to the next.
    pub head: usize,
}

/// [`Heads`] to write to.
#[derive(Debug)]
pub struct HeadsMut<'a> {
    /// The values.
    pub data: &'a mut [f32],
    /// Floats from one batch to the next.
    pub batch: usize,
    /// Floats from one row to the next.
    pub row: usize,
    /// Floats from one head to the next.
    pub head: usize,
}

/// Runs an attention. A query, key or value that is not finite gives NaN in every row
/// that it has a part in.
///
/// # Errors
/// Where lengths do not fit, there are no keys, or rows of the output share a place.
pub fn attention(
    cpu: &Cpu,
    shape: &Attention,
    queries: Heads<'_>,
    keys: Heads<'_>,
    values: Heads<'_>,
    output: HeadsMut<'_>,
) -> Result<(), ShapeError> {
    ShapeError::unless_at_least("the number of keys", shape.keys, 1)?;
    ShapeError::unless_at_least("a head's length", shape.dim, 1)?;
    queries.check("the queries' length", shape, shape.queries)?;
    keys.check("the keys' length", shape, shape.keys)?;
    values.check("the values' length", shape, shape.keys)?;
    let output = Rows::new(output, shape)?;
    // Queries that a kernel takes together.
    let together = match shape.arithmetic {
        AttentionArithmetic::Float => cpu.kernel().float_tile().columns,
        AttentionArithmetic::Int8 => cpu.kernel().tile().rows,
    };
    let parts = query_parts(cpu.threads(), shape, together);
    let jobs = shape.batch * shape.heads * parts;
    cpu.pool().run(jobs, |worker, job| {
        let place = [job / parts / shape.heads, job / parts % shape.heads];
        let part = job % parts;
        let tiles = shape.queries.div_ceil(together);
        let bound = |part: usize| shape.queries.min(part * tiles / parts * together);
        let job = Job {
            shape,
            queries: queries.rows(place, shape.dim),
            keys: keys.rows(place, shape.dim),
            values: values.rows(place, shape.dim),
            rows: bound(part)..bound(part + 1),
            output: &output,
            place,
        };
        let scratch = &mut cpu.scratch(worker);
        match shape.arithmetic {
            AttentionArithmetic::Float => cpu.kernel().enter(float::Float { job, scratch }),
            AttentionArithmetic::Int8 => cpu.kernel().enter(int8::Int8 { job, scratch }),
        }
    });
    Ok(())
}

/// Into how many parts a head's queries are cut so that every thread has work. Keys are
/// packed anew for each, so no more than needed.
fn query_parts(threads: usize, shape: &Attention, together: usize) -> usize {
    let heads = (shape.batch * shape.heads).max(1);
    if threads == 1 || heads.is_multiple_of(threads) || heads >= 8 * threads {
        return 1;
    }
    let parts = (4 * threads).div_ceil(heads);
    parts.min(shape.queries.div_ceil(together)).max(1)
}

/// One head's attention for some of its queries.
struct Job<'a> {
    shape: &'a Attention,
    queries: HeadRows<'a>,
    keys: HeadRows<'a>,
    values: HeadRows<'a>,
    rows: Range<usize>,
    output: &'a Rows<'a>,
    /// Batch and head.
    place: [usize; 2],
}

impl Job<'_> {
    /// Writes query `row`'s answer.
    #[inline(always)]
    fn write(&self, row: usize, values: &[f32]) {
        let [batch, head] = self.place;
        // SAFETY: `Rows::new` checked the bounds and that rows lie apart; each row of
        // each head is in one job.
        unsafe { self.output.row(batch, row, head) }.copy_from_slice(values);
    }
}

/// The rows of one head.
#[derive(Clone, Copy)]
struct HeadRows<'a> {
    data: &'a [f32],
    stride: usize,
    dim: usize,
}

impl<'a> HeadRows<'a> {
    #[inline(always)]
    fn row(self, i: usize) -> &'a [f32] {
        &self.data[i * self.stride..][..self.dim]
    }

    /// Asks for row `i`, where there is one. Heads lie apart in memory, in strides that no
    /// hardware follows.
    #[inline(always)]
    fn prefetch<I: Isa>(self, isa: I, i: usize) {
        let start = self.data.as_ptr().wrapping_add(i * self.stride);
        for at in (0..self.dim).step_by(LINE / size_of::<f32>()) {
            isa.prefetch_read(start.wrapping_add(at));
        }
    }
}

/// Values from the first to the end of the last.
fn reach(shape: &Attention, rows: usize, [batch, row, head]: [usize; 3]) -> usize {
    if shape.batch == 0 || shape.heads == 0 || rows == 0 {
        return 0;
    }
    let steps = [(shape.batch, batch), (rows, row), (shape.heads, head)];
    let last = steps.map(|(count, stride)| (count - 1).saturating_mul(stride));
    last.into_iter().fold(shape.dim, usize::saturating_add)
}

impl<'a> Heads<'a> {
    fn check(&self, what: &'static str, shape: &Attention, rows: usize) -> Result<(), ShapeError> {
        let length = reach(shape, rows, [self.batch, self.row, self.head]);
        ShapeError::unless_at_least(what, self.data.len(), length)
    }

    fn rows(self, [batch, head]: [usize; 2], dim: usize) -> HeadRows<'a> {
        HeadRows {
            data: &self.data[batch * self.batch + head * self.head..],
            stride: self.row,
            dim,
        }
    }
}

/// The output's rows, written by several threads.
struct Rows<'a> {
    data: *mut f32,
    strides: [usize; 3],
    dim: usize,
    _data: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: `row`'s contract keeps the rows apart.
unsafe impl Sync for Rows<'_> {}

impl<'a> Rows<'a> {
    fn new(output: HeadsMut<'a>, shape: &Attention) -> Result<Self, ShapeError> {
        let strides = [output.batch, output.row, output.head];
        let length = reach(shape, shape.queries, strides);
        ShapeError::unless_at_least("the output's length", output.data.len(), length)?;
        let mut axes = [
            (output.batch, shape.batch),
            (output.row, shape.queries),
            (output.head, shape.heads),
        ];
        axes.sort_unstable();
        let mut reached = shape.dim;
        for (stride, count) in axes.into_iter().filter(|(_, count)| *count > 1) {
            ShapeError::unless_at_least("a stride of the output", stride, reached)?;
            reached += (count - 1) * stride;
        }
        Ok(Self {
            data: output.data.as_mut_ptr(),
            strides,
            dim: shape.dim,
            _data: std::marker::PhantomData,
        })
    }

    /// # Safety
    /// The row is one of the shape's, and no other borrow of it lives.
    #[allow(clippy::mut_from_ref)]
    unsafe fn row(&self, batch: usize, row: usize, head: usize) -> &'a mut [f32] {
        let start = batch * self.strides[0] + row * self.strides[1] + head * self.strides[2];
        // SAFETY: in bounds by `new`, apart from other rows by the contract.
        unsafe { std::slice::from_raw_parts_mut(self.data.add(start), self.dim) }
    }
}
