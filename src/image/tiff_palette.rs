//! Palette TIFF, which the general decoder does not read: index and colour map
//! become RGB (TIFF 6.0, section 5).

use std::io::Cursor;

use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

/// Width, height and RGB bytes.
type Expanded = (u32, u32, Vec<u8>);

/// A palette TIFF of 8 bits as RGB; `None` where the file is another kind of TIFF; an
/// error's text where it is damaged.
pub(super) fn read(bytes: &[u8], max_bytes: usize) -> Option<Result<Expanded, String>> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = max_bytes;
    let mut decoder = Decoder::new(Cursor::new(bytes)).ok()?.with_limits(limits);
    match decoder.colortype() {
        Ok(ColorType::Palette(8)) => Some(expand(&mut decoder).map_err(|e| e.to_string())),
        _ => None,
    }
}

fn expand(decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Expanded, Box<dyn std::error::Error>> {
    let (width, height) = decoder.dimensions()?;
    let map = decoder.get_tag_u16_vec(Tag::ColorMap)?;
    if map.len() != 3 * 256 {
        return Err(format!("colour map of {} entries, 768 expected", map.len()).into());
    }
    let DecodingResult::U8(indices) = decoder.read_image()? else {
        return Err("palette indices are not bytes".into());
    };
    if indices.len() < width as usize * height as usize {
        return Err("fewer palette indices than pixels".into());
    }
    let colour = |index: u8, plane: usize| (map[plane * 256 + usize::from(index)] >> 8) as u8;
    let rgb = indices
        .iter()
        .flat_map(|&i| [colour(i, 0), colour(i, 1), colour(i, 2)])
        .collect();
    Ok((width, height, rgb))
}
