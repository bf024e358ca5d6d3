//! The pictures of a PNG: the one that every reader shows, and those that an animation
//! shows after it (PNG third edition, 11.3.6), or PNGs one behind the other.

use std::io::Cursor;
use std::ops::Range;

use image::codecs::png::PngDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageError, Limits};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What a PNG's chunks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Animation {
    /// Frames that come after the first picture.
    later: u32,
    /// Whether the first picture is a frame of the animation, too.
    has_first: bool,
}

/// What the chunks of the PNG that begins here say, and where it ends; one that is cut ends
/// where the bytes do.
fn chunks(bytes: &[u8]) -> (Animation, usize) {
    let mut animation = Animation {
        later: 0,
        has_first: false,
    };
    let mut has_pixels = false;
    let mut at = SIGNATURE.len();
    while let Some(head) = bytes.get(at..at.saturating_add(8)) {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        at = at.saturating_add(12).saturating_add(length);
        match &head[4..] {
            b"IDAT" => has_pixels = true,
            b"fcTL" if has_pixels => animation.later += 1,
            b"fcTL" => animation.has_first = true,
            b"IEND" => return (animation, at.min(bytes.len())),
            _ => {}
        }
    }
    (animation, bytes.len())
}

/// Every picture of the file: its PNG, and which frame of its animation it is, where it is
/// not the one that every reader shows.
pub(super) fn pictures(bytes: &[u8]) -> Vec<(Range<usize>, Option<u32>)> {
    let mut pictures = Vec::new();
    let mut start = 0;
    loop {
        let (animation, length) = chunks(&bytes[start..]);
        let end = start + length;
        pictures.push((start..end, None));
        let first = u32::from(animation.has_first);
        let later = (0..animation.later).map(|number| Some(first + number));
        pictures.extend(later.map(|frame| (start..end, frame)));
        if !bytes[end..].starts_with(SIGNATURE) {
            return pictures;
        }
        start = end;
    }
}

/// A frame of the animation as it is shown, on those before it.
///
/// # Errors
/// As the decoder's; where there are fewer frames than the chunks say.
pub(super) fn decode(bytes: &[u8], frame: u32, limits: Limits) -> Result<DynamicImage, ImageError> {
    let mut decoder = PngDecoder::new(Cursor::new(bytes))?;
    decoder.set_limits(limits)?;
    let mut frames = decoder.apng()?.into_frames();
    let shown = frames.nth(frame as usize).unwrap_or_else(|| {
        let ended = std::io::ErrorKind::UnexpectedEof;
        Err(ImageError::IoError(ended.into()))
    })?;
    Ok(DynamicImage::ImageRgba8(shown.into_buffer()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(chunks: &[&[u8; 4]]) -> Vec<u8> {
        let chunk = |name: &&[u8; 4]| [&[0, 0, 0, 1], &name[..], &[7], &[0; 4]].concat();
        [SIGNATURE.to_vec(), chunks.iter().flat_map(chunk).collect()].concat()
    }

    #[test]
    fn the_first_picture_may_be_no_part_of_the_animation() {
        let frames = |bytes: &[u8]| -> Vec<Option<u32>> {
            pictures(bytes)
                .into_iter()
                .map(|(_, frame)| frame)
                .collect()
        };
        let still = png(&[b"IHDR", b"IDAT", b"IDAT", b"IEND"]);
        assert_eq!(frames(&still), [None]);
        let one = png(&[b"acTL", b"fcTL", b"IDAT", b"IEND"]);
        assert_eq!(frames(&one), [None]);
        let two = png(&[b"acTL", b"fcTL", b"IDAT", b"fcTL", b"fdAT", b"IEND"]);
        assert_eq!(frames(&two), [None, Some(1)]);
        let apart = png(&[b"acTL", b"IDAT", b"fcTL", b"fdAT", b"IEND"]);
        assert_eq!(frames(&apart), [None, Some(0)]);
        let row = [&two[..], &still].concat();
        assert_eq!(frames(&row), [None, Some(1), None]);
        let places: Vec<usize> = pictures(&row)
            .iter()
            .map(|(place, _)| place.start)
            .collect();
        assert_eq!(places, [0, 0, two.len()]);
        let note = [&still[..], b"made by a unit"].concat();
        assert_eq!(frames(&note), [None]);
        assert_eq!(frames(&two[..two.len() - 3]), [None, Some(1)]);
    }
}
