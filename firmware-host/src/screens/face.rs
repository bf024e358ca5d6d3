//! Faces: the sizes and weights of lettering, and how high a line of each is. Whoever lays text out
//! or draws it asks here; nothing is drawn here.

use super::Language;

/// Sizes of lettering, smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Face {
    /// Capitals of 8 pixels.
    Tiny,
    /// Capitals of 8 pixels, bold.
    TinyBold,
    /// Capitals of 11 pixels.
    Small,
    /// Capitals of 12 pixels.
    Body,
    /// Capitals of 12 pixels, bold.
    BodyBold,
    /// Capitals of 14 pixels, bold.
    Strong,
    /// Capitals of 19 pixels, bold.
    Large,
    /// Capitals of 25 pixels, bold.
    Huge,
}

impl Face {
    /// All of them, smallest first.
    pub const ALL: [Self; 8] = [
        Self::Tiny,
        Self::TinyBold,
        Self::Small,
        Self::Body,
        Self::BodyBold,
        Self::Strong,
        Self::Large,
        Self::Huge,
    ];

    /// Height of a capital, in pixels.
    pub const fn capital(self) -> u32 {
        match self {
            Self::Tiny | Self::TinyBold => 8,
            Self::Small => 11,
            Self::Body | Self::BodyBold => 12,
            Self::Strong => 14,
            Self::Large => 19,
            Self::Huge => 25,
        }
    }

    /// Height of a line that holds every accent and descender of a language, in pixels.
    /// Capitals stand in its middle.
    pub const fn line(self, language: Language) -> u32 {
        let around = match (language, self) {
            (Language::Hindi, Self::Tiny | Self::TinyBold) => 4,
            (Language::Hindi, Self::Small) => 5,
            (Language::Hindi, Self::Body | Self::BodyBold) => 6,
            (Language::Hindi, Self::Strong | Self::Large) => 7,
            (Language::Hindi, Self::Huge) => 10,
            (_, Self::Tiny | Self::TinyBold | Self::Small) => 3,
            (_, Self::Body | Self::BodyBold | Self::Strong) => 4,
            (_, Self::Large) => 5,
            (_, Self::Huge) => 7,
        };
        self.capital() + 2 * around
    }

    /// Whether the strokes are broad.
    pub const fn is_bold(self) -> bool {
        !matches!(self, Self::Tiny | Self::Small | Self::Body)
    }

    /// This face and the smaller ones of its weight, largest first, and the smallest of all.
    pub fn down(self) -> impl Iterator<Item = Self> {
        let faces = Self::ALL.into_iter().rev();
        faces.filter(move |face| {
            *face <= self && (face.is_bold() == self.is_bold() || *face == Self::Tiny)
        })
    }
}
