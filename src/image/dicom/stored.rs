//! One frame's stored values, whatever they were compressed with: an object's header and a frame
//! come in, samples as the file means them come out (sign extended, colour as RGB, palette indices
//! as they are). How they are to be looked at is the business of `rendering`.

use dicom_core::value::Value;
use dicom_dictionary_std::tags;

use super::file_meta::EXPLICIT_BIG_ENDIAN;
use super::header::Header;
use super::layout::{Decoded, Layout, NoValues, broken, contradicted, patterns};
use super::{codecs, frames};

/// PS3.3, C.7.6.3.1.2; colour models are RGB by the time anyone sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Photometric {
    /// The lowest value is white.
    Monochrome1,
    /// The lowest value is black.
    Monochrome2,
    /// Red, green, blue.
    Rgb,
    /// Indices into a colour table.
    Palette,
}

/// The stored values of one frame.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Columns.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
    /// 1, or 3 side by side.
    pub samples: usize,
    /// Bits that a value may use.
    pub bits: u32,
    /// Whether values are two's complement.
    pub signed: bool,
    /// What the values mean.
    pub photometric: Photometric,
    /// Bit patterns, row by row.
    patterns: Vec<u32>,
}

impl Stored {
    /// The values, row by row.
    pub fn values(&self) -> impl ExactSizeIterator<Item = i64> + '_ {
        self.patterns.iter().map(|&pattern| self.value(pattern))
    }

    /// The value of a bit pattern, of which the lowest bits count.
    pub(super) fn value(&self, pattern: u32) -> i64 {
        let spare = 32 - self.bits;
        if self.signed {
            i64::from((pattern << spare).cast_signed() >> spare)
        } else {
            i64::from(pattern << spare >> spare)
        }
    }
}

/// Reads frame `frame`, counted from 0.
pub(super) fn read(header: &Header<'_>, frame: usize) -> Result<Stored, NoValues> {
    let layout = Layout::read(header)?;
    let element = header
        .object
        .get(tags::PIXEL_DATA)
        .ok_or_else(|| no_pixel_data(header))?;
    let decoded = match element.value() {
        Value::Primitive(value) => native(header, &layout, &value.to_bytes(), frame)?,
        Value::PixelSequence(sequence) => {
            let fragments: Vec<&[u8]> = sequence.fragments().iter().map(Vec::as_slice).collect();
            if !is_delimited(header.bytes, fragments.last().copied().unwrap_or_default()) {
                return Err(broken("the file ends within the pixel data"));
            }
            let data = frames::of(&fragments, sequence.offset_table(), header.frames(), frame)?;
            codecs::decode(header.transfer_syntax, &layout, &data)?
        }
        Value::Sequence(_) => return Err(broken("the pixel data is a sequence of items")),
    };
    finish(layout, decoded)
}

fn no_pixel_data(header: &Header<'_>) -> NoValues {
    let holds = |tag| header.object.get(tag).is_some();
    if holds(tags::FLOAT_PIXEL_DATA) || holds(tags::DOUBLE_FLOAT_PIXEL_DATA) {
        NoValues::Unsupported("the object is a map of floating-point values, no picture".to_owned())
    } else if !header.is_of_a_class_with_pixels() {
        NoValues::Unsupported("the object holds no pixel data".to_owned())
    } else {
        broken("the pixel data is missing")
    }
}

fn finish(layout: Layout, decoded: Decoded) -> Result<Stored, NoValues> {
    let Decoded {
        mut patterns,
        bits,
        is_rgb,
    } = decoded;
    if patterns.len() != layout.count() {
        return Err(contradicted(format!(
            "{} samples instead of {}",
            patterns.len(),
            layout.count()
        )));
    }
    let photometric = match layout.model.as_str() {
        "MONOCHROME1" => Photometric::Monochrome1,
        "MONOCHROME2" => Photometric::Monochrome2,
        "PALETTE COLOR" => Photometric::Palette,
        "RGB" | "YBR_RCT" | "YBR_ICT" => Photometric::Rgb,
        "YBR_FULL" | "YBR_FULL_422" => {
            if !is_rgb && layout.samples == 3 {
                patterns
                    .chunks_exact_mut(3)
                    .for_each(|pixel| to_rgb(pixel, layout.stored));
            }
            Photometric::Rgb
        }
        other => {
            return Err(NoValues::Unsupported(format!(
                "photometric interpretation {other}"
            )));
        }
    };
    if (photometric == Photometric::Rgb) != (layout.samples == 3) {
        return Err(contradicted(format!(
            "{} with {} samples a pixel",
            layout.model, layout.samples
        )));
    }
    Ok(Stored {
        columns: layout.columns,
        rows: layout.rows,
        samples: layout.samples,
        bits: bits.unwrap_or(layout.stored),
        signed: layout.signed,
        photometric,
        patterns,
    })
}

