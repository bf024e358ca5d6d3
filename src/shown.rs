//! Foreign text, as people are shown it: names of files, of bundles and of what is in them,
//! words of DICOM objects, what clients of the socket say.
//!
//! Foreign text goes in; printable text comes out that stays on its line, looks like what it
//! is and ends. Whatever leaves by terminal, log or console goes through here. What would end
//! a line, move the cursor, turn the reading direction (U+202A to U+202E, U+2066 to U+2069 and
//! the like: "Trojan Source"), or cannot be seen is written as `\u{202e}`. Programs that need
//! the exact text have JSON, where the same is `\u202e`.
//!
//! - [`name()`] is for one foreign name within text of our own. Nothing is lost but what is
//!   over-long: each escape can be read back. Two spaces, which part the fields of a line, are
//!   never in it.
//! - [`line()`] is for a whole sentence or line that others' words may be part of.
//! - [`text()`] is for several lines of our own: the last net before a terminal.
//! - [`json()`] is for JSON that has been written.
//! - [`fault()`] says why a name is refused where names can be.
//!
//! It decides nothing, and never changes what is stored, compared or sent to programs.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Display, Write};

/// Characters of a name that are shown, before its end is left away; escapes count as one.
const MOST_OF_A_NAME: usize = 1024;
/// Characters of a line that are shown.
const MOST_OF_A_LINE: usize = 8192;

/// One foreign name, to be put among words of our own.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(&'a [u8]);

/// Shows a name, or a path. A path's bytes that are no UTF-8 are written as `\x{ff}`.
pub fn name<T: AsRef<OsStr> + ?Sized>(text: &T) -> Shown<'_> {
    Shown(text.as_ref().as_encoded_bytes())
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = MOST_OF_A_NAME;
        // A space at the beginning would join our own before it.
        let mut before = ' ';
        for chunk in self.0.utf8_chunks() {
            for (at, c) in chunk.valid().char_indices() {
                if left == 0 {
                    return cut(f, self.0);
                }
                left -= 1;
                let doubles = c == ' ' && before == ' ';
                if doubles || !is_plain(c) || is_escape(&chunk.valid()[at..]) {
                    escape(f, c)?;
                } else {
                    f.write_char(c)?;
                }
                before = c;
            }
            for byte in chunk.invalid() {
                if left == 0 {
                    return cut(f, self.0);
                }
                left -= 1;
                write!(f, "\\x{{{byte:02x}}}")?;
                before = '\\';
            }
        }
        Ok(())
    }
}

/// Says that the end is left away.
fn cut(f: &mut fmt::Formatter<'_>, all: &[u8]) -> fmt::Result {
    write!(f, "... ({} bytes in all)", all.len())
}

/// Whether an escape of ours would be read here: then its backslash is escaped itself.
fn is_escape(text: &str) -> bool {
    text.starts_with("\\u{") || text.starts_with("\\x{")
}

fn escape(out: &mut impl Write, c: char) -> fmt::Result {
    write!(out, "\\u{{{:x}}}", u32::from(c))
}

/// A whole line that others' words may be part of. What [`name()`] has escaped stays as it is.
pub fn line(text: &str) -> Cow<'_, str> {
    if text.len() <= MOST_OF_A_LINE && text.chars().all(is_plain) {
        return text.into();
    }
    let mut shown = replaced(text.chars().take(MOST_OF_A_LINE), |c| !is_plain(c), escape);
    if text.chars().nth(MOST_OF_A_LINE).is_some() {
        let _ = write!(shown, "... ({} bytes in all)", text.len());
    }
    shown.into()
}

/// Lines of our own: their ends stay.
pub fn text(text: &str) -> Cow<'_, str> {
    let is_foreign = |c| c != '\n' && !is_plain(c);
    if !text.contains(is_foreign) {
        return text.into();
    }
    replaced(text.chars(), is_foreign, escape).into()
}

/// JSON as it was written: the same values, with every character escaped that a terminal
/// would not just show. Between values there are line ends and spaces alone.
pub fn json(text: &str) -> Cow<'_, str> {
    let is_foreign = |c| c != '\n' && !is_plain(c);
    if !text.contains(is_foreign) {
        return text.into();
    }
    let as_json = |out: &mut String, c: char| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units)
            .iter()
            .try_for_each(|unit| write!(out, "\\u{unit:04x}"))
    };
    replaced(text.chars(), is_foreign, as_json).into()
}

