//! Text: how wide it is, where it is cut, and its pixels.
//!
//! Latin letters are Adobe's Helvetica, hand-made for screens (`u8g2-fonts`). Devanagari
//! must be shaped, which no microcontroller does: its words were shaped and drawn
//! beforehand, see [`super::devanagari`]. Nothing here allocates, and nothing is drawn
//! outside the target that it is given.

use core::fmt::{self, Write};

use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use heapless::String;
use u8g2_fonts::types::{FontColor, VerticalPosition};
use u8g2_fonts::{Error, FontRenderer, fonts};

use super::devanagari;
pub use super::face::Face;

static TINY: FontRenderer = FontRenderer::new::<fonts::u8g2_font_helvR08_te>();
static TINY_BOLD: FontRenderer = FontRenderer::new::<fonts::u8g2_font_helvB08_te>();
static SMALL: FontRenderer = FontRenderer::new::<fonts::u8g2_font_helvR10_te>();
static BODY: FontRenderer = FontRenderer::new::<fonts::u8g2_font_helvR12_te>();
static BODY_BOLD: FontRenderer = FontRenderer::new::<fonts::u8g2_font_helvB12_te>();
static STRONG: FontRenderer = FontRenderer::new::<fonts::u8g2_font_helvB14_te>();
static LARGE: FontRenderer = FontRenderer::new::<fonts::u8g2_font_helvB18_te>();
static HUGE: FontRenderer = FontRenderer::new::<fonts::u8g2_font_helvB24_te>();

/// The Latin letters of a face.
fn latin(face: Face) -> &'static FontRenderer {
    match face {
        Face::Tiny => &TINY,
        Face::TinyBold => &TINY_BOLD,
        Face::Small => &SMALL,
        Face::Body => &BODY,
        Face::BodyBold => &BODY_BOLD,
        Face::Strong => &STRONG,
        Face::Large => &LARGE,
        Face::Huge => &HUGE,
    }
}

/// Text that was formatted: as much of it as fits, whole letters only.
pub type Formatted = String<512>;

/// Formats without allocating.
pub fn format(text: &impl fmt::Display) -> Formatted {
    struct Whole<'a>(&'a mut Formatted);
    impl Write for Whole<'_> {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.chars()
                .try_for_each(|letter| self.0.push(letter).map_err(|_| fmt::Error))
        }
    }
    let mut formatted = Formatted::new();
    // An error says that the text is longer than any panel is wide.
    let _ = write!(Whole(&mut formatted), "{text}");
    formatted
}

/// What is drawn in one step: a run of Devanagari, or one letter.
enum Atom {
    Drawn(devanagari::Drawn),
    Letter(char),
}

/// Cuts text into atoms, with the length of each in bytes. A run that was not drawn
/// beforehand goes letter by letter.
fn atoms(text: &str, face: Face) -> impl Iterator<Item = (Atom, usize)> {
    let mut rest = text;
    core::iter::from_fn(move || {
        let letter = rest.chars().next()?;
        let run = rest
            .find(|c| !devanagari::is_letter(c))
            .unwrap_or(rest.len());
        let drawn = devanagari::find(&rest[..run], face);
        let (atom, length) = match drawn {
            Some(drawn) => (Atom::Drawn(drawn), run),
            None => (Atom::Letter(shown(letter, face)), letter.len_utf8()),
        };
        rest = &rest[length..];
        Some((atom, length))
    })
}

/// The letter, or a question mark where the font lacks it.
fn shown(letter: char, face: Face) -> char {
    if advance(letter, face).is_some() {
        letter
    } else {
        '?'
    }
}

fn advance(letter: char, face: Face) -> Option<u32> {
    let dimensions = latin(face)
        .get_rendered_dimensions(letter, Point::zero(), VerticalPosition::Baseline)
        .ok()?;
    u32::try_from(dimensions.advance.x).ok()
}

impl Atom {
    fn width(&self, face: Face) -> u32 {
        match self {
            Self::Drawn(drawn) => drawn.advance,
            Self::Letter(letter) => advance(*letter, face).unwrap_or(0),
        }
    }
}

/// Width of a text on one line, in pixels.
pub fn measure(text: &str, face: Face) -> u32 {
    atoms(text, face).map(|(atom, _)| atom.width(face)).sum()
}

const ELLIPSIS: &str = "...";

