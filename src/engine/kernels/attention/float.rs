//! Attention in single precision.

use super::{AHEAD, Job, Lengths};
use crate::engine::kernels::aligned::{Aligned, lines_of, take};
use crate::engine::kernels::isa::{Isa, MOST_COLUMNS, MOST_ROWS, Routine, Wanted};
use crate::engine::kernels::math::exp2;
use crate::engine::kernels::turn::turn;

pub(super) struct Float<'a> {
    pub job: Job<'a>,
    pub scratch: &'a mut Aligned,
}

/// The keys and values of one head, packed, and room for one tile of queries.
struct Memory<'m> {
    /// `[block][panel of keys][dim][key]`
    keys: &'m mut [f32],
    /// `[block][panel of dim][key][column]`
    values: &'m mut [f32],
    /// `[dim][row]`
    queries: &'m mut [f32],
    /// `[panel of keys][row][key]`
    scores: &'m mut [f32],
    /// `[key][row]`
    probabilities: &'m mut [f32],
    out: &'m mut [f32],
}

impl Routine for Float<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let job = &self.job;
        let lengths = Lengths::new(job, I::FLOAT_TILE);
        let mut memory = Memory::carve(self.scratch, &lengths, I::FLOAT_TILE.rows);
        pack(isa, job, &lengths, &mut memory);
        for first in job.rows.clone().step_by(I::FLOAT_TILE.rows) {
            tile(isa, job, &lengths, &mut memory, first);
        }
    }
}

impl<'m> Memory<'m> {
    fn carve(scratch: &'m mut Aligned, lengths: &Lengths, rows: usize) -> Self {
        let Lengths {
            depth,
            block,
            width,
            blocks,
            ..
        } = *lengths;
        let counts = [
            blocks * block * depth,
            blocks * block * width,
            rows * depth,
            rows * block,
            rows * block,
            rows * width,
        ];
        let memory = &mut scratch.grow(counts.map(lines_of::<f32>).iter().sum());
        let [keys, values, queries, scores, probabilities, out] =
            counts.map(|count| take(memory, count));
        Self {
            keys,
            values,
            queries,
            scores,
            probabilities,
            out,
        }
    }
}

#[inline(always)]
fn pack<I: Isa>(isa: I, job: &Job<'_>, lengths: &Lengths, memory: &mut Memory<'_>) {
    let columns = I::FLOAT_TILE.columns;
    memory.keys.fill(0.0);
    memory.values.fill(0.0);
    for (b, block) in job.blocks().enumerate() {
        let values = &mut memory.values[b * lengths.block * lengths.width..];
        for (i, key) in block.enumerate() {
            job.keys.prefetch(isa, key + AHEAD);
            job.values.prefetch(isa, key + AHEAD);
            let at = b * lengths.block + i;
            let to = &mut memory.keys[at / columns * columns * lengths.depth + at % columns..];
            for (to, x) in to.iter_mut().step_by(columns).zip(job.keys.row(key)) {
                *to = *x;
            }
            for (p, value) in job.values.row(key).chunks(columns).enumerate() {
                let at = p * columns * lengths.block + i * columns;
                values[at..at + value.len()].copy_from_slice(value);
            }
        }
    }
}

/// One tile of queries against all keys.
#[inline(always)]
fn tile<I: Isa>(isa: I, job: &Job<'_>, lengths: &Lengths, memory: &mut Memory<'_>, first: usize) {
    let (rows, columns) = (I::FLOAT_TILE.rows, I::FLOAT_TILE.columns);
    let last = job.rows.end.min(first + rows);
    let factor = job.shape.scale * std::f32::consts::LOG2_E;
    memory.queries.fill(0.0);
    for row in first..last {
        let to = memory.queries[row - first..].iter_mut().step_by(rows);
        for (to, x) in to.zip(job.queries.row(row)) {
            *to = x * factor;
        }
    }
    for row in last..last + rows {
        job.queries.prefetch(isa, row);
    }
    memory.out.fill(0.0);
    let mut tops = [f32::NEG_INFINITY; MOST_ROWS];
    let mut totals = [0.0; MOST_ROWS];
    let mut part = [0.0; MOST_ROWS * MOST_COLUMNS];
    let part = &mut part[..rows * columns];
    let wanted = |columns: usize| Wanted {
        rows: last - first,
        columns: columns.min(I::FLOAT_TILE.columns),
    };
    for (b, block) in job.blocks().enumerate() {
        let panels = lengths.key_panels(memory.keys, b);
        for (panel, scores) in panels.zip(memory.scores.chunks_exact_mut(rows * columns)) {
            isa.float_products(memory.queries, panel, wanted(columns), scores);
        }
        let mut fades = [0.0; MOST_ROWS];
        for r in 0..last - first {
            hide(memory.scores, r, rows, columns, block.len()..lengths.block);
            let (fade, total) = probabilities(isa, memory, r, &mut tops[r], lengths.block);
            totals[r] = totals[r] * fade + total;
            fades[r] = fade;
        }
        turn_panels::<I>(memory, lengths.block);
        for (p, panel) in lengths.value_panels(memory.values, b).enumerate() {
            let wanted = wanted(job.shape.dim - p * columns);
            isa.float_products(memory.probabilities, panel, wanted, part);
            lengths.fade_and_add(isa, memory.out, &fades[..wanted.rows], p, part);
        }
    }
    let factors = totals.map(|total| 1.0 / total);
    job.write(first..last, &factors, memory.out, lengths.width);
}

/// Keys that only fill up the last panel get no share.
#[inline(always)]
fn hide(scores: &mut [f32], r: usize, rows: usize, columns: usize, keys: std::ops::Range<usize>) {
    for key in keys {
        scores[(key / columns * rows + r) * columns + key % columns] = f32::NEG_INFINITY;
    }
}

/// Row `r`'s scores to `2^(score - top)`; answers by what earlier sums fade, and the sum.
#[inline(always)]
fn probabilities<I: Isa>(
    isa: I,
    memory: &mut Memory<'_>,
    r: usize,
    top: &mut f32,
    keys: usize,
) -> (f32, f32) {
    let (rows, columns) = (I::FLOAT_TILE.rows, I::FLOAT_TILE.columns);
    let place = |panel: usize| (panel * rows + r) * columns;
    let vectors = columns / I::LANES;
    let mut tops = isa.splat(*top);
    for panel in 0..keys / columns {
        let scores = &memory.scores[place(panel)..][..columns];
        for v in 0..vectors {
            tops = isa.max(tops, isa.load(&scores[v * I::LANES..]));
        }
    }
    let new_top = isa.largest(tops);
    let fade = (*top - new_top).exp2();
    *top = new_top;
    let mut total = isa.splat(0.0);
    for panel in 0..keys / columns {
        let scores = &mut memory.scores[place(panel)..][..columns];
        for v in 0..vectors {
            let scores = &mut scores[v * I::LANES..];
            let power = exp2(isa, isa.sub(isa.load(scores), isa.splat(new_top)));
            total = isa.add(total, power);
            isa.store(power, scores);
        }
    }
    (fade, isa.sum(total))
}

/// The probabilities of every panel of keys, `[row][key]`, to one left panel.
#[inline(always)]
fn turn_panels<I: Isa>(memory: &mut Memory<'_>, keys: usize) {
    let (rows, columns) = (I::FLOAT_TILE.rows, I::FLOAT_TILE.columns);
    let from = memory.scores.chunks_exact(rows * columns);
    let to = memory.probabilities.chunks_exact_mut(rows * columns);
    for (from, to) in from.zip(to).take(keys / columns) {
        turn::<f32>(rows, columns, from, to);
    }
}
