//! Whether a picture is one whole film: what is measured of its layout, and what a small
//! model of each kind of image makes of that.
//!
//! In go the square that [`Measures`](super::Measures) is made from and the weights of the bundle,
//! out come the chances that the picture holds several films and that it is a part of one. Seams that cross it from edge to edge, parts that repeat each other, left against
//! right, and where it is dark and bright tell that: no graph is run. `python -m starter
//! train_layouts` chooses the weights; it reads the measures off this code.

use std::collections::BTreeMap;
use std::ops::Range;

use safetensors::{Dtype, SafeTensors};

use crate::image::Canvas;

/// Distances at which the changes beside a seam are compared with it.
const BESIDE: Range<isize> = 3..9;
/// A seam lies no closer to an edge, and a second one no closer to the first.
const APART: usize = 10;
/// Changes below this are none: noise of an evenly dark picture makes no seam.
const FAINT: f64 = 0.6 / 255.0;
/// What a change must exceed, beside twice that of its neighbourhood, to belong to a seam.
const STEP: f64 = 3.0 / 255.0;
/// Pixels a side of the picture that is compared with itself.
const COARSE: usize = 32;
/// Pixels a side of the picture that is compared with others of its kind.
const THUMBNAIL: usize = 8;
/// Parts of a profile.
const PROFILE: usize = 16;

/// Numbers that [`measures`] gives.
pub const COUNT: usize = 2 * SEAM + 10 + 2 * PROFILE + 12 + THUMBNAIL * THUMBNAIL;
/// Of these, by one direction of seams.
const SEAM: usize = 7;

/// What a model may take a picture for, in the order of its outputs.
const ANSWERS: usize = 4;
/// Of these: several films, and a part of one; before them one whole film, and behind them
/// anything else.
const SEVERAL: usize = 1;
const PARTIAL: usize = 2;

/// The models of a bundle, one a kind of image: a layer of `KIND.inner` `[H, COUNT + 1]`, what
/// is below 0 left out, and one of `KIND.outer` `[4, H + 1]`; each row ends in its bias.
#[derive(Debug, Clone, PartialEq)]
pub struct Layouts(BTreeMap<String, Model>);

#[derive(Debug, Clone, PartialEq)]
struct Model {
    inner: Vec<Vec<f64>>,
    outer: Vec<Vec<f64>>,
}

/// What a model makes of one picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Layout {
    /// The chance that it holds several films.
    pub several: f64,
    /// The chance that it is a part of one.
    pub partial: f64,
}

impl Layout {
    /// The chance that it is neither.
    pub fn whole(&self) -> f64 {
        1.0 - self.several - self.partial
    }
}

impl Layouts {
    /// Reads the models of these kinds.
    ///
    /// # Errors
    /// A sentence that says what is missing or has another size.
    pub fn read<'a>(bytes: &[u8], kinds: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let model = |kind: &str| {
            let inner = rows(&file, &format!("{kind}.inner"), COUNT + 1)?;
            let outer = rows(&file, &format!("{kind}.outer"), inner.len() + 1)?;
            if outer.len() != ANSWERS {
                return Err(format!(
                    "{kind}.outer has {} rows; {ANSWERS} are needed",
                    outer.len()
                ));
            }
            Ok((kind.to_owned(), Model { inner, outer }))
        };
        kinds.map(model).collect::<Result<_, String>>().map(Self)
    }

    /// What the model of a kind makes of a picture's [`measures`].
    pub fn of(&self, kind: &str, measures: &[f64]) -> Option<Layout> {
        let model = self.0.get(kind)?;
        let mut inner = layer(&model.inner, measures);
        inner.iter_mut().for_each(|v| *v = v.max(0.0));
        let logits = layer(&model.outer, &inner);
        let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let powers: Vec<f64> = logits.iter().map(|logit| (logit - top).exp()).collect();
        let sum: f64 = powers.iter().sum();
        Some(Layout {
            several: powers.get(SEVERAL)? / sum,
            partial: powers.get(PARTIAL)? / sum,
        })
    }
}

/// The rows of a tensor of so many columns.
fn rows(file: &SafeTensors<'_>, name: &str, columns: usize) -> Result<Vec<Vec<f64>>, String> {
    let view = file
        .tensor(name)
        .map_err(|error| format!("{name}: {error}"))?;
    let (kind, shape) = (view.dtype(), view.shape());
    if kind != Dtype::F32 || shape.len() != 2 || shape[0] == 0 || shape[1] != columns {
        return Err(format!(
            "{name} is {kind:?} {shape:?}; F32 [H, {columns}] is needed"
        ));
    }
    let values = view.data().chunks_exact(4);
    let values: Vec<f64> = values
        .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
        .collect();
    if values.iter().all(|value| value.is_finite()) {
        Ok(values.chunks_exact(columns).map(<[f64]>::to_vec).collect())
    } else {
        Err(format!("{name} holds a value that is not a number"))
    }
}

