//! What the text chunks of a PNG say of its picture and its patient, by DICOM's keywords
//! (PNG third edition, 11.3.3): a PNG comes in, [`ImageMetadata`] comes out, with a note for whatever
//! could not be read.
//!
//! Called by `read` for every PNG. All three kinds of text count, wherever they stand before
//! the end of the picture. However much a file holds or unpacks to, little is ever read of it.

use std::collections::BTreeSet;

use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::ImageMetadata;
use super::cut;
use crate::patient::{Age, PatientSaid, Sex};

const SIGNATURE: usize = 8;

const MODALITY: &str = "Modality";
const BODY_PART: &str = "BodyPartExamined";
const VIEW: &str = "ViewPosition";
const LATERALITY: &str = "ImageLaterality";
const AGE: &str = "PatientAge";
const SEX: &str = "PatientSex";

/// The keywords that are read.
const KEYWORDS: [&str; 6] = [MODALITY, BODY_PART, VIEW, LATERALITY, AGE, SEX];

/// Most bytes of a text, packed as well as unpacked.
const MOST_BYTES: usize = 1024;

/// Most texts of these keywords that are read.
const MOST_TEXTS: usize = 64;

/// What a PNG's text chunks say, by DICOM's keywords.
pub(super) fn said(png: &[u8]) -> ImageMetadata {
    let mut texts = texts(png);
    let has_more = texts.len() > MOST_TEXTS;
    texts.truncate(MOST_TEXTS);
    let mut notes = Vec::new();
    let mut word = |keyword| {
        let values = values(&texts, keyword);
        if values.is_unread {
            notes.push(format!(
                "text_unread: a text {keyword} cannot be read; it was left out"
            ));
        }
        if values.words.len() > 1 {
            notes.push(format!(
                "text_disputed: {keyword} is said in several ways; it was left out"
            ));
        }
        let mut words = values.words.into_iter();
        let one = words.next().filter(|_| words.next().is_none());
        one.map(|word| cut(&word))
    };
    let [modality, body_part, view, laterality] =
        [MODALITY, BODY_PART, VIEW, LATERALITY].map(&mut word);
    let (patient, of_patient) = patient(values(&texts, AGE), values(&texts, SEX));
    notes.extend(of_patient);
    if has_more {
        notes.push(format!(
            "text_unread: of the file's texts only {MOST_TEXTS} were read"
        ));
    }
    ImageMetadata {
        modality,
        body_part,
        view,
        laterality,
        patient,
        notes,
        ..ImageMetadata::default()
    }
}

/// The patient of the texts `PatientAge` (whole years, or as DICOM writes an age) and
/// `PatientSex`; what in them could not be understood, and what is in doubt.
fn patient(ages: Values, sexes: Values) -> (PatientSaid, Vec<String>) {
    let years = |text: &String| text.parse().ok().or_else(|| Age::of_dicom(text));
    let read_ages: Vec<Option<Age>> = ages.words.iter().map(years).collect();
    let sex = |text: &String| text.parse().ok();
    let read_sexes: Vec<Option<Sex>> = sexes.words.iter().map(sex).collect();
    let unread = [
        (ages.is_unread || read_ages.contains(&None))
            .then_some("age_unread: a text PatientAge is no age; it was left out"),
        (sexes.is_unread || read_sexes.contains(&None))
            .then_some("sex_unread: a text PatientSex is none of M, F and O; it was left out"),
    ];
    let said = PatientSaid {
        ages: read_ages.into_iter().flatten().collect(),
        sexes: read_sexes.into_iter().flatten().collect(),
    };
    let mut notes: Vec<String> = unread.into_iter().flatten().map(str::to_owned).collect();
    notes.extend(said.doubts());
    (said, notes)
}

