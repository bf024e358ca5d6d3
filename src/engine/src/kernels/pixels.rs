//! Images within a graph: max-pooling and resizing, in any order of axes.

use super::ShapeError;
use super::cpu::Cpu;
use super::isa::{Isa, Routine};

/// Images in memory: value `c` of pixel `(x, y)` of image `b` lies at
/// `b * strides[0] + y * strides[1] + x * strides[2] + c * strides[3]`.
#[derive(Debug, Clone, Copy)]
pub struct PixelView<'a> {
    /// The values.
    pub data: &'a [f32],
    /// Images, rows, columns, channels.
    pub shape: [usize; 4],
    /// Floats from one image, row, column, channel to the next.
    pub strides: [usize; 4],
}

/// A [`PixelView`] to write to.
#[derive(Debug)]
pub struct PixelViewMut<'a> {
    /// The values.
    pub data: &'a mut [f32],
    /// Images, rows, columns, channels.
    pub shape: [usize; 4],
    /// Floats from one image, row, column, channel to the next.
    pub strides: [usize; 4],
}

/// How [`resize`] finds a pixel's value. Coordinates are ONNX's `half_pixel` for
/// bilinear, `asymmetric` with `floor` for nearest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// The pixel above and left.
    Nearest,
    /// Between the four neighbours, edges repeated.
    Bilinear,
}

/// The largest of each square of two by two pixels, as `MaxPool` with kernel and stride 2
/// and no padding: an odd last row or column is left out. NaN stays.
///
/// # Errors
/// Where shapes or lengths do not fit.
pub fn max_pool_2x2(
    cpu: &Cpu,
    from: &PixelView<'_>,
    to: PixelViewMut<'_>,
) -> Result<(), ShapeError> {
    let [batch, height, width, channels] = from.shape;
    let pooled = [batch, height / 2, width / 2, channels];
    from.check()?;
    let to = Lines::new(to, pooled)?;
    let [_, down, right, step] = from.strides;
    to.each(cpu, |image, y, x, line| {
        let start = image * from.strides[0] + 2 * (y * down + x * right);
        let corners = [0, right, down, down + right].map(|corner| &from.data[start + corner..]);
        if step == 1 && line.stride == 1 {
            let to = line.into_slice();
            return cpu.kernel().enter(Largest { corners, to });
        }
        let [a, b, c, d] = corners;
        line.fill(|i| {
            let i = i * step;
            larger(larger(a[i], b[i]), larger(c[i], d[i]))
        });
    });
    Ok(())
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// The largest of four pixels, channel by channel.
struct Largest<'a> {
    corners: [&'a [f32]; 4],
    to: &'a mut [f32],
}

impl Routine for Largest<'_> {
    type Output = ();

    /// Plain values, which the compiler makes vectors of.
    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let count = self.to.len();
        let [a, b, c, d] = self.corners.map(|corner| &corner[..count]);
        for i in 0..count {
            self.to[i] = larger(larger(a[i], b[i]), larger(c[i], d[i]));
        }
    }
}

/// Another size of the same images.
///
/// # Errors
/// Where shapes or lengths do not fit.
pub fn resize(
    cpu: &Cpu,
    method: Resize,
    from: &PixelView<'_>,
    to: PixelViewMut<'_>,
) -> Result<(), ShapeError> {
    from.check()?;
    let [batch, height, width, channels] = from.shape;
    let [_, new_height, new_width, _] = to.shape;
    ShapeError::unless_at_least("the images' smaller side", height.min(width), 1)?;
    let to = Lines::new(to, [batch, new_height, new_width, channels])?;
    let [_, down, right, step] = from.strides;
    to.each(cpu, |image, y, x, line| {
        let image = image * from.strides[0];
        match method {
            Resize::Nearest => {
                let (y, x) = (y * height / new_height, x * width / new_width);
                let values = &from.data[image + y * down + x * right..];
                line.fill(|i| values[i * step]);
            }
            Resize::Bilinear => {
                let (y, below, fy) = neighbours(y, height, new_height);
                let (x, beside, fx) = neighbours(x, width, new_width);
                let corner = |y: usize, x: usize| &from.data[image + y * down + x * right..];
                let corners = [
                    corner(y, x),
                    corner(y, beside),
                    corner(below, x),
                    corner(below, beside),
                ];
                let [a, b, c, d] = corners;
                line.fill(|i| {
                    let i = i * step;
                    let upper = a[i] + (b[i] - a[i]) * fx;
                    let lower = c[i] + (d[i] - c[i]) * fx;
                    upper + (lower - upper) * fy
                });
            }
        }
    });
    Ok(())
}

