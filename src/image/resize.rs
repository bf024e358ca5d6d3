//! Pictures at other sizes. In goes an image or a part of it, out comes a square for an encoder
//! ([`Canvas`]), a smaller image to look at, or one with square pixels; called by the pipeline,
//! the gate, DICOM and the page. It never looks beyond the image, and never answers with pixels
//! that another processor would not give.
//!
//! This is the one resampler of pictures. Two others are no pictures': `focus` enlarges the
//! segmenter's logits, floats, as PyTorch does, and the engine has ONNX's `Resize`.
//!
//! The filter is Pillow's antialiased bilinear one, to the bit, because the graphs
//! were trained on it: rows first, then columns, weights in fixed point, both passes
//! rounded to 8 bits. Integers only after the weights, so every processor gives the
//! same picture.

use super::{Image, Pixels};

/// Fraction bits of a weight: a sum of 8-bit values and weights that add up to 1 stays
/// inside 32 bits (Pillow's `PRECISION_BITS`).
const FRACTION: u32 = 32 - 8 - 2;

/// A part of an image in the unit square: `x0 < x1`, `y0 < y1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UnitBox {
    /// Left.
    pub x0: f64,
    /// Top.
    pub y0: f64,
    /// Right.
    pub x1: f64,
    /// Bottom.
    pub y1: f64,
}

impl UnitBox {
    /// The whole image.
    pub const WHOLE: Self = Self {
        x0: 0.0,
        y0: 0.0,
        x1: 1.0,
        y1: 1.0,
    };
}

/// A square picture, three planes `[3, side, side]` of values in 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Canvas {
    /// Pixels a side.
    pub side: usize,
    /// Red, green and blue planes, row by row.
    pub planes: Vec<f32>,
}

impl Canvas {
    /// One plane of luma (ITU-R BT.601, as Pillow's `convert("L")`).
    pub fn luma(&self) -> Vec<f32> {
        let (red, rest) = self.planes.split_at(self.side * self.side);
        let (green, blue) = rest.split_at(self.side * self.side);
        let channels = red.iter().zip(green).zip(blue);
        channels
            .map(|((r, g), b)| 0.299 * r + 0.587 * g + 0.114 * b)
            .collect()
    }

    /// The planes as an encoder wants them: `(value - mean) / std` by channel.
    pub fn normalised(&self, mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
        let plane = self.side * self.side;
        (0..3)
            .flat_map(|c| {
                self.planes[c * plane..(c + 1) * plane]
                    .iter()
                    .map(move |v| (v - mean[c]) / std[c])
            })
            .collect()
    }
}

impl Image {
    /// The part `of` this image, stretched to `side` by `side` pixels. Edges are whole
    /// pixels, at least one apart; the filter looks across them, as Pillow's does.
    pub fn canvas(&self, of: UnitBox, side: usize) -> Canvas {
        let columns = taps(of.x0, of.x1, self.width as usize, side);
        let rows = taps(of.y0, of.y1, self.height as usize, side);
        let width = self.width as usize;
        let unit = |value: &u8| f32::from(*value) / 255.0;
        let planes = match &self.pixels {
            Pixels::Luma(luma) => {
                let luma = resize::<1>(luma, width, &columns, &rows);
                luma.iter().map(unit).collect::<Vec<f32>>().repeat(3)
            }
            Pixels::Rgb(rgb) => {
                let rgb = resize::<3>(rgb, width, &columns, &rows);
                let plane = |channel| rgb.iter().skip(channel).step_by(3).map(unit);
                (0..3).flat_map(plane).collect()
            }
        };
        Canvas { side, planes }
    }

    /// The same image in its own shape, no longer than `longest` pixels on either side;
    /// a smaller one stays as it is.
    #[must_use]
    pub fn reduced(&self, longest: u32) -> Self {
        let (width, height) = (self.width, self.height);
        let side = width.max(height);
        if side <= longest {
            return self.clone();
        }
        let scaled = |own: u32| {
            let scaled = u64::from(own) * u64::from(longest) / u64::from(side);
            u32::try_from(scaled).unwrap_or(longest).max(1)
        };
        let (columns, rows) = (scaled(width), scaled(height));
        Self {
            width: columns,
            height: rows,
            pixels: self.pixels.stretched([width, height], [columns, rows]),
            metadata: self.metadata.clone(),
            sha256: self.sha256,
            // A small picture is for looking at: it takes no patient along.
            origin: None,
        }
    }
}

