//! The child's side: confines itself, reads standard input, decodes it, writes one answer to
//! standard output and ends. Before it is confined it reads nothing that others sent.

use std::io::{Result, Write};

use super::{Checked, Head, Wanted};
use crate::case::Refusal;
use crate::child;
use crate::image::decode::decode_frame;
use crate::image::{FrameChoice, Image, Pixels, dicom, open};
use crate::sandbox;

/// Decodes standard input.
///
/// # Errors
/// Where the parent has gone.
pub fn decode_as_child(wanted: Wanted) -> Result<()> {
    decode_as_child_by(wanted, decode_frame)
}

/// The same with another decoder: a test gives one that is hostile.
///
/// # Errors
/// As [`decode_as_child`].
pub fn decode_as_child_by(
    wanted: Wanted,
    decode: impl FnOnce(&[u8], FrameChoice) -> std::result::Result<Image, Refusal>,
) -> Result<()> {
    child::end_with_parent()?;
    let report = sandbox::begin().decoder();
    // A decoder's panic is told as a refusal; its words could hold the file's.
    std::panic::set_hook(Box::new(|_| {}));
    let mut out = std::io::stdout().lock();
    child::write(&mut out, &child::FORM)?;
    let frame = match wanted {
        Wanted::Picture(frame) => frame,
        Wanted::Priority => {
            let bytes = open::bytes_of(std::io::stdin().lock());
            let priority = bytes.ok().and_then(|bytes| dicom::priority(&bytes));
            return child::write(&mut out, &priority);
        }
        Wanted::Check => {
            let bytes = open::bytes_of(std::io::stdin().lock()).map_err(|why| why.refusal());
            let claims = bytes.as_ref().map(|bytes| dicom::claims(bytes));
            let claims = claims.unwrap_or_default();
            let picture = bytes.and_then(|bytes| decode(&bytes, FrameChoice::Unsaid));
            let refusal = picture.err();
            return child::write(&mut out, &Checked { refusal, claims });
        }
        Wanted::Sandbox => {
            return child::write(&mut out, &report);
        }
    };
    let bytes = open::bytes_of(std::io::stdin().lock()).map_err(|why| why.refusal());
    let (head, pixels) = match bytes.and_then(|bytes| decode(&bytes, frame)) {
        Ok(image) => told(image),
        Err(refusal) => (Head::Refusal(refusal), Vec::new()),
    };
    child::write(&mut out, &head)?;
    out.write_all(&pixels)?;
    out.flush()
}

/// An image as it is written: its head, and its pixels.
fn told(image: Image) -> (Head, Vec<u8>) {
    let (is_rgb, pixels) = match image.pixels {
        Pixels::Luma(bytes) => (false, bytes),
        Pixels::Rgb(bytes) => (true, bytes),
    };
    let head = Head::Image {
        width: image.width,
        height: image.height,
        is_rgb,
        said: Box::new(image.metadata),
        sha256: image.sha256,
        origin: image.origin,
    };
    (head, pixels)
}
