//! How large an image may be, and the refusals that every reader shares. Used by the readers of all
//! formats; decides nothing by itself.

use super::FrameChoice;
use crate::case::{Help, Refusal, RefusalCode};

/// Shortest side, in pixels, that is answered.
pub const MIN_SIDE: u32 = 32;
/// Longest side, in pixels, that is answered.
pub const MAX_SIDE: u32 = 16_384;
/// Most bytes that the decoded samples of one image may take.
pub const MAX_DECODED_BYTES: u64 = 96 << 20;
/// Most bytes that a file may have.
pub const MAX_FILE_BYTES: u64 = 96 << 20;

/// The way out where an image is too large.
pub(super) const SMALLER: &str =
    "export the image at a smaller size; 2,000 pixels a side are plenty";

pub(super) fn check_size(width: u32, height: u32, bytes_per_pixel: u64) -> Result<(), Refusal> {
    if width.min(height) < MIN_SIDE {
        return Err(Refusal::new(
            RefusalCode::TooSmall,
            format!("{width} x {height} pixels; at least {MIN_SIDE} x {MIN_SIDE} needed"),
            "export the image at its full size",
        ));
    }
    let bytes = u64::from(width) * u64::from(height) * bytes_per_pixel;
    if width.max(height) > MAX_SIDE || bytes > MAX_DECODED_BYTES {
        return Err(too_large(format!(
            "{width} x {height} pixels take {bytes} bytes"
        )));
    }
    Ok(())
}

pub(super) fn unreadable(why: &str) -> Refusal {
    Refusal::new(
        RefusalCode::Unreadable,
        format!("damaged or cut short: {why}"),
        "copy or export the file again",
    )
}

/// A file that may be whole, and asks too much of its decoder: another copy would as well.
pub(super) fn too_hard(why: &str) -> Refusal {
    Refusal::new(
        RefusalCode::Unreadable,
        why,
        "export the image anew, as PNG or as uncompressed DICOM",
    )
}

pub(super) fn too_large(what: String) -> Refusal {
    Refusal::new(
        RefusalCode::TooLarge,
        format!(
            "{what}; at most {MAX_SIDE} pixels a side and {} MiB decoded are read",
            MAX_DECODED_BYTES >> 20
        ),
        SMALLER,
    )
}

/// The file holds so many pictures, and not the one that was asked for.
pub(super) fn no_such_frame(choice: FrameChoice, count: usize) -> Refusal {
    Refusal::new(
        RefusalCode::NoSuchFrame,
        format!("there is no frame {choice}"),
        Help::ChooseFrame(count as u32),
    )
}
