//! Images of a kind that is not read: what each is called, what to do about it, and the refusal that
//! says so.

use crate::case::{Refusal, RefusalCode};

/// The formats that are read.
pub const FORMATS: &str = "DICOM, PNG, JPEG, PGM/PPM, TIFF and BMP";

/// What holds images and is not read here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// Its name, with its article.
    pub what: &'static str,
    /// How to get an image out of it that is read.
    pub help: &'static str,
}

/// An image of a kind that is not read.
pub(super) fn unread(kind: Unread) -> Refusal {
    Refusal::new(
        RefusalCode::UnsupportedFormat,
        format!("{} is not read here", kind.what),
        format!("{}; read are {FORMATS}", kind.help),
    )
}
