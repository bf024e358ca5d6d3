//! One frame's stored values, whatever they were compressed with.
//!
//! Values come out as the file means them: sign extended, colour as RGB, palette indices
//! as they are. How they are to be looked at is `shown.rs`'s business.

use std::io::Cursor;

use dicom_core::Tag;
use dicom_core::value::Value;
use dicom_dictionary_std::{tags, uids};
use jpeg_decoder::{ColorTransform, PixelFormat};

use super::head::EXPLICIT_BIG_ENDIAN;
use super::header::Header;
use super::{frames, jpeg_ls, rle};
use crate::image::jpeg;

/// Most samples that one frame may hold: 4 bytes each, and 96 MiB together.
pub(super) const MOST_SAMPLES: usize = 24 << 20;

/// A JPEG 2000 codestream's first two markers.
const CODESTREAM_2000: [u8; 4] = [0xff, 0x4f, 0xff, 0x51];

/// The photometric interpretations that are read (PS3.3, C.7.6.3.1.2).
const MODELS: [&str; 8] = [
    "MONOCHROME1",
    "MONOCHROME2",
    "PALETTE COLOR",
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_RCT",
    "YBR_ICT",
];

/// Why a frame has no values.
#[derive(Debug)]
pub(super) enum NoValues {
    /// The object holds none that could be shown, or in a way that is not read.
    Unsupported(String),
    /// They are damaged or cut short.
    Broken(String),
    /// The header says another thing of them than they are: another copy would as well.
    Contradicted(String),
    /// There are too many.
    TooMany(String),
}

fn broken(why: impl Into<String>) -> NoValues {
    NoValues::Broken(why.into())
}

fn contradicted(why: impl Into<String>) -> NoValues {
    NoValues::Contradicted(why.into())
}

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

/// What the header says of the pixels.
struct Layout {
    columns: usize,
    rows: usize,
    samples: usize,
    allocated: usize,
    stored: u32,
    high: u32,
    signed: bool,
    planar: bool,
    model: String,
}

impl Layout {
    fn read(header: &Header<'_>) -> Result<Self, NoValues> {
        let need = |tag: Tag, name: &str| {
            header
                .number(tag)
                .ok_or_else(|| broken(format!("{name} is missing")))
        };
        let stored = need(tags::BITS_STORED, "Bits Stored")?;
        let layout = Self {
            columns: need(tags::COLUMNS, "Columns")? as usize,
            rows: need(tags::ROWS, "Rows")? as usize,
            samples: header.number(tags::SAMPLES_PER_PIXEL).unwrap_or(1) as usize,
            allocated: need(tags::BITS_ALLOCATED, "Bits Allocated")? as usize,
            stored,
            high: header.number(tags::HIGH_BIT).unwrap_or(stored.max(1) - 1),
            signed: header.number(tags::PIXEL_REPRESENTATION) == Some(1),
            planar: header.number(tags::PLANAR_CONFIGURATION) == Some(1),
            model: header
                .code(tags::PHOTOMETRIC_INTERPRETATION)
                .ok_or_else(|| broken("Photometric Interpretation is missing"))?,
        };
        // Nothing else is quoted: anybody may have written anything there.
        if !MODELS.contains(&layout.model.as_str()) {
            return Err(NoValues::Unsupported(
                "a photometric interpretation that is none of those that are read: ".to_owned()
                    + &MODELS.join(", "),
            ));
        }
        if ![8, 16, 32].contains(&layout.allocated) {
            return Err(NoValues::Unsupported(format!(
                "{} bits a sample; 8, 16 and 32 are read",
                layout.allocated
            )));
        }
        if stored == 0
            || stored as usize > layout.allocated
            || layout.high as usize >= layout.allocated
            || layout.high + 1 < stored
        {
            return Err(contradicted(format!(
                "{stored} of {} bits up to bit {} cannot be",
                layout.allocated, layout.high
            )));
        }
        if ![1, 3].contains(&layout.samples) {
            return Err(NoValues::Unsupported(format!(
                "{} samples a pixel; 1 and 3 are read",
                layout.samples
            )));
        }
        if layout.count() == 0 {
            return Err(contradicted("there are no rows or columns"));
        }
        if layout.count() > MOST_SAMPLES {
            return Err(NoValues::TooMany(format!(
                "{} x {} pixels of {} samples are {} samples; at most {MOST_SAMPLES} a frame",
                layout.columns,
                layout.rows,
                layout.samples,
                layout.count()
            )));
        }
        Ok(layout)
    }

