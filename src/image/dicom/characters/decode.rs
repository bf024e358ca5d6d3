//! Bytes become text: by one encoding, or by ISO/IEC 2022, where escapes switch between sets
//! (PS3.5, 6.1.2.5). Delimiters are told from bytes of characters that are the same number:
//! values and component groups are split here, and nowhere before.

use encoding_rs::{EUC_JP, EUC_KR, Encoding, GBK, SHIFT_JIS};

use super::terms::HALVES;
use super::{CharacterSets, Coding, Graphic};

const ESCAPE: u8 = 0x1b;
/// ISO-IR 14 has an overline where ASCII has a tilde.
const OVERLINE: char = '\u{203e}';
/// Half-width katakana begin here, at byte 0xA1.
const FIRST_KATAKANA: u32 = 0xff61;

/// What parts a text, beside line ends and tabulators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Split {
    /// Values, by backslashes.
    Values,
    /// Values, and within them component groups and components of a person's name.
    Names,
}

/// A text's values, each of its component groups; `None` for what is no text. A value that is no
/// name has one group.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(in super::super) struct Read {
    pub values: Vec<Vec<Option<String>>>,
    /// Whether it is written in another way than Specific Character Set allows, and can only mean
    /// this.
    pub is_inexact: bool,
}

impl CharacterSets {
    /// The text of these bytes.
    pub fn read(&self, bytes: &[u8], split: Split) -> Read {
        match &self.coding {
            Coding::Whole(encoding) => whole(encoding, bytes, split),
            Coding::Switched {
                low,
                high,
                announced,
            } => {
                let highs: Vec<Graphic> =
                    announced.iter().copied().filter(|g| g.is_high()).collect();
                let walk = Walk {
                    split,
                    first: (*low, *high),
                    active: (*low, *high),
                    announced,
                    only: match highs[..] {
                        [one] if self.is_known => Some(one),
                        _ => None,
                    },
                    pieces: Pieces::default(),
                };
                let read = walk.read(bytes);
                let is_japanese = *high == Some(Graphic::Katakana) && !bytes.contains(&ESCAPE);
                if is_japanese && read.has_gaps() {
                    return in_shift_jis(bytes, split).unwrap_or(read);
                }
                read
            }
        }
    }
}

impl Read {
    fn has_gaps(&self) -> bool {
        self.values.iter().flatten().any(Option::is_none)
    }
}

/// By an encoding that knows no escapes, all whose letters have other bytes than `=`.
fn whole(encoding: &'static Encoding, bytes: &[u8], split: Split) -> Read {
    let mut pieces = Pieces::default();
    let is_name = split == Split::Names;
    for (place, group) in bytes.split(|byte| is_name && *byte == b'=').enumerate() {
        if place > 0 {
            pieces.next_group();
        }
        let text = strictly(encoding, group).filter(|text| !text.contains(is_no_text));
        let Some(text) = text else {
            pieces.is_no_text();
            continue;
        };
        for (place, part) in text.trim_start_matches('\u{feff}').split('\\').enumerate() {
            if place > 0 {
                pieces.next_value();
            }
            part.chars().for_each(|c| pieces.push(c));
        }
    }
    pieces.read()
}

/// An escape where there are none, and controls that no set has.
fn is_no_text(character: char) -> bool {
    matches!(character, '\u{1b}' | '\u{80}'..='\u{9f}')
}

/// Units write what all software of their country reads under ISO_IR 13, which has no such bytes.
fn in_shift_jis(bytes: &[u8], split: Split) -> Option<Read> {
    let read = whole(SHIFT_JIS, bytes, split);
    let is_inexact = true;
    (!read.has_gaps()).then_some(Read { is_inexact, ..read })
}

fn strictly(encoding: &'static Encoding, bytes: &[u8]) -> Option<String> {
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
    Some(text.into_owned())
}

/// The text so far.
#[derive(Default)]
struct Pieces {
    values: Vec<Vec<Option<String>>>,
    groups: Vec<Option<String>>,
    group: String,
    has_no_text: bool,
    is_inexact: bool,
}

impl Pieces {
    fn push(&mut self, character: char) {
        self.group.push(character);
    }

    fn is_no_text(&mut self) {
        self.has_no_text = true;
    }

    fn next_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        let is_text = !std::mem::take(&mut self.has_no_text);
        self.groups.push(is_text.then_some(group));
    }

    fn next_value(&mut self) {
        self.next_group();
        self.values.push(std::mem::take(&mut self.groups));
    }

    fn read(mut self) -> Read {
        self.next_value();
        Read {
            values: self.values,
            is_inexact: self.is_inexact,
        }
    }
}

/// A walk over a text with escapes.
struct Walk<'a> {
    split: Split,
    /// The sets of both halves before any escape, and behind each delimiter.
    first: (Graphic, Option<Graphic>),
    active: (Graphic, Option<Graphic>),
    announced: &'a [Graphic],
    /// The only set of upper halves that the object announces: what upper bytes without an escape
    /// can only mean. Then the one that was escaped to last.
    only: Option<Graphic>,
    pieces: Pieces,
}

