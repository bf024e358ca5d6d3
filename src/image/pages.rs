//! Which picture of a file is read, where it holds several: the pages of a TIFF, the frames
//! of an animated PNG, the pictures of a multi-picture JPEG, images one behind the other.
//!
//! Several films in one file may be several patients' ones: unlike the frames of a DICOM
//! object, none of them is read unless it was asked for.

use std::borrow::Cow;
use std::ops::Range;

use super::format::{Format, Kind, RAW};
use super::limits::{no_such_frame, unreadable};
use super::unread::unread;
use super::{FrameChoice, apng, jpeg, pnm, tiff_pages};
use crate::case::{Help, Refusal, RefusalCode};

/// The picture that is read.
pub(super) struct Page<'a> {
    /// A file with this picture as its first.
    pub bytes: Cow<'a, [u8]>,
    /// The frame of the animation that it is, where it is not the first picture.
    pub animated: Option<u32>,
    /// Its number, counted from 1, and how many there are.
    pub frame: (u32, u32),
}

/// Finds the picture that was asked for.
///
/// # Errors
/// `several_frames` where the file holds several and none was asked for, `no_such_frame`,
/// `unreadable`, `unsupported_format`.
pub(super) fn page<'a>(
    format: Format,
    bytes: &'a [u8],
    choice: FrameChoice,
) -> Result<Page<'a>, Refusal> {
    match format {
        Format::Tiff => tiff(bytes, choice),
        Format::Png => png(bytes, choice),
        Format::Jpeg => {
            let pictures = jpeg::pictures(bytes).map_err(jpeg_refusal)?;
            let page = slice(bytes, &pictures, choice)?;
            if page.frame.0 > 1 {
                jpeg::check(&page.bytes).map_err(jpeg_refusal)?;
            }
            Ok(page)
        }
        Format::Pnm => {
            let pictures = pnm::pictures(bytes);
            let pictures = pictures.ok_or_else(|| unreadable("its head is damaged"))?;
            slice(bytes, &pictures, choice)
        }
        Format::Bmp => slice(bytes, &bitmaps(bytes), choice),
    }
}

fn tiff<'a>(bytes: &'a [u8], choice: FrameChoice) -> Result<Page<'a>, Refusal> {
    let pages = tiff_pages::list(bytes).map_err(unreadable)?;
    if pages.is_raw {
        return Err(unread(RAW));
    }
    let (index, frame) = chosen(pages.places.len(), choice)?;
    Ok(Page {
        bytes: tiff_pages::with_first(bytes, pages.places[index]),
        animated: None,
        frame,
    })
}

fn png<'a>(bytes: &'a [u8], choice: FrameChoice) -> Result<Page<'a>, Refusal> {
    let pictures = apng::pictures(bytes);
    let (index, frame) = chosen(pictures.len(), choice)?;
    let (place, animated) = pictures[index].clone();
    Ok(Page {
        bytes: Cow::Borrowed(&bytes[place]),
        animated,
        frame,
    })
}

/// A bitmap says how long it is; nothing else would tell what follows from its pixels.
fn bitmaps(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut pictures = Vec::new();
    let mut start = 0;
    loop {
        let length = bytes[start..]
            .get(2..6)
            .and_then(|four| four.try_into().ok());
        let length = length.map_or(0, |four| u32::from_le_bytes(four) as usize);
        let end = start.saturating_add(length);
        let follows = |rest: &[u8]| length > 0 && Kind::of(rest) == Kind::Read(Format::Bmp);
        if !bytes.get(end..).is_some_and(follows) {
            pictures.push(start..bytes.len());
            return pictures;
        }
        pictures.push(start..end);
        start = end;
    }
}

fn slice<'a>(
    bytes: &'a [u8],
    pictures: &[Range<usize>],
    choice: FrameChoice,
) -> Result<Page<'a>, Refusal> {
    let (index, frame) = chosen(pictures.len(), choice)?;
    Ok(Page {
        bytes: Cow::Borrowed(&bytes[pictures[index].clone()]),
        animated: None,
        frame,
    })
}

/// Index of the picture that is meant, and its number and their count.
fn chosen(count: usize, choice: FrameChoice) -> Result<(usize, (u32, u32)), Refusal> {
    let index = match choice.of(count) {
        Some(index) => index,
        None if choice == FrameChoice::Unsaid => {
            return Err(Refusal::new(
                RefusalCode::SeveralFrames,
                format!("the file holds {count} pictures, and nothing says which is meant"),
                Help::ChooseFrame(count as u32),
            ));
        }
        None => return Err(no_such_frame(choice, count)),
    };
    Ok((index, (index as u32 + 1, count as u32)))
}

fn jpeg_refusal(fault: jpeg::Fault) -> Refusal {
    match fault {
        jpeg::Fault::Damaged(why) => unreadable(why),
        jpeg::Fault::Unread(kind) => unread(kind),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The vectors' files with several pictures.
    fn vectors() -> Vec<(Format, Vec<u8>)> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/pictures/");
        let read = |(format, name)| (format, std::fs::read(format!("{folder}{name}")).unwrap());
        [
            (Format::Tiff, "within.tif"),
            (Format::Tiff, "big.tif"),
            (Format::Png, "moving.png"),
            (Format::Jpeg, "pictures.jpg"),
        ]
        .map(read)
        .to_vec()
    }

    proptest! {
        #[test]
        fn damage_is_refused_and_never_a_panic(
            which in 0usize..4,
            places in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..9),
            number in 1u32..4,
        ) {
            let (format, mut bytes) = vectors().swap_remove(which);
            // Heads and directories lie at the ends of a file.
            for (place, byte) in places {
                let near = place % 160;
                let length = bytes.len();
                let at = if place % 2 == 0 { near } else { length - 1 - near };
                bytes[at] = byte;
            }
            let cut = bytes.len() - number as usize * 7;
            for bytes in [&bytes[..], &bytes[..cut]] {
                for choice in [FrameChoice::Unsaid, FrameChoice::Number(number)] {
                    if let Ok(page) = page(format, bytes, choice) {
                        prop_assert!(page.frame.0 <= page.frame.1);
                    }
                }
                Kind::of(bytes);
            }
        }

        #[test]
        fn noise_is_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            for head in [&b"II*\0"[..], b"MM\0+", b"P5 ", b"P1 ", b"BM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"] {
                let bytes = [head, &bytes].concat();
                if let Kind::Read(format) = Kind::of(&bytes) {
                    let _ = page(format, &bytes, FrameChoice::Middle);
                }
            }
        }
    }
}
