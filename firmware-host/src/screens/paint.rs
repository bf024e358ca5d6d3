//! Parts become pixels. Only parts that differ from those painted before are painted, so
//! a panel on a slow bus, or of paper, changes where something changed.

use core::hash::{Hash, Hasher};

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use heapless::Vec;

use super::Thumbnail;
use super::layout::{Align, Content, Frame, Line, MOST_PARTS, Part};
use super::lettering::{Elided, Face, elide, format, lines};
use super::palette::{Ink, Role};

/// Areas that were painted: what is to be sent to the panel.
pub type Damage = Vec<Rectangle, { 2 * MOST_PARTS }>;

/// Remembers what a panel shows.
#[derive(Debug, Default)]
pub struct Painter {
    shown: Vec<Seal, MOST_PARTS>,
    /// Nothing is known of what the panel shows.
    begun: bool,
}

/// What was painted where, in few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seal {
    area: Rectangle,
    digest: u64,
}

impl Seal {
    fn of(part: &Part<'_>) -> Self {
        let mut hasher = Fnv::default();
        part.hash(&mut hasher);
        Self {
            area: part.area,
            digest: hasher.finish(),
        }
    }
}

impl Painter {
    /// Forgets what the panel shows: all of it will be painted next.
    pub fn forget(&mut self) {
        self.begun = false;
        self.shown.clear();
    }

