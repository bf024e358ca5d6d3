//! Pixels in memory: screens are painted here, and only what changed goes to the glass.

use std::convert::Infallible;

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// A picture in memory, black at first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    size: Size,
    pixels: Vec<Rgb888>,
}

impl Canvas {
    /// A picture of this size.
    pub fn new(size: Size) -> Self {
        let count = size.width as usize * size.height as usize;
        let pixels = vec![Rgb888::BLACK; count];
        Self { size, pixels }
    }

    /// The pixels of one row of an area, left to right.
    pub fn row(&self, area: &Rectangle, y: i32) -> &[Rgb888] {
        let start = y as usize * self.size.width as usize + area.top_left.x as usize;
        &self.pixels[start..start + area.size.width as usize]
    }

    /// All pixels of an area, row by row.
    pub fn pixels_of(&self, area: Rectangle) -> impl Iterator<Item = Rgb888> {
        area.rows()
            .flat_map(move |y| self.row(&area, y).iter().copied())
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let area = self.bounding_box();
        for Pixel(at, colour) in pixels.into_iter().filter(|pixel| area.contains(pixel.0)) {
            let index = at.y as usize * self.size.width as usize + at.x as usize;
            self.pixels[index] = colour;
        }
        Ok(())
    }
}