/// PS3.3, C.7.6.3.1.2: full-range Y, Cb, Cr to R, G, B.
fn to_rgb(pixel: &mut [u32], bits: u32) {
    let top = 2f64.powi(bits as i32) - 1.0;
    let middle = 2f64.powi(bits as i32 - 1);
    let [y, cb, cr] = [0, 1, 2].map(|i| f64::from(pixel[i]));
    let (cb, cr) = (cb - middle, cr - middle);
    let green = y - 0.114 * 1.772 / 0.587 * cb - 0.299 * 1.402 / 0.587 * cr;
    let rgb = [y + 1.402 * cr, green, y + 1.772 * cb];
    for (to, value) in pixel.iter_mut().zip(rgb) {
        *to = (value + 0.5).floor().clamp(0.0, top) as u32;
    }
}

/// Uncompressed: the frame's part of the whole.
fn native(
    header: &Header<'_>,
    layout: &Layout,
    bytes: &[u8],
    frame: usize,
) -> Result<Decoded, NoValues> {
    // Two pixels share their colour: Y, Y, Cb, Cr.
    let halved = layout.model == "YBR_FULL_422" && layout.samples == 3;
    let samples = if halved {
        2 * layout.pixels()
    } else {
        layout.count()
    };
    let length = samples * layout.bytes();
    let frames = header.frames();
    // Data of another length is of another layout, and any part of it would be a wrong picture.
    if !is_padded(bytes, length.checked_mul(frames)) {
        return Err(contradicted(format!(
            "the pixel data has {} bytes; {frames} of {length} are to be expected of {}",
            bytes.len(),
            layout.model
        )));
    }
    let part = frame
        .checked_mul(length)
        .and_then(|start| bytes.get(start..)?.get(..length))
        .ok_or_else(|| broken(format!("there is no frame {}", frame + 1)))?;
    // Big-endian words were put right one by one; a sample of two words has them swapped.
    let swapped = layout.allocated == 32
        && header.transfer_syntax == EXPLICIT_BIG_ENDIAN
        && header.pixel_data_is_words();
    let mut patterns = patterns(part, layout, swapped);
    if halved {
        patterns = patterns
            .chunks_exact(4)
            .flat_map(|p| [p[0], p[2], p[3], p[1], p[2], p[3]])
            .collect();
    } else if layout.planar && layout.samples == 3 {
        patterns = interleaved(&patterns, layout.pixels());
    }
    Ok(Decoded {
        patterns,
        bits: None,
        is_rgb: false,
    })
}

/// Whether so many bytes were to be expected, and one more where they would be odd.
fn is_padded(bytes: &[u8], expected: Option<usize>) -> bool {
    expected.is_some_and(|length| bytes.len() == length || bytes.len() == length + length % 2)
}

fn interleaved(planes: &[u32], pixels: usize) -> Vec<u32> {
    (0..pixels)
        .flat_map(|i| [planes[i], planes[pixels + i], planes[2 * pixels + i]])
        .collect()
}

/// Whether a sequence delimiter stands behind the last fragment: the parser takes the end
/// of a file that was cut short for the end of the pixel data.
fn is_delimited(bytes: &[u8], last: &[u8]) -> bool {
    const DELIMITER: [u8; 8] = [0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0];
    let places = bytes.windows(DELIMITER.len()).enumerate().rev();
    places
        .filter(|(_, window)| *window == DELIMITER)
        .any(|(at, _)| bytes[..at].ends_with(last))
}
