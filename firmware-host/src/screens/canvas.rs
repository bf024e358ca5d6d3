//! A picture in memory: for panels that are sent only the areas that changed, for files and
//! for tests. Its pixels lie in whatever its owner brings (a slice, an array, a `Vec`), and
//! what is drawn outside it is dropped.

use core::convert::Infallible;
use core::iter::repeat_n;

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

/// Pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas<P> {
    size: Size,
    pixels: P,
}

impl<P: FromIterator<Rgb888>> Canvas<P> {
    /// A picture of one colour, in memory that is made for it.
    pub fn filled(size: Size, colour: Rgb888) -> Self {
        let count = (size.width as usize).saturating_mul(size.height as usize);
        let pixels = repeat_n(colour, count).collect();
        Self { size, pixels }
    }
}

impl<P: AsRef<[Rgb888]>> Canvas<P> {
    /// A picture over pixels that are there already. `None` where they are not width times
    /// height.
    pub fn over(size: Size, pixels: P) -> Option<Self> {
        let count = u64::from(size.width) * u64::from(size.height);
        (pixels.as_ref().len() as u64 == count).then_some(Self { size, pixels })
    }

    /// The pixels of one row of an area, left to right, as far as the picture goes.
    pub fn row(&self, area: &Rectangle, y: i32) -> &[Rgb888] {
        let area = area.intersection(&self.bounding_box());
        if !area.rows().contains(&y) {
            return &[];
        }
        let start = self.index(Point::new(area.top_left.x, y));
        let row = start..start + area.size.width as usize;
        self.pixels.as_ref().get(row).unwrap_or_default()
    }

    /// All pixels of an area, row by row, as far as the picture goes.
    pub fn pixels_of(&self, area: Rectangle) -> impl Iterator<Item = Rgb888> {
        area.rows()
            .flat_map(move |y| self.row(&area, y).iter().copied())
    }

    /// Red, green and blue of every pixel, row by row.
    pub fn bytes(&self) -> impl Iterator<Item = u8> {
        self.pixels_of(self.bounding_box())
            .flat_map(|colour| [colour.r(), colour.g(), colour.b()])
    }
}

impl<P> Canvas<P> {
    /// Where a point inside the picture lies among the pixels.
    fn index(&self, at: Point) -> usize {
        at.y as usize * self.size.width as usize + at.x as usize
    }
}

impl<P> OriginDimensions for Canvas<P> {
    fn size(&self) -> Size {
        self.size
    }
}

impl<P: AsMut<[Rgb888]>> DrawTarget for Canvas<P> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let area = self.bounding_box();
        for Pixel(at, colour) in pixels.into_iter().filter(|pixel| area.contains(pixel.0)) {
            let index = self.index(at);
            if let Some(pixel) = self.pixels.as_mut().get_mut(index) {
                *pixel = colour;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn what_lies_outside_is_dropped_and_never_given() {
        let mut pixels = [Rgb888::BLACK; 6];
        assert_eq!(Canvas::over(Size::new(2, 4), pixels.as_mut_slice()), None);
        let size = Size::new(3, 2);
        let mut canvas = Canvas::over(size, pixels.as_mut_slice()).unwrap();
        let corner = Rectangle::new(Point::new(2, 1), Size::new(9, 9));
        let Ok(()) = canvas.fill_solid(&corner, Rgb888::RED);
        let Ok(()) = canvas.draw_iter([Pixel(Point::new(-1, 1), Rgb888::WHITE)]);
        assert_eq!(canvas.row(&corner, 1), [Rgb888::RED]);
        assert_eq!(canvas.row(&corner, 0), []);
        assert_eq!(canvas.row(&corner, 2), []);
        assert_eq!(canvas.pixels_of(corner).count(), 1);
        let bytes: Vec<u8> = canvas.bytes().collect();
        assert_eq!(bytes, [[0; 15].as_slice(), &[255, 0, 0]].concat());
        assert_eq!(pixels[5], Rgb888::RED);
    }
}