/// Products of the rows with the values, and the bias that ends each.
fn layer(rows: &[Vec<f64>], values: &[f64]) -> Vec<f64> {
    let sum = |row: &Vec<f64>| {
        let (weights, bias) = row.split_at(values.len());
        let products = weights.iter().zip(values).map(|(w, v)| w * v);
        products.sum::<f64>() + bias.iter().sum::<f64>()
    };
    rows.iter().map(sum).collect()
}

/// A square picture of luma.
#[derive(Debug, Clone)]
struct Square {
    side: usize,
    luma: Vec<f64>,
}

/// The measures of an image's [`square`](super::square).
pub fn measures(canvas: &Canvas) -> Vec<f64> {
    let square = Square {
        side: canvas.side,
        luma: canvas.luma().into_iter().map(f64::from).collect(),
    };
    let turned = square.turned();
    let (mean, spread) = mean_and_spread(&square.luma);
    let spread = spread + 1.0 / 255.0;
    let normal = |values: Vec<f64>| values.into_iter().map(move |v| (v - mean) / spread);
    let mut all = Vec::with_capacity(COUNT);
    all.extend(seams(&square));
    all.extend(seams(&turned));
    all.extend(likenesses(&square.reduced(COARSE)));
    all.extend(normal(square.profile()));
    all.extend(normal(turned.profile()));
    all.extend(edges(&square, &turned, mean, spread));
    all.extend(normal(square.reduced(THUMBNAIL).luma));
    all
}

impl Square {
    fn row(&self, y: usize) -> &[f64] {
        &self.luma[y * self.side..(y + 1) * self.side]
    }

    /// Rows become columns.
    fn turned(&self) -> Self {
        let side = self.side;
        let luma = (0..side * side).map(|i| self.luma[i % side * side + i / side]);
        Self {
            side,
            luma: luma.collect(),
        }
    }

    /// Means of square parts.
    fn reduced(&self, side: usize) -> Self {
        let part = self.side / side;
        let mut luma = vec![0.0; side * side];
        for y in 0..side * part {
            let cells = luma[y / part * side..].iter_mut();
            let parts = self.row(y).chunks_exact(part);
            for (cell, part) in cells.zip(parts).take(side) {
                *cell += part.iter().sum::<f64>();
            }
        }
        let count = (part * part) as f64;
        luma.iter_mut().for_each(|v| *v /= count);
        Self { side, luma }
    }

    /// Means of [`PROFILE`] groups of columns.
    fn profile(&self) -> Vec<f64> {
        let part = self.side / PROFILE;
        let mut sums = vec![0.0; PROFILE];
        for y in 0..self.side {
            let parts = self.row(y).chunks_exact(part);
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum += part.iter().sum::<f64>();
            }
        }
        let count = (part * self.side) as f64;
        sums.into_iter().map(|sum| sum / count).collect()
    }

    /// The part inside these columns and rows, without its mean and of length 1.
    fn unit(&self, columns: Range<usize>, rows: Range<usize>) -> Unit {
        let cells = rows.flat_map(|y| self.row(y)[columns.clone()].iter().copied());
        let mut cells: Vec<f64> = cells.collect();
        let mean = cells.iter().sum::<f64>() / cells.len() as f64;
        cells.iter_mut().for_each(|v| *v -= mean);
        let length = cells.iter().map(|v| v * v).sum::<f64>().sqrt() + 1e-5;
        cells.iter_mut().for_each(|v| *v /= length);
        Unit {
            width: columns.len(),
            cells,
        }
    }
}

/// A part whose products with others are correlations.
struct Unit {
    width: usize,
    cells: Vec<f64>,
}

impl Unit {
    fn like(&self, other: &Self) -> f64 {
        let pairs = self.cells.iter().zip(&other.cells);
        pairs.map(|(a, b)| a * b).sum()
    }

    fn left_for_right(&self) -> Self {
        let rows = self.cells.chunks_exact(self.width);
        Self {
            width: self.width,
            cells: rows.flat_map(|row| row.iter().rev().copied()).collect(),
        }
    }

    fn top_for_bottom(&self) -> Self {
        let rows = self.cells.rchunks_exact(self.width);
        Self {
            width: self.width,
            cells: rows.flatten().copied().collect(),
        }
    }
}

/// How like each other the halves, the mirrored halves, the mirrored wholes and the thirds
/// are.
fn likenesses(square: &Square) -> [f64; 10] {
    let (all, half, third) = (0..COARSE, COARSE / 2, COARSE / 3);
    let first = |length: usize| 0..length;
    let second = |length: usize| COARSE - length..COARSE;
    let middle = third + 1..2 * third + 1;
    let across = |columns: Range<usize>| square.unit(columns, all.clone());
    let down = |rows: Range<usize>| square.unit(all.clone(), rows);
    let whole = across(all.clone());
    let (left, right) = (across(first(half)), across(second(half)));
    let (top, bottom) = (down(first(half)), down(second(half)));
    let (across_middle, down_middle) = (across(middle.clone()), down(middle));
    [
        left.like(&right),
        top.like(&bottom),
        whole.like(&whole.left_for_right()),
        whole.like(&whole.top_for_bottom()),
        across(first(third)).like(&across_middle),
        across_middle.like(&across(second(third))),
        down(first(third)).like(&down_middle),
        down_middle.like(&down(second(third))),
        left.like(&right.left_for_right()),
        top.like(&bottom.top_for_bottom()),
    ]
}

