//! The character sets of DICOM text (PS3.3, C.12.1.1.2; PS3.5, 6.1 and annexes H to K): the terms of
//! Specific Character Set come in, and then the bytes of values, which come out as text or as what
//! they are not: readable.
//!
//! Called by `legible`. A term that is misspelt counts as what it can only mean, which is noted.
//! Bytes that a set does not have are never read by another one.

mod decode;
mod terms;

pub(super) use decode::Split;
use terms::{Term, understood};

use encoding_rs::Encoding;

/// Characters that stand in one half of the code table.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Graphic {
    /// ISO-IR 6, in the lower half.
    Ascii,
    /// ISO-IR 14, in the lower half.
    Romaji,
    /// ISO-IR 13, in the upper half.
    Katakana,
    /// The upper half of a part of ISO/IEC 8859, or of TIS 620.
    High(&'static Encoding),
    /// ISO-IR 87, pairs in the lower half.
    Kanji,
    /// ISO-IR 159, pairs in the lower half.
    Supplement,
    /// ISO-IR 149, pairs in the upper half.
    Hangul,
    /// ISO-IR 58, pairs in the upper half.
    Hanzi,
}

impl Graphic {
    fn is_high(self) -> bool {
        use Graphic::{Hangul, Hanzi, High, Katakana};
        matches!(self, High(_) | Katakana | Hangul | Hanzi)
    }

    /// Whether a character takes two bytes of the lower half.
    fn is_low_pairs(self) -> bool {
        matches!(self, Self::Kanji | Self::Supplement)
    }
}

/// How the texts of a data set are written.
#[derive(Debug, Clone, PartialEq)]
enum Coding {
    /// By one encoding that knows no escapes.
    Whole(&'static Encoding),
    /// By ISO/IEC 2022: what is active before any escape, and all that is announced.
    Switched {
        low: Graphic,
        high: Option<Graphic>,
        announced: Vec<Graphic>,
    },
}

/// What Specific Character Set says, and whether it says so in the standard's words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CharacterSets {
    coding: Coding,
    /// Whether each term is known.
    is_known: bool,
    /// What was read in place of what stands there.
    pub note: Option<String>,
}

impl Default for CharacterSets {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl CharacterSets {
    /// Of the values of Specific Character Set (0008,0005); none stand for ISO-IR 6.
    pub fn of(values: &[&str]) -> Self {
        let values: Vec<&str> = values.iter().map(|value| value.trim()).collect();
        let read: Vec<Option<Term>> = values.iter().map(|value| understood(value)).collect();
        let is_known = read.iter().all(Option::is_some);
        let terms: Vec<Term> = read.into_iter().flatten().collect();
        let whole = terms.iter().find_map(|term| match term {
            Term::Whole(encoding) => Some(*encoding),
            Term::Default | Term::Half(_) => None,
        });
        let coding = match whole {
            Some(encoding) => Coding::Whole(encoding),
            None => switched(&terms, values.len()),
        };
        let extended = values.len() > 1;
        let are_spelt = values.iter().all(|value| terms::is_spelt(value, extended));
        let are_sound = whole.is_none() || !extended;
        let note = match (is_known, are_spelt && are_sound) {
            (true, true) => None,
            (true, false) => Some(format!(
                "character_set_misspelt: Specific Character Set (0008,0005) is not written as the \
                 standard has it; it was read as {}",
                coding.name()
            )),
            (false, _) => Some(
                "character_set_unknown: Specific Character Set (0008,0005) names a set that is not \
                 known; what is not ASCII cannot be read"
                    .to_owned(),
            ),
        };
        Self {
            coding,
            is_known,
            note,
        }
    }
}

/// The terms of ISO/IEC 2022; the first says what is active before any escape (PS3.5, 6.1.2.5).
fn switched(terms: &[Term], values: usize) -> Coding {
    let halves = terms.iter().filter_map(|term| match term {
        Term::Half(graphic) => Some(*graphic),
        Term::Default | Term::Whole(_) => None,
    });
    let announced: Vec<Graphic> = halves.collect();
    let first = match terms.first() {
        Some(Term::Half(graphic)) => Some(*graphic),
        _ => None,
    };
    // Pairs may not be the first set, unless there is no other.
    let may_be_first =
        |graphic: &Graphic| matches!(graphic, Graphic::High(_) | Graphic::Katakana) || values == 1;
    Coding::Switched {
        low: match first {
            Some(Graphic::Katakana) => Graphic::Romaji,
            _ => Graphic::Ascii,
        },
        high: first.filter(|g| g.is_high()).filter(may_be_first),
        announced,
    }
}

impl Coding {
    /// The standard's words for it.
    fn name(&self) -> String {
        match self {
            Self::Whole(encoding) => terms::name_of_whole(encoding).to_owned(),
            Self::Switched { announced, .. } if announced.is_empty() => "ISO_IR 6".to_owned(),
            Self::Switched { announced, .. } => {
                let names = announced.iter().map(|graphic| terms::name_of(*graphic));
                let names: Vec<String> = names.collect();
                names.join(" and ")
            }
        }
    }
}

#[cfg(test)]
mod tests;
