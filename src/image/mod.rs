//! A file becomes an [`Image`]: pixels of 8 bits and what the file says of them, or a refusal that
//! names the file. Called by the command line, the device and enrolment.
//!
//! This module never guesses what an image shows, never runs a model and never lets a damaged file
//! pass for a whole one.

mod apng;
mod clean;
mod decode;
pub mod dicom;
pub mod format;
mod isolated;
mod jpeg;
mod limits;
pub mod open;
mod pages;
mod patient;
mod png_text;
mod pnm;
mod read;
mod resize;
mod tiff_pages;
mod tiff_palette;
mod unread;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::case::{Anatomy, Laterality};
use crate::patient::PatientSaid;
use crate::sha256::Sha256;

pub use decode::{decode, decode_frame};
pub use dicom::{Claims, Contradiction, Origin};
pub use isolated::{
    Checked, Decoded, Wanted, decode_as_child, decode_as_child_by, isolate, sandbox_of_child,
};
pub use limits::{MAX_DECODED_BYTES, MAX_FILE_BYTES, MAX_SIDE, MIN_SIDE};
pub use read::{check, priority, read, read_by, read_frame, read_frame_as};
pub(crate) use resize::stretched_rgb;
pub use resize::{Canvas, UnitBox};

/// Decoded pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pixels {
    /// One byte a pixel.
    Luma(Vec<u8>),
    /// Three bytes a pixel.
    Rgb(Vec<u8>),
}

/// [`FrameChoice::Unsaid`] among a child's arguments.
const UNSAID: &str = "unsaid";

/// Which picture of a file with several is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FrameChoice {
    /// Nobody said: the middle frame of a DICOM object, the only picture of another file.
    #[default]
    Unsaid,
    /// The one in the middle.
    Middle,
    /// The one with this number, counted from 1.
    Number(u32),
}

impl FrameChoice {
    /// Index, counted from 0, of the one of `count` that is meant; `None` where there is no
    /// such, or where nobody said which of several.
    fn of(self, count: usize) -> Option<usize> {
        match self {
            Self::Unsaid => (count == 1).then_some(0),
            Self::Middle => count.checked_sub(1).map(|last| last / 2),
            Self::Number(number) => (number as usize).checked_sub(1).filter(|&i| i < count),
        }
    }
}

impl fmt::Display for FrameChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsaid => f.write_str(UNSAID),
            Self::Middle => f.write_str("middle"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl FromStr for FrameChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == UNSAID => Ok(Self::Unsaid),
            _ if text == "middle" => Ok(Self::Middle),
            Ok(number @ 1..) => Ok(Self::Number(number)),
            _ => Err("give a number from 1, or middle".to_owned()),
        }
    }
}

/// What DICOM's code sequences say, in the words that the attributes beside them would have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coded {
    /// Anatomic Region Sequence (0008,2218).
    pub body_part: Option<String>,
    /// View Code Sequence (0054,0220).
    pub view: Option<String>,
    /// Anatomic Region Modifier Sequence (0008,2220).
    pub laterality: Option<String>,
}

/// Four times what one of DICOM's code strings may have (PS3.5, table 6.2-1).
const LONGEST_WORD: usize = 64;

/// As much of a file's word as is ever told of: records and serial lines are to stay short.
fn cut(word: &str) -> String {
    word.chars().take(LONGEST_WORD).collect()
}

/// What the file says of its own content, in DICOM's words; empty where it is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageMetadata {
    /// DICOM Modality (0008,0060), such as `DX`, `MR`, `US`.
    pub modality: Option<String>,
    /// DICOM Body Part Examined (0018,0015), such as `CHEST`.
    pub body_part: Option<String>,
    /// DICOM View Position (0018,5101), such as `PA`, `LL`.
    pub view: Option<String>,
    /// DICOM Image Laterality (0020,0062) or Laterality (0020,0060): `L`, `R`, `B`.
    pub laterality: Option<String>,
    /// Body part, view and side by codes, which may say another thing than the words.
    pub coded: Coded,
    /// The frame that this is, counted from 1, and how many there are.
    pub frame: Option<(u32, u32)>,
    /// How stored values became shades of grey, in words.
    pub window: Option<String>,
    /// DICOM Burned In Annotation (0028,0301): whether letters are part of the picture.
    pub burned_in: Option<bool>,
    /// Whether the pixels were computed from what a scanner measured, and are no capture of
    /// what somebody looked at: nobody writes into such.
    pub is_reconstruction: bool,
    /// The part that shows something, `[x, y, width, height]` in the image's own pixels:
    /// an ultrasound unit draws its own words around it.
    pub region: Option<[u32; 4]>,
    /// The patient's age and sex.
    pub patient: PatientSaid,
    /// For a JPEG file, which loses something: bytes of the pixels over bytes of the file, in
    /// hundredths. A DICOM object says it in its [`Origin`].
    pub jpeg_ratio: Option<u32>,
    /// What was said and could not be understood, as `code: sentence`.
    pub notes: Vec<String>,
}

