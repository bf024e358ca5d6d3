//! Stored values become what a person would see: modality LUT or rescale, VOI LUT or
//! window, inversion, colour tables (PS3.3, C.11 and PS3.4, N.2).
//!
//! What was chosen is recorded in words, so that nobody has to guess how a finding's
//! pixels came about.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::header::{Header, text_of};
use super::stored::{Photometric, Stored};
use crate::image::Pixels;

/// Share of the pixels on either side that the default window leaves out.
const CLIPPED: f64 = 0.005;
/// Tables up to this many bits are worked out for every value beforehand.
const TABLE_BITS: u32 = 16;

/// Pixels to look at, and the words for how they came about.
pub(super) struct Shown {
    pub pixels: Pixels,
    pub window: Option<String>,
}

/// Turns one frame's values into 8 bits.
pub(super) fn show(header: &Header<'_>, stored: &Stored, frame: usize) -> Result<Shown, String> {
    match stored.photometric {
        Photometric::Rgb => Ok(Shown {
            pixels: rgb(stored),
            window: None,
        }),
        Photometric::Palette => palette(header, stored).map(|rgb| Shown {
            pixels: Pixels::Rgb(rgb),
            window: None,
        }),
        Photometric::Monochrome1 | Photometric::Monochrome2 => grey(header, stored, frame),
    }
}

fn rgb(stored: &Stored) -> Pixels {
    let down = stored.bits.saturating_sub(8);
    let up = 8u32.saturating_sub(stored.bits);
    let bytes: Vec<u8> = stored
        .values()
        .map(|value| ((value >> down) << up) as u8)
        .collect();
    if bytes.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]) {
        return Pixels::Luma(bytes.chunks_exact(3).map(|p| p[0]).collect());
    }
    Pixels::Rgb(bytes)
}

fn palette(header: &Header<'_>, stored: &Stored) -> Result<Vec<u8>, String> {
    let table = |descriptor, data| Lut::read(header.object, descriptor, data, "colour table");
    let tables = [
        table(
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        table(
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
        table(
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        )?,
    ];
    let byte = |table: &Lut, value: i64| (table.at(value as f64) / table.top() * 255.0) as u8;
    Ok(stored
        .values()
        .flat_map(|value| tables.each_ref().map(|table| byte(table, value)))
        .collect())
}

fn grey(header: &Header<'_>, stored: &Stored, frame: usize) -> Result<Shown, String> {
    let modality = Modality::of(header, frame)?;
    let padding = padding(header, stored);
    let voi = match Voi::of(header, frame)? {
        Some(voi) => voi,
        None => Voi::default_for(header, stored, &modality, padding),
    };
    let inverted = (stored.photometric == Photometric::Monochrome1)
        != (header.text(tags::PRESENTATION_LUT_SHAPE).as_deref() == Some("INVERSE"));
    let byte = |value: i64| {
        let shade = voi.shade(modality.apply(value as f64));
        let shade = if inverted { 1.0 - shade } else { shade };
        (shade * 255.0 + 0.5) as u8
    };
    let luma = if stored.bits <= TABLE_BITS {
        let least = if stored.signed {
            -(1i64 << (stored.bits - 1))
        } else {
            0
        };
        let table: Vec<u8> = (least..least + (1 << stored.bits)).map(byte).collect();
        let look_up = |value: i64| table[(value - least) as usize];
        stored.values().map(look_up).collect()
    } else {
        stored.values().map(byte).collect()
    };
    let mut window = voi.words();
    if inverted {
        window += ", inverted";
    }
    Ok(Shown {
        pixels: Pixels::Luma(luma),
        window: Some(window),
    })
}

/// The value of pixels that were never measured; it takes no part in a default window.
fn padding(header: &Header<'_>, stored: &Stored) -> Option<i64> {
    let element = header.object.get(tags::PIXEL_PADDING_VALUE)?;
    let value = element.to_int::<i64>().ok()?;
    Some(if stored.signed || value >= 0 {
        value
    } else {
        value & ((1 << stored.bits) - 1)
    })
}

/// From stored values to what the device measures.
enum Modality {
    Linear { slope: f64, intercept: f64 },
    Table(Lut),
}

impl Modality {
    fn of(header: &Header<'_>, frame: usize) -> Result<Self, String> {
        let items = header.object.get(tags::MODALITY_LUT_SEQUENCE);
        if let Some(item) = items.and_then(|e| e.items()?.first()) {
            let table = Lut::read(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, "modality LUT")?;
            return Ok(Self::Table(table));
        }
        let object = header.group(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, frame);
        let number = |tag| number(object, tag);
        Ok(Self::Linear {
            slope: number(tags::RESCALE_SLOPE)
                .filter(|s| *s != 0.0)
                .unwrap_or(1.0),
            intercept: number(tags::RESCALE_INTERCEPT).unwrap_or(0.0),
        })
    }

    fn apply(&self, value: f64) -> f64 {
        match self {
            Self::Linear { slope, intercept } => slope * value + intercept,
            Self::Table(table) => table.at(value),
        }
    }
}

/// From measured values to shades between 0 and 1.
enum Voi {
    Table(Lut),
    Window {
        centre: f64,
        width: f64,
        function: Function,
    },
    Range {
        low: f64,
        high: f64,
        words: &'static str,
    },
}

/// PS3.3, C.11.2.1.2.1 and C.11.2.1.3.
#[derive(Clone, Copy)]
enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

impl Voi {
    fn of(header: &Header<'_>, frame: usize) -> Result<Option<Self>, String> {
        let items = header.object.get(tags::VOILUT_SEQUENCE);
        if let Some(item) = items.and_then(|e| e.items()?.first()) {
            let table = Lut::read(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, "VOI LUT")?;
            return Ok(Some(Self::Table(table)));
        }
        let object = header.group(tags::FRAME_VOILUT_SEQUENCE, frame);
        let (Some(centre), Some(width)) = (
            number(object, tags::WINDOW_CENTER),
            number(object, tags::WINDOW_WIDTH),
        ) else {
            return Ok(None);
        };
        let function = match text_of(object, tags::VOILUT_FUNCTION).as_deref() {
            None | Some("LINEAR") => Function::Linear,
            Some("LINEAR_EXACT") => Function::LinearExact,
            Some("SIGMOID") => Function::Sigmoid,
            Some(other) => return Err(format!("VOI LUT function {other} is not known")),
        };
        let least = if matches!(function, Function::Linear) {
            1.0
        } else {
            f64::MIN_POSITIVE
        };
        Ok((width >= least).then_some(Self::Window {
            centre,
            width,
            function,
        }))
    }

    /// Eight bits as they are; wider values between the values that leave out
    /// `CLIPPED` of the pixels on either side.
    fn default_for(
        header: &Header<'_>,
        stored: &Stored,
        modality: &Modality,
        padding: Option<i64>,
    ) -> Self {
        let plain = header.object.get(tags::RESCALE_SLOPE).is_none();
        if stored.bits <= 8 && !stored.signed && plain {
            let (low, high) = (0.0, f64::from((1u32 << stored.bits) - 1));
            return Self::Range {
                low: modality.apply(low),
                high: modality.apply(high),
                words: "no window given: all values",
            };
        }
        let mut values: Vec<i64> = stored.values().filter(|v| Some(*v) != padding).collect();
        if values.is_empty() {
            values = stored.values().collect();
        }
        let cut = (values.len() as f64 * CLIPPED) as usize;
        let last = values.len() - 1;
        let mut nth = |n: usize| *values.select_nth_unstable(n).1 as f64;
        let ends = [modality.apply(nth(cut)), modality.apply(nth(last - cut))];
        Self::Range {
            low: ends[0].min(ends[1]),
            high: ends[0].max(ends[1]),
            words: "no window given: 0.5 % of the pixels left out on either side",
        }
    }

    fn shade(&self, value: f64) -> f64 {
        let shade = match self {
            Self::Table(table) => table.at(value) / table.top(),
            Self::Window {
                centre,
                width,
                function,
            } => match function {
                Function::Linear if *width <= 1.0 => f64::from(value > centre - 0.5),
                Function::Linear => (value - (centre - 0.5)) / (width - 1.0) + 0.5,
                Function::LinearExact => (value - centre) / width + 0.5,
                Function::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - centre) / width).exp()),
            },
            Self::Range { low, high, .. } => (value - low) / (high - low).max(f64::MIN_POSITIVE),
        };
        shade.clamp(0.0, 1.0)
    }

    fn words(&self) -> String {
        match self {
            Self::Table(_) => "VOI LUT".to_owned(),
            Self::Window { centre, width, .. } => format!("window {centre}/{width}"),
            Self::Range { low, high, words } => format!("{words} ({low} to {high})"),
        }
    }
}

