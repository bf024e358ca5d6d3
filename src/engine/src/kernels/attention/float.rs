//! Attention in single precision.
//!
//! Lanes are queries. A tile's queries are turned over once; keys and values are then read
//! one by one from where they lie, so nothing of them is packed, and the softmax runs down
//! the keys in every lane at once, with no sum or maximum across lanes.

use std::ops::Range;

use super::{HeadRows, Job};
use crate::kernels::aligned::{Aligned, lines_of, take};
use crate::kernels::isa::{Isa, MOST_COLUMNS, MOST_ROWS, Routine, Strided, Valid};
use crate::kernels::math::exp2;
use crate::kernels::turn::turn_within;

/// Most keys in one block: their scores for one tile of queries stay in the first-level
/// cache until the values are through.
const BLOCK: usize = 128;

pub(super) struct Float<'a> {
    pub job: Job<'a>,
    pub scratch: &'a mut Aligned,
}

/// Memory for one tile of queries.
struct Memory<'m> {
    /// `[dim][query]`
    queries: &'m mut [f32],
    /// `[key][query]`, of one block of keys.
    scores: &'m mut [f32],
    /// `[dim][query]`, filled up to whole tiles.
    out: &'m mut [f32],
    /// `[query][dim]`
    turned: &'m mut [f32],
}

impl Routine for Float<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let job = &self.job;
        let mut memory = Memory::carve::<I>(self.scratch, job);
        for first in job.rows.clone().step_by(I::FLOAT_TILE.columns) {
            let last = job.rows.end.min(first + I::FLOAT_TILE.columns);
            tile(isa, job, &mut memory, first..last);
        }
    }
}

impl<'m> Memory<'m> {
    #[inline(always)]
    fn carve<I: Isa>(scratch: &'m mut Aligned, job: &Job<'_>) -> Self {
        let columns = I::FLOAT_TILE.columns;
        let side = job.shape.dim * columns;
        let filled_up = job.shape.dim.next_multiple_of(I::FLOAT_TILE.rows) * columns;
        let counts = [side, block_size::<I>(job) * columns, filled_up, side];
        let memory = &mut scratch.grow(counts.map(lines_of::<f32>).iter().sum());
        let [queries, scores, out, turned] = counts.map(|count| take(memory, count));
        Self {
            queries,
            scores,
            out,
            turned,
        }
    }
}

/// Keys of a block: evenly many in each, whole tiles of them.
#[inline(always)]
fn block_size<I: Isa>(job: &Job<'_>) -> usize {
    let keys = job.shape.keys;
    let even = keys.div_ceil(keys.div_ceil(BLOCK));
    even.next_multiple_of(I::FLOAT_TILE.rows)
}

/// One tile of queries against all keys.
#[inline(always)]
fn tile<I: Isa>(isa: I, job: &Job<'_>, memory: &mut Memory<'_>, queries: Range<usize>) {
    let (rows, columns) = (I::FLOAT_TILE.rows, I::FLOAT_TILE.columns);
    let dim = job.shape.dim;
    let count = queries.len();
    turn_queries(isa, job, memory, queries.clone());
    let mut tops = [f32::NEG_INFINITY; MOST_COLUMNS];
    let mut totals = [0.0; MOST_COLUMNS];
    let mut part = [0.0; MOST_ROWS * MOST_COLUMNS];
    let part = &mut part[..rows * columns];
    let valid = |rows: usize| Valid {
        rows: rows.min(I::FLOAT_TILE.rows),
        columns: count,
    };
    let size = block_size::<I>(job);
    for start in (0..job.shape.keys).step_by(size) {
        let keys = size.min(job.shape.keys - start);
        for key in (0..keys).step_by(rows) {
            if queries.start == job.rows.start {
                ask_for(isa, job, start + key, rows);
            }
            let left = row_by_row(job.keys, start + key);
            let scores = &mut memory.scores[key * columns..][..rows * columns];
            isa.float_products(left, memory.queries, valid(keys - key), scores);
        }
        let scores = &mut memory.scores[..keys * columns];
        let mut fades = [0.0; MOST_COLUMNS];
        for at in (0..count).step_by(I::LANES) {
            let (top, total, fade) = (&mut tops[at..], &mut totals[at..], &mut fades[at..]);
            shares(isa, &mut scores[at..], [top, total, fade]);
        }
        for d in (0..dim).step_by(rows) {
            let left = Strided {
                data: &job.values.data[start * job.values.stride + d..],
                row: 1,
                step: job.values.stride,
            };
            let out = &mut memory.out[d * columns..][..rows * columns];
            if start == 0 {
                isa.float_products(left, scores, valid(dim - d), out);
            } else {
                isa.float_products(left, scores, valid(dim - d), part);
                fade_and_add(isa, out, &fades, part, count);
            }
        }
    }
    write(isa, job, memory, queries, &totals);
}