/// A text cut to a width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elided<'a> {
    /// What is left of it.
    pub kept: &'a str,
    /// Whether an ellipsis follows.
    pub cut: bool,
}

impl Elided<'_> {
    /// Width with the ellipsis, in pixels.
    pub fn width(self, face: Face) -> u32 {
        let dots = if self.cut { measure(ELLIPSIS, face) } else { 0 };
        measure(self.kept, face) + dots
    }

    /// Draws it from `start`, the left end of its baseline.
    ///
    /// # Errors
    /// The target's.
    pub fn draw<D: DrawTarget>(
        self,
        face: Face,
        start: Point,
        colour: D::Color,
        target: &mut D,
    ) -> Result<(), D::Error> {
        // A few letters, such as j, reach back behind where they stand.
        let first = self.kept.chars().next().map(|letter| ink(letter, face));
        let back = first.map_or(0, |ink| ink.top_left.x.min(0));
        let start = start - Point::new(back, 0);
        let end = draw(self.kept, face, start, colour, target)?;
        if self.cut {
            draw(ELLIPSIS, face, end, colour, target)?;
        }
        Ok(())
    }
}

/// Cuts a text so that it and the ellipsis are no wider than `width`.
pub fn elide(text: &str, face: Face, width: u32) -> Elided<'_> {
    if measure(text, face) <= width {
        return Elided {
            kept: text,
            cut: false,
        };
    }
    let room = width.saturating_sub(measure(ELLIPSIS, face));
    let (mut used, mut end) = (0, 0);
    for (atom, length) in atoms(text, face) {
        used += atom.width(face);
        if used > room {
            break;
        }
        end += length;
    }
    Elided {
        kept: text[..end].trim_end(),
        cut: true,
    }
}

/// Breaks a text at blanks into at most `most` lines no wider than `width`; the last one
/// is elided where more would come.
pub fn lines(text: &str, face: Face, width: u32, most: usize) -> impl Iterator<Item = Elided<'_>> {
    let (mut rest, mut count) = (text.trim(), 0);
    core::iter::from_fn(move || {
        if rest.is_empty() || count == most {
            return None;
        }
        count += 1;
        let length = if count == most {
            rest.len()
        } else {
            fitting_length(rest, face, width)
        };
        let line = elide(rest[..length].trim_end(), face, width);
        rest = rest[length..].trim_start();
        Some(line)
    })
}

/// Bytes of the words that fit; of the first one in any case.
fn fitting_length(text: &str, face: Face, width: u32) -> usize {
    let ends = text
        .match_indices(' ')
        .map(|(at, _)| at)
        .chain([text.len()]);
    let mut fitting = None;
    for end in ends {
        if fitting.is_some() && measure(&text[..end], face) > width {
            break;
        }
        fitting = Some(end);
    }
    fitting.unwrap_or(text.len())
}

/// Draws a text on one line; gives where it ends.
fn draw<D: DrawTarget>(
    text: &str,
    face: Face,
    start: Point,
    colour: D::Color,
    target: &mut D,
) -> Result<Point, D::Error> {
    let mut at = start;
    for (atom, _) in atoms(text, face) {
        match &atom {
            Atom::Drawn(drawn) => drawn.draw(at, colour, target)?,
            Atom::Letter(letter) => draw_letter(*letter, face, at, colour, target)?,
        }
        at.x += atom.width(face) as i32;
    }
    Ok(at)
}

/// Draws one letter from the left end of its baseline.
pub(super) fn draw_letter<D: DrawTarget>(
    letter: char,
    face: Face,
    at: Point,
    colour: D::Color,
    target: &mut D,
) -> Result<(), D::Error> {
    let ink = FontColor::Transparent(colour);
    match latin(face).render(letter, at, VerticalPosition::Baseline, ink, target) {
        Err(Error::DisplayError(error)) => Err(error),
        // The letter was looked up before, and no ground is asked for.
        _ => Ok(()),
    }
}

/// The box of one letter's ink, from the left end of its baseline.
pub(super) fn ink(letter: char, face: Face) -> Rectangle {
    latin(face)
        .get_rendered_dimensions(letter, Point::zero(), VerticalPosition::Baseline)
        .ok()
        .and_then(|dimensions| dimensions.bounding_box)
        .unwrap_or_default()
}
