//! A decoder's answer: how it is written, and which of it is believed. The decoder has read what
//! others sent and may have been taken over, so sizes, pixels and words must fit together.

use serde::{Deserialize, Serialize};

use crate::case::Refusal;
use crate::image::limits::{MAX_SIDE, MIN_SIDE};
use crate::image::{Claims, Image, ImageMetadata, Origin, Pixels, cut};
use crate::sha256::Sha256;

/// The message that a child writes before the pixels.
#[derive(Serialize, Deserialize)]
pub(super) enum Head {
    Image {
        width: u32,
        height: u32,
        is_rgb: bool,
        said: Box<ImageMetadata>,
        sha256: Sha256,
        origin: Option<Box<Origin>>,
    },
    Refusal(Refusal),
}

/// The child's answer; `None` where it says what cannot be.
pub(super) fn understand(head: Head, bytes: Vec<u8>) -> Option<Result<Image, Refusal>> {
    match head {
        Head::Refusal(refusal) => Some(Err(shortened(refusal))),
        Head::Image {
            width,
            height,
            is_rgb,
            said,
            sha256,
            origin,
        } => {
            let pixels = if is_rgb {
                Pixels::Rgb(bytes)
            } else {
                Pixels::Luma(bytes)
            };
            let image = Image {
                width,
                height,
                pixels,
                metadata: *said,
                sha256,
                origin,
            };
            (is_whole(&image) && is_short(&image.metadata)).then_some(Ok(image))
        }
    }
}

/// Whether there is a picture in a file, and what the file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Why there is no picture; `None` where there is one.
    pub refusal: Option<Refusal>,
    /// What it says of itself.
    pub claims: Claims,
}

impl Checked {
    /// As much of it as is believed of whoever read what others sent.
    pub(super) fn believed(self) -> Self {
        let refusal = self.refusal.map(shortened);
        let priority = self.claims.priority.map(|word| cut(&word));
        Self {
            refusal,
            claims: Claims {
                priority,
                ..self.claims
            },
        }
    }
}

/// A child's refusal: the child was not told what the file is called.
fn shortened(refusal: Refusal) -> Refusal {
    Refusal {
        message: refusal.message.chars().take(LONGEST_MESSAGE).collect(),
        file: None,
        ..refusal
    }
}

/// As much of a refusal's message as is told of.
const LONGEST_MESSAGE: usize = 1024;

/// Whether what a file says of itself is as short as a decoder's words are: it goes into the
/// journal and over serial lines.
fn is_short(said: &ImageMetadata) -> bool {
    let words = [
        &said.modality,
        &said.body_part,
        &said.view,
        &said.laterality,
        &said.coded.body_part,
        &said.coded.view,
        &said.coded.laterality,
        &said.window,
    ];
    let is_short = |text: &String| text.chars().count() <= LONGEST_MESSAGE;
    words.into_iter().flatten().chain(&said.notes).all(is_short) && said.notes.len() <= MOST_NOTES
}

/// More notes than any file is worth.
const MOST_NOTES: usize = 64;

/// Whether sizes, pixels and region fit together, as a decoder's always do.
fn is_whole(image: &Image) -> bool {
    let (width, height) = (image.width, image.height);
    let (bytes, channels) = match &image.pixels {
        Pixels::Luma(bytes) => (bytes, 1),
        Pixels::Rgb(bytes) => (bytes, 3),
    };
    let side = MIN_SIDE..=MAX_SIDE;
    let lies_within = |[x, y, w, h]: [u32; 4]| {
        let ends = |from: u32, size: u32, most| from.checked_add(size).is_some_and(|to| to <= most);
        w > 0 && h > 0 && ends(x, w, width) && ends(y, h, height)
    };
    side.contains(&width)
        && side.contains(&height)
        && bytes.len() as u64 == u64::from(width) * u64::from(height) * channels
        && image.metadata.region.is_none_or(lies_within)
}

#[cfg(test)]
mod tests;
