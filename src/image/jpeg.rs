//! What a JPEG's markers say, before anything is decoded (ITU-T T.81, annex B): by which
//! process it is coded, whether it is whole, and how many pictures the file holds (CIPA
//! DC-007, the multi-picture format, or JPEGs one behind the other).
//!
//! The decoder fills what is missing from a cut file with grey; a device must refuse it
//! instead.

use std::ops::Range;

use super::unread::Unread;

const START: &[u8] = b"\xff\xd8\xff";
const APP0: u8 = 0xe0;
const APP2: u8 = 0xe2;
const APP14: u8 = 0xee;
const LOSSLESS: u8 = 0xc3;
const MPF: &[u8] = b"MPF\0";

/// What the markers of one JPEG say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    /// The start-of-frame marker: the process.
    process: u8,
    /// Bits of a sample.
    precision: u8,
    /// Grey 1, colour 3, for printing 4.
    components: u8,
    /// Whether JFIF's or Adobe's segment says what the colours are.
    says_colours: bool,
    /// Where the index of several pictures begins.
    index: Option<Range<usize>>,
    /// Behind the end-of-image marker, where the markers lead to one.
    end: Option<usize>,
}

/// The markers of the JPEG that begins here.
fn facts(bytes: &[u8]) -> Facts {
    let mut facts = Facts {
        process: 0,
        precision: 8,
        components: 0,
        says_colours: false,
        index: None,
        end: None,
    };
    let mut at = 2;
    let mut in_scan = false;
    while at + 1 < bytes.len() {
        if bytes[at] != 0xff {
            if !in_scan {
                return facts;
            }
            at += 1;
            continue;
        }
        match bytes[at + 1] {
            0xd9 => {
                facts.end = Some(at + 2);
                return facts;
            }
            0xff => at += 1,
            // A stuffed zero, a restart or a lone marker: no segment follows.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            marker => {
                let Some(length) = bytes.get(at + 2..at + 4) else {
                    return facts;
                };
                let length = usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                let body = at + 4..(at + 2 + length).min(bytes.len()).max(at + 4);
                facts.note(marker, bytes, body);
                at += 2 + length;
                in_scan = marker == 0xda;
            }
        }
    }
    facts
}

impl Facts {
    fn note(&mut self, marker: u8, bytes: &[u8], body: Range<usize>) {
        let segment = &bytes[body.clone()];
        match marker {
            // Three in between are tables.
            0xc0..=0xcf | 0xf7 if ![0xc4, 0xc8, 0xcc].contains(&marker) => {
                if let [precision, _, _, _, _, components, ..] = *segment {
                    (self.process, self.precision) = (marker, precision);
                    self.components = components;
                }
            }
            APP0 if segment.starts_with(b"JFIF") => self.says_colours = true,
            APP14 if segment.starts_with(b"Adobe") => self.says_colours = true,
            APP2 if segment.starts_with(MPF) && self.index.is_none() => {
                self.index = Some(body.start + MPF.len()..body.end);
            }
            _ => {}
        }
    }

    /// What it is, where it is no JPEG that is read.
    fn unread(&self) -> Option<Unread> {
        let unread = |what, help| Some(Unread { what, help });
        match (self.process, self.precision, self.components) {
            (0xf7, _, _) => unread(
                "a JPEG-LS image",
                "save it as PNG: `ffmpeg -i FILE out.png` does it",
            ),
            (0xc9..=0xcb | 0xcd..=0xcf, _, _) => unread(
                "a JPEG with arithmetic coding",
                "code it anew without a loss: `jpegtran -outfile out.jpg FILE` does it",
            ),
            (LOSSLESS, _, _) => unread(
                "a lossless JPEG (process 14)",
                "save it as PNG: `ffmpeg -i FILE out.png` does it, or export it as DICOM",
            ),
            (0xc5..=0xc7, _, _) => unread(
                "a hierarchical JPEG",
                "export the image as PNG, or as an ordinary JPEG",
            ),
            (_, 9.., _) => unread(
                "a JPEG of more than 8 bits",
                "export the image as PNG of 16 bits, or as DICOM",
            ),
            (_, _, 4..) => unread(
                "a JPEG in the colours of print (CMYK)",
                "export the image itself in grey; `magick FILE -colorspace Gray out.png` makes it so",
            ),
            _ => None,
        }
    }
}

/// How a whole JPEG is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coding {
    /// Whether it says what its three components are, wherever it does so.
    pub says_colours: bool,
    /// Whether it is coded without a loss: no decoder converts such components.
    pub is_lossless: bool,
    /// Bits of a sample.
    pub precision: u8,
}

/// `None` where the markers lead to no end-of-image marker.
pub(super) fn coding(bytes: &[u8]) -> Option<Coding> {
    let facts = facts(bytes);
    facts.end.map(|_| Coding {
        says_colours: facts.says_colours,
        is_lossless: facts.process == LOSSLESS,
        precision: facts.precision,
    })
}

