//! Words in Devanagari, shaped and drawn beforehand.
//!
//! Devanagari joins and reorders its letters by rules that need a shaper, which is larger
//! than all screens together. The words that screens say are known, so each is drawn once,
//! at every [`Face`], by `scripts/screens/devanagari.py`, from Noto Sans Devanagari
//! (copyright The Noto Project Authors, SIL Open Font License 1.1). Run the script after a
//! change of [`super::words`] or `names.rs`; a test here tells when that was forgotten.
//!
//! One file a face, words in the order of their bytes. Each word: length of its UTF-8 (one
//! byte), its UTF-8, advance, left (signed), rise above the baseline (signed), width,
//! height (one byte each), then its rows, most significant bit first, each row filled up
//! to whole bytes.

use embedded_graphics::image::{Image, ImageRaw};
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;

use super::face::Face;

/// Whether a letter belongs to a word of this script (Unicode block Devanagari).
pub fn is_letter(letter: char) -> bool {
    matches!(letter, '\u{900}'..='\u{97f}')
}

fn words(face: Face) -> &'static [u8] {
    match face {
        Face::Tiny => include_bytes!("devanagari/tiny.bin"),
        Face::TinyBold => include_bytes!("devanagari/tiny_bold.bin"),
        Face::Small => include_bytes!("devanagari/small.bin"),
        Face::Body => include_bytes!("devanagari/body.bin"),
        Face::BodyBold => include_bytes!("devanagari/body_bold.bin"),
        Face::Strong => include_bytes!("devanagari/strong.bin"),
        Face::Large => include_bytes!("devanagari/large.bin"),
        Face::Huge => include_bytes!("devanagari/huge.bin"),
    }
}

/// A word's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// How far the next word or letter stands, in pixels.
    pub advance: u32,
    left: i32,
    rise: i32,
    width: u32,
    rows: &'static [u8],
}

/// The picture of a word; `None` where it was not drawn beforehand.
pub fn find(word: &str, face: Face) -> Option<Drawn> {
    let mut entries = Entries(words(face));
    if word.is_empty() {
        return None;
    }
    entries
        .find(|(entry, _)| *entry == word.as_bytes())
        .map(|(_, drawn)| drawn)
}

struct Entries(&'static [u8]);

impl Iterator for Entries {
    type Item = (&'static [u8], Drawn);

    fn next(&mut self) -> Option<Self::Item> {
        let (&length, rest) = self.0.split_first()?;
        let (word, rest) = rest.split_at_checked(length.into())?;
        let (&[advance, left, rise, width, height], rest) = rest.split_first_chunk()?;
        let (rows, rest) =
            rest.split_at_checked(usize::from(width).div_ceil(8) * usize::from(height))?;
        self.0 = rest;
        let drawn = Drawn {
            advance: advance.into(),
            left: i8::from_le_bytes([left]).into(),
            rise: i8::from_le_bytes([rise]).into(),
            width: width.into(),
            rows,
        };
        Some((word, drawn))
    }
}

impl Drawn {
    /// Draws the word from the left end of its baseline.
    ///
    /// # Errors
    /// The target's.
    pub fn draw<D: DrawTarget>(
        self,
        start: Point,
        colour: D::Color,
        target: &mut D,
    ) -> Result<(), D::Error> {
        let rows = ImageRaw::<BinaryColor>::new(self.rows, self.width);
        let corner = start + Point::new(self.left, -self.rise);
        Image::new(&rows, corner).draw(&mut Stencil { target, colour })
    }
}

/// Lets ink through and leaves the ground as it is.
struct Stencil<'a, D: DrawTarget> {
    target: &'a mut D,
    colour: D::Color,
}

impl<D: DrawTarget> Dimensions for Stencil<'_, D> {
    fn bounding_box(&self) -> embedded_graphics::primitives::Rectangle {
        self.target.bounding_box()
    }
}

impl<D: DrawTarget> DrawTarget for Stencil<'_, D> {
    type Color = BinaryColor;
    type Error = D::Error;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Self::Error>
    where
        I: IntoIterator<Item = Pixel<BinaryColor>>,
    {
        let colour = self.colour;
        let ink = pixels
            .into_iter()
            .filter(|pixel| pixel.1.is_on())
            .map(|pixel| Pixel(pixel.0, colour));
        self.target.draw_iter(ink)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::super::Language;
    use super::*;

    impl Drawn {
        fn fall(&self) -> i32 {
            (self.rows.len() / (self.width as usize).div_ceil(8)) as i32 - self.rise
        }
    }

    /// Every word of the sources themselves, so that none can be forgotten.
    #[test]
    fn every_hindi_word_is_drawn_in_every_face() {
        let sources = [include_str!("words.rs"), include_str!("names.rs")];
        let all: Vec<&str> = sources
            .iter()
            .flat_map(|source| source.split(|c| !is_letter(c)))
            .filter(|word| !word.is_empty())
            .collect();
        assert!(all.len() > 100, "{}", all.len());
        for face in Face::ALL {
            let missing: Vec<_> = all.iter().filter(|w| find(w, face).is_none()).collect();
            assert!(
                missing.is_empty(),
                "run scripts/screens/devanagari.py: {face:?} lacks {missing:?}"
            );
        }
    }

    #[test]
    fn no_word_leaves_its_line() {
        let mut out = Vec::new();
        for face in Face::ALL {
            let space = (face.line(Language::Hindi) - face.capital()) / 2;
            for (word, drawn) in Entries(words(face)) {
                let above = drawn.rise - face.capital() as i32;
                if above.max(drawn.fall()) > space as i32 {
                    let word = core::str::from_utf8(word).unwrap();
                    out.push((face, word, above, drawn.fall()));
                }
            }
        }
        assert!(out.is_empty(), "{out:?}");
    }
}
