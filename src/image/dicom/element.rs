//! The first bytes of an explicit data element (PS3.5, 7.1.2), for whoever reads a data set before
//! the parser does.

use dicom_core::VR;

/// A number of two bytes, little-endian.
pub(super) fn little(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_le_bytes([pair[0], pair[1]]))
}

/// The value representation of an explicit element.
pub(super) fn vr(bytes: &[u8]) -> Option<VR> {
    let word = bytes.get(4..6)?;
    VR::from_binary([word[0], word[1]])
}