impl Walk<'_> {
    fn read(mut self, bytes: &[u8]) -> Read {
        let mut rest = bytes;
        while let Some((&byte, behind)) = rest.split_first() {
            let taken = match byte {
                ESCAPE => 1 + self.escape(behind),
                b'\t' | b'\n' | 0x0c | b'\r' => {
                    self.active = self.first;
                    self.pieces.push(byte.into());
                    1
                }
                _ if self.is_delimiter(byte, behind) => self.delimiter(byte),
                0x21..=0x7e => self.low(byte, behind),
                // Blanks and controls, which are no set's.
                0x00..=0x7f => {
                    self.pieces.push(byte.into());
                    1
                }
                0x80..=0xff => self.high(byte, behind),
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
        self.pieces.read()
    }

    /// Switches the set of one half: how many bytes behind the escape say so.
    fn escape(&mut self, behind: &[u8]) -> usize {
        let Some((sequence, graphic)) = escaped(behind) else {
            self.pieces.is_no_text();
            return 0;
        };
        let is_announced = match graphic {
            Graphic::Ascii => true,
            Graphic::Romaji => self.announced.contains(&Graphic::Katakana),
            other => self.announced.contains(&other),
        };
        self.pieces.is_inexact |= !is_announced;
        if graphic.is_high() {
            self.active.1 = Some(graphic);
            self.only = Some(graphic);
        } else {
            self.active.0 = graphic;
        }
        sequence
    }

    /// Where pairs are active, a byte is half of one if it can be.
    fn is_delimiter(&self, byte: u8, behind: &[u8]) -> bool {
        let is_one = match self.split {
            Split::Values => byte == b'\\',
            Split::Names => b"\\^=".contains(&byte),
        };
        let makes_pair = behind.first().is_some_and(|next| is_low(*next));
        is_one && !(self.active.0.is_low_pairs() && makes_pair)
    }

    fn delimiter(&mut self, byte: u8) -> usize {
        self.active = self.first;
        match byte {
            b'\\' => self.pieces.next_value(),
            b'=' => self.pieces.next_group(),
            _ => self.pieces.push(byte.into()),
        }
        1
    }

    fn low(&mut self, byte: u8, behind: &[u8]) -> usize {
        let (set, next) = (self.active.0, behind.first().filter(|next| is_low(**next)));
        let pair = next.map(|next| [byte | 0x80, next | 0x80]);
        let text = match (set, pair) {
            (Graphic::Kanji, Some(pair)) => strictly(EUC_JP, &pair),
            (Graphic::Supplement, Some([a, b])) => strictly(EUC_JP, &[0x8f, a, b]),
            (Graphic::Kanji | Graphic::Supplement, None) => None,
            (Graphic::Romaji, _) if byte == b'~' => Some(OVERLINE.into()),
            _ => Some(char::from(byte).into()),
        };
        self.take(text, set.is_low_pairs() && pair.is_some())
    }

    fn high(&mut self, byte: u8, behind: &[u8]) -> usize {
        let set = self.active.1.or(self.only);
        self.pieces.is_inexact |= self.active.1.is_none() && set.is_some();
        let next = behind.first().filter(|next| (0xa1..=0xfe).contains(*next));
        let pair = next.map(|next| [byte, *next]);
        let text = match (set, pair) {
            _ if byte < 0xa0 => None,
            (Some(Graphic::Hangul), Some(pair)) => strictly(EUC_KR, &pair),
            (Some(Graphic::Hanzi), Some(pair)) => strictly(GBK, &pair),
            (Some(Graphic::High(encoding)), _) => strictly(encoding, &[byte]),
            (Some(Graphic::Katakana), _) if (0xa1..=0xdf).contains(&byte) => {
                let katakana = char::from_u32(FIRST_KATAKANA + u32::from(byte - 0xa1));
                katakana.map(String::from)
            }
            _ => None,
        };
        let is_pair = matches!(set, Some(Graphic::Hangul | Graphic::Hanzi)) && pair.is_some();
        self.take(text, is_pair)
    }

    /// Takes a character of one byte or two.
    fn take(&mut self, text: Option<String>, is_pair: bool) -> usize {
        match text {
            Some(text) => text.chars().for_each(|c| self.pieces.push(c)),
            None => self.pieces.is_no_text(),
        }
        1 + usize::from(is_pair)
    }
}

fn is_low(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte)
}

/// The set that the bytes behind an escape switch to, and how many they are (PS3.3, tables C.12-3
/// and C.12-4).
fn escaped(behind: &[u8]) -> Option<(usize, Graphic)> {
    const LOW: [(&[u8], Graphic); 9] = [
        (b"(B", Graphic::Ascii),
        (b"(J", Graphic::Romaji),
        (b")I", Graphic::Katakana),
        (b"$B", Graphic::Kanji),
        // Of 1978, whose characters are the same but for a few that changed places.
        (b"$@", Graphic::Kanji),
        (b"$(B", Graphic::Kanji),
        (b"$(D", Graphic::Supplement),
        (b"$)C", Graphic::Hangul),
        (b"$)A", Graphic::Hanzi),
    ];
    if let Some((sequence, graphic)) = LOW.iter().find(|(bytes, _)| behind.starts_with(bytes)) {
        return Some((sequence.len(), *graphic));
    }
    let &[b'-', last, ..] = behind else {
        return None;
    };
    let number = match last {
        b'A' => 100,
        b'B' => 101,
        b'C' => 109,
        b'D' => 110,
        b'F' => 126,
        b'G' => 127,
        b'H' => 138,
        b'L' => 144,
        b'M' => 148,
        b'T' => 166,
        b'b' => 203,
        _ => return None,
    };
    let half = HALVES.iter().find(|half| half.0 == number)?;
    Some((2, Graphic::High(half.2)))
}
