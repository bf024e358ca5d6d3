//! What stands where: a screen becomes a list of parts.
//!
//! Areas are cut off a room one after the other, so no two parts overlap and none leaves
//! the panel, whatever the text; text that is too long for its area is made smaller, then
//! elided. Levels and the intended use are never elided (tested on every panel).

use core::fmt;

use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use heapless::Vec;

use super::lettering::{Face, Formatted, elide, format, lines, measure};
use super::palette::{Ink, Role};
use super::percent::Percent;
use super::shapes::Shape;
use super::{Language, Thumbnail};

/// A panel: how many pixels, of what kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Panel {
    /// Columns and rows, as they are read.
    pub size: Size,
    /// What its pixels can show.
    pub ink: Ink,
}

impl Panel {
    /// Monochrome, as the SSD1306 drives.
    pub const MONO_128X64: Self = Self::new(128, 64, Ink::Light);
    /// Colour, as the ST7789 drives.
    pub const COLOUR_240X240: Self = Self::new(240, 240, Ink::Colour);
    /// Colour, as the ILI9341 drives.
    pub const COLOUR_320X240: Self = Self::new(320, 240, Ink::Colour);
    /// E-paper of 2.13 inches.
    pub const PAPER_250X122: Self = Self::new(250, 122, Ink::Paper);

    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::MONO_128X64,
        Self::COLOUR_240X240,
        Self::COLOUR_320X240,
        Self::PAPER_250X122,
    ];

    const fn new(width: u32, height: u32, ink: Ink) -> Self {
        let size = Size::new(width, height);
        Self { size, ink }
    }

    /// The largest picture of the image that any page shows, columns and rows: what a
    /// thumbnail should be made for.
    pub const fn thumbnail(self) -> Size {
        Size::new(self.size.width, self.size.height)
    }

    /// Sizes of everything. A panel between the known ones takes those of the next smaller.
    pub(super) fn kit(self) -> &'static Kit {
        let Size { width, height } = self.size;
        if height < 100 {
            &MONO
        } else if height < 200 {
            &PAPER
        } else if width < 300 {
            &SQUARE
        } else {
            &WIDE
        }
    }
}

/// Sizes on one panel.
#[derive(Debug)]
pub(super) struct Kit {
    pub(super) margin: u32,
    pub(super) gap: u32,
    /// The level's word, and the word of every band.
    pub(super) band: Face,
    /// The class; what the device does.
    pub(super) title: Face,
    /// Probabilities that stand alone.
    pub(super) number: Face,
    /// Bands of pages that are not the first.
    pub(super) body: Face,
    /// What to do about a refusal or a fault.
    pub(super) sentence: Face,
    /// The word of a refusal or a fault.
    pub(super) notice: Face,
    /// Everything else.
    pub(super) small: Face,
    /// Added to a band's height.
    pub(super) air: u32,
    pub(super) bar: u32,
    /// Rows of the pages of classes and of the device.
    pub(super) row: Face,
    /// The row that matters most.
    pub(super) row_bold: Face,
    /// The picture beside the text, or above it.
    pub(super) beside: bool,
    /// Room for a heading on pages that could do without.
    pub(super) headings: bool,
}

const MONO: Kit = Kit {
    margin: 1,
    gap: 2,
    band: Face::BodyBold,
    title: Face::BodyBold,
    number: Face::TinyBold,
    body: Face::Tiny,
    sentence: Face::BodyBold,
    notice: Face::TinyBold,
    small: Face::Tiny,
    air: 1,
    bar: 7,
    row: Face::Tiny,
    row_bold: Face::TinyBold,
    beside: true,
    headings: false,
};

const PAPER: Kit = Kit {
    margin: 3,
    gap: 5,
    band: Face::Large,
    title: Face::Strong,
    number: Face::Strong,
    body: Face::Small,
    sentence: Face::Strong,
    notice: Face::Large,
    small: Face::Small,
    air: 2,
    bar: 10,
    row: Face::Small,
    row_bold: Face::BodyBold,
    beside: true,
    headings: false,
};

const SQUARE: Kit = Kit {
    margin: 6,
    gap: 6,
    band: Face::Huge,
    title: Face::Large,
    number: Face::Huge,
    body: Face::BodyBold,
    sentence: Face::Strong,
    notice: Face::Huge,
    small: Face::Small,
    air: 6,
    bar: 12,
    row: Face::Body,
    row_bold: Face::BodyBold,
    beside: false,
    headings: true,
};

const WIDE: Kit = Kit {
    margin: 10,
    gap: 10,
    beside: true,
    ..SQUARE
};

/// Text whose numbers are not written out yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Line<'a> {
    /// As it is.
    Plain(&'a str),
    /// `Case 12`.
    Numbered(&'a str, u64),
    /// `12`.
    Count(u32),
    /// A whole percentage.
    Percent(Percent),
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Numbered(what, number) => write!(f, "{what} {number}"),
            Self::Count(count) => count.fmt(f),
            Self::Percent(percent) => percent.fmt(f),
        }
    }
}

/// Where text stands in its area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Align {
    /// From the left end.
    Left,
    /// In the middle.
    Middle,
    /// To the right end.
    Right,
}

/// What a part shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content<'a> {
    /// One line, its capitals in the middle of the area's height.
    Text {
        /// What it says.
        line: Line<'a>,
        /// How large.
        face: Face,
        /// Where.
        align: Align,
    },
    /// Lines from the area's top, broken at blanks.
    Paragraph {
        /// What it says.
        line: Line<'a>,
        /// How large.
        face: Face,
        /// Height of a line, in pixels.
        pitch: u32,
    },
    /// A bar, filled to so many thousandths.
    Bar(u16),
    /// A shape in the square at the area's left end, in the middle of its height.
    Shape(Shape),
    /// The image and the region's outline, as large as the area lets it.
    Picture(Thumbnail<'a>),
    /// Nothing but the ground.
    Blank,
}