    /// Paints what changed since the last frame; gives where.
    ///
    /// # Errors
    /// The target's. Then nothing is known of what the panel shows, and all of it is
    /// painted next time.
    pub fn paint<D>(&mut self, frame: &Frame<'_>, target: &mut D) -> Result<Damage, D::Error>
    where
        D: DrawTarget,
        D::Color: From<Rgb888>,
    {
        let painted = self.paint_changes(frame, target);
        match &painted {
            Ok(_) => {
                self.begun = true;
                self.shown = frame.parts.iter().map(Seal::of).collect();
            }
            Err(_) => self.forget(),
        }
        painted
    }

    fn paint_changes<D>(&self, frame: &Frame<'_>, target: &mut D) -> Result<Damage, D::Error>
    where
        D: DrawTarget,
        D::Color: From<Rgb888>,
    {
        let ink = frame.panel.ink;
        let mut damage = Damage::new();
        let ground: D::Color = Role::Ground.colour(ink).into();
        // Parts of one frame never overlap, so what stays is touched by neither loop.
        if self.begun {
            let now: Vec<Seal, MOST_PARTS> = frame.parts.iter().map(Seal::of).collect();
            for gone in self.shown.iter().filter(|seal| !now.contains(seal)) {
                let covered = frame.parts.iter().any(|part| part.area == gone.area);
                if !covered {
                    target.fill_solid(&gone.area, ground)?;
                    let _ = damage.push(gone.area);
                }
            }
        } else {
            let whole = Rectangle::new(Point::zero(), frame.panel.size);
            target.fill_solid(&whole, ground)?;
            let _ = damage.push(whole);
        }
        for part in &frame.parts {
            if !self.shown.contains(&Seal::of(part)) {
                part.paint(ink, target)?;
                let _ = damage.push(part.area);
            }
        }
        Ok(damage)
    }
}

/// FNV-1a, 64 bits: small, and no secret is kept here.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Part<'_> {
    /// Paints the part, ground first; nothing outside its area.
    ///
    /// # Errors
    /// The target's.
    pub fn paint<D>(&self, ink: Ink, target: &mut D) -> Result<(), D::Error>
    where
        D: DrawTarget,
        D::Color: From<Rgb888>,
    {
        self.draw(ink, &mut target.clipped(&self.area))
    }

    /// The same, and what stands out of the area is painted too.
    pub(super) fn draw<D>(&self, ink: Ink, target: &mut D) -> Result<(), D::Error>
    where
        D: DrawTarget,
        D::Color: From<Rgb888>,
    {
        let (colour, ground) = (self.ink.colour(ink), self.ground.colour(ink));
        if let Content::Picture(thumbnail) = &self.content {
            return paint_picture(thumbnail, self.area, ink, target);
        }
        target.fill_solid(&self.area, ground.into())?;
        match &self.content {
            Content::Text { line, face, align } => {
                paint_text(line, *face, *align, self.area, colour.into(), target)
            }
            Content::Paragraph { line, face, pitch } => {
                let text = format(line);
                let Size { width, height } = self.area.size;
                let most = (height / pitch) as usize;
                let mut area = self.area;
                area.size.height = *pitch;
                for line in lines(&text, *face, width, most) {
                    line.draw(*face, baseline(area, *face), colour.into(), target)?;
                    area.top_left.y += *pitch as i32;
                }
                Ok(())
            }
            Content::Bar(filled) => paint_bar(*filled, self.area, ink, colour, target),
            Content::Shape(shape) => {
                let smooth = ink == Ink::Colour;
                let square = square_of(self.area);
                shape.draw(square, colour, ground, smooth, target)
            }
            Content::Picture(_) | Content::Blank => Ok(()),
        }
    }
}

/// The left end of the line on which letters stand, capitals in the middle of an area.
fn baseline(area: Rectangle, face: Face) -> Point {
    let down = (area.size.height + face.capital()) / 2;
    area.top_left + Point::new(0, down as i32)
}

fn paint_text<D: DrawTarget>(
    line: &Line<'_>,
    face: Face,
    align: Align,
    area: Rectangle,
    colour: D::Color,
    target: &mut D,
) -> Result<(), D::Error> {
    let text = format(line);
    let elided: Elided<'_> = elide(&text, face, area.size.width);
    let free = area.size.width.saturating_sub(elided.width(face)) as i32;
    let indent = match align {
        Align::Left => 0,
        Align::Middle => free / 2,
        Align::Right => free,
    };
    let start = baseline(area, face) + Point::new(indent, 0);
    elided.draw(face, start, colour, target)
}

/// A filled bar on a track; on one bit the track is an outline.
fn paint_bar<D>(
    filled: u16,
    area: Rectangle,
    ink: Ink,
    colour: Rgb888,
    target: &mut D,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let mut inner = area;
    if ink == Ink::Colour {
        target.fill_solid(&area, Role::Faint.colour(ink).into())?;
    } else {
        target.fill_solid(&area, colour.into())?;
        let hollow = area.offset(-1);
        target.fill_solid(&hollow, Role::Ground.colour(ink).into())?;
        inner = area.offset(-2);
    }
    // Not quite nothing must not look like nothing.
    let width = (inner.size.width * u32::from(filled.min(1000)) + 500) / 1000;
    inner.size.width = width.max(u32::from(filled > 0));
    target.fill_solid(&inner, colour.into())
}

/// The square at an area's left end, in the middle of its height.
fn square_of(area: Rectangle) -> Rectangle {
    let side = area.size.width.min(area.size.height);
    let down = (area.size.height - side) / 2;
    let corner = area.top_left + Point::new(0, down as i32);
    Rectangle::new(corner, Size::new_equal(side))
}

/// The image as large as the area lets it, in the area's middle, and its region's outline.
fn paint_picture<D>(
    thumbnail: &Thumbnail<'_>,
    area: Rectangle,
    ink: Ink,
    target: &mut D,
) -> Result<(), D::Error>
where
    D: DrawTarget,
    D::Color: From<Rgb888>,
{
    let view = View::new(thumbnail, area.size);
    let mut dither = Dither::default();
    let colours = area.points().map(|at| {
        let at = at - area.top_left;
        let colour = match (view.seen(at), ink) {
            (Seen::Outside, _) => Role::Ground.colour(ink),
            (Seen::Outline, _) => Role::Accent.colour(ink),
            (Seen::Grey(grey), Ink::Colour) => Rgb888::new(grey, grey, grey),
            (Seen::Halo, Ink::Colour) => Rgb888::BLACK,
            (Seen::Halo, _) => Role::Ground.colour(ink),
            // White is light on both kinds of one bit, as on a film.
            (Seen::Grey(grey), _) if dither.is_white(grey, at) => Rgb888::WHITE,
            (Seen::Grey(_), _) => Rgb888::BLACK,
        };
        D::Color::from(colour)
    });
    target.fill_contiguous(&area, colours)
}

/// What one pixel of a picture shows.
enum Seen {
    Outside,
    Outline,
    /// Beside the outline, so that it stands out from whatever is there.
    Halo,
    Grey(u8),
}

/// A thumbnail fitted into an area.
struct View<'a> {
    thumbnail: &'a Thumbnail<'a>,
    corner: Point,
    size: Size,
}

