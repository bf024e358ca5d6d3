//! Attention with both products in int8.

use super::{Job, exp2};
use crate::engine::kernels::aligned::{Aligned, lines_of, take};
use crate::engine::kernels::isa::{Factors, Isa, MOST_COLUMNS, MOST_ROWS, Routine};
use crate::engine::kernels::pointwise::load_from;
use crate::engine::kernels::quantize::{interleave, quantize, sum_of};

pub(super) struct Int8<'a> {
    pub job: Job<'a>,
    pub scratch: &'a mut Aligned,
}

/// Lengths in scratch.
struct Lengths {
    /// A head's row in the left and right panels of the first product.
    depth: usize,
    /// Keys of a block, filled up.
    block: usize,
    /// Values of a row of the output, filled up.
    width: usize,
    blocks: usize,
}

/// The keys and values of one head, packed, and room for one tile of queries.
struct Memory<'m, I: Isa> {
    /// `[block][panel of keys][unit of dim][key][neighbour]`
    keys: &'m mut [u8],
    key_scales: &'m mut [f32],
    /// 0, or minus infinity for keys that only fill up a panel.
    key_bias: &'m mut [f32],
    /// `[block][panel of dim][unit of keys][column][neighbour]`
    values: &'m mut [u8],
    value_scales: &'m mut [f32],
    mean: &'m mut [f32],
    row: &'m mut [f32],
    codes: &'m mut [i8],
    /// Left panel of the first product.
    queries: &'m mut [I::Code],
    /// Left panel of the second product.
    probabilities: &'m mut [I::Code],
    /// `[panel of keys][row][key]`
    scores: &'m mut [f32],
    out: &'m mut [f32],
}

impl Routine for Int8<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let job = &self.job;
        let lengths = Lengths {
            depth: I::TILE.padded_depth(job.shape.dim),
            block: job.block_room(I::TILE),
            width: job.shape.dim.next_multiple_of(I::TILE.columns),
            blocks: job.blocks().count(),
        };
        let mut memory = Memory::<I>::carve(self.scratch, &lengths);
        let spoilt = pack_keys(isa, job, &lengths, &mut memory);
        pack_values(job, &lengths, &mut memory);
        for first in job.rows.clone().step_by(I::TILE.rows) {
            tile(isa, job, &lengths, &mut memory, first, spoilt);
        }
    }
}

impl<'m, I: Isa> Memory<'m, I> {
    #[inline(always)]
    fn carve(scratch: &'m mut Aligned, lengths: &Lengths) -> Self {
        let Lengths {
            depth,
            block,
            width,
            blocks,
        } = *lengths;
        let rows = I::TILE.rows;
        let keys = blocks * block;
        let bytes = lines_of::<u8>(keys * depth)
            + 2 * lines_of::<f32>(keys)
            + lines_of::<u8>(keys * width)
            + lines_of::<f32>(blocks * width)
            + 2 * lines_of::<f32>(depth)
            + lines_of::<i8>(rows * depth.max(block))
            + lines_of::<I::Code>(rows * depth)
            + lines_of::<I::Code>(rows * block)
            + lines_of::<f32>(rows * block)
            + lines_of::<f32>(rows * width);
        let memory = &mut scratch.grow(bytes);
        Self {
            keys: take(memory, keys * depth),
            key_scales: take(memory, keys),
            key_bias: take(memory, keys),
            values: take(memory, keys * width),
            value_scales: take(memory, blocks * width),
            mean: take(memory, depth),
            row: take(memory, depth),
            codes: take(memory, rows * depth.max(block)),
            queries: take(memory, rows * depth),
            probabilities: take(memory, rows * block),
            scores: take(memory, rows * block),
            out: take(memory, rows * width),
        }
    }
}

