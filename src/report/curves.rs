//! A picture of how well an exam's answers hold: the ROC of one class, and how often answers
//! of each probability are right. Shows shares of many cases, never one of them.

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_8X13_BOLD};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{Drawable, Point, Size};
use embedded_graphics::primitives::{Circle, Line, Primitive, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use image::RgbImage;

use super::overlay::{Picture, fill};
use crate::triage::{OperatingPoint, Step};

const WIDTH: u32 = 960;
const HEIGHT: u32 = 520;
/// A side of each of the two squares.
const SIDE: i32 = 380;
const TOP: i32 = 64;
/// Left sides of the squares.
const LEFT: [i32; 2] = [64, 64 + 480];
const FAINT: Rgb888 = Rgb888::new(205, 208, 214);
const CURVE: Rgb888 = Rgb888::new(0, 114, 178);
const MARK: Rgb888 = Rgb888::new(213, 94, 0);

/// What is drawn.
#[derive(Debug)]
pub struct Curves<'a> {
    /// Over the ROC: the exam, the class, the area.
    pub roc_title: &'a str,
    /// Every threshold that makes a difference, falling.
    pub points: &'a [OperatingPoint],
    /// The one that was chosen.
    pub chosen: Option<OperatingPoint>,
    /// Over the other square.
    pub reliability_title: &'a str,
    /// How often answers of each probability are right.
    pub steps: &'a [Step],
    /// Under both.
    pub note: &'a str,
}

/// Draws the picture.
pub fn curves(curves: &Curves<'_>) -> RgbImage {
    let mut picture = Picture(RgbImage::from_pixel(WIDTH, HEIGHT, image::Rgb([255; 3])));
    let [roc, reliability] = LEFT;
    square(
        &mut picture,
        roc,
        curves.roc_title,
        "1 - specificity",
        "sensitivity",
    );
    let titles = ["answered probability", "right"];
    square(
        &mut picture,
        reliability,
        curves.reliability_title,
        titles[0],
        titles[1],
    );
    let place = |point: &OperatingPoint| {
        let false_alarms = 1.0 - point.specificity.share;
        at(roc, false_alarms, point.sensitivity.share)
    };
    let ends = [at(roc, 0.0, 0.0), at(roc, 1.0, 1.0)];
    let mut before = ends[0];
    for next in curves.points.iter().map(place).chain([ends[1]]) {
        line(&mut picture, before, next, CURVE, 2);
        before = next;
    }
    if let Some(chosen) = &curves.chosen {
        dot(&mut picture, place(chosen), 11, MARK);
        let words = format!("from {:.3}", chosen.threshold);
        let beside = place(chosen) + Point::new(10, 4);
        say(&mut picture, beside, &words, Alignment::Left, false);
    }
    let all: usize = curves.steps.iter().map(|step| step.cases).sum();
    for step in curves.steps.iter().filter(|step| step.cases > 0) {
        // By area, so that a step of few cases does not look like one of many.
        let size = 5.0 + 16.0 * (step.cases as f64 / all as f64).sqrt();
        let place = at(reliability, step.probability, step.right);
        dot(&mut picture, place, size as u32, CURVE);
    }
    let foot = Point::new(LEFT[0], HEIGHT as i32 - 22);
    say(&mut picture, foot, curves.note, Alignment::Left, false);
    picture.0
}

/// A point of a square, from 0 to 1 each way.
fn at(left: i32, x: f64, y: f64) -> Point {
    let along = |share: f64| (share.clamp(0.0, 1.0) * f64::from(SIDE)).round() as i32;
    Point::new(left + along(x), TOP + SIDE - along(y))
}

fn square(picture: &mut Picture, left: i32, title: &str, across: &str, up: &str) {
    let corner = Point::new(left, TOP);
    let side = SIDE as u32;
    fill(
        picture,
        Rectangle::new(corner, Size::new(side + 1, side + 1)),
        Rgb888::new(250, 250, 252),
    );
    for tenth in 0..=10 {
        let share = f64::from(tenth) / 10.0;
        let ends = [at(left, share, 0.0), at(left, share, 1.0)];
        line(picture, ends[0], ends[1], FAINT, 1);
        line(
            picture,
            at(left, 0.0, share),
            at(left, 1.0, share),
            FAINT,
            1,
        );
        if tenth % 2 == 0 {
            let label = format!("{share:.1}");
            let below = at(left, share, 0.0) + Point::new(0, 4);
            say(picture, below, &label, Alignment::Center, false);
            let beside = at(left, 0.0, share) + Point::new(-6, -5);
            say(picture, beside, &label, Alignment::Right, false);
        }
    }
    line(
        picture,
        at(left, 0.0, 0.0),
        at(left, 1.0, 1.0),
        Rgb888::new(120, 124, 132),
        1,
    );
    say(picture, Point::new(left, 22), title, Alignment::Left, true);
    say(
        picture,
        Point::new(left, TOP - 16),
        up,
        Alignment::Left,
        false,
    );
    let under = Point::new(left + SIDE, TOP + SIDE + 18);
    say(picture, under, across, Alignment::Right, false);
}

fn line(picture: &mut Picture, from: Point, to: Point, colour: Rgb888, width: u32) {
    let style = PrimitiveStyle::with_stroke(colour, width);
    let Ok(()) = Line::new(from, to).into_styled(style).draw(picture);
}

fn dot(picture: &mut Picture, at: Point, size: u32, colour: Rgb888) {
    let style = PrimitiveStyle::with_fill(colour);
    let Ok(()) = Circle::with_center(at, size)
        .into_styled(style)
        .draw(picture);
}

fn say(picture: &mut Picture, at: Point, text: &str, alignment: Alignment, bold: bool) {
    let font = if bold { &FONT_8X13_BOLD } else { &FONT_6X10 };
    let style = MonoTextStyle::new(font, Rgb888::BLACK);
    let place = TextStyleBuilder::new()
        .alignment(alignment)
        .baseline(Baseline::Top)
        .build();
    let Ok(_) = Text::with_text_style(text, at, style, place).draw(picture);
}