impl<'a> View<'a> {
    fn new(thumbnail: &'a Thumbnail<'a>, area: Size) -> Self {
        let (width, height) = thumbnail.size();
        let size = if width * area.height > height * area.width {
            Size::new(area.width, (area.width * height / width).max(1))
        } else {
            Size::new((area.height * width / height).max(1), area.height)
        };
        let corner = Point::new(
            (area.width - size.width) as i32 / 2,
            (area.height - size.height) as i32 / 2,
        );
        Self {
            thumbnail,
            corner,
            size,
        }
    }

    fn pixel(&self, at: Point) -> Option<(u8, bool)> {
        let Point { x, y } = at - self.corner;
        let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
        if x >= self.size.width || y >= self.size.height {
            return None;
        }
        let (width, height) = self.thumbnail.size();
        self.thumbnail
            .at(x * width / self.size.width, y * height / self.size.height)
    }

    fn in_region(&self, at: Point) -> bool {
        self.pixel(at).is_some_and(|(_, inside)| inside)
    }

    fn seen(&self, at: Point) -> Seen {
        let Some((grey, inside)) = self.pixel(at) else {
            return Seen::Outside;
        };
        let reach = if self.size.width.min(self.size.height) < 100 {
            1
        } else {
            2
        };
        let steps = [
            (1, 0),
            (-1, 0),
            (0, 1),
            (0, -1),
            (1, 1),
            (1, -1),
            (-1, 1),
            (-1, -1),
        ];
        let around = steps.map(|(x, y)| at + Point::new(x * reach, y * reach));
        match inside {
            true if around.iter().any(|at| !self.in_region(*at)) => Seen::Outline,
            false if around.iter().any(|at| self.in_region(*at)) => Seen::Halo,
            _ => Seen::Grey(grey),
        }
    }
}

/// Columns whose errors are spread; a wider picture has its further ones plainly split.
const WIDEST: usize = 320;

/// Greys below this are painted black.
const DARKEST: u8 = 12;

/// Floyd and Steinberg's error diffusion (1976): greys as black and white pixels, asked
/// for row by row.
struct Dither {
    /// Sixteenths of a grey value owed to each column of this row and the next.
    owed: [[i16; WIDEST + 2]; 2],
    row: i32,
}

impl Default for Dither {
    fn default() -> Self {
        Self {
            owed: [[0; WIDEST + 2]; 2],
            row: 0,
        }
    }
}

impl Dither {
    fn is_white(&mut self, grey: u8, at: Point) -> bool {
        if at.y != self.row {
            self.owed.swap(0, 1);
            self.owed[1] = [0; WIDEST + 2];
            self.row = at.y;
        }
        let Some(column) = usize::try_from(at.x).ok().filter(|x| *x < WIDEST) else {
            return grey > 127;
        };
        let column = column + 1;
        // Almost black is black: lone white specks on a film's edge would look like findings.
        let grey = if grey < DARKEST { 0 } else { grey };
        let wanted = i16::from(grey) + self.owed[0][column] / 16;
        let white = wanted > 127;
        let error = wanted - if white { 255 } else { 0 };
        self.owed[0][column + 1] += error * 7;
        self.owed[1][column - 1] += error * 3;
        self.owed[1][column] += error * 5;
        self.owed[1][column + 1] += error;
        white
    }
}
