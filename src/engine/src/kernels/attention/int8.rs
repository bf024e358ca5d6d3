//! Attention with both products in int8.

use std::ops::Range;
use std::slice::ChunksExact;

use super::{AHEAD, Job};
use crate::kernels::aligned::{Aligned, lines_of, take, view_as, view_as_mut};
use crate::kernels::isa::{Factors, Isa, MOST_COLUMNS, MOST_ROWS, Routine, Tile, Valid};
use crate::kernels::lanes::{load_from, store_to};
use crate::kernels::math;
use crate::kernels::quantize::{SMALLEST, interleave, quantize, sum_of};
use crate::kernels::turn::turn;

/// Keys in one block, where they do not all fit in [`SHORT`]. A multiple of every
/// kernel's columns and unit, so that every kernel cuts the keys alike.
const BLOCK: usize = 192;
/// Up to this many keys are one block.
const SHORT: usize = 256;

pub(super) struct Int8<'a> {
    pub job: Job<'a>,
    pub scratch: &'a mut Aligned,
}

/// Lengths in scratch.
struct Lengths {
    /// A head's row in the panels of the first product.
    depth: usize,
    /// Keys of a block, filled up.
    block: usize,
    /// Values of a row of a tile's output, filled up.
    width: usize,
    blocks: usize,
    /// Of a panel of keys or values.
    columns: usize,
}

impl Lengths {
    #[inline(always)]
    fn new(job: &Job<'_>, tile: Tile) -> Self {
        Self {
            depth: tile.padded_depth(job.shape.dim),
            block: block_room(job, tile),
            width: job.shape.dim.next_multiple_of(tile.columns),
            blocks: blocks(job).count(),
            columns: tile.columns,
        }
    }

    /// Block `b`'s panels of keys.
    #[inline(always)]
    fn key_panels<'m, T>(&self, keys: &'m [T], b: usize) -> ChunksExact<'m, T> {
        let length = self.block * self.depth;
        keys[b * length..][..length].chunks_exact(self.columns * self.depth)
    }

    /// Block `b`'s panels of values.
    #[inline(always)]
    fn value_panels<'m, T>(&self, values: &'m [T], b: usize) -> ChunksExact<'m, T> {
        let length = self.block * self.width;
        values[b * length..][..length].chunks_exact(self.columns * self.block)
    }

    /// `out * fade + part` at the columns of panel `p`, for as many rows as there are fades.
    #[inline(always)]
    fn fade_and_add<I: Isa>(&self, isa: I, out: &mut [f32], fades: &[f32], p: usize, part: &[f32]) {
        let columns = self.columns;
        for r in 0..fades.len() {
            let fade = isa.splat(fades[r]);
            let out = &mut out[r * self.width + p * columns..][..columns];
            let part = &part[r * columns..][..columns];
            for v in 0..columns / I::LANES {
                let out = &mut out[v * I::LANES..];
                let sum = isa.mul_add(isa.load(out), fade, isa.load(&part[v * I::LANES..]));
                isa.store(sum, out);
            }
        }
    }
}

/// Blocks of keys.
#[inline(always)]
fn blocks(job: &Job<'_>) -> impl Iterator<Item = Range<usize>> + use<> {
    let keys = job.shape.keys;
    let size = if keys <= SHORT { keys } else { BLOCK };
    (0..keys)
        .step_by(size)
        .map(move |start| start..keys.min(start + size))
}

/// Keys of the longest block, filled up to whole panels and units.
#[inline(always)]
fn block_room(job: &Job<'_>, tile: Tile) -> usize {
    let keys = job.shape.keys;
    let size = if keys <= SHORT { keys } else { BLOCK };
    size.next_multiple_of(tile.columns)
        .next_multiple_of(tile.unit)
}

