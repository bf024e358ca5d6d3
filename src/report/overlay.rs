//! The overlay picture: the image at its own scale with the region tinted and
//! outlined, and under it the answer with a bar for each class.

use std::borrow::Cow;

use embedded_graphics::Pixel;
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::{FONT_6X10, FONT_8X13_BOLD};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{Dimensions, DrawTarget, Drawable, OriginDimensions, Point, Size};
use embedded_graphics::primitives::{Primitive, PrimitiveStyle, Rectangle};
use embedded_graphics::text::{Baseline, Text};
use image::RgbImage;

use super::case::{Case, NotWritten};
use crate::case::TriageLevel;
use crate::focus::Mask;
use crate::image::Image;

/// Narrowest picture: the panel's text needs it.
const MIN_WIDTH: u32 = 300;
const LINE: u32 = 14;
const TINT: [u8; 3] = [255, 140, 0];
const PANEL: Rgb888 = Rgb888::new(16, 18, 22);
const FAINT: Rgb888 = Rgb888::new(64, 70, 80);
const BAR: Rgb888 = Rgb888::new(86, 180, 233);

/// Draws the picture. The image keeps its own scale; a narrow one is set on a wider
/// ground.
///
/// # Errors
/// `burned_in`, where nothing may tell whose image it is and the picture may.
pub fn overlay(case: &Case<'_>) -> Result<RgbImage, NotWritten> {
    let image = if case.deidentify {
        case.image.cleaned()?
    } else {
        Cow::Borrowed(case.image)
    };
    let width = image.width.max(MIN_WIDTH);
    let panel = LINE * (case.finding.probabilities.len() as u32 + 3) + 8;
    let mut picture = Picture(RgbImage::new(width, image.height + panel));
    let ground = Rectangle::new(Point::zero(), picture.size());
    fill(&mut picture, ground, PANEL);
    draw_image(&mut picture.0, &image, case.mask, (width - image.width) / 2);
    draw_panel(&mut picture, image.height, case);
    Ok(picture.0)
}

fn draw_image(picture: &mut RgbImage, image: &Image, mask: &Mask, left: u32) {
    let thickness = (image.width.max(image.height) / 300).max(1);
    for y in 0..image.height {
        for x in 0..image.width {
            let mut colour = image.rgb(x, y);
            if mask.contains(x, y) {
                let weight = if on_edge(mask, x, y, thickness) {
                    100
                } else {
                    22
                };
                for (value, tint) in colour.iter_mut().zip(TINT) {
                    let mixed = u32::from(*value) * (100 - weight) + u32::from(tint) * weight;
                    *value = (mixed / 100) as u8;
                }
            }
            picture.put_pixel(left + x, y, image::Rgb(colour));
        }
    }
}

/// True where a pixel of the region lies within `reach` of its outside or of the
/// image's border.
fn on_edge(mask: &Mask, x: u32, y: u32, reach: u32) -> bool {
    if x < reach || y < reach || x + reach >= mask.width || y + reach >= mask.height {
        return true;
    }
    [
        (x - reach, y),
        (x + reach, y),
        (x, y - reach),
        (x, y + reach),
    ]
    .into_iter()
    .any(|(x, y)| !mask.contains(x, y))
}

fn draw_panel(picture: &mut Picture, top: u32, case: &Case<'_>) {
    let finding = case.finding;
    let right = picture.0.width() as i32 - 8;
    let mut y = top as i32 + 6;
    let title = format!("{}: {}", finding.exam, finding.class().label);
    say(
        picture,
        8,
        y,
        &elided(&title, (right as u32 - 8) / 8),
        true,
        Rgb888::WHITE,
    );
    y += LINE as i32 + 2;
    let bar_left = right / 2;
    for p in &finding.probabilities {
        say(
            picture,
            8,
            y,
            &elided(&p.class, (bar_left as u32 - 16) / 6),
            false,
            Rgb888::WHITE,
        );
        let room = (right - 40 - bar_left).max(1) as u32;
        let bar = |width| Rectangle::new(Point::new(bar_left, y + 1), Size::new(width, 8));
        fill(picture, bar(room), FAINT);
        fill(
            picture,
            bar((f64::from(room) * p.probability).round() as u32),
            BAR,
        );
        say(
            picture,
            right - 34,
            y,
            &format!("{:.3}", p.probability),
            false,
            Rgb888::WHITE,
        );
        y += LINE as i32;
    }
    let about = format!(
        "triage: {}   region {:.1} %",
        finding.triage_level.word(),
        finding.mask.area_fraction * 100.0
    );
    say(
        picture,
        8,
        y,
        &about,
        false,
        level_colour(finding.triage_level),
    );
    y += LINE as i32;
    say(
        picture,
        8,
        y,
        &elided(&limits(case), (right as u32 - 8) / 6),
        false,
        Rgb888::WHITE,
    );
}

/// What the answer is not for, and what nothing looked at.
fn limits(case: &Case<'_>) -> String {
    let limits = format!(
        "for {} only, not for care",
        case.record.provenance.intended_use.word()
    );
    match case.finding.unchecked() {
        "" => limits,
        absent => format!("{limits}; {absent}"),
    }
}

/// Okabe and Ito's colour-blind safe palette; the word stands beside it.
fn level_colour(level: TriageLevel) -> Rgb888 {
    match level {
        TriageLevel::Routine => Rgb888::new(0, 200, 150),
        TriageLevel::Priority => Rgb888::new(240, 228, 66),
        TriageLevel::Urgent => Rgb888::new(255, 110, 50),
        TriageLevel::Review => Rgb888::new(204, 121, 167),
    }
}

fn elided(text: &str, most: u32) -> String {
    let most = most as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars()
        .take(most.saturating_sub(2))
        .chain("..".chars())
        .collect()
}

fn say(picture: &mut Picture, x: i32, y: i32, text: &str, bold: bool, colour: Rgb888) {
    let style = MonoTextStyle::new(if bold { &FONT_8X13_BOLD } else { &FONT_6X10 }, colour);
    let Ok(_) = Text::with_baseline(text, Point::new(x, y), style, Baseline::Top).draw(picture);
}

pub(super) fn fill(picture: &mut Picture, area: Rectangle, colour: Rgb888) {
    let Ok(()) = area
        .into_styled(PrimitiveStyle::with_fill(colour))
        .draw(picture);
}

/// A picture that embedded-graphics draws on; what lies outside is dropped.
pub(super) struct Picture(pub(super) RgbImage);

impl OriginDimensions for Picture {
    fn size(&self) -> Size {
        Size::new(self.0.width(), self.0.height())
    }
}

impl DrawTarget for Picture {
    type Color = Rgb888;
    type Error = std::convert::Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        let area = self.bounding_box();
        for Pixel(at, colour) in pixels.into_iter().filter(|p| area.contains(p.0)) {
            let rgb = image::Rgb([colour.r(), colour.g(), colour.b()]);
            self.0.put_pixel(at.x as u32, at.y as u32, rgb);
        }
        Ok(())
    }
}