impl Pixels {
    /// The pixels of a whole picture, `from` wide and high, at another size. Takes no memory but
    /// the result's and that of one pass.
    #[must_use]
    pub(crate) fn stretched(&self, from: [u32; 2], to: [u32; 2]) -> Self {
        match self {
            Self::Luma(luma) => Self::Luma(stretched::<1>(luma, from, to)),
            Self::Rgb(rgb) => Self::Rgb(stretched_rgb(rgb, from, to)),
        }
    }
}

/// The same for pixels in colour, red, green and blue side by side.
#[must_use]
pub(crate) fn stretched_rgb(rgb: &[u8], from: [u32; 2], to: [u32; 2]) -> Vec<u8> {
    stretched::<3>(rgb, from, to)
}

fn stretched<const C: usize>(bytes: &[u8], from: [u32; 2], to: [u32; 2]) -> Vec<u8> {
    let [columns, rows] = [0, 1].map(|at| taps(0.0, 1.0, from[at] as usize, to[at] as usize));
    resize::<C>(bytes, from[0] as usize, &columns, &rows)
}

/// The source pixels that one target pixel is made of, and their weights.
struct Tap {
    first: usize,
    weights: Vec<i32>,
}

/// The taps of one axis for the part between `from` and `to` (unit interval).
fn taps(from: f64, to: f64, size: usize, side: usize) -> Vec<Tap> {
    let start = ((from * size as f64).round() as usize).min(size - 1);
    let end = ((to * size as f64).round() as usize).clamp(start + 1, size);
    let scale = (end - start) as f64 / side as f64;
    let reach = scale.max(1.0);
    let tap = |i: usize| {
        let centre = start as f64 + (i as f64 + 0.5) * scale;
        let first = (centre - reach + 0.5).max(0.0) as usize;
        let last = ((centre + reach + 0.5) as usize).min(size);
        let triangle =
            |x: usize| (1.0 - ((x as f64 - centre + 0.5) * (1.0 / reach)).abs()).max(0.0);
        let weights: Vec<f64> = (first..last).map(triangle).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |w: &f64| (w / sum * f64::from(1 << FRACTION) + 0.5) as i32;
        Tap {
            first,
            weights: weights.iter().map(fixed).collect(),
        }
    };
    (0..side).map(tap).collect()
}

/// `C` channels, side by side before and after.
fn resize<const C: usize>(bytes: &[u8], width: usize, columns: &[Tap], rows: &[Tap]) -> Vec<u8> {
    let top = rows.iter().map(|tap| tap.first).min().unwrap_or(0);
    let bottom = rows
        .iter()
        .map(|tap| tap.first + tap.weights.len())
        .max()
        .unwrap_or(0);
    let line = columns.len() * C;
    let mut narrow = Vec::with_capacity((bottom - top) * line);
    for row in bytes[top * width * C..bottom * width * C].chunks_exact(width * C) {
        for tap in columns {
            let source = &row[tap.first * C..];
            narrow.extend((0..C).map(|c| weigh(tap, source.iter().skip(c).step_by(C))));
        }
    }
    let mut out = Vec::with_capacity(rows.len() * line);
    for tap in rows {
        let source = &narrow[(tap.first - top) * line..];
        out.extend((0..line).map(|at| weigh(tap, source.iter().skip(at).step_by(line))));
    }
    out
}