/// The keys and values of one head, packed, and memory for one tile of queries.
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
    /// What the values of each column are multiplied by.
    factors: &'m mut [f32],
    /// Codes on their way into a right panel.
    staged: &'m mut [i8],
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
        let lengths = Lengths::new(job, I::TILE);
        let mut memory = Memory::<I>::carve(self.scratch, &lengths);
        let spoilt = pack_keys(isa, job, &lengths, &mut memory);
        pack_values(isa, job, &lengths, &mut memory);
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
            ..
        } = *lengths;
        let rows = I::TILE.rows;
        let keys = blocks * block;
        let staged = (I::TILE.columns * depth).max(I::TILE.unit * width);
        let bytes = lines_of::<u8>(keys * depth)
            + 2 * lines_of::<f32>(keys)
            + lines_of::<u8>(keys * width)
            + lines_of::<f32>(blocks * width)
            + 2 * lines_of::<f32>(depth)
            + lines_of::<f32>(width)
            + lines_of::<i8>(staged)
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
            factors: take(memory, width),
            staged: take(memory, staged),
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
    let (dim, columns) = (job.shape.dim, I::TILE.columns);
    let mean = &mut memory.mean[..dim];
    mean.fill(0.0);
    for i in 0..job.shape.keys {
        job.keys.prefetch(isa, i + AHEAD);
        for (sum, x) in mean.iter_mut().zip(job.keys.row(i)) {
            *sum += x;
        }
    }
    let share = 1.0 / job.shape.keys as f32;
    mean.iter_mut().for_each(|sum| *sum *= share);
    memory.key_scales.fill(0.0);
    memory.key_bias.fill(f32::NEG_INFINITY);
    let row = &mut memory.row[..dim];
    let mut spoilt = 0.0;
    let panel_bytes = columns * lengths.depth;
    for (b, block) in blocks(job).enumerate() {
        for (p, first) in block.clone().step_by(columns).enumerate() {
            let staged = &mut memory.staged[..panel_bytes];
            staged.fill(0);
            let place = b * lengths.block + p * columns;
            let keys = first..block.end.min(first + columns);
            for ((i, key), codes) in keys.enumerate().zip(staged.chunks_exact_mut(lengths.depth)) {
                for ((to, x), mean) in row.iter_mut().zip(job.keys.row(key)).zip(&*mean) {
                    *to = x - mean;
                }
                let scale = quantize(isa, row, codes);
                memory.key_scales[place + i] = scale;
                memory.key_bias[place + i] = 0.0;
                spoilt += scale * 0.0;
            }
            let panel = &mut memory.keys[place * lengths.depth..][..panel_bytes];
            right_panel::<I>(staged, lengths.depth, panel);
        }
    }
    spoilt
}

/// Lays a panel's worth of columns, each `depth` codes, out as a right panel.
#[inline(always)]
fn right_panel<I: Isa>(codes: &[i8], depth: usize, panel: &mut [u8]) {
    let (columns, unit) = (I::TILE.columns, I::TILE.unit);
    match unit {
        4 => turn::<u32>(columns, depth / 4, view_as(codes), view_as_mut(panel)),
        8 => turn::<u64>(columns, depth / 8, view_as(codes), view_as_mut(panel)),
        _ => {
            for (c, codes) in codes.chunks_exact(depth).enumerate() {
                for (u, neighbours) in codes.chunks_exact(unit).enumerate() {
                    let to = &mut panel[(u * columns + c) * unit..][..unit];
                    to.copy_from_slice(view_as(neighbours));
                }
            }
        }
    }
    panel
        .iter_mut()
        .for_each(|code| *code = code.wrapping_add(I::OFFSET));
}

/// Quantises the values, each column of a block by itself.
#[inline(always)]
fn pack_values<I: Isa>(isa: I, job: &Job<'_>, lengths: &Lengths, memory: &mut Memory<'_, I>) {
    let (dim, width) = (job.shape.dim, lengths.width);
    memory.value_scales.fill(0.0);
    for (b, block) in blocks(job).enumerate() {
        let panels = &mut memory.values[b * lengths.block * width..][..lengths.block * width];
        let scales = &mut memory.value_scales[b * width..][..width];
        let factors = &mut memory.factors[..width];
        for at in (0..dim).step_by(I::LANES) {
            let (mut top, mut spoilt) = (isa.splat(0.0), isa.splat(0.0));
            for key in block.clone() {
                if at == 0 {
                    job.values.prefetch(isa, key + AHEAD);
                }
                let x = load_from(isa, job.values.row(key), at, 0.0);
                top = isa.max(top, isa.abs(x));
                spoilt = isa.mul_add(x, isa.splat(0.0), spoilt);
            }
            store_to(isa, top, scales, at);
            store_to(isa, spoilt, factors, at);
        }
        for (scale, factor) in scales.iter_mut().zip(&mut *factors) {
            let sound = *scale >= SMALLEST && *factor == 0.0;
            (*scale, *factor) = if sound {
                (*scale / 127.0, 127.0 / *scale)
            } else {
                // Zeros, or NaN where a value is not finite.
                (*factor * 0.0, 0.0)
            };
        }
        let unit = I::TILE.unit;
        let staged = &mut memory.staged[..unit * width];
        for (u, first) in block.clone().step_by(unit).enumerate() {
            staged.fill(0);
            let keys = first..block.end.min(first + unit);
            for (key, codes) in keys.zip(staged.chunks_exact_mut(width)) {
                let values = job.values.row(key);
                for at in (0..dim).step_by(I::LANES) {
                    let x = load_from(isa, values, at, 0.0);
                    let x = isa.mul(x, load_from(isa, factors, at, 0.0));
                    isa.store_codes(x, &mut codes[at..]);
                }
            }
            value_unit::<I>(staged, lengths, u, panels);
        }
        // Units that only fill up the block: the probabilities there are 0.
        for u in block.len().div_ceil(unit)..lengths.block / unit {
            staged.fill(0);
            value_unit::<I>(staged, lengths, u, panels);
        }
    }
}

