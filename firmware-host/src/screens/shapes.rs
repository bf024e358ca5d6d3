//! Shapes that say what a colour says, for who does not see it: one silhouette each, told
//! apart at 12 pixels.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;

use super::Level;
use super::lettering::{Face, draw_letter, ink};

/// A shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// A triage level: circle with a tick, triangle, diamond, square with a question mark.
    Level(Level),
    /// No answer: a ring with a bar across.
    NoAnswer,
    /// Out of order: a cross.
    Fault,
    /// The device's own sign: a finder's corners around a point.
    Finder,
}

/// Samples a side of a pixel.
const SAMPLES: i32 = 4;

/// Samples from which on a pixel is drawn where there are no shades.
const HALF: u32 = (SAMPLES * SAMPLES) as u32 / 2;

/// Coordinates that shapes are drawn in, whatever their size: 0 to this.
const UNIT: i32 = 1000;

impl Shape {
    /// Draws the shape into a square, its edges smooth or in whole pixels.
    ///
    /// # Errors
    /// The target's.
    pub fn draw<D>(
        self,
        square: Rectangle,
        colour: Rgb888,
        ground: Rgb888,
        smooth: bool,
        target: &mut D,
    ) -> Result<(), D::Error>
    where
        D: DrawTarget,
        D::Color: From<Rgb888>,
    {
        let side = square.size.width.min(square.size.height);
        let pixels = square.points().map(|at| {
            let covered = self.covered(at - square.top_left, side);
            let shade = match covered {
                _ if smooth => mixed(ground, colour, covered),
                0..HALF => ground,
                _ => colour,
            };
            Pixel(at, shade.into())
        });
        target.draw_iter(pixels)?;
        let Some((letter, face, middle)) = self.letter(side) else {
            return Ok(());
        };
        let ink = ink(letter, face);
        let centre = square.top_left + Point::new(side as i32 / 2, side as i32 * middle / UNIT);
        let corner = Point::new(ink.size.width as i32 / 2, ink.size.height as i32 / 2);
        draw_letter(
            letter,
            face,
            centre - corner - ink.top_left,
            ground.into(),
            target,
        )
    }

    /// The letter within, its face, and how far down its middle stands.
    fn letter(self, side: u32) -> Option<(char, Face, i32)> {
        let (letter, middle) = match self {
            Self::Level(Level::Priority) => ('!', 640),
            Self::Level(Level::Urgent) => ('!', 510),
            Self::Level(Level::Review) => ('?', 510),
            _ => return None,
        };
        let face = match side {
            0..=19 => Face::TinyBold,
            20..=29 => Face::BodyBold,
            30..=39 => Face::Strong,
            _ => Face::Large,
        };
        Some((letter, face, middle))
    }

    /// How many of a pixel's samples the shape covers.
    fn covered(self, pixel: Point, side: u32) -> u32 {
        let side = side.max(1) as i32;
        let samples = (0..SAMPLES * SAMPLES).filter(|sample| {
            let place = |whole: i32, part: i32| {
                ((whole * SAMPLES + part) * 2 + 1) * UNIT / (side * SAMPLES * 2)
            };
            self.covers(
                place(pixel.x, sample % SAMPLES),
                place(pixel.y, sample / SAMPLES),
            )
        });
        samples.count() as u32
    }

    fn covers(self, x: i32, y: i32) -> bool {
        let (dx, dy) = (x - UNIT / 2, y - UNIT / 2);
        let within = |radius: i32| dx * dx + dy * dy <= radius * radius;
        match self {
            Self::Level(Level::Routine) => {
                let tick = near([260, 520], [440, 700], [x, y], 62)
                    || near([440, 700], [740, 340], [x, y], 62);
                within(500) && !tick
            }
            Self::Level(Level::Priority) => y > 40 && y < 960 && (x - 500).abs() * 1000 <= y * 520,
            Self::Level(Level::Urgent) => dx.abs() + dy.abs() <= 500,
            Self::Level(Level::Review) => dx.abs() <= 450 && dy.abs() <= 450,
            Self::NoAnswer => {
                let bar = near([220, 780], [780, 220], [x, y], 65);
                within(490) && (!within(360) || bar)
            }
            Self::Fault => {
                near([140, 140], [860, 860], [x, y], 110)
                    || near([860, 140], [140, 860], [x, y], 110)
            }
            Self::Finder => {
                let frame = dx.abs().max(dy.abs());
                let corner = dx.abs().min(dy.abs()) >= 220;
                within(150) || ((380..=480).contains(&frame) && corner)
            }
        }
    }
}

/// Whether a point lies within `reach` of the stroke between two others.
fn near(from: [i32; 2], to: [i32; 2], at: [i32; 2], reach: i32) -> bool {
    let (stroke_x, stroke_y) = (to[0] - from[0], to[1] - from[1]);
    let (x, y) = (at[0] - from[0], at[1] - from[1]);
    let length = stroke_x * stroke_x + stroke_y * stroke_y;
    let along = (x * stroke_x + y * stroke_y).clamp(0, length);
    let foot_x = x - (i64::from(stroke_x) * i64::from(along) / i64::from(length)) as i32;
    let foot_y = y - (i64::from(stroke_y) * i64::from(along) / i64::from(length)) as i32;
    foot_x * foot_x + foot_y * foot_y <= reach * reach
}

fn mixed(ground: Rgb888, colour: Rgb888, covered: u32) -> Rgb888 {
    let whole = (SAMPLES * SAMPLES) as u32;
    let mix = |from: u8, to: u8| {
        ((u32::from(from) * (whole - covered) + u32::from(to) * covered) / whole) as u8
    };
    Rgb888::new(
        mix(ground.r(), colour.r()),
        mix(ground.g(), colour.g()),
        mix(ground.b(), colour.b()),
    )
}