/// The weighted sum of `source`, rounded and held to 8 bits.
fn weigh<'a>(tap: &Tap, source: impl Iterator<Item = &'a u8>) -> u8 {
    let sum: i32 = tap
        .weights
        .iter()
        .zip(source)
        .map(|(w, v)| w * i32::from(*v))
        .sum();
    ((sum + (1 << (FRACTION - 1))) >> FRACTION).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageMetadata;
    use crate::sha256::Sha256;

    fn ramp(width: u32, height: u32) -> Image {
        let bytes = (0..width * height).map(|i| (i % 251) as u8).collect();
        let (pixels, said) = (Pixels::Luma(bytes), ImageMetadata::default());
        Image {
            width,
            height,
            pixels,
            metadata: said,
            sha256: Sha256::of(b""),
            origin: None,
        }
    }

    #[test]
    fn the_same_size_is_the_same_picture() {
        let image = ramp(40, 40);
        let canvas = image.canvas(UnitBox::WHOLE, 40);
        let Pixels::Luma(bytes) = &image.pixels else {
            unreachable!()
        };
        let back: Vec<u8> = canvas.planes[..1600]
            .iter()
            .map(|v| (v * 255.0).round() as u8)
            .collect();
        assert_eq!(&back, bytes);
        assert_eq!(canvas.planes[..1600], canvas.planes[3200..]);
    }

    #[test]
    fn any_box_and_size_stays_inside_the_image() {
        for (width, height) in [(32, 32), (33, 4000), (517, 61)] {
            let image = ramp(width, height);
            for (a, b) in [
                (0.0, 1.0),
                (0.0, 1e-9),
                (1.0, 1.0),
                (0.999, 1.0),
                (0.3, 0.31),
            ] {
                for side in [1, 7, 224] {
                    let of = UnitBox {
                        x0: a,
                        y0: a,
                        x1: b,
                        y1: b,
                    };
                    let canvas = image.canvas(of, side);
                    assert!(canvas.planes.iter().all(|v| (0.0..=1.0).contains(v)));
                }
            }
        }
    }

    /// As DICOM's pixels are made square: linear between the pixels' centres, the outermost
    /// repeated. Each of the two passes rounds to 8 bits.
    #[test]
    fn a_stretched_picture_is_linear_between_pixel_centres() {
        let image = ramp(40, 33);
        let Pixels::Luma(bytes) = &image.pixels else {
            unreachable!()
        };
        let to = [57_u32, 80];
        let Pixels::Luma(stretched) = image.pixels.stretched([40, 33], to) else {
            unreachable!()
        };
        assert_eq!(stretched.len(), 57 * 80);
        let place = |at: usize, from: usize, to: u32| {
            let at = (at as f64 + 0.5) * from as f64 / f64::from(to) - 0.5;
            let at = at.clamp(0.0, (from - 1) as f64);
            (at as usize, (at as usize + 1).min(from - 1), at.fract())
        };
        for (at, found) in stretched.iter().enumerate() {
            let (left, right, across) = place(at % 57, 40, to[0]);
            let (top, bottom, down) = place(at / 57, 33, to[1]);
            let value = |x: usize, y: usize| f64::from(bytes[y * 40 + x]);
            let row = |y| value(left, y) * (1.0 - across) + value(right, y) * across;
            let expected = row(top) * (1.0 - down) + row(bottom) * down;
            assert!(
                (f64::from(*found) - expected).abs() <= 1.0,
                "{at}: {found} {expected}"
            );
        }
    }

    #[test]
    fn a_reduced_image_keeps_its_shape_and_a_small_one_its_pixels() {
        assert_eq!(ramp(40, 30).reduced(40), ramp(40, 30));
        for (width, height, expected) in
            [(80, 40, (40, 20)), (33, 4000, (1, 40)), (517, 61, (40, 4))]
        {
            let reduced = ramp(width, height).reduced(40);
            assert_eq!((reduced.width, reduced.height), expected);
            let Pixels::Luma(bytes) = &reduced.pixels else {
                unreachable!()
            };
            assert_eq!(bytes.len() as u32, reduced.width * reduced.height);
        }
        let mut square = ramp(80, 80);
        let Pixels::Luma(bytes) = square.reduced(40).pixels else {
            unreachable!()
        };
        let planes = square.canvas(UnitBox::WHOLE, 40).planes;
        let same = bytes.iter().zip(&planes);
        assert!(same.clone().all(|(b, v)| f32::from(*b) / 255.0 == *v));
        square.pixels = Pixels::Rgb((0..80 * 80).flat_map(|_| [10, 20, 30]).collect());
        assert_eq!(square.reduced(40).rgb(39, 39), [10, 20, 30]);
    }
}
