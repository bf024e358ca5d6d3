//! Stored values become what a person would see: modality LUT or rescale, VOI LUT or
//! window, inversion, colour tables (PS3.3, C.11 and PS3.4, N.2).
//!
//! What was chosen is recorded in words, so that nobody has to guess how a finding's
//! pixels came about.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::header::{Header, text_of};
use super::lut::{self, Lut};
use super::stored::{Photometric, Stored};
use crate::image::Pixels;

/// Share of the pixels on either side that the default window leaves out.
const CLIPPED: f64 = 0.005;
/// Tables up to this many bits are worked out for every value beforehand.
const TABLE_BITS: u32 = 16;

const INVERSION_DISPUTED: &str = "inversion_disputed: Presentation LUT Shape (2050,0020) and \
     Photometric Interpretation (0028,0004) disagree on what is white; the shape was followed";
const WINDOW_UNREAD: &str = "window_unread: Window Center and Width (0028,1050 and 0028,1051) are \
     no window; they were left out";

/// Pixels to look at, and the words for how they came about.
pub(super) struct Shown {
    pub pixels: Pixels,
    pub window: Option<String>,
    /// What the header says and was not followed, as `code: sentence`.
    pub notes: Vec<String>,
}

/// Turns one frame's values into 8 bits.
pub(super) fn show(header: &Header<'_>, stored: &Stored, frame: usize) -> Result<Shown, String> {
    match stored.photometric {
        Photometric::Rgb => Ok(Shown {
            pixels: rgb(stored),
            window: None,
            notes: Vec::new(),
        }),
        Photometric::Palette => palette(header, stored).map(|rgb| Shown {
            pixels: Pixels::Rgb(rgb),
            window: None,
            notes: Vec::new(),
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
    let table = |tags: [Tag; 3]| Lut::of_palette(header.object, tags);
    let tables = [
        table([
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ])?,
        table([
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ])?,
        table([
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
            tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
            tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        ])?,
    ];
    // One depth for all three: a channel that is dark throughout stays dark.
    let top = lut::top(&tables);
    let byte = |table: &Lut, value: i64| (table.at(value as f64) / top * 255.0) as u8;
    Ok(stored
        .values()
        .flat_map(|value| tables.each_ref().map(|table| byte(table, value)))
        .collect())
}

fn grey(header: &Header<'_>, stored: &Stored, frame: usize) -> Result<Shown, String> {
    let modality = Modality::of(header, frame)?;
    let padding = Padding::of(header, stored);
    let mut notes = Vec::new();
    let voi = match Voi::of(header, frame, &mut notes)? {
        Some(voi) => voi,
        None => Voi::default_for(header, stored, &modality, padding),
    };
    let inverted = is_inverted(header, stored.photometric, &mut notes);
    let byte = |value: i64| {
        // Never measured: background, whatever the window makes of its number.
        if padding.is_some_and(|padding| padding.holds(value)) {
            return 0;
        }
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
        notes,
    })
}

/// Whether the lowest value is white: by Presentation LUT Shape (PS3.3, C.11.6.1.2), which holds
/// the turn that MONOCHROME1 asks for already (C.8.11.3.1.2), else by MONOCHROME1 alone.
fn is_inverted(header: &Header<'_>, photometric: Photometric, notes: &mut Vec<String>) -> bool {
    let by_photometric = photometric == Photometric::Monochrome1;
    let by_shape = match header.code(tags::PRESENTATION_LUT_SHAPE).as_deref() {
        Some("INVERSE") => true,
        Some("IDENTITY") => false,
        _ => return by_photometric,
    };
    if by_shape != by_photometric {
        notes.push(INVERSION_DISPUTED.to_owned());
    }
    by_shape
}

/// The values of pixels that were never measured (PS3.3, C.7.5.1.1.2).
#[derive(Debug, Clone, Copy)]
struct Padding {
    least: i64,
    most: i64,
}

impl Padding {
    fn of(header: &Header<'_>, stored: &Stored) -> Option<Self> {
        let value = |tag| {
            let value = header.object.get(tag)?.to_int::<i64>().ok()?;
            // Of whatever sign the element is: what counts are its bits.
            Some(stored.value(value as u32))
        };
        let one = value(tags::PIXEL_PADDING_VALUE)?;
        let other = value(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(one);
        Some(Self {
            least: one.min(other),
            most: one.max(other),
        })
    }

    fn holds(&self, value: i64) -> bool {
        (self.least..=self.most).contains(&value)
    }
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
            let table = Lut::of_item(item, "modality LUT")?;
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
    fn of(
        header: &Header<'_>,
        frame: usize,
        notes: &mut Vec<String>,
    ) -> Result<Option<Self>, String> {
        let items = header.object.get(tags::VOILUT_SEQUENCE);
        if let Some(item) = items.and_then(|e| e.items()?.first()) {
            return Ok(Some(Self::Table(Lut::of_item(item, "VOI LUT")?)));
        }
        let object = header.group(tags::FRAME_VOILUT_SEQUENCE, frame);
        let says = |tag| text_of(object, tag).is_some();
        let window = Self::window(object);
        if window.is_none() && (says(tags::WINDOW_CENTER) || says(tags::WINDOW_WIDTH)) {
            notes.push(WINDOW_UNREAD.to_owned());
        }
        Ok(window)
    }

    /// The first window, where it is one.
    fn window(object: &InMemDicomObject) -> Option<Self> {
        let centre = number(object, tags::WINDOW_CENTER)?;
        let width = number(object, tags::WINDOW_WIDTH)?;
        let function = text_of(object, tags::VOILUT_FUNCTION).map(|word| word.to_uppercase());
        let function = match function.as_deref() {
            None | Some("LINEAR") => Function::Linear,
            Some("LINEAR_EXACT") => Function::LinearExact,
            Some("SIGMOID") => Function::Sigmoid,
            Some(_) => return None,
        };
        let least = if matches!(function, Function::Linear) {
            1.0
        } else {
            f64::MIN_POSITIVE
        };
        (width >= least).then_some(Self::Window {
            centre,
            width,
            function,
        })
    }

    /// Eight bits as they are; wider values between the values that leave out
    /// `CLIPPED` of the pixels on either side.
    fn default_for(
        header: &Header<'_>,
        stored: &Stored,
        modality: &Modality,
        padding: Option<Padding>,
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
        let is_measured = |value: &i64| padding.is_none_or(|padding| !padding.holds(*value));
        let mut values: Vec<i64> = stored.values().filter(is_measured).collect();
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
            Self::Table(table) => table.at(value) / lut::top(std::slice::from_ref(table)),
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