    fn pixels(&self) -> usize {
        self.columns * self.rows
    }

    fn count(&self) -> usize {
        self.pixels() * self.samples
    }

    fn bytes(&self) -> usize {
        self.allocated / 8
    }
}

/// Patterns side by side, and what the decoder knows better than the header.
struct Decoded {
    patterns: Vec<u32>,
    /// Bits in use, where the codestream says so.
    bits: Option<u32>,
    /// Whether the decoder made RGB of the file's colour model.
    is_rgb: bool,
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
            encapsulated(header.transfer_syntax, &layout, &data)?
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

/// Little-endian samples as patterns whose lowest bit is the lowest stored one.
fn patterns(bytes: &[u8], layout: &Layout, swapped: bool) -> Vec<u32> {
    let low = layout.high + 1 - layout.stored;
    match layout.allocated {
        8 => bytes.iter().map(|&b| u32::from(b) >> low).collect(),
        16 => bytes
            .chunks_exact(2)
            .map(|b| u32::from(u16::from_le_bytes([b[0], b[1]])) >> low)
            .collect(),
        _ => bytes
            .chunks_exact(4)
            .map(|b| {
                let word = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                (if swapped { word.rotate_left(16) } else { word }) >> low
            })
            .collect(),
    }
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

fn encapsulated(syntax: &str, layout: &Layout, data: &[u8]) -> Result<Decoded, NoValues> {
    match syntax {
        uids::RLE_LOSSLESS => {
            let bytes = rle::decode(data, layout.pixels(), layout.samples, layout.bytes())
                .map_err(broken)?;
            Ok(Decoded {
                patterns: patterns(&bytes, layout, false),
                bits: None,
                is_rgb: false,
            })
        }
        uids::JPEG_BASELINE8_BIT
        | uids::JPEG_EXTENDED12_BIT
        | uids::JPEG_LOSSLESS
        | uids::JPEG_LOSSLESS_SV1 => classic_jpeg(layout, data),
        uids::JPEGLS_LOSSLESS | uids::JPEGLS_NEAR_LOSSLESS => {
            let picture = jpeg_ls::decode(data, MOST_SAMPLES).map_err(broken)?;
            same_size(layout, picture.width, picture.height, picture.components)?;
            Ok(Decoded {
                patterns: picture.samples.into_iter().map(u32::from).collect(),
                bits: None,
                is_rgb: false,
            })
        }
        uids::JPEG2000_LOSSLESS
        | uids::JPEG2000
        | uids::HTJ2K_LOSSLESS
        | uids::HTJ2K_LOSSLESS_RPCL
        | uids::HTJ2K => jpeg_2000(layout, data),
        uids::IMPLICIT_VR_LITTLE_ENDIAN | uids::EXPLICIT_VR_LITTLE_ENDIAN | EXPLICIT_BIG_ENDIAN => {
            Err(NoValues::Unsupported(
                "the pixel data is compressed, and no transfer syntax says how".to_owned(),
            ))
        }
        other => Err(NoValues::Unsupported(format!(
            "transfer syntax {} is not decoded",
            name_of(other)
        ))),
    }
}

/// The transfer syntax's name, and its UID where it has none.
pub(super) fn name_of(uid: &str) -> String {
    use dicom_encoding::TransferSyntaxIndex;
    dicom_transfer_syntax_registry::TransferSyntaxRegistry
        .get(uid)
        .map_or_else(
            || uid.to_owned(),
            |syntax| format!("{} ({uid})", syntax.name()),
        )
}

fn same_size(
    layout: &Layout,
    width: usize,
    height: usize,
    components: usize,
) -> Result<(), NoValues> {
    if (width, height, components) == (layout.columns, layout.rows, layout.samples) {
        return Ok(());
    }
    Err(contradicted(format!(
        "the compressed picture is {width} x {height} with {components} components; the header \
         says {} x {} with {}",
        layout.columns, layout.rows, layout.samples
    )))
}

/// ITU-T T.81: baseline, extended with 8 bits, and lossless.
fn classic_jpeg(layout: &Layout, data: &[u8]) -> Result<Decoded, NoValues> {
    let Some(colours) = jpeg::colours(data) else {
        return Err(broken("the JPEG ends before its end-of-image marker"));
    };
    let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(data));
    let failed = |error: jpeg_decoder::Error| match error {
        jpeg_decoder::Error::Unsupported(what) => {
            NoValues::Unsupported(format!("the JPEG uses {what:?}"))
        }
        other => broken(other.to_string()),
    };
    decoder.read_info().map_err(failed)?;
    let is_ybr = layout.model.starts_with("YBR_FULL");
    // The codestream's own word on its colours comes before the header's.
    if layout.samples == 3 && !colours.are_said {
        decoder.set_color_transform(if is_ybr {
            ColorTransform::YCbCr
        } else {
            ColorTransform::RGB
        });
    }
    let bytes = decoder.decode().map_err(failed)?;
    let info = decoder.info().ok_or_else(|| broken("no frame header"))?;
    let (components, wide) = match info.pixel_format {
        PixelFormat::L8 => (1, false),
        PixelFormat::L16 => (1, true),
        PixelFormat::RGB24 => (3, false),
        PixelFormat::CMYK32 => (4, false),
    };
    same_size(layout, info.width.into(), info.height.into(), components)?;
    let patterns = if wide {
        let pairs = bytes.chunks_exact(2);
        pairs
            .map(|b| u32::from(u16::from_ne_bytes([b[0], b[1]])))
            .collect()
    } else {
        bytes.into_iter().map(u32::from).collect()
    };
    Ok(Decoded {
        patterns,
        bits: None,
        // Nothing is converted in a lossless one.
        is_rgb: !colours.is_lossless,
    })
}

/// ISO/IEC 15444-1 and, for high throughput, 15444-15.
fn jpeg_2000(layout: &Layout, data: &[u8]) -> Result<Decoded, NoValues> {
    let strict = jpeg2k::DecodeParameters::new().strict(true);
    let image = jpeg2k::Image::from_bytes_with(data, strict)
        .map_err(|error| broken(format!("JPEG 2000: {error}")))?;
    let components = image.components();
    let Some(first) = components.first() else {
        return Err(broken("JPEG 2000: no component"));
    };
    let (width, height) = (first.width() as usize, first.height() as usize);
    same_size(layout, width, height, components.len())?;
    if components.iter().any(|c| c.data().len() != layout.pixels()) {
        return Err(NoValues::Unsupported(
            "JPEG 2000 with subsampled components".to_owned(),
        ));
    }
    let planes: Vec<&[i32]> = components.iter().map(|c| c.data()).collect();
    let patterns = (0..layout.pixels())
        .flat_map(|i| planes.iter().map(move |plane| plane[i].cast_unsigned()))
        .collect();
    Ok(Decoded {
        patterns,
        // Where the header and the codestream differ, the sign bit is the codestream's.
        bits: Some(first.precision()).filter(|bits| (1..=32).contains(bits)),
        is_rgb: has_own_transform(data),
    })
}

/// Whether the codestream made its components of RGB, and the decoder RGB of them again
/// (ISO/IEC 15444-1, A.6.1: the multiple component transformation of the COD marker).
fn has_own_transform(data: &[u8]) -> bool {
    const COD: [u8; 2] = [0xff, 0x52];
    // Behind the marker: length, style of coding, progression, layers.
    const TRANSFORM: usize = 8;
    let main = data.windows(4).position(|four| four == CODESTREAM_2000);
    let Some(mut at) = main.map(|start| start + 2) else {
        return false;
    };
    while let Some(&[mark, kind, high, low]) = data.get(at..at + 4) {
        if [mark, kind] == COD {
            return data.get(at + TRANSFORM) == Some(&1);
        }
        if mark != 0xff {
            return false;
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}