fn replaced(
    text: impl Iterator<Item = char>,
    is_foreign: impl Fn(char) -> bool,
    by: impl Fn(&mut String, char) -> fmt::Result,
) -> String {
    let mut shown = String::new();
    for c in text {
        if is_foreign(c) {
            // Into memory.
            let _ = by(&mut shown, c);
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Why a name of at most `most` characters cannot be one, where it cannot.
pub fn fault(text: &str, most: usize) -> Option<String> {
    let count = text.chars().count();
    if count > most {
        return Some(format!(
            "has {count} characters; at most {most} are allowed"
        ));
    }
    let c = text.chars().find(|c| !is_plain(*c))?;
    let what = match c {
        '\u{2028}' | '\u{2029}' => "ends a line",
        c if c.is_control() => "is a control character",
        c if turns(c) => "turns the reading direction",
        _ => "cannot be seen",
    };
    Some(format!("holds U+{:04X}, which {what}", u32::from(c)))
}

/// Whether a character turns the direction in which what stands around it is read (Unicode's
/// `Bidi_Control`).
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a terminal just shows a character, in its place.
fn is_plain(c: char) -> bool {
    !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || is_unseen(c))
}

/// Unicode's `Default_Ignorable_Code_Point`, which holds all that turns, and the marks of
/// interlinear annotations.
fn is_unseen(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    /// What [`name`] was made from.
    fn read_back(shown: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = shown;
        while let Some(c) = rest.chars().next() {
            if is_escape(rest) {
                let (kind, end) = (rest.as_bytes()[1], rest.find('}').unwrap());
                let number = u32::from_str_radix(&rest[3..end], 16).unwrap();
                match kind {
                    b'x' => bytes.push(number as u8),
                    _ => bytes.extend(char::from_u32(number).unwrap().to_string().bytes()),
                }
                rest = &rest[end + 1..];
            } else {
                bytes.extend(c.to_string().bytes());
                rest = &rest[c.len_utf8()..];
            }
        }
        bytes
    }

    #[test]
    fn a_name_stays_on_its_line_and_in_its_place() {
        for (given, shown) in [
            ("chest.png", "chest.png"),
            ("Ärztin 图像 छाती.png", "Ärztin 图像 छाती.png"),
            ("C:\\xray\\u.png", "C:\\xray\\u.png"),
            ("a\nb", "a\\u{a}b"),
            ("a\r\u{1b}[2K", "a\\u{d}\\u{1b}[2K"),
            ("\u{7f}\u{9b}31m", "\\u{7f}\\u{9b}31m"),
            ("gnp.\u{202e}tsehc", "gnp.\\u{202e}tsehc"),
            ("a\u{2066}b\u{2069}\u{61c}", "a\\u{2066}b\\u{2069}\\u{61c}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"),
            ("a  b   c ", "a \\u{20}b \\u{20}\\u{20}c "),
            (" a", "\\u{20}a"),
            ("a\\u{a}", "a\\u{5c}u{a}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(name(given).to_string(), shown, "{given:?}");
            assert_eq!(read_back(shown), given.as_bytes(), "{given:?}");
        }
        let bytes = OsStr::from_bytes(b"a\xff\xfe\n");
        assert_eq!(name(bytes).to_string(), "a\\x{ff}\\x{fe}\\u{a}");
    }

    #[test]
    fn what_is_over_long_says_so() {
        let long = name(&"x".repeat(70_000)).to_string();
        assert!(long.ends_with("x... (70000 bytes in all)"), "{long}");
        assert!(long.len() < MOST_OF_A_NAME + 40);
        let long = line(&"\n".repeat(70_000)).into_owned();
        assert!(long.ends_with("\\u{a}... (70000 bytes in all)"));
    }

    #[test]
    fn lines_of_our_own_stay_and_others_do_not_begin_any() {
        assert_eq!(line("a\nb  c"), "a\\u{a}b  c");
        assert_eq!(line("a\\u{a}b"), "a\\u{a}b");
        assert_eq!(text("a\nb\u{202e}\r\n"), "a\nb\\u{202e}\\u{d}\n");
    }

    #[test]
    fn json_keeps_its_values() {
        let value = serde_json::json!({ "a\u{202e}": "\u{9b}\u{2028}\n\u{e0041}x", "b": 1 });
        for written in [value.to_string(), format!("{value:#}")] {
            let shown = json(&written);
            assert!(shown.chars().all(|c| c == '\n' || is_plain(c)), "{shown}");
            let back: serde_json::Value = serde_json::from_str(&shown).unwrap();
            assert_eq!(back, value);
        }
    }

    #[test]
    fn a_fault_is_named() {
        for (given, what) in [
            ("lung", None),
            ("a\nb", Some("holds U+000A, which is a control character")),
            (
                "a\u{202e}",
                Some("holds U+202E, which turns the reading direction"),
            ),
            ("a\u{200b}", Some("holds U+200B, which cannot be seen")),
            ("a\u{2028}", Some("holds U+2028, which ends a line")),
            ("abcdefghi", Some("has 9 characters; at most 8 are allowed")),
        ] {
            assert_eq!(fault(given, 8).as_deref(), what, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_shown_plainly_and_can_be_read_back(
            bytes in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            let shown = name(OsStr::from_bytes(&bytes)).to_string();
            prop_assert!(shown.chars().all(is_plain), "{shown}");
            prop_assert!(!shown.contains("  ") && !shown.starts_with(' '), "{shown}");
            prop_assert_eq!(read_back(&shown), bytes);
        }

        #[test]
        fn any_text_becomes_one_line(given in "\\PC{0,40}[\\x00-\\x1f\\u{2028}\\u{202e}]{0,9}\\PC{0,40}") {
            prop_assert!(line(&given).chars().all(is_plain));
            prop_assert_eq!(fault(&given, 200).is_none(), line(&given) == given);
        }
    }
}