impl ImageMetadata {
    /// What of the body the image shows, by word or else by code; no side where two are said.
    pub fn anatomy(&self) -> Anatomy {
        let word =
            |word: &Option<String>, code: &Option<String>| word.as_ref().or(code.as_ref()).cloned();
        let sides = [&self.laterality, &self.coded.laterality];
        let mut sides = sides
            .into_iter()
            .flatten()
            .map(|side| side.parse::<Laterality>().ok());
        let laterality = match (sides.next(), sides.next()) {
            (Some(word), None) => word,
            (Some(word), Some(code)) if word == code => word,
            // A pair, of which this image shows one.
            (Some(Some(Laterality::B)), Some(one)) | (Some(one), Some(Some(Laterality::B))) => one,
            _ => None,
        };
        Anatomy {
            body_part: word(&self.body_part, &self.coded.body_part),
            view: word(&self.view, &self.coded.view),
            laterality,
        }
    }
}

/// An image as every later module sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The pixels.
    pub pixels: Pixels,
    /// What the file said.
    pub metadata: ImageMetadata,
    /// SHA-256 of the file's bytes.
    pub sha256: Sha256,
    /// What DICOM and HL7 outputs take over from the file's object; `None` where it was
    /// no DICOM file.
    pub origin: Option<Box<Origin>>,
}

impl Image {
    /// The part inside `[x, y, width, height]`, which must lie in it, as an image of its own.
    /// It is for reading: it takes no patient along.
    #[must_use]
    pub fn part(&self, [x, y, width, height]: [u32; 4]) -> Self {
        let pixels = match &self.pixels {
            Pixels::Luma(luma) => Pixels::Luma(self.rows_of::<1>(luma, [x, y, width, height])),
            Pixels::Rgb(rgb) => Pixels::Rgb(self.rows_of::<3>(rgb, [x, y, width, height])),
        };
        let shared = |[left, top, w, h]: [u32; 4]| {
            let (from_x, from_y) = (left.max(x), top.max(y));
            let to = [(left + w).min(x + width), (top + h).min(y + height)];
            let size = [to[0].checked_sub(from_x)?, to[1].checked_sub(from_y)?];
            let is_some = size[0] > 0 && size[1] > 0;
            is_some.then(|| [from_x - x, from_y - y, size[0], size[1]])
        };
        Self {
            width,
            height,
            pixels,
            metadata: ImageMetadata {
                region: self.metadata.region.and_then(shared),
                ..self.metadata.clone()
            },
            sha256: self.sha256,
            origin: None,
        }
    }

    fn rows_of<const C: usize>(&self, pixels: &[u8], [x, y, width, height]: [u32; 4]) -> Vec<u8> {
        let (line, from) = (self.width as usize * C, x as usize * C);
        let rows = pixels.chunks_exact(line).skip(y as usize);
        let part = |row: &[u8]| row[from..from + width as usize * C].to_vec();
        rows.take(height as usize).flat_map(part).collect()
    }

    /// The pixel at column `x`, row `y`, as red, green and blue.
    pub fn rgb(&self, x: u32, y: u32) -> [u8; 3] {
        let at = y as usize * self.width as usize + x as usize;
        match &self.pixels {
            Pixels::Luma(luma) => [luma[at]; 3],
            Pixels::Rgb(rgb) => [rgb[3 * at], rgb[3 * at + 1], rgb[3 * at + 2]],
        }
    }
}