/// The two source pixels beside output pixel `i`, and how far it is from the first.
fn neighbours(i: usize, side: usize, new_side: usize) -> (usize, usize, f32) {
    let at = (i as f32 + 0.5) * (side as f32 / new_side as f32) - 0.5;
    let at = at.clamp(0.0, (side - 1) as f32);
    let first = at as usize;
    (first, (first + 1).min(side - 1), at - first as f32)
}

impl PixelView<'_> {
    fn check(&self) -> Result<(), ShapeError> {
        let length = reach(self.shape, self.strides);
        ShapeError::unless_at_least("the images' length", self.data.len(), length)
    }
}

/// Values from the first to the end of the last.
fn reach(shape: [usize; 4], strides: [usize; 4]) -> usize {
    if shape.contains(&0) {
        return 0;
    }
    let steps = shape
        .iter()
        .zip(strides)
        .map(|(side, stride)| (side - 1).saturating_mul(stride));
    steps.fold(1, usize::saturating_add)
}

/// Output pixels, written by several threads.
struct Lines<'a> {
    data: *mut f32,
    shape: [usize; 4],
    strides: [usize; 4],
    _data: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: `each` gives every pixel to one task, and no two pixels share a place.
unsafe impl Sync for Lines<'_> {}

impl<'a> Lines<'a> {
    fn new(to: PixelViewMut<'a>, shape: [usize; 4]) -> Result<Self, ShapeError> {
        for (found, expected) in to.shape.into_iter().zip(shape) {
            ShapeError::unless_equal("a side of the output", found, expected)?;
        }
        let length = reach(shape, to.strides);
        ShapeError::unless_at_least("the output's length", to.data.len(), length)?;
        // No two values share a place: each stride steps over all that smaller ones reach.
        let mut axes: Vec<(usize, usize)> = to.strides.into_iter().zip(shape).collect();
        axes.sort_unstable();
        let mut reached = 1;
        for (stride, side) in axes.into_iter().filter(|(_, side)| *side > 1) {
            ShapeError::unless_at_least("a stride of the output", stride, reached)?;
            reached += (side - 1) * stride;
        }
        Ok(Self {
            data: to.data.as_mut_ptr(),
            shape,
            strides: to.strides,
            _data: std::marker::PhantomData,
        })
    }

    /// Calls `of(image, y, x, line)` for every pixel.
    fn each(&self, cpu: &Cpu, of: impl Fn(usize, usize, usize, Line<'_>) + Sync) {
        let [batch, height, width, channels] = self.shape;
        cpu.pool().run(batch * height, |_, row| {
            let (image, y) = (row / height, row % height);
            for x in 0..width {
                let start = image * self.strides[0] + y * self.strides[1] + x * self.strides[2];
                of(
                    image,
                    y,
                    x,
                    Line {
                        // SAFETY: `new` checked that every pixel is in bounds.
                        data: unsafe { self.data.add(start) },
                        count: channels,
                        stride: self.strides[3],
                        _data: std::marker::PhantomData,
                    },
                );
            }
        });
    }
}

/// The values of one output pixel.
struct Line<'a> {
    data: *mut f32,
    count: usize,
    stride: usize,
    _data: std::marker::PhantomData<&'a mut [f32]>,
}

impl<'a> Line<'a> {
    /// The values, which lie one after the other.
    fn into_slice(self) -> &'a mut [f32] {
        assert_eq!(self.stride, 1);
        // SAFETY: in bounds and this task's alone, as `Lines` says.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.count) }
    }

    #[inline(always)]
    fn fill(self, value: impl Fn(usize) -> f32) {
        for i in 0..self.count {
            // SAFETY: in bounds and this task's alone, as `Lines` says.
            unsafe { *self.data.add(i * self.stride) = value(i) };
        }
    }
}
