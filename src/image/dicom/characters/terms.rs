//! The defined terms of Specific Character Set (PS3.3, tables C.12-2 to C.12-5), and the ways in
//! which units misspell them: a value comes in, the set that it can only mean comes out.

use encoding_rs::{
    Encoding, GB18030, GBK, ISO_8859_2, ISO_8859_3, ISO_8859_4, ISO_8859_5, ISO_8859_6, ISO_8859_7,
    ISO_8859_8, ISO_8859_15, UTF_8, WINDOWS_874, WINDOWS_1252, WINDOWS_1254,
};

use super::Graphic;

/// What one value means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Term {
    /// ISO-IR 6 alone.
    Default,
    /// Characters of one half of the code table.
    Half(Graphic),
    /// An encoding that knows no escapes.
    Whole(&'static Encoding),
}

/// Upper halves by their numbers at ISO-IR and in ISO/IEC 8859; 8859-1 and 8859-9 are what
/// Windows has above byte 0xA0, below which nothing of any is read.
pub(super) const HALVES: [(u16, u16, &Encoding); 11] = [
    (100, 1, WINDOWS_1252),
    (101, 2, ISO_8859_2),
    (109, 3, ISO_8859_3),
    (110, 4, ISO_8859_4),
    (144, 5, ISO_8859_5),
    (127, 6, ISO_8859_6),
    (126, 7, ISO_8859_7),
    (138, 8, ISO_8859_8),
    (148, 9, WINDOWS_1254),
    (166, 11, WINDOWS_874),
    (203, 15, ISO_8859_15),
];

const PAIRS: [(u16, Graphic); 4] = [
    (87, Graphic::Kanji),
    (159, Graphic::Supplement),
    (149, Graphic::Hangul),
    (58, Graphic::Hanzi),
];

/// Other names that can only mean one set.
const NAMES: [(&str, Term); 14] = [
    ("", Term::Default),
    ("ASCII", Term::Default),
    ("USASCII", Term::Default),
    ("DEFAULT", Term::Default),
    ("UTF8", Term::Whole(UTF_8)),
    ("UNICODEUTF8", Term::Whole(UTF_8)),
    ("GB18030", Term::Whole(GB18030)),
    ("GBK", Term::Whole(GBK)),
    ("GB2312", Term::Whole(GBK)),
    ("LATIN1", Term::Half(Graphic::High(WINDOWS_1252))),
    ("TIS620", Term::Half(Graphic::High(WINDOWS_874))),
    ("EUCKR", Term::Half(Graphic::Hangul)),
    ("SHIFTJIS", Term::Half(Graphic::Katakana)),
    ("SJIS", Term::Half(Graphic::Katakana)),
];

/// What a value means, however it is spelt.
pub(super) fn understood(value: &str) -> Option<Term> {
    let letters = value.chars().filter(char::is_ascii_alphanumeric);
    let plain: String = letters.map(|c| c.to_ascii_uppercase()).collect();
    // Other scripts name no set.
    if !value.is_ascii() {
        return None;
    }
    if let Some((_, term)) = NAMES.iter().find(|(name, _)| *name == plain) {
        return Some(*term);
    }
    if let Some(part) = plain.strip_prefix("ISO8859").or(plain.strip_prefix("8859")) {
        let part: u16 = part.parse().ok()?;
        let half = HALVES.iter().find(|half| half.1 == part)?;
        return Some(Term::Half(Graphic::High(half.2)));
    }
    let prefixes = ["ISO2022IR", "ISO2022", "ISOIR", "IR", "ISO"];
    let number = prefixes.iter().find_map(|p| plain.strip_prefix(p))?;
    numbered(number.parse().ok()?)
}

/// The set of a number at ISO-IR.
fn numbered(number: u16) -> Option<Term> {
    match number {
        6 => return Some(Term::Default),
        13 | 14 => return Some(Term::Half(Graphic::Katakana)),
        192 => return Some(Term::Whole(UTF_8)),
        _ => {}
    }
    let half = HALVES.iter().find(|half| half.0 == number);
    let pairs = PAIRS.iter().find(|pairs| pairs.0 == number);
    half.map(|half| Graphic::High(half.2))
        .or(pairs.map(|pairs| pairs.1))
        .map(Term::Half)
}

/// Whether the value is a defined term, where there are several and where there is one.
pub(super) fn is_spelt(value: &str, extended: bool) -> bool {
    let is_set = |number: &str, of_pairs: bool| {
        let number: u16 = number.parse().unwrap_or_default();
        let is_single = number == 13 || HALVES.iter().any(|half| half.0 == number);
        is_single || (of_pairs && PAIRS.iter().any(|pairs| pairs.0 == number))
    };
    match value {
        "" | "ISO 2022 IR 6" => true,
        "ISO_IR 6" | "ISO_IR 192" | "GB18030" | "GBK" => !extended,
        _ => match (
            value.strip_prefix("ISO_IR "),
            value.strip_prefix("ISO 2022 IR "),
        ) {
            (Some(number), _) => !extended && is_set(number, false),
            (_, Some(number)) => is_set(number, extended),
            _ => false,
        },
    }
}

/// The term for an encoding that knows no escapes.
pub(super) fn name_of_whole(encoding: &'static Encoding) -> &'static str {
    match encoding {
        _ if encoding == GB18030 => "GB18030",
        _ if encoding == GBK => "GBK",
        _ => "ISO_IR 192",
    }
}

/// The term for characters of one half.
pub(super) fn name_of(graphic: Graphic) -> String {
    let half = HALVES
        .iter()
        .find(|half| graphic == Graphic::High(half.2))
        .map(|half| half.0);
    let pairs = PAIRS.iter().find(|pairs| pairs.1 == graphic);
    match (half, pairs) {
        (Some(number), _) => format!("ISO_IR {number}"),
        (_, Some((number, _))) => format!("ISO 2022 IR {number}"),
        _ => "ISO_IR 13".to_owned(),
    }
}
