//! What can be measured of an image without knowing what it shows: brightness, contrast, sharpness,
//! colour, and how much lies inside its border. In goes an image, out come numbers; `judge`
//! compares them with thresholds.
//!
//! Everything is measured on a square of [`SIDE`] pixels, made by the encoders' own filter;
//! `scripts/starter/gate.py` has the formula of the sharpness. Never refuses anything itself.

use crate::image::{Canvas, Image, UnitBox};

/// Pixels a side of the square that is measured.
pub(super) const SIDE: usize = 128;
/// Channels that lie further apart than this make a pixel coloured.
const COLOURED: f32 = 32.0 / 255.0;
/// A row or column whose values lie closer together than this is border.
const FLAT: f32 = 0.06;

/// Measures of one image; shares and brightness between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measures {
    /// Share of coloured pixels.
    pub coloured: f64,
    /// Mean luma.
    pub brightness: f64,
    /// Standard deviation of the luma.
    pub contrast: f64,
    /// Share of the image inside its border: of the rectangle that holds every row and
    /// column with something in it.
    pub content: f64,
    /// Mean size of the Laplacian, in contrasts.
    pub sharpness: f64,
}

impl Measures {
    /// Measures an image's [`square`].
    pub fn of(canvas: &Canvas) -> Self {
        let (red, rest) = canvas.planes.split_at(SIDE * SIDE);
        let (green, blue) = rest.split_at(SIDE * SIDE);
        let channels = || {
            red.iter()
                .zip(green)
                .zip(blue)
                .map(|((r, g), b)| [*r, *g, *b])
        };
        let coloured = channels()
            .filter(|rgb| {
                let (low, high) = ends(rgb.iter().copied());
                high - low > COLOURED
            })
            .count();
        let luma = canvas.luma();
        let count = luma.len() as f64;
        let mean = luma.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let squares = luma.iter().map(|v| (f64::from(*v) - mean).powi(2));
        let contrast = (squares.sum::<f64>() / count).sqrt();
        Self {
            coloured: coloured as f64 / count,
            brightness: mean,
            contrast,
            content: content(&luma),
            sharpness: laplacian(&luma) / contrast.max(1e-6),
        }
    }
}

/// The square that is measured.
pub fn square(image: &Image) -> Canvas {
    image.canvas(UnitBox::WHOLE, SIDE)
}

fn ends(values: impl Iterator<Item = f32>) -> (f32, f32) {
    values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

fn content(luma: &[f32]) -> f64 {
    let row = |y: usize| luma[y * SIDE..(y + 1) * SIDE].iter().copied();
    let column = |x: usize| luma[x..].iter().step_by(SIDE).copied();
    let shows = |(low, high): (f32, f32)| high - low > FLAT;
    let span = |holds: &dyn Fn(usize) -> bool| {
        let first = (0..SIDE).find(|&i| holds(i));
        let last = (0..SIDE).rfind(|&i| holds(i));
        first.zip(last).map_or(0, |(first, last)| last - first + 1)
    };
    let rows = span(&|y| shows(ends(row(y))));
    let columns = span(&|x| shows(ends(column(x))));
    (rows * columns) as f64 / (SIDE * SIDE) as f64
}

fn laplacian(luma: &[f32]) -> f64 {
    let mut sum = 0.0;
    for y in 1..SIDE - 1 {
        for x in 1..SIDE - 1 {
            let at = y * SIDE + x;
            let around = luma[at - 1] + luma[at + 1] + luma[at - SIDE] + luma[at + SIDE];
            sum += f64::from((4.0 * luma[at] - around).abs());
        }
    }
    sum / ((SIDE - 2) * (SIDE - 2)) as f64
}
