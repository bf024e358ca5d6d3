//! What screens are painted on, to see what is painted.

use std::convert::Infallible;
use std::vec::Vec;

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::super::*;

/// A panel in a colour that no screen has.
pub fn unpainted(panel: Panel) -> Canvas<Vec<Rgb888>> {
    Canvas::filled(panel.size, Rgb888::RED)
}

/// Counts the pixels that are written.
pub struct Counting {
    pub canvas: Canvas<Vec<Rgb888>>,
    pub written: usize,
}

impl Counting {
    pub fn new(panel: Panel) -> Self {
        let canvas = unpainted(panel);
        Self { canvas, written: 0 }
    }
}

impl OriginDimensions for Counting {
    fn size(&self) -> Size {
        self.canvas.size()
    }
}

impl DrawTarget for Counting {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let (area, written) = (self.bounding_box(), &mut self.written);
        let counted = pixels.into_iter().inspect(|pixel| {
            *written += usize::from(area.contains(pixel.0));
        });
        self.canvas.draw_iter(counted)
    }
}

/// Notices the first pixel outside an area.
pub struct Outside {
    pub area: Rectangle,
    pub found: Option<Point>,
}

impl Dimensions for Outside {
    fn bounding_box(&self) -> Rectangle {
        Rectangle::new(Point::new(-500, -500), Size::new(2000, 2000))
    }
}

impl DrawTarget for Outside {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let mut points = pixels.into_iter().map(|pixel| pixel.0);
        let out = points.find(|at| !self.area.contains(*at));
        self.found = self.found.or(out);
        Ok(())
    }
}

/// A panel that fell off.
pub struct Broken;

impl OriginDimensions for Broken {
    fn size(&self) -> Size {
        Size::new(128, 64)
    }
}

impl DrawTarget for Broken {
    type Color = Rgb888;
    type Error = ();

    fn draw_iter<I>(&mut self, _: I) -> Result<(), ()>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        Err(())
    }
}