/// A piece of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Part<'a> {
    /// Where. No other part touches it.
    pub area: Rectangle,
    /// What is behind.
    pub ground: Role,
    /// What is drawn with.
    pub ink: Role,
    /// What is drawn.
    pub content: Content<'a>,
}

/// Parts that a frame holds at most.
pub const MOST_PARTS: usize = 40;

/// A whole screen as parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The panel it was laid out for.
    pub panel: Panel,
    /// Its parts.
    pub parts: Vec<Part<'a>, MOST_PARTS>,
}

/// Free room, from which areas are cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room(pub(super) Rectangle);

impl Room {
    pub(super) fn width(self) -> u32 {
        self.0.size.width
    }

    pub(super) fn height(self) -> u32 {
        self.0.size.height
    }

    pub(super) fn inset(self, left_and_right: u32) -> Self {
        let mut room = self;
        room.left(left_and_right);
        room.right(left_and_right);
        room
    }

    pub(super) fn top(&mut self, height: u32) -> Rectangle {
        let height = height.min(self.height());
        let area = Rectangle::new(self.0.top_left, Size::new(self.width(), height));
        self.0.top_left.y += height as i32;
        self.0.size.height -= height;
        area
    }

    pub(super) fn bottom(&mut self, height: u32) -> Rectangle {
        let height = height.min(self.height());
        self.0.size.height -= height;
        let corner = self.0.top_left + Point::new(0, self.height() as i32);
        Rectangle::new(corner, Size::new(self.width(), height))
    }

    pub(super) fn left(&mut self, width: u32) -> Rectangle {
        let width = width.min(self.width());
        let area = Rectangle::new(self.0.top_left, Size::new(width, self.height()));
        self.0.top_left.x += width as i32;
        self.0.size.width -= width;
        area
    }

    pub(super) fn right(&mut self, width: u32) -> Rectangle {
        let width = width.min(self.width());
        self.0.size.width -= width;
        let corner = self.0.top_left + Point::new(self.width() as i32, 0);
        Rectangle::new(corner, Size::new(width, self.height()))
    }
}

/// A frame in the making.
pub(super) struct Sheet<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) kit: &'static Kit,
    pub(super) language: Language,
}

impl<'a> Sheet<'a> {
    pub(super) fn put(&mut self, area: Rectangle, ground: Role, ink: Role, content: Content<'a>) {
        if area.is_zero_sized() {
            return;
        }
        // No screen has so many parts: tested.
        let _ = self.frame.parts.push(Part {
            area,
            ground,
            ink,
            content,
        });
    }

    /// A line as large as fits, no larger than `face`.
    pub(super) fn line(
        &mut self,
        area: Rectangle,
        face: Face,
        align: Align,
        ink: Role,
        line: Line<'a>,
    ) {
        let face = self.largest(face, &format(&line), area.size);
        self.put(area, Role::Ground, ink, Content::Text { line, face, align });
    }

    fn largest(&self, face: Face, text: &Formatted, room: Size) -> Face {
        let fits = |face: &Face| {
            face.line(self.language) <= room.height && measure(text, *face) <= room.width
        };
        face.down().find(fits).unwrap_or(Face::Tiny)
    }

    /// Sentences as large as fits, no larger than `face`.
    pub(super) fn paragraph(&mut self, area: Rectangle, face: Face, text: &'a str) {
        let line = Line::Plain(text);
        let Size { width, height } = area.size;
        let whole = |face: &Face| {
            let most = (height / face.line(self.language)) as usize;
            most > 0 && lines(text, *face, width, most).all(|line| !line.cut)
        };
        let face = face.down().find(whole).unwrap_or(Face::Tiny);
        let content = Content::Paragraph {
            line,
            face,
            pitch: face.line(self.language),
        };
        self.put(area, Role::Ground, Role::Text, content);
    }

    pub(super) fn line_height(&self, face: Face) -> u32 {
        face.line(self.language)
    }

    /// A band across the top: a shape and a word on a colour.
    pub(super) fn band(
        &mut self,
        room: &mut Room,
        colour: Role,
        shape: Shape,
        face: Face,
        word: &'a str,
    ) {
        // Lines of Hindi are high as they are, and small panels have no more room.
        let tight = self.language == Language::Hindi && !self.kit.headings;
        let height = self.line_height(face) + if tight { 0 } else { self.kit.air };
        let mut band = Room(room.top(height));
        let margin = self.kit.margin.max(2);
        let side = height - (height / 6).max(2);
        let on_band = |sheet: &mut Self, area, content| {
            sheet.put(area, colour, Role::OnBand, content);
        };
        on_band(self, band.left(margin), Content::Blank);
        on_band(self, band.left(side), Content::Shape(shape));
        on_band(self, band.left(self.kit.gap.max(4)), Content::Blank);
        on_band(self, band.right(margin / 2), Content::Blank);
        let line = Line::Plain(word);
        let face = self.largest(face, &format(&line), band.0.size);
        let text = Content::Text {
            line,
            face,
            align: Align::Left,
        };
        on_band(self, band.0, text);
    }
}

impl Part<'_> {
    /// Whether text was cut to fit.
    pub fn is_elided(&self) -> bool {
        let width = self.area.size.width;
        match &self.content {
            Content::Text { line, face, .. } => elide(&format(line), *face, width).cut,
            Content::Paragraph { line, face, pitch } => {
                let most = (self.area.size.height / pitch) as usize;
                lines(&format(line), *face, width, most).any(|line| line.cut)
            }
            _ => false,
        }
    }
}