/// Lays one unit of keys, `[neighbour][column]`, out in every panel of a block.
#[inline(always)]
fn value_unit<I: Isa>(staged: &[i8], lengths: &Lengths, u: usize, panels: &mut [u8]) {
    let (columns, unit) = (I::TILE.columns, I::TILE.unit);
    for (p, panel) in panels.chunks_exact_mut(columns * lengths.block).enumerate() {
        let to = &mut panel[u * columns * unit..][..columns * unit];
        let row = |n: usize| &staged[n * lengths.width + p * columns..][..columns];
        if unit == 4 {
            // As whole words, which the compiler turns into vectors.
            let to = view_as_mut::<u8, u32>(to);
            let code = |code: i8| u32::from((code as u8).wrapping_add(I::OFFSET));
            let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
            for i in 0..columns {
                to[i] = code(a[i]) | code(b[i]) << 8 | code(c[i]) << 16 | code(d[i]) << 24;
            }
        } else {
            for n in 0..unit {
                for (to, code) in to[n..].iter_mut().step_by(unit).zip(row(n)) {
                    *to = (*code as u8).wrapping_add(I::OFFSET);
                }
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

    for row in last..last + rows {
        job.queries.prefetch(isa, row);
    }

    memory.out.fill(0.0);
    let mut tops = [f32::NEG_INFINITY; MOST_ROWS];
    let mut totals = [0.0; MOST_ROWS];
    let mut part = [0.0; MOST_ROWS * MOST_COLUMNS];
    let part = &mut part[..rows * columns];
    for (b, block) in blocks(job).enumerate() {
        // Panels that hold keys, and what of the last is of use.
        let held = block.len().div_ceil(columns);
        let factors = |p: usize| Factors {
            rows: &query_scales,
            columns: &memory.key_scales[b * lengths.block + p * columns..],
            bias: &memory.key_bias[b * lengths.block + p * columns..],
        };
        let panels = lengths.key_panels(memory.keys, b);
        let scores = memory.scores.chunks_exact_mut(rows * columns);
        for ((p, panel), scores) in panels.enumerate().zip(scores).take(held) {
            let valid = Valid {
                rows: last - first,
                columns: columns.min(block.len() - p * columns),
            };
            let (queries, factors) = (&*memory.queries, factors(p));
            isa.scaled_products(queries, panel, &query_sums, factors, valid, scores);
        }

        let mut weights = [0.0; MOST_ROWS];
        let mut fades = [0.0; MOST_ROWS];
        let mut sums = [0; MOST_ROWS];
        for r in 0..last - first {
            let codes = &mut memory.codes[r * lengths.block..][..lengths.block];
            let top = probabilities(isa, memory.scores, r, block.len(), codes);
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

        for (p, panel) in lengths.value_panels(memory.values, b).enumerate() {
            let factors = Factors {
                rows: &weights,
                columns: &memory.value_scales[b * lengths.width + p * columns..],
                bias: &[0.0; MOST_COLUMNS],
            };
            let valid = Valid {
                rows: last - first,
                columns: columns.min(dim - p * columns),
            };
            isa.scaled_products(memory.probabilities, panel, &sums, factors, valid, part);
            lengths.fade_and_add(isa, memory.out, &fades[..valid.rows], p, part);
        }
    }
    let mut factors = [0.0; MOST_ROWS];
    for r in 0..last - first {
        // Not finite where a query or a key is not.
        factors[r] = 1.0 / totals[r] + spoilt + query_scales[r] * 0.0;
    }
    for row in first..last {
        let r = row - first;
        let values = &mut memory.out[r * lengths.width..][..dim];
        values.iter_mut().for_each(|x| *x *= factors[r]);
        job.write(row, values);
    }
}

/// Row `r`'s scores of `keys` keys to codes of `127 * 2^(score - top)`, and 0 for keys that
/// only fill up the block; answers the top.
#[inline(always)]
fn probabilities<I: Isa>(isa: I, scores: &[f32], r: usize, keys: usize, codes: &mut [i8]) -> f32 {
    let (rows, columns) = (I::TILE.rows, I::TILE.columns);
    let vectors = keys.div_ceil(I::LANES);
    let in_panel = columns / I::LANES;
    // The bias made the scores of no key minus infinite, as far as whole vectors go.
    let mut top = isa.splat(f32::NEG_INFINITY);
    for v in 0..vectors {
        let at = (v / in_panel * rows + r) * columns + v % in_panel * I::LANES;
        top = isa.max(top, isa.load(&scores[at..]));
    }
    let top = isa.largest(top);
    let start = isa.splat(top);
    for v in 0..vectors {
        let at = (v / in_panel * rows + r) * columns + v % in_panel * I::LANES;
        let score = isa.sub(isa.load(&scores[at..]), start);
        isa.store_codes(math::code_of_exp2(isa, score), &mut codes[v * I::LANES..]);
    }
    codes[vectors * I::LANES..].fill(0);
    top
}
