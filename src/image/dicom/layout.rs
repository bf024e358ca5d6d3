//! How the samples of a frame lie, as the header says it, or why that cannot be read. `stored` and
//! the codecs go by it. Nothing here looks at a sample's value.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::header::Header;

/// Most samples that one frame may hold: 4 bytes each, and 96 MiB together.
pub(super) const MOST_SAMPLES: usize = 24 << 20;

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
    /// The header leaves out what every header of a picture has.
    Incomplete(String),
    /// There are too many.
    TooMany(String),
}

pub(super) fn broken(why: impl Into<String>) -> NoValues {
    NoValues::Broken(why.into())
}

pub(super) fn contradicted(why: impl Into<String>) -> NoValues {
    NoValues::Contradicted(why.into())
}

fn incomplete(name: &str) -> NoValues {
    NoValues::Incomplete(format!("{name} is missing"))
}

/// What the header says of the pixels.
pub(super) struct Layout {
    pub columns: usize,
    pub rows: usize,
    pub samples: usize,
    pub allocated: usize,
    pub stored: u32,
    pub high: u32,
    pub signed: bool,
    pub planar: bool,
    pub model: String,
}

impl Layout {
    pub fn read(header: &Header<'_>) -> Result<Self, NoValues> {
        let need = |tag: Tag, name: &str| header.number(tag).ok_or_else(|| incomplete(name));
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
                .ok_or_else(|| incomplete("Photometric Interpretation"))?,
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

    pub fn pixels(&self) -> usize {
        self.columns * self.rows
    }

    pub fn count(&self) -> usize {
        self.pixels() * self.samples
    }

    pub fn bytes(&self) -> usize {
        self.allocated / 8
    }
}

/// Patterns side by side, and what the decoder knows better than the header.
pub(super) struct Decoded {
    pub patterns: Vec<u32>,
    /// Bits in use, where the codestream says so.
    pub bits: Option<u32>,
    /// Whether the decoder made RGB of the file's colour model.
    pub is_rgb: bool,
}

/// Little-endian samples as patterns whose lowest bit is the lowest stored one.
pub(super) fn patterns(bytes: &[u8], layout: &Layout, swapped: bool) -> Vec<u32> {
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
