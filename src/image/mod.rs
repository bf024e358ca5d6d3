//! A file becomes an [`Image`]: pixels of 8 bits and what the source said of them.
//!
//! This room never guesses what an image shows, never runs a model and never lets
//! a damaged file pass for a whole one.

mod jpeg;
mod read;
mod resize;
mod tiff_palette;

pub use read::{MAX_DECODED_BYTES, MAX_SIDE, MIN_SIDE, decode, read};
pub use resize::{Canvas, UnitBox};

/// Decoded pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pixels {
    /// One byte a pixel.
    Luma(Vec<u8>),
    /// Three bytes a pixel.
    Rgb(Vec<u8>),
}

/// What the file says of its own content, in DICOM's words; empty where it is silent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// DICOM Modality (0008,0060), such as `DX`, `MR`, `US`.
    pub modality: Option<String>,
    /// DICOM Body Part Examined (0018,0015), such as `CHEST`.
    pub body_part: Option<String>,
}

/// An image as every later room sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// The pixels.
    pub pixels: Pixels,
    /// What the file said.
    pub said: Said,
    /// SHA-256 of the file's bytes, lower-case hexadecimal.
    pub sha256: String,
}

impl Image {
    /// The pixel at column `x`, row `y`, as red, green and blue.
    pub fn rgb(&self, x: u32, y: u32) -> [u8; 3] {
        let at = y as usize * self.width as usize + x as usize;
        match &self.pixels {
            Pixels::Luma(luma) => [luma[at]; 3],
            Pixels::Rgb(rgb) => [rgb[3 * at], rgb[3 * at + 1], rgb[3 * at + 2]],
        }
    }
}