/// Asks for the keys of the tile after the one at `key`, and for this one's values: other
/// tiles of queries find them in the cache.
#[inline(always)]
fn ask_for<I: Isa>(isa: I, job: &Job<'_>, key: usize, rows: usize) {
    for key in key..key + rows {
        job.keys.prefetch(isa, key + rows);
        job.values.prefetch(isa, key);
    }
}

/// Rows of one head from `first` on, each value a step.
#[inline(always)]
fn row_by_row(rows: HeadRows<'_>, first: usize) -> Strided<'_> {
    Strided {
        data: &rows.data[first * rows.stride..],
        row: rows.stride,
        step: 1,
    }
}

/// The tile's queries, times the scores' factor, one a lane. Lanes of no query hold what
/// was there before: they see no other lane, and nothing of them is written.
#[inline(always)]
fn turn_queries<I: Isa>(isa: I, job: &Job<'_>, memory: &mut Memory<'_>, queries: Range<usize>) {
    let (dim, columns) = (job.shape.dim, I::FLOAT_TILE.columns);
    for query in queries.end..job.rows.end.min(queries.end + columns) {
        job.queries.prefetch(isa, query);
    }
    let from = &job.queries.data[queries.start * job.queries.stride..];
    let sides = [queries.len(), dim];
    turn_within(sides, from, job.queries.stride, memory.queries, columns);
    let factor = isa.splat(job.shape.scale * std::f32::consts::LOG2_E);
    for d in 0..dim {
        for at in (0..queries.len()).step_by(I::LANES) {
            let lanes = &mut memory.queries[d * columns + at..];
            isa.store(isa.mul(isa.load(lanes), factor), lanes);
        }
    }
}

/// The scores of one vector of queries, `[key]` a row of the tile apart, to
/// `2^(score - top)`: moves the top, adds to the total, and says by what earlier sums fade.
#[inline(always)]
fn shares<I: Isa>(isa: I, scores: &mut [f32], [top, total, fade]: [&mut [f32]; 3]) {
    let columns = I::FLOAT_TILE.columns;
    let keys = scores.len().div_ceil(columns);
    let old = isa.load(top);
    let mut new = old;
    for key in 0..keys {
        new = isa.max(new, isa.load(&scores[key * columns..]));
    }
    let faded = exp2(isa, isa.sub(old, new));
    let mut sum = isa.mul(isa.load(total), faded);
    for key in 0..keys {
        let scores = &mut scores[key * columns..];
        let share = exp2(isa, isa.sub(isa.load(scores), new));
        sum = isa.add(sum, share);
        isa.store(share, scores);
    }
    isa.store(new, top);
    isa.store(sum, total);
    isa.store(faded, fade);
}

/// `out * fade + part`, lane by lane, for `count` queries.
#[inline(always)]
fn fade_and_add<I: Isa>(isa: I, out: &mut [f32], fades: &[f32], part: &[f32], count: usize) {
    let columns = I::FLOAT_TILE.columns;
    for at in (0..count).step_by(I::LANES) {
        let fade = isa.load(&fades[at..]);
        for r in 0..part.len() / columns {
            let at = r * columns + at;
            let out = &mut out[at..];
            isa.store(isa.mul_add(isa.load(out), fade, isa.load(&part[at..])), out);
        }
    }
}

/// Divides the tile's sums by their totals, and writes them query by query.
#[inline(always)]
fn write<I: Isa>(
    isa: I,
    job: &Job<'_>,
    memory: &mut Memory<'_>,
    queries: Range<usize>,
    totals: &[f32],
) {
    let (dim, columns) = (job.shape.dim, I::FLOAT_TILE.columns);
    for at in (0..queries.len()).step_by(I::LANES) {
        let factor = isa.div(isa.splat(1.0), isa.load(&totals[at..]));
        for d in 0..dim {
            let out = &mut memory.out[d * columns + at..];
            isa.store(isa.mul(isa.load(out), factor), out);
        }
    }
    // Fours turn quickest.
    let sides = [dim, columns.min(queries.len().next_multiple_of(4))];
    turn_within(sides, memory.out, columns, memory.turned, dim);
    for (query, values) in queries.zip(memory.turned.chunks_exact(dim)) {
        job.write(query, values);
    }
}
