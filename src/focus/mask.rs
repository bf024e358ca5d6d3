//! Masks. In go the decoder's logits, out comes one clean mask in the image's own pixels. Called by
//! the pipeline. Draws nothing.
//!
//! The logits are enlarged as PyTorch does it, in floats. The image's own resampler works on 8
//! bits, and rounding would move the mask's edge.

use crate::case::Rle;

/// Components smaller than this share of the region are islands, and holes smaller
/// than this share are filled.
const SPECK_FRACTION: f64 = 0.1;
/// What a filled hole's or a removed island's logit becomes.
const SURE: f32 = 4.0;

/// Mask logits `[height, width]`; above 0 is inside.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Logits {
    /// Logits of this size.
    ///
    /// # Panics
    /// Where there are not `width * height` values: a fault of the caller's.
    pub fn new(width: usize, height: usize, values: Vec<f32>) -> Self {
        assert_eq!(values.len(), width * height);
        Self {
            width,
            height,
            values,
        }
    }

    /// Width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// The logits, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Share of the pixels that are inside.
    pub fn area_fraction(&self) -> f64 {
        let inside = self.values.iter().filter(|v| **v > 0.0).count();
        inside as f64 / self.values.len() as f64
    }

    /// IoU of the masks at thresholds `offset` above and below 0 (SAM, appendix B): near 1
    /// where the edge is sharp; `None` where nothing is inside even the wider one.
    pub fn stability(&self, offset: f32) -> Option<f32> {
        let above = |edge: f32| self.values.iter().filter(|v| **v > edge).count() as f32;
        let wide = above(-offset);
        (wide > 0.0).then(|| above(offset) / wide)
    }

    /// Small islands become outside and small holes inside, as SAM2 cleans its masks:
    /// at the decoder's resolution, by the logits, so that the edge stays smooth.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        let inside = self.values.iter().filter(|v| **v > 0.0).count();
        let speck = (inside as f64 * SPECK_FRACTION).ceil() as usize;
        for (cells, is_inside) in self.components() {
            if cells.len() < speck {
                let value = if is_inside { -SURE } else { SURE };
                cells.into_iter().for_each(|cell| self.values[cell] = value);
            }
        }
        self
    }

    /// 4-connected components of equal side of 0.
    fn components(&self) -> Vec<(Vec<usize>, bool)> {
        let mut seen = vec![false; self.values.len()];
        let mut components = Vec::new();
        for start in 0..self.values.len() {
            if seen[start] {
                continue;
            }
            let side = self.values[start] > 0.0;
            let mut cells = vec![start];
            seen[start] = true;
            let mut next = 0;
            while let Some(&cell) = cells.get(next) {
                next += 1;
                for neighbour in self.neighbours(cell).into_iter().flatten() {
                    if !seen[neighbour] && (self.values[neighbour] > 0.0) == side {
                        seen[neighbour] = true;
                        cells.push(neighbour);
                    }
                }
            }
            components.push((cells, side));
        }
        components
    }

    fn neighbours(&self, cell: usize) -> [Option<usize>; 4] {
        let (x, y) = (cell % self.width, cell / self.width);
        [
            (x > 0).then(|| cell - 1),
            (x + 1 < self.width).then(|| cell + 1),
            (y > 0).then(|| cell - self.width),
            (y + 1 < self.height).then(|| cell + self.width),
        ]
    }

    /// The mask at `width` by `height` pixels: bilinear between pixel centres, edges
    /// repeated, above 0 inside (`interpolate(align_corners=False)` of PyTorch).
    pub fn mask(&self, width: u32, height: u32) -> Mask {
        let columns = Axis::new(self.width, width as usize);
        let rows = Axis::new(self.height, height as usize);
        let mut bits = Vec::with_capacity(width as usize * height as usize);
        let mut line = vec![0.0; self.width];
        for row in &rows.0 {
            let (a, b) = (row.first * self.width, row.second * self.width);
            for (x, value) in line.iter_mut().enumerate() {
                *value = row.mix(self.values[a + x], self.values[b + x]);
            }
            bits.extend(
                columns
                    .0
                    .iter()
                    .map(|c| c.mix(line[c.first], line[c.second]) > 0.0),
            );
        }
        Mask {
            width,
            height,
            bits,
        }
    }
}

/// Where each target pixel of one axis lies between two source pixels.
struct Axis(Vec<Between>);

struct Between {
    first: usize,
    second: usize,
    weight: f32,
}

impl Axis {
    fn new(source: usize, target: usize) -> Self {
        let step = source as f32 / target as f32;
        let place = |i: usize| {
            let at = ((i as f32 + 0.5) * step - 0.5).max(0.0);
            let first = (at as usize).min(source - 1);
            Between {
                first,
                second: (first + 1).min(source - 1),
                weight: at - first as f32,
            }
        };
        Self((0..target).map(place).collect())
    }
}

impl Between {
    fn mix(&self, first: f32, second: f32) -> f32 {
        (1.0 - self.weight) * first + self.weight * second
    }
}

/// The region in the image's own pixels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    bits: Vec<bool>,
}

impl Mask {
    /// A mask from one truth a pixel, row by row.
    ///
    /// # Panics
    /// Where there are not `width * height` of them: a fault of the caller's.
    pub fn new(width: u32, height: u32, bits: Vec<bool>) -> Self {
        assert_eq!(bits.len(), width as usize * height as usize);
        Self {
            width,
            height,
            bits,
        }
    }