/// Quantises the keys, less their mean: it adds the same to all scores of a query, which
/// softmax does not see, and what is left has the finer scale. Answers 0, or NaN where a
/// key is not finite.
#[inline(always)]
fn pack_keys<I: Isa>(isa: I, job: &Job<'_>, lengths: &Lengths, memory: &mut Memory<'_, I>) -> f32 {
    let (dim, keys) = (job.shape.dim, job.keys);
    let (columns, unit) = (I::TILE.columns, I::TILE.unit);
    let mean = &mut memory.mean[..dim];
    mean.fill(0.0);
    for i in 0..job.shape.keys {
        for (sum, x) in mean.iter_mut().zip(keys.row(i)) {
            *sum += x;
        }
    }
    let share = 1.0 / job.shape.keys as f32;
    mean.iter_mut().for_each(|sum| *sum *= share);
    memory.keys.fill(I::OFFSET);
    memory.key_scales.fill(0.0);
    memory.key_bias.fill(f32::NEG_INFINITY);
    let codes = &mut memory.codes[..lengths.depth];
    let row = &mut memory.row[..dim];
    let mut spoilt = 0.0;
    for (b, block) in job.blocks().enumerate() {
        for (i, key) in block.enumerate() {
            for ((to, x), mean) in row.iter_mut().zip(keys.row(key)).zip(&*mean) {
                *to = x - mean;
            }
            let at = b * lengths.block + i;
            let scale = quantize(isa, row, codes);
            memory.key_scales[at] = scale;
            memory.key_bias[at] = 0.0;
            spoilt += scale * 0.0;
            let panel = &mut memory.keys[at / columns * columns * lengths.depth..];
            for (u, codes) in codes.chunks_exact(unit).enumerate() {
                let to = &mut panel[(u * columns + at % columns) * unit..][..unit];
                for (to, &code) in to.iter_mut().zip(codes) {
                    *to = (code as u8).wrapping_add(I::OFFSET);
                }
            }
        }
    }
    spoilt
}

/// Quantises the values, each column of a block by itself.
#[inline(always)]
fn pack_values<I: Isa>(job: &Job<'_>, lengths: &Lengths, memory: &mut Memory<'_, I>) {
    let dim = job.shape.dim;
    let (columns, unit) = (I::TILE.columns, I::TILE.unit);
    memory.values.fill(I::OFFSET);
    memory.value_scales.fill(0.0);
    for (b, block) in job.blocks().enumerate() {
        let panels = &mut memory.values[b * lengths.block * lengths.width..];
        let scales = &mut memory.value_scales[b * lengths.width..][..dim];
        let factors = &mut memory.row[..dim];
        factors.fill(0.0);
        for key in block.clone() {
            for ((top, spoilt), x) in scales
                .iter_mut()
                .zip(&mut *factors)
                .zip(job.values.row(key))
            {
                *top = if x.abs() > *top { x.abs() } else { *top };
                *spoilt += x * 0.0;
            }
        }
        for (scale, factor) in scales.iter_mut().zip(&mut *factors) {
            let top = *scale;
            *scale = top / 127.0 + *factor;
            *factor = if top > 1e-36 && factor.is_finite() {
                127.0 / top
            } else {
                0.0
            };
        }
        for (i, key) in block.enumerate() {
            for ((c, x), factor) in job.values.row(key).iter().enumerate().zip(&*factors) {
                let code = (x * factor).round_ties_even() as i8;
                let panel = c / columns * columns * lengths.block;
                let at = (i / unit * columns + c % columns) * unit + i % unit;
                panels[panel + at] = (code as u8).wrapping_add(I::OFFSET);
            }
        }
    }
}

