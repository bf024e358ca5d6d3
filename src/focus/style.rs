//! Focus styles: the region-guided picture that the image encoder sees.
//!
//! The same arithmetic as `scripts/starter/focus.py`, which the encoder was trained
//! with; `tests/program/reference.rs` holds the two together.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How the region steers the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Style {
    /// The region tinted on the whole image (the paper's style).
    Overlay,
    /// Everything but the region blurred.
    Blur,
    /// Only the region's surroundings, enlarged.
    Crop,
    /// Everything but the region black.
    Cutout,
    /// The whole image twice: the ablations' baseline.
    None,
}

impl Style {
    /// All styles, in the order in which they are listed to people.
    pub const ALL: [Self; 5] = [
        Self::Overlay,
        Self::Blur,
        Self::Crop,
        Self::Cutout,
        Self::None,
    ];

    /// The style's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Blur => "blur",
            Self::Crop => "crop",
            Self::Cutout => "cutout",
            Self::None => "none",
        }
    }
}

impl FromStr for Style {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|style| style.word() == word)
            .ok_or_else(|| {
                format!(
                    "no focus style; known: {}",
                    Self::ALL.map(Self::word).join(", ")
                )
            })
    }
}

/// The numbers of the focus styles, from the manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FocusSettings {
    /// The bundle's own style.
    pub style: Style,
    /// `crop`: added to each side of the region's box, as a share of its size.
    pub crop_margin: f64,
    /// `crop`: smallest share of the image's side that is shown.
    pub crop_minimum: f64,
    /// `overlay`: colour, 0 to 1.
    pub tint: [f32; 3],
    /// `overlay`: weight of the colour, 0 to 1.
    pub tint_alpha: f32,
    /// `blur`: standard deviation of the Gaussian, as a share of the picture's side.
    pub blur_sigma: f32,
}

/// A box in the unit square: left, top, right, bottom.
pub type UnitRegion = [f64; 4];

impl FocusSettings {
    /// What `crop` shows for the region's box: wider by the margin, at least the minimum,
    /// and moved (not cut) to stay inside the image.
    pub fn crop_region(&self, [x0, y0, x1, y1]: UnitRegion) -> UnitRegion {
        let axis = |low: f64, high: f64| {
            let wanted = (high - low) * (1.0 + 2.0 * self.crop_margin);
            let size = wanted.max(self.crop_minimum).min(1.0);
            let start = ((low + high - size) / 2.0).clamp(0.0, 1.0 - size);
            (start, start + size)
        };
        let ((left, right), (top, bottom)) = (axis(x0, x1), axis(y0, y1));
        [left, top, right, bottom]
    }

    /// Repaints the planes `[3, side, side]` by a mask `[side, side]`; `crop` and `none`
    /// leave them as they are.
    pub fn paint(&self, style: Style, planes: &mut [f32], inside: &[bool], side: usize) {
        match style {
            Style::Crop | Style::None => {}
            Style::Overlay => {
                for (plane, tint) in planes.chunks_exact_mut(side * side).zip(self.tint) {
                    for (value, _) in plane.iter_mut().zip(inside).filter(|(_, inside)| **inside) {
                        *value += self.tint_alpha * (tint - *value);
                    }
                }
            }
            Style::Cutout => {
                for plane in planes.chunks_exact_mut(side * side) {
                    for (value, _) in plane.iter_mut().zip(inside).filter(|(_, inside)| !**inside) {
                        *value = 0.0;
                    }
                }
            }
            Style::Blur => {
                let kernel = gaussian(self.blur_sigma * side as f32);
                for plane in planes.chunks_exact_mut(side * side) {
                    let blurred = blur(plane, side, &kernel);
                    for ((value, soft), _) in plane
                        .iter_mut()
                        .zip(blurred)
                        .zip(inside)
                        .filter(|(_, inside)| !**inside)
                    {
                        *value = soft;
                    }
                }
            }
        }
    }
}

/// A Gaussian of unit sum, cut at three standard deviations.
fn gaussian(sigma: f32) -> Vec<f32> {
    let radius = (3.0 * sigma + 0.5) as i32;
    let kernel: Vec<f32> = (-radius..=radius)
        .map(|i| (-((i * i) as f32) / (2.0 * sigma * sigma)).exp())
        .collect();
    let sum: f32 = kernel.iter().sum();
    kernel.into_iter().map(|v| v / sum).collect()
}

/// Separable convolution with edges repeated.
fn blur(plane: &[f32], side: usize, kernel: &[f32]) -> Vec<f32> {
    let radius = kernel.len() / 2;
    let at = |i: usize, k: usize| (i + k).saturating_sub(radius).min(side - 1);
    let pass = |value: &dyn Fn(usize, usize) -> f32| -> Vec<f32> {
        (0..side * side)
            .map(|cell| value(cell % side, cell / side))
            .collect()
    };
    let rows = pass(&|x, y| {
        kernel
            .iter()
            .enumerate()
            .map(|(k, w)| w * plane[y * side + at(x, k)])
            .sum()
    });
    pass(&|x, y| {
        kernel
            .iter()
            .enumerate()
            .map(|(k, w)| w * rows[at(y, k) * side + x])
            .sum()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> FocusSettings {
        FocusSettings {
            style: Style::Crop,
            crop_margin: 0.15,
            crop_minimum: 0.3,
            tint: [1.0, 0.25, 0.25],
            tint_alpha: 0.35,
            blur_sigma: 1.0 / 32.0,
        }
    }

    #[test]
    fn crop_is_moved_to_stay_inside() {
        let [left, top, right, bottom] = settings().crop_region([0.9, 0.0, 1.0, 0.8]);
        assert!((left - 0.7).abs() < 1e-12 && (right - 1.0).abs() < 1e-12);
        assert!(top == 0.0 && bottom == 1.0);
    }

    #[test]
    fn blur_keeps_a_constant_and_the_region() {
        let side = 64;
        let mut planes = vec![0.5; 3 * side * side];
        planes[side * 10 + 10] = 1.0;
        let mut inside = vec![false; side * side];
        inside[side * 10 + 10] = true;
        settings().paint(Style::Blur, &mut planes, &inside, side);
        assert_eq!(planes[side * 10 + 10], 1.0);
        assert!((planes[side * 60 + 60] - 0.5).abs() < 1e-6);
        assert!(planes[side * 10 + 11] > 0.5);
    }
}
