//! Palette TIFF, which the general decoder does not read (TIFF 6.0, section 5).
//!
//! The pixels of a palette image are stored exactly as those of a grey one, so the
//! general decoder is shown the file with its photometric interpretation changed from
//! palette to grey, and the indices that come out are looked up in the colour map here.

use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

const PHOTOMETRIC: u16 = 262;
const BLACK_IS_ZERO: u8 = 1;
const PALETTE: u16 = 3;

/// Width, height and RGB bytes.
type Expanded = (u32, u32, Vec<u8>);

/// A palette TIFF of 8 bits as RGB; `None` where the file is another kind of TIFF; an
/// error's text where it is damaged.
pub(super) fn read(bytes: &[u8], max_bytes: usize) -> Option<Result<Expanded, String>> {
    let at = photometric_of_palette(bytes)?;
    let mut grey = bytes.to_vec();
    let low = if bytes[0] == b'M' { at + 1 } else { at };
    grey[low] = BLACK_IS_ZERO;
    Some(expand(&grey, max_bytes).map_err(|error| error.to_string()))
}

fn expand(bytes: &[u8], max_bytes: usize) -> Result<Expanded, Box<dyn std::error::Error>> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = max_bytes;
    let mut decoder = Decoder::new(Cursor::new(bytes))?.with_limits(limits);
    let (width, height) = decoder.dimensions()?;
    let map = decoder.get_tag_u16_vec(Tag::ColorMap)?;
    if map.len() != 3 * 256 {
        return Err(format!("colour map of {} entries, 768 expected", map.len()).into());
    }
    let DecodingResult::U8(indices) = decoder.read_image()? else {
        return Err("palette indices are not bytes".into());
    };
    if indices.len() != width as usize * height as usize {
        return Err("there are not as many palette indices as pixels".into());
    }
    let colour = |index: u8, plane: usize| (map[plane * 256 + usize::from(index)] >> 8) as u8;
    let rgb = indices
        .iter()
        .flat_map(|&i| [colour(i, 0), colour(i, 1), colour(i, 2)])
        .collect();
    Ok((width, height, rgb))
}

/// Where the first directory holds the value of a photometric interpretation that says
/// palette.
fn photometric_of_palette(bytes: &[u8]) -> Option<usize> {
    let big_endian = match bytes.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let short = |at: usize| {
        let pair: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if big_endian {
            u16::from_be_bytes(pair)
        } else {
            u16::from_le_bytes(pair)
        })
    };
    let word: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    let start = if big_endian {
        u32::from_be_bytes(word)
    } else {
        u32::from_le_bytes(word)
    };
    let start = usize::try_from(start).ok()?;
    let entries = usize::from(short(start)?);
    (0..entries)
        .map(|i| start + 2 + 12 * i)
        .take_while(|entry| entry + 12 <= bytes.len())
        .find(|&entry| short(entry) == Some(PHOTOMETRIC))
        .map(|entry| entry + 8)
        .filter(|&value| short(value) == Some(PALETTE))
}