fn number(object: &InMemDicomObject, tag: Tag) -> Option<f64> {
    let value = text_of(object, tag)?.parse::<f64>().ok()?;
    value.is_finite().then_some(value)
}

/// A lookup table with its descriptor (PS3.3, C.11.1.1 and C.7.6.3.1.5).
struct Lut {
    first: f64,
    bits: u32,
    entries: Vec<u16>,
}

impl Lut {
    fn read(
        object: &InMemDicomObject,
        descriptor: Tag,
        data: Tag,
        name: &str,
    ) -> Result<Self, String> {
        let missing = || format!("the {name} is missing or is written in segments");
        let descriptor = object.get(descriptor).ok_or_else(missing)?;
        let numbers = descriptor.to_multi_int::<i32>().map_err(|_| missing())?;
        let [count, first, bits] = numbers[..] else {
            return Err(format!("the {name}'s descriptor has no three numbers"));
        };
        // 0 stands for 65536, which 16 bits cannot hold.
        let count = match count & 0xffff {
            0 => 1 << 16,
            count => count as usize,
        };
        if !(1..=16).contains(&bits) {
            return Err(format!("the {name} has entries of {bits} bits"));
        }
        let bytes = object.get(data).ok_or_else(missing)?.to_bytes();
        let bytes = bytes.map_err(|_| missing())?;
        let entries: Vec<u16> = if bytes.len() < 2 * count {
            bytes.iter().map(|&b| u16::from(b)).collect()
        } else {
            let pairs = bytes.chunks_exact(2);
            pairs.map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
        };
        if entries.len() < count {
            return Err(format!(
                "the {name} holds {} of {count} entries",
                entries.len()
            ));
        }
        // Many writers say 16 bits and use 8, or the other way round.
        let largest = entries[..count].iter().copied().max().unwrap_or(0);
        let used = 16 - largest.leading_zeros();
        Ok(Self {
            first: first.into(),
            bits: if used > bits as u32 || (bits == 16 && used <= 8) {
                used.max(8)
            } else {
                bits as u32
            },
            entries: entries[..count].to_vec(),
        })
    }

    fn at(&self, value: f64) -> f64 {
        let index = (value - self.first).clamp(0.0, (self.entries.len() - 1) as f64);
        self.entries[index as usize].into()
    }

    fn top(&self) -> f64 {
        f64::from((1u32 << self.bits) - 1)
    }
}
