//! The character sets of DICOM text, for `dicom-encoding`.
//!
//! That crate asks for `encoding` 0.2, of 2016, which nobody maintains. This one has its name and
//! as much of its interface as is asked for; the tables and the decoders are those of
//! `encoding_rs`, which Firefox reads the web with. Bytes of a file go in, and come out as text:
//! whatever they are, no byte is dropped and nothing panics. Nothing else uses it.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, EncoderResult};

/// Told of what is no text; unused here, and part of the interface.
pub trait RawDecoder {}

/// Where decoded text is written.
pub trait StringWriter {
    /// Writes one more character.
    fn write_char(&mut self, c: char);
}

impl StringWriter for String {
    fn write_char(&mut self, c: char) {
        self.push(c);
    }
}

/// Writes something in place of bytes that are no text; false ends the decoding.
pub type Instead = fn(&mut dyn RawDecoder, &[u8], &mut dyn StringWriter) -> bool;

/// What becomes of bytes that are no text.
#[derive(Clone, Copy)]
pub enum DecoderTrap {
    /// They end the decoding.
    Strict,
    /// Something else is written.
    Call(Instead),
}

/// What becomes of characters that a set has not.
#[derive(Clone, Copy)]
pub enum EncoderTrap {
    /// They end the encoding.
    Strict,
}

/// A character set.
pub trait Encoding {
    /// Bytes as text.
    ///
    /// # Errors
    /// A sentence, where some are none and the trap does not take them.
    fn decode(&self, bytes: &[u8], trap: DecoderTrap) -> Result<String, Cow<'static, str>>;

    /// Text as bytes.
    ///
    /// # Errors
    /// A sentence, where the set has not all its characters.
    fn encode(&self, text: &str, trap: EncoderTrap) -> Result<Vec<u8>, Cow<'static, str>>;
}

/// The sets by the names that they are asked for by.
pub mod all {
    use super::{Latin1, Table};

    /// ISO/IEC 8859-1, each byte the character of its number.
    pub static ISO_8859_1: Latin1 = Latin1;
    /// Central European.
    pub static ISO_8859_2: Table = Table(encoding_rs::ISO_8859_2);
    /// South European.
    pub static ISO_8859_3: Table = Table(encoding_rs::ISO_8859_3);
    /// North European.
    pub static ISO_8859_4: Table = Table(encoding_rs::ISO_8859_4);
    /// Cyrillic.
    pub static ISO_8859_5: Table = Table(encoding_rs::ISO_8859_5);
    /// Arabic.
    pub static ISO_8859_6: Table = Table(encoding_rs::ISO_8859_6);
    /// Greek.
    pub static ISO_8859_7: Table = Table(encoding_rs::ISO_8859_7);
    /// Hebrew.
    pub static ISO_8859_8: Table = Table(encoding_rs::ISO_8859_8);
    /// Thai.
    pub static WINDOWS_874: Table = Table(encoding_rs::WINDOWS_874);
    /// Japanese, single bytes and pairs.
    pub static WINDOWS_31J: Table = Table(encoding_rs::SHIFT_JIS);
    /// Japanese, by escape sequences.
    pub static ISO_2022_JP: Table = Table(encoding_rs::ISO_2022_JP);
    /// Korean.
    pub static WINDOWS_949: Table = Table(encoding_rs::EUC_KR);
    /// Chinese.
    pub static GB18030: Table = Table(encoding_rs::GB18030);
    /// Chinese, without the sequences of four.
    pub static GBK: Table = Table(encoding_rs::GBK);
    /// Unicode.
    pub static UTF_8: Table = Table(encoding_rs::UTF_8);
}

/// ISO/IEC 8859-1. The web's `latin1` is another: it has letters where this one has controls.
pub struct Latin1;

impl Encoding for Latin1 {
    fn decode(&self, bytes: &[u8], _: DecoderTrap) -> Result<String, Cow<'static, str>> {
        Ok(bytes.iter().copied().map(char::from).collect())
    }

    fn encode(&self, text: &str, _: EncoderTrap) -> Result<Vec<u8>, Cow<'static, str>> {
        let byte = |c| u8::try_from(c).map_err(|_| unmapped(c));
        text.chars().map(byte).collect()
    }
}

/// A set of `encoding_rs`.
pub struct Table(&'static encoding_rs::Encoding);

impl Encoding for Table {
    fn decode(&self, bytes: &[u8], trap: DecoderTrap) -> Result<String, Cow<'static, str>> {
        let mut decoder = self.0.new_decoder_without_bom_handling();
        let mut text = String::new();
        let mut from = 0;
        loop {
            let rest = &bytes[from..];
            let room = decoder.max_utf8_buffer_length_without_replacement(rest.len());
            text.reserve(room.ok_or("the text is too long")?);
            let (result, read) =
                decoder.decode_to_string_without_replacement(rest, &mut text, true);
            from += read;
            match result {
                DecoderResult::InputEmpty => return Ok(text),
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(length, after) => {
                    let end = from.saturating_sub(usize::from(after));
                    let wrong = &bytes[end.saturating_sub(usize::from(length))..end];
                    instead(trap, wrong, &mut text)?;
                }
            }
        }
    }

    fn encode(&self, text: &str, _: EncoderTrap) -> Result<Vec<u8>, Cow<'static, str>> {
        let mut encoder = self.0.new_encoder();
        let room = encoder.max_buffer_length_from_utf8_without_replacement(text.len());
        let mut bytes = Vec::with_capacity(room.ok_or("the text is too long")?);
        let (result, _) =
            encoder.encode_from_utf8_to_vec_without_replacement(text, &mut bytes, true);
        match result {
            EncoderResult::InputEmpty => Ok(bytes),
            EncoderResult::Unmappable(c) => Err(unmapped(c)),
            // The room was its own measure.
            EncoderResult::OutputFull => Err("the text is too long".into()),
        }
    }
}