/// A text: its keyword, and what it says where that can be read.
type Text = (&'static str, Option<String>);

/// What the texts of one keyword say.
struct Values {
    /// Different ones, in capitals, without space around them; none is empty.
    words: BTreeSet<String>,
    /// Whether one cannot be read.
    is_unread: bool,
}

fn values(texts: &[Text], keyword: &str) -> Values {
    let said = || texts.iter().filter(|(of, _)| *of == keyword);
    let words = said().filter_map(|(_, value)| value.as_deref());
    let words = words.map(|value| value.trim().to_uppercase());
    Values {
        words: words.filter(|value| !value.is_empty()).collect(),
        is_unread: said().any(|(_, value)| value.is_none()),
    }
}

/// The texts of the keywords that are read, in the order of the file; one more than are read,
/// where there are more.
fn texts(png: &[u8]) -> Vec<Text> {
    let known = |(name, data): ([u8; 4], &[u8])| {
        let end = data.iter().take(80).position(|&byte| byte == 0)?;
        let (keyword, text) = (&data[..end], &data[end + 1..]);
        let mut all = KEYWORDS.into_iter();
        let keyword = all.find(|known| known.as_bytes() == keyword)?;
        let text = match &name {
            b"tEXt" => short(text).map(latin_1),
            b"zTXt" => packed(text).map(|bytes| latin_1(&bytes)),
            b"iTXt" => international(text),
            _ => return None,
        };
        Some((keyword, text))
    };
    Chunks(png.get(SIGNATURE..).unwrap_or_default())
        .filter_map(known)
        .take(MOST_TEXTS + 1)
        .collect()
}

fn short(text: &[u8]) -> Option<&[u8]> {
    (text.len() <= MOST_BYTES).then_some(text)
}

fn latin_1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Text behind the number of its compression, of which there is one: 0, zlib.
fn packed(text: &[u8]) -> Option<Vec<u8>> {
    let stream = short(text)?.strip_prefix(&[0])?;
    decompress_to_vec_zlib_with_limit(stream, MOST_BYTES).ok()
}

/// UTF-8 behind whether it is packed and how, its language, and its keyword in that.
fn international(text: &[u8]) -> Option<String> {
    let (&is_packed, text) = text.split_first()?;
    let (method, text) = text.split_at_checked(1)?;
    let mut parts = text.splitn(3, |&byte| byte == 0);
    let text = parts.nth(2)?;
    let bytes = match is_packed {
        0 => short(text)?.to_vec(),
        1 => packed(&[method, short(text)?].concat())?,
        _ => return None,
    };
    String::from_utf8(bytes).ok()
}

/// Names and data of a PNG's chunks, up to its end or where it is cut.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = ([u8; 4], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&length, rest) = self.0.split_first_chunk::<4>()?;
        let (&name, rest) = rest.split_first_chunk::<4>()?;
        let (data, rest) = rest.split_at_checked(u32::from_be_bytes(length) as usize)?;
        let (_sum, rest) = rest.split_first_chunk::<4>()?;
        self.0 = rest;
        (&name != b"IEND").then_some((name, data))
    }
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
        let chunk = |(name, data): &(&[u8; 4], Vec<u8>)| {
            let length = (data.len() as u32).to_be_bytes();
            [&length[..], &name[..], data, &[0; 4]].concat()
        };
        let chunks = chunks.iter().flat_map(chunk);
        b"\x89PNG\r\n\x1a\n".iter().copied().chain(chunks).collect()
    }

    fn plain(keyword: &str, text: &str) -> (&'static [u8; 4], Vec<u8>) {
        (b"tEXt", format!("{keyword}\0{text}").into_bytes())
    }

    fn zipped(keyword: &str, text: &[u8]) -> (&'static [u8; 4], Vec<u8>) {
        let packed = compress_to_vec_zlib(text, 6);
        (b"zTXt", [keyword.as_bytes(), &[0, 0], &packed].concat())
    }

    fn wide(keyword: &str, is_packed: bool, text: &[u8]) -> (&'static [u8; 4], Vec<u8>) {
        let head = [
            keyword.as_bytes(),
            &[0, is_packed.into(), 0],
            b"fr\0un mot\0",
        ]
        .concat();
        let text = match is_packed {
            true => compress_to_vec_zlib(text, 6),
            false => text.to_vec(),
        };
        (b"iTXt", [head, text].concat())
    }

    fn codes(notes: &[String]) -> Vec<&str> {
        notes.iter().filter_map(|n| n.split(':').next()).collect()
    }

    #[test]
    fn every_kind_of_text_counts_wherever_it_stands() {
        let pixels = (b"IDAT", vec![7; 9]);
        for text in [
            plain(AGE, "12"),
            zipped(AGE, b"12"),
            wide(AGE, false, b" 12\n"),
            wide(AGE, true, b"012Y"),
        ] {
            let before = [text.clone(), pixels.clone()];
            for chunks in [before, [pixels.clone(), text]] {
                let said = said(&png(&chunks));
                assert_eq!(said.patient.ages.only(), Age::new(12), "{chunks:?}");
                assert_eq!(said.notes, [""; 0], "{chunks:?}");
            }
        }
    }

    #[test]
    fn words_in_two_ways_are_left_out_and_ages_are_all_kept() {
        #[derive(Debug)]
        struct Case {
            chunks: Vec<(&'static [u8; 4], Vec<u8>)>,
            modality: Option<&'static str>,
            ages: &'static [u32],
            notes: &'static [&'static str],
        }
        let case = |chunks, modality, ages, notes| Case {
            chunks,
            modality,
            ages,
            notes,
        };
        let twice = |keyword, one, other| vec![plain(keyword, one), zipped(keyword, other)];
        let after = |text| vec![(b"IEND", vec![]), text];
        for case in [
            case(twice(MODALITY, "cr", b"CR "), Some("CR"), &[][..], &[][..]),
            case(twice(MODALITY, "CR", b"MR"), None, &[], &["text_disputed"]),
            case(twice(MODALITY, "", b"MR"), Some("MR"), &[], &[]),
            case(twice(AGE, "34", b"034Y"), None, &[34], &[]),
            case(twice(AGE, "34", b"5"), None, &[5, 34], &["age_disputed"]),
            case(twice(AGE, "34", b"35"), None, &[34, 35], &["age_inexact"]),
            case(twice(AGE, "old", b"5"), None, &[5], &["age_unread"]),
            case(twice(SEX, "F", b"m"), None, &[], &["sex_disputed"]),
            case(after(plain(AGE, "34")), None, &[], &[]),
            case(vec![plain("patientage", "34")], None, &[], &[]),
        ] {
            let said = said(&png(&case.chunks));
            let ages = case.ages.iter().filter_map(|&years| Age::new(years));
            assert_eq!(said.modality.as_deref(), case.modality, "{case:?}");
            assert_eq!(said.patient.ages, ages.collect(), "{case:?}");
            assert_eq!(codes(&said.notes), case.notes, "{case:?}");
        }
    }

    #[test]
    fn what_is_damaged_or_too_much_is_noted() {
        let bomb = vec![b' '; 64 << 20];
        let many = vec![plain(AGE, "34"); MOST_TEXTS + 1];
        for (chunks, note) in [
            (vec![zipped(AGE, &bomb)], "age_unread"),
            (vec![wide(AGE, true, &bomb)], "age_unread"),
            (vec![wide(AGE, false, b"\xff")], "age_unread"),
            (vec![(b"zTXt", b"PatientAge\0\x01?".to_vec())], "age_unread"),
            (vec![(b"zTXt", b"PatientAge\0".to_vec())], "age_unread"),
            (vec![(b"iTXt", b"PatientAge\0".to_vec())], "age_unread"),
            (
                vec![(b"iTXt", b"PatientSex\0\0\0fr".to_vec())],
                "sex_unread",
            ),
            (vec![(b"zTXt", b"Modality\0\0x".to_vec())], "text_unread"),
            (
                vec![plain(VIEW, &"P".repeat(MOST_BYTES + 1))],
                "text_unread",
            ),
            (many, "text_unread"),
        ] {
            let said = said(&png(&chunks));
            assert_eq!(codes(&said.notes), [note], "{:?}", chunks[0].0);
        }
    }

    #[test]
    fn a_cut_file_gives_what_stands_before_the_cut() {
        let whole = png(&[plain(AGE, "34"), zipped(MODALITY, b"CR")]);
        for end in 0..whole.len() {
            let said = said(&whole[..end]);
            assert_eq!(said.modality, None);
            assert_eq!(said.notes, [""; 0]);
        }
        assert_eq!(said(&whole).modality.as_deref(), Some("CR"));
    }
}
