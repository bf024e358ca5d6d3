//! The encoder's view of an image: a part of it at a fixed square size.
//!
//! The filter is the antialiased bilinear one of Pillow, to the bit, because the
//! graphs were trained on it.

use fast_image_resize as fir;

use super::{Image, Pixels};

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
    /// pixels, at least one apart.
    pub fn canvas(&self, of: UnitBox, side: usize) -> Canvas {
        let (left, width) = span(of.x0, of.x1, self.width);
        let (top, height) = span(of.y0, of.y1, self.height);
        let options = fir::ResizeOptions::new()
            .resize_alg(fir::ResizeAlg::Convolution(fir::FilterType::Bilinear))
            .crop(
                f64::from(left),
                f64::from(top),
                f64::from(width),
                f64::from(height),
            );
        let planes = match &self.pixels {
            Pixels::Luma(luma) => {
                let small = self.resized(luma, fir::PixelType::U8, side, &options);
                let plane: Vec<f32> = small.iter().map(|&v| f32::from(v) / 255.0).collect();
                plane.repeat(3)
            }
            Pixels::Rgb(rgb) => {
                let small = self.resized(rgb, fir::PixelType::U8x3, side, &options);
                let plane = |c: usize| small.iter().skip(c).step_by(3);
                (0..3)
                    .flat_map(|c| plane(c).map(|&v| f32::from(v) / 255.0))
                    .collect()
            }
        };
        Canvas { side, planes }
    }

    fn resized(
        &self,
        bytes: &[u8],
        kind: fir::PixelType,
        side: usize,
        options: &fir::ResizeOptions,
    ) -> Vec<u8> {
        let side = side as u32;
        let source = fir::images::ImageRef::new(self.width, self.height, bytes, kind)
            .expect("an Image holds width x height pixels");
        let mut target = fir::images::Image::new(side, side, kind);
        fir::Resizer::new()
            .resize(&source, &mut target, options)
            .expect("the crop lies inside the image");
        target.into_vec()
    }
}

/// First pixel and number of pixels between two places of an axis.
fn span(from: f64, to: f64, size: u32) -> (u32, u32) {
    let start = ((from * f64::from(size)).round() as u32).min(size - 1);
    let end = ((to * f64::from(size)).round() as u32).clamp(start + 1, size);
    (start, end - start)
}