/// Has something written for each of the bytes.
fn instead(trap: DecoderTrap, wrong: &[u8], text: &mut String) -> Result<(), Cow<'static, str>> {
    struct Nobody;
    impl RawDecoder for Nobody {}
    let DecoderTrap::Call(instead) = trap else {
        return Err("some bytes are no text".into());
    };
    let mut bytes = wrong.chunks(1);
    match bytes.all(|byte| instead(&mut Nobody, byte, text)) {
        true => Ok(()),
        false => Err("some bytes are no text".into()),
    }
}

fn unmapped(c: char) -> Cow<'static, str> {
    format!("U+{:04X} is not in the character set", u32::from(c)).into()
}

#[cfg(test)]
mod tests {
    use super::all::*;
    use super::*;

    /// As `dicom-encoding` has it.
    fn octal(_: &mut dyn RawDecoder, bytes: &[u8], out: &mut dyn StringWriter) -> bool {
        format!("\\{:03o}", bytes[0])
            .chars()
            .for_each(|c| out.write_char(c));
        true
    }

    /// The examples of PS3.5, annexes H to K, and one of each other set.
    #[test]
    fn names_are_read_and_written() {
        let sets: [(&dyn Encoding, &str, &[u8]); 15] = [
            (&ISO_8859_1, "Äneas^Rüdiger", b"\xc4neas^R\xfcdiger"),
            (&ISO_8859_2, "Wałęsa", b"Wa\xb3\xeasa"),
            (&ISO_8859_3, "Ħal", b"\xa1al"),
            (&ISO_8859_4, "Ģirts", b"\xabirts"),
            (&ISO_8859_5, "Люкceмбypг", b"\xbb\xee\xdace\xdc\xd1yp\xd3"),
            (&ISO_8859_6, "قباني", b"\xe2\xc8\xc7\xe6\xea"),
            (
                &ISO_8859_7,
                "Διονυσιος",
                b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2",
            ),
            (&ISO_8859_8, "שרון", b"\xf9\xf8\xe5\xef"),
            (&WINDOWS_874, "นามสกุล", b"\xb9\xd2\xc1\xca\xa1\xd8\xc5"),
            (&WINDOWS_31J, "ﾔﾏﾀﾞ^ﾀﾛｳ", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3"),
            (
                &ISO_2022_JP,
                "山田^太郎",
                b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
            ),
            (&WINDOWS_949, "김희중", b"\xb1\xe8\xc8\xf1\xc1\xdf"),
            (&GB18030, "王小东", b"\xcd\xf5\xd0\xa1\xb6\xab"),
            (&GBK, "张小东", b"\xd5\xc5\xd0\xa1\xb6\xab"),
            (&UTF_8, "Иванков", "Иванков".as_bytes()),
        ];
        for (set, text, bytes) in sets {
            assert_eq!(set.decode(bytes, DecoderTrap::Strict).as_deref(), Ok(text));
            assert_eq!(set.encode(text, EncoderTrap::Strict).as_deref(), Ok(bytes));
        }
    }

    #[test]
    fn what_is_no_text_is_written_byte_by_byte() {
        let octal = DecoderTrap::Call(octal);
        assert_eq!(UTF_8.decode(b"a\xff\xc3(", octal).unwrap(), "a\\377\\303(");
        assert_eq!(GB18030.decode(b"\xcd", octal).unwrap(), "\\315");
        assert!(UTF_8.decode(b"a\xff", DecoderTrap::Strict).is_err());
        assert!(ISO_8859_2.encode("山", EncoderTrap::Strict).is_err());
        assert!(ISO_8859_1.encode("ł", EncoderTrap::Strict).is_err());
        // Controls stay what they are.
        assert_eq!(ISO_8859_1.decode(b"\x85", octal).unwrap(), "\u{85}");
    }

    #[test]
    fn whatever_the_bytes_are_there_is_an_end() {
        let sets: [&dyn Encoding; 6] = [
            &ISO_2022_JP,
            &WINDOWS_31J,
            &WINDOWS_949,
            &GB18030,
            &GBK,
            &UTF_8,
        ];
        // Knuth's 64-bit linear congruential generator.
        let mut state = 1_u64;
        for round in 0..4_000_usize {
            let bytes: Vec<u8> = (0..round % 67)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    // Escapes as often as anything else together.
                    let byte = (state >> 33) as u8;
                    if byte < 40 { 0x1b } else { byte }
                })
                .collect();
            for set in sets {
                set.decode(&bytes, DecoderTrap::Call(octal)).unwrap();
            }
        }
    }
}