/// One tile of queries against all keys.
#[inline(always)]
fn tile<I: Isa>(
    isa: I,
    job: &Job<'_>,
    lengths: &Lengths,
    memory: &mut Memory<'_, I>,
    first: usize,
    spoilt: f32,
) {
    let (rows, columns) = (I::TILE.rows, I::TILE.columns);
    let dim = job.shape.dim;
    let last = job.rows.end.min(first + rows);
    let mut query_scales = [0.0; MOST_ROWS];
    let mut query_sums = [0; MOST_ROWS];
    let queries = &mut memory.codes[..rows * lengths.depth];
    queries.fill(0);
    let factor = job.shape.scale * std::f32::consts::LOG2_E;
    for (r, codes) in queries.chunks_exact_mut(lengths.depth).enumerate() {
        if first + r < last {
            query_scales[r] = factor * quantize(isa, job.queries.row(first + r), codes);
            query_sums[r] = sum_of(codes);
        }
    }
    interleave::<I>(queries, lengths.depth, memory.queries);

    memory.out.fill(0.0);
    let mut tops = [f32::NEG_INFINITY; MOST_ROWS];
    let mut totals = [0.0; MOST_ROWS];
    let mut part = [0.0; MOST_ROWS * MOST_COLUMNS];
    let part = &mut part[..rows * columns];
    for b in 0..lengths.blocks {
        let keys = b * lengths.block..(b + 1) * lengths.block;
        let factors = |p: usize| Factors {
            rows: &query_scales,
            columns: &memory.key_scales[keys.start + p * columns..],
            bias: &memory.key_bias[keys.start + p * columns..],
        };
        let panels = memory.keys[keys.start * lengths.depth..keys.end * lengths.depth]
            .chunks_exact(columns * lengths.depth);
        let scores = memory.scores.chunks_exact_mut(rows * columns);
        for ((p, panel), scores) in panels.enumerate().zip(scores) {
            isa.scaled_products(memory.queries, panel, &query_sums, factors(p), scores);
        }

        let mut weights = [0.0; MOST_ROWS];
        let mut fades = [0.0; MOST_ROWS];
        let mut sums = [0; MOST_ROWS];
        for r in 0..rows {
            let codes = &mut memory.codes[r * lengths.block..][..lengths.block];
            let top = probabilities(isa, memory.scores, r, codes);
            let new_top = tops[r].max(top);
            fades[r] = (tops[r] - new_top).exp2();
            let weight = (top - new_top).exp2();
            tops[r] = new_top;
            sums[r] = sum_of(codes);
            totals[r] = totals[r] * fades[r] + weight * sums[r] as f32;
            weights[r] = weight;
        }
        let codes = &memory.codes[..rows * lengths.block];
        interleave::<I>(codes, lengths.block, memory.probabilities);

        let panels = memory.values[keys.start * lengths.width..keys.end * lengths.width]
            .chunks_exact(columns * lengths.block);
        for (p, panel) in panels.enumerate() {
            let factors = Factors {
                rows: &weights,
                columns: &memory.value_scales[b * lengths.width + p * columns..],
                bias: &[0.0; MOST_COLUMNS],
            };
            isa.scaled_products(memory.probabilities, panel, &sums, factors, part);
            for (r, part) in part.chunks_exact(columns).enumerate() {
                let out = &mut memory.out[r * lengths.width + p * columns..][..columns];
                let fade = isa.splat(fades[r]);
                for (out, part) in out
                    .chunks_exact_mut(I::LANES)
                    .zip(part.chunks_exact(I::LANES))
                {
                    isa.store(isa.mul_add(isa.load(out), fade, isa.load(part)), out);
                }
            }
        }
    }
    for row in first..last {
        let r = row - first;
        // Not finite where a query or a key is not.
        let factor = 1.0 / totals[r] + spoilt + query_scales[r] * 0.0;
        let out = &mut memory.out[r * lengths.width..][..dim];
        out.iter_mut().for_each(|x| *x *= factor);
        job.write(row, out);
    }
}

/// Row `r`'s scores to codes of `127 * 2^(score - top)`; answers the top.
#[inline(always)]
fn probabilities<I: Isa>(isa: I, scores: &[f32], r: usize, codes: &mut [i8]) -> f32 {
    let (rows, columns) = (I::TILE.rows, I::TILE.columns);
    let row = |panel: usize| &scores[(panel * rows + r) * columns..][..columns];
    let panels = codes.len() / columns;
    let mut top = isa.splat(f32::NEG_INFINITY);
    for panel in 0..panels {
        for chunk in row(panel).chunks_exact(I::LANES) {
            top = isa.max(top, isa.load(chunk));
        }
    }
    let top = isa.largest(top);
    let start = isa.splat(top);
    for panel in 0..panels {
        let codes = &mut codes[panel * columns..][..columns];
        let scores = row(panel).chunks_exact(I::LANES);
        for (score, codes) in scores.zip(codes.chunks_exact_mut(I::LANES)) {
            let power = exp2(isa, isa.sub(load_from(isa, score, 0, 0.0), start));
            isa.store_codes(isa.mul(power, isa.splat(127.0)), codes);
        }
    }
    top
}