/// Why a JPEG cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It ends too early, or its index is damaged.
    Damaged(&'static str),
    /// It is of a kind that is not read.
    Unread(Unread),
}

/// Whether one picture can be decoded.
///
/// # Errors
/// [`Fault`].
pub(super) fn check(bytes: &[u8]) -> Result<(), Fault> {
    checked(bytes).map(drop)
}

/// What the markers of a picture that can be decoded say, and where it ends.
fn checked(bytes: &[u8]) -> Result<(Facts, usize), Fault> {
    let facts = facts(bytes);
    match facts.unread() {
        Some(unread) => Err(Fault::Unread(unread)),
        None => facts.end.ok_or(CUT).map(|end| (facts, end)),
    }
}

const CUT: Fault = Fault::Damaged("the JPEG ends before its end-of-image marker");
const BAD_INDEX: Fault = Fault::Damaged("its index of several pictures is damaged");

/// Where the file's pictures lie, of which the first can be decoded; thumbnails are none.
///
/// # Errors
/// [`Fault::Damaged`].
pub(super) fn pictures(bytes: &[u8]) -> Result<Vec<Range<usize>>, Fault> {
    let (facts, end) = checked(bytes)?;
    match facts.index {
        Some(index) => indexed(bytes, &index, end).ok_or(BAD_INDEX),
        None => Ok(in_a_row(bytes, end)),
    }
}

/// JPEGs one behind the other.
fn in_a_row(bytes: &[u8], first: usize) -> Vec<Range<usize>> {
    let mut pictures = Vec::new();
    let mut next = Some(0..first);
    while let Some(picture) = next {
        next = following(bytes, picture.end);
        pictures.push(picture);
    }
    pictures
}

/// The JPEG behind one that ends here; some writers fill up to a boundary.
fn following(bytes: &[u8], end: usize) -> Option<Range<usize>> {
    let gap = bytes[end..].iter().position(|&byte| byte != 0)?;
    let start = end + gap;
    let next = &bytes[start..];
    // One that is cut is there all the same.
    let length = facts(next).end.unwrap_or(next.len());
    next.starts_with(START).then_some(start..start + length)
}