    /// True where the pixel lies inside the region.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        self.bits[y as usize * self.width as usize + x as usize]
    }

    /// The truths, row by row.
    pub fn bits(&self) -> &[bool] {
        &self.bits
    }

    /// The same region for an image of another size: each pixel's centre decides.
    #[must_use]
    pub fn reduced(&self, width: u32, height: u32) -> Self {
        let source = |at: u32, to: u32, from: u32| {
            let centre = (2 * u64::from(at) + 1) * u64::from(from) / (2 * u64::from(to));
            u32::try_from(centre).unwrap_or(0)
        };
        let inside = |y: u32| {
            let y = source(y, height, self.height);
            (0..width).map(move |x| self.contains(source(x, width, self.width), y))
        };
        Self::new(width, height, (0..height).flat_map(inside).collect())
    }

    /// The same region in a picture of `width` by `height` pixels that holds this one at
    /// `[x, y]`.
    #[must_use]
    pub fn placed(&self, [x, y]: [u32; 2], width: u32, height: u32) -> Self {
        let mut bits = vec![false; width as usize * height as usize];
        let rows = self.bits.chunks_exact(self.width as usize);
        let into = bits.chunks_exact_mut(width as usize).skip(y as usize);
        for (row, into) in rows.zip(into) {
            into[x as usize..][..row.len()].copy_from_slice(row);
        }
        Self::new(width, height, bits)
    }

    /// Pixels inside over all pixels.
    pub fn area_fraction(&self) -> f64 {
        self.bits.iter().filter(|b| **b).count() as f64 / self.bits.len() as f64
    }

    /// `[x, y, width, height]` of the smallest box around the region; `None` where it
    /// is empty.
    pub fn bbox(&self) -> Option<[u32; 4]> {
        let (mut left, mut right, mut top, mut bottom) = (u32::MAX, 0, u32::MAX, 0);
        for (y, row) in (0..).zip(self.bits.chunks_exact(self.width as usize)) {
            let Some(first) = row.iter().position(|b| *b) else {
                continue;
            };
            let last = row.iter().rposition(|b| *b).unwrap_or(first);
            left = left.min(first as u32);
            right = right.max(last as u32);
            top = top.min(y);
            bottom = y;
        }
        (left <= right).then(|| [left, top, right - left + 1, bottom - top + 1])
    }

    /// The mask of a run-length form; `None` where its runs do not fill its size.
    pub fn from_rle(rle: &Rle) -> Option<Self> {
        let [height, width] = rle.size;
        let (rows, columns) = (height as usize, width as usize);
        let runs = rle.counts.iter().map(|&run| run as usize);
        let sum = runs.clone().try_fold(0usize, usize::checked_add)?;
        if sum != rows.checked_mul(columns)? {
            return None;
        }
        let mut bits = vec![false; sum];
        let mut at = 0;
        for (index, run) in runs.enumerate() {
            // Column by column; every other run lies inside.
            if index % 2 == 1 {
                (at..at + run).for_each(|i| bits[i % rows * columns + i / rows] = true);
            }
            at += run;
        }
        Some(Self::new(width, height, bits))
    }

    /// COCO's uncompressed run-length form.
    pub fn rle(&self) -> Rle {
        let mut counts = Vec::new();
        let (mut current, mut run) = (false, 0);
        for x in 0..self.width {
            for y in 0..self.height {
                if self.contains(x, y) == current {
                    run += 1;
                } else {
                    counts.push(run);
                    current = !current;
                    run = 1;
                }
            }
        }
        counts.push(run);
        Rle {
            size: [self.height, self.width],
            counts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(text: &str) -> Logits {
        let rows: Vec<&str> = text.split_whitespace().collect();
        let values = rows
            .concat()
            .bytes()
            .map(|b| if b == b'#' { 2.0 } else { -2.0 })
            .collect();
        Logits::new(rows[0].len(), rows.len(), values)
    }

    #[test]
    fn islands_go_and_holes_fill_but_two_lungs_stay() {
        let before = "########..###### ########..###### ###.####..###### ########..######
                      ########..###### ........#....... ................ ................";
        let after = "########..###### ########..###### ########..###### ########..######
                     ########..###### ................ ................ ................";
        let cleaned = picture(before).cleaned().mask(16, 8);
        assert_eq!(cleaned, picture(after).mask(16, 8));
    }

    #[test]
    fn bbox_area_and_runs_agree_on_a_drawn_mask() {
        let mask = picture("..... ..##. ..##. .....").mask(5, 4);
        assert_eq!(mask.bbox(), Some([2, 1, 2, 2]));
        assert_eq!(mask.area_fraction(), 0.2);
        assert_eq!(
            mask.rle(),
            Rle {
                size: [4, 5],
                counts: vec![9, 2, 2, 2, 5]
            }
        );
    }

    #[test]
    fn an_empty_mask_has_no_box_and_one_run() {
        let mask = picture("... ...").mask(3, 2);
        assert_eq!(mask.bbox(), None);
        assert_eq!(mask.rle().counts, [6]);
    }

    #[test]
    fn a_reduced_mask_is_the_same_region() {
        let bits = (0..8u32).flat_map(|y| (0..16u32).map(move |x| (4..8).contains(&x) && y >= 4));
        let mask = Mask::new(16, 8, bits.collect());
        let reduced = mask.reduced(8, 4);
        assert_eq!(reduced.bbox(), Some([2, 2, 2, 2]));
        assert_eq!(reduced.area_fraction(), mask.area_fraction());
        assert_eq!(mask.reduced(16, 8), mask);
    }
}