/// Of each edge its mean, how much it changes along itself, and its spread.
fn edges(square: &Square, turned: &Square, mean: f64, spread: f64) -> Vec<f64> {
    let last = square.side - 1;
    let edges = [
        square.row(0),
        square.row(last),
        turned.row(0),
        turned.row(last),
    ];
    let means = edges.map(|edge| (mean_and_spread(edge).0 - mean) / spread);
    let changes = edges.map(|edge| {
        let steps = edge.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        steps.sum::<f64>() / last as f64 / spread
    });
    let spreads = edges.map(|edge| mean_and_spread(edge).1 / spread);
    [means, changes, spreads].concat()
}

/// The two strongest seams between columns: how much stronger than their neighbourhood, and
/// over which share of the rows; then the strongest and widest of all, and the mean of the
/// best twelve.
fn seams(square: &Square) -> [f64; SEAM] {
    let changes = Changes::of(square);
    let places: Vec<usize> = (APART..changes.width - APART).collect();
    let ratios: Vec<f64> = places.iter().map(|&x| changes.ratio(x)).collect();
    let reach = changes.reach(&places);
    let mut left = ratios.clone();
    let mut strongest = || {
        let best = (0..left.len()).max_by(|&a, &b| left[a].total_cmp(&left[b]));
        let best = best.unwrap_or(0);
        let ratio = left[best].max(0.1).ln();
        let near = best.saturating_sub(1)..(best + 2).min(reach.len());
        let wide = reach[near].iter().copied().fold(0.0, f64::max);
        let taken = best.saturating_sub(APART)..(best + APART + 1).min(left.len());
        left[taken].fill(0.0);
        [ratio, wide]
    };
    let [first, second] = [strongest(), strongest()];
    let mut both: Vec<f64> = ratios
        .iter()
        .zip(&reach)
        .map(|(ratio, wide)| ratio.max(1.0).ln() * wide)
        .collect();
    both.sort_unstable_by(f64::total_cmp);
    let best = &both[both.len() - 12..];
    [
        first[0],
        first[1],
        second[0],
        second[1],
        best[11],
        reach.iter().copied().fold(0.0, f64::max),
        best.iter().sum::<f64>() / 12.0,
    ]
}

/// Differences of neighbours in a row.
struct Changes {
    width: usize,
    by_row: Vec<f64>,
    means: Vec<f64>,
}

impl Changes {
    fn of(square: &Square) -> Self {
        let width = square.side - 1;
        let rows = (0..square.side).flat_map(|y| square.row(y).windows(2));
        let by_row: Vec<f64> = rows.map(|pair| (pair[1] - pair[0]).abs()).collect();
        let mut means = vec![0.0; width];
        for row in by_row.chunks_exact(width) {
            means.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
        }
        means.iter_mut().for_each(|sum| *sum /= square.side as f64);
        Self {
            width,
            by_row,
            means,
        }
    }

    fn at(&self, x: usize, offset: isize) -> usize {
        x.saturating_add_signed(offset).min(self.width - 1)
    }

    /// The mean change between two columns over that beside them.
    fn ratio(&self, x: usize) -> f64 {
        let beside = BESIDE
            .flat_map(|d| [-d, d])
            .map(|d| self.means[self.at(x, d)]);
        self.means[x] / (median(beside.collect()) + FAINT)
    }

    /// Share of the rows in which there is a step, at each place.
    fn reach(&self, places: &[usize]) -> Vec<f64> {
        let mut steps = vec![0usize; places.len()];
        let mut rows = 0;
        for row in self.by_row.chunks_exact(self.width) {
            rows += 1;
            for (count, &x) in steps.iter_mut().zip(places) {
                let beside = [-8, -6, -4, 4, 6, 8].map(|d| row[self.at(x, d)]);
                let here = row[x - 1].max(row[x]).max(row[x + 1]);
                *count += usize::from(here > 2.0 * middle_of_six(beside) + STEP);
            }
        }
        let share = |count: usize| count as f64 / f64::from(rows);
        steps.into_iter().map(share).collect()
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    f64::midpoint(values[half - 1], values[half])
}

/// The median of six, without a sort's bookkeeping: it is asked for 14,000 times a picture.
fn middle_of_six(mut v: [f64; 6]) -> f64 {
    for (a, b) in [
        (1, 2),
        (4, 5),
        (0, 2),
        (3, 5),
        (0, 1),
        (3, 4),
        (2, 5),
        (0, 3),
        (1, 4),
        (2, 4),
        (1, 3),
        (2, 3),
    ] {
        (v[a], v[b]) = (v[a].min(v[b]), v[a].max(v[b]));
    }
    f64::midpoint(v[2], v[3])
}

fn mean_and_spread(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|v| (v - mean).powi(2));
    (mean, (squares.sum::<f64>() / count).sqrt())
}