/// The pictures of a multi-picture index; places are counted from where it begins.
fn indexed(bytes: &[u8], index: &Range<usize>, first: usize) -> Option<Vec<Range<usize>>> {
    const ENTRIES: u16 = 0xb002;
    /// Attribute, size, place and two that depend on it.
    const ENTRY: usize = 16;
    const THUMBNAILS: [u32; 2] = [0x01_0001, 0x01_0002];
    let body = bytes.get(index.clone())?;
    let is_big = body.starts_with(b"MM\0*");
    if !is_big && !body.starts_with(b"II*\0") {
        return None;
    }
    let four = |at: usize| {
        let four: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
        let little = u32::from_le_bytes(four);
        Some(if is_big { little.swap_bytes() } else { little })
    };
    let two = |at: usize| {
        let two: [u8; 2] = body.get(at..at + 2)?.try_into().ok()?;
        let little = u16::from_le_bytes(two);
        Some(if is_big { little.swap_bytes() } else { little })
    };
    let directory = four(4)? as usize;
    let fields = usize::from(two(directory)?);
    let field = (0..fields)
        .map(|field| directory + 2 + 12 * field)
        .find(|&at| two(at) == Some(ENTRIES))?;
    let (length, place) = (four(field + 4)? as usize, four(field + 8)? as usize);
    let mut pictures = Vec::new();
    for entry in (0..length / ENTRY).map(|number| place + number * ENTRY) {
        let (attribute, size) = (four(entry)?, four(entry + 4)? as usize);
        if THUMBNAILS.contains(&(attribute & 0xff_ffff)) {
            continue;
        }
        // The first one is the file's own, and the index says 0 for its place.
        pictures.push(match four(entry + 8)? as usize {
            0 => 0..first,
            offset => {
                let start = index.start.checked_add(offset)?.min(bytes.len());
                start..start.checked_add(size)?.min(bytes.len())
            }
        });
    }
    (!pictures.is_empty()).then_some(pictures)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe0, 0, 4, 0xff, 0xd9, 0xff, 0xda, 0, 2, 1, 2, 0xff, 0, 3, 0xff, 0xd9,
    ];

    #[test]
    fn end_marker_inside_a_segment_does_not_count() {
        assert_eq!(facts(WHOLE).end, Some(WHOLE.len()));
        for length in 0..WHOLE.len() {
            assert_eq!(facts(&WHOLE[..length]).end, None, "cut at {length}");
        }
    }

    #[test]
    fn jpegs_in_a_row_are_several() {
        let places = |bytes: &[u8]| -> Vec<(usize, usize)> {
            let pictures = pictures(bytes).unwrap();
            pictures.iter().map(|one| (one.start, one.end)).collect()
        };
        let end = WHOLE.len();
        assert_eq!(places(WHOLE), [(0, end)]);
        let row = [WHOLE, &[0, 0], WHOLE, WHOLE].concat();
        let second = (end + 2, 2 * end + 2);
        assert_eq!(places(&row), [(0, end), second, (second.1, second.1 + end)]);
        let note = [WHOLE, b"made by a unit"].concat();
        assert_eq!(places(&note), [(0, end)]);
        assert_eq!(pictures(&WHOLE[..end - 1]), Err(CUT));
    }

    /// A JPEG whose index names these pictures, by kind, size and place.
    fn with_index(is_big: bool, entries: &[(u32, u32, u32)]) -> Vec<u8> {
        let four = |value: u32| match is_big {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        };
        let two = |value: u16| match is_big {
            true => value.to_be_bytes(),
            false => value.to_le_bytes(),
        };
        let magic = if is_big { b"MM\0*" } else { b"II*\0" };
        let mut body = [MPF, magic, &four(8), &two(1), &two(0xb002), &two(7)].concat();
        let length = 16 * entries.len() as u32;
        for value in [length, 26, 0] {
            body.extend(four(value));
        }
        for &(attribute, size, place) in entries {
            body.extend([four(attribute), four(size), four(place), [0; 4]].concat());
        }
        let length = (body.len() as u16 + 2).to_be_bytes();
        [
            &WHOLE[..2],
            &[0xff, APP2],
            &length,
            &body,
            &WHOLE[2..],
            WHOLE,
        ]
        .concat()
    }

    #[test]
    fn an_index_names_the_pictures_and_thumbnails_are_none() {
        const PRIMARY: u32 = 0x2003_0000;
        const THUMBNAIL: u32 = 0x01_0002;
        const SECOND: u32 = 0x02_0002;
        let size = WHOLE.len();
        for is_big in [false, true] {
            let entries = |kind| [(PRIMARY, 1, 0), (kind, size as u32, 0)];
            let length = with_index(is_big, &entries(SECOND)).len();
            // Counted from where the index begins, behind two markers, a length and a word.
            let place = (length - size - 10) as u32;
            let picture = |kind| with_index(is_big, &[(PRIMARY, 1, 0), (kind, size as u32, place)]);
            let several = pictures(&picture(SECOND)).unwrap();
            assert_eq!(several, [0..length - size, length - size..length]);
            assert_eq!(pictures(&picture(THUMBNAIL)).unwrap().len(), 1);
            let beyond = with_index(is_big, &[(PRIMARY, 1, 0), (SECOND, 9, u32::MAX)]);
            let beyond = pictures(&beyond).unwrap();
            assert_eq!(
                (beyond.len(), beyond[1].len()),
                (2, 0),
                "it is named, and not there"
            );
        }
        assert_eq!(pictures(&with_index(false, &[])), Err(BAD_INDEX));
    }

    #[test]
    fn colours_are_said_wherever_the_segment_stands() {
        let comment = [&[0xff, 0xfe, 0, 202][..], &[7; 200]].concat();
        let adobe = b"\xff\xee\x00\x0eAdobe\0\x64\0\0\0\0\0";
        let jfif = b"\xff\xe0\x00\x07JFIF\0";
        for (segments, are_said) in [
            (vec![], false),
            (vec![&comment[..]], false),
            (vec![&comment[..], adobe], true),
            (vec![adobe, &comment], true),
            (vec![&comment, jfif], true),
            // The word within a comment is none.
            (vec![b"\xff\xfe\x00\x07Adobe"], false),
        ] {
            let bytes = [&WHOLE[..2], &segments.concat(), &WHOLE[2..]].concat();
            let said = coding(&bytes).map(|coding| coding.says_colours);
            assert_eq!(said, Some(are_said), "{segments:?}");
        }
        assert_eq!(coding(&WHOLE[..WHOLE.len() - 1]), None);
    }

    #[test]
    fn processes_are_told_apart() {
        for (process, precision, components, what) in [
            (0xc0, 8, 1, None),
            (0xc1, 8, 3, None),
            (0xc2, 8, 3, None),
            (0xc1, 12, 1, Some("a JPEG of more than 8 bits")),
            (0xc3, 16, 1, Some("a lossless JPEG (process 14)")),
            (0xc6, 8, 1, Some("a hierarchical JPEG")),
            (0xc9, 8, 1, Some("a JPEG with arithmetic coding")),
            (0xca, 8, 3, Some("a JPEG with arithmetic coding")),
            (0xf7, 8, 1, Some("a JPEG-LS image")),
            (0xc0, 8, 4, Some("a JPEG in the colours of print (CMYK)")),
        ] {
            let frame = [0xff, process, 0, 8, precision, 0, 9, 0, 9, components];
            let bytes = [&WHOLE[..2], &frame, &WHOLE[2..]].concat();
            let said = match check(&bytes) {
                Err(Fault::Unread(unread)) => Some(unread.what),
                said => {
                    assert_eq!(said, Ok(()), "{process:x}");
                    None
                }
            };
            assert_eq!(said, what, "{process:x}");
        }
    }
}
