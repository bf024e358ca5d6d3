//! Pooling and resizing as a step runs them: where the pixels of both sides lie.

use crate::kernels::{Cpu, PixelView, PixelViewMut, Resize, ShapeError, max_pool_2x2, resize};

/// Shape and strides of both sides: image, row, column, channel.
#[derive(Debug, Clone)]
pub(crate) struct Sides {
    pub offset: usize,
    pub from: [usize; 4],
    pub from_strides: [usize; 4],
    pub to: [usize; 4],
    pub to_strides: [usize; 4],
}

impl Sides {
    fn bind<'a>(&self, from: &'a [f32], to: &'a mut [f32]) -> (PixelView<'a>, PixelViewMut<'a>) {
        let from = PixelView {
            data: &from[self.offset..],
            shape: self.from,
            strides: self.from_strides,
        };
        let to = PixelViewMut {
            data: to,
            shape: self.to,
            strides: self.to_strides,
        };
        (from, to)
    }
}

/// The largest of each two by two pixels.
#[derive(Debug, Clone)]
pub(crate) struct Pool(pub Sides);

impl Pool {
    /// The same for the first `count` images alone.
    pub fn of_images(&self, count: usize) -> Self {
        let mut sides = self.0.clone();
        sides.from[0] = count;
        sides.to[0] = count;
        Self(sides)
    }

    pub fn run(&self, cpu: &Cpu, from: &[f32], to: &mut [f32]) -> Result<(), ShapeError> {
        let (from, to) = self.0.bind(from, to);
        max_pool_2x2(cpu, &from, to)
    }
}

/// Another size of the same images, bilinear.
#[derive(Debug, Clone)]
pub(crate) struct Scale(pub Sides);

impl Scale {
    pub fn run(&self, cpu: &Cpu, from: &[f32], to: &mut [f32]) -> Result<(), ShapeError> {
        let (from, to) = self.0.bind(from, to);
        resize(cpu, Resize::Bilinear, &from, to)
    }
}
