//! Deflated data sets (PS3.5, A.5), inflated before anything parses them and only as far as an
//! image can need: a file of 1 MiB may unpack to 1 GiB, of millions of elements each of which
//! costs its parser time and memory. Called by `file_meta`; what comes out is written as an explicit,
//! little-endian data set is.

use dicom_core::VR;
use dicom_dictionary_std::uids;
use miniz_oxide::inflate::stream::{InflateState, inflate as inflate_some};
use miniz_oxide::{DataFormat, MZFlush, MZStatus};

use super::element::{little, vr};
use crate::image::limits::MAX_FILE_BYTES;

/// Most bytes of an inflated data set: no more than a file that is not deflated may have.
const MOST_BYTES: usize = MAX_FILE_BYTES as usize;
/// Most elements and items of one; objects of a thousand frames have some ten thousand.
const MOST_ELEMENTS: usize = 1 << 19;
/// The length of what ends by a delimiter.
const UNDEFINED: u32 = u32::MAX;
/// The group of items and delimiters.
const ITEMS: u16 = 0xfffe;

/// Transfer syntaxes whose data sets are deflated whole.
const DEFLATED: [&str; 3] = [
    uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    uids::JPIP_REFERENCED_DEFLATE,
    uids::JPIPHTJ2K_REFERENCED_DEFLATE,
];

/// Whether a data set of this transfer syntax is deflated.
pub(super) fn is_deflated(syntax: &str) -> bool {
    DEFLATED.contains(&syntax)
}

/// A data set as it was before it was deflated.
///
/// # Errors
/// A sentence that names the limit it exceeds. One that is cut short comes out as far as it goes.
pub(super) fn inflate(deflated: &[u8]) -> Result<Vec<u8>, String> {
    let Some(set) = inflated(deflated, MOST_BYTES) else {
        let most = MOST_BYTES >> 20;
        return Err(format!(
            "the deflated data set unpacks to more than {most} MiB"
        ));
    };
    if has_more_elements(&set, MOST_ELEMENTS) {
        let what = format!("the deflated data set has more than {MOST_ELEMENTS} elements");
        return Err(what);
    }
    Ok(set)
}

/// As much as can be inflated; `None` where that is more than `most` bytes.
fn inflated(mut rest: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let (mut set, mut length) = (Vec::new(), 0);
    loop {
        if set.len() == length {
            // One byte more than is allowed says that there is more.
            set.resize((2 * length).clamp(1 << 16, most + 1), 0);
        }
        let done = inflate_some(&mut state, rest, &mut set[length..], MZFlush::None);
        rest = &rest[done.bytes_consumed..];
        length += done.bytes_written;
        if length > most {
            return None;
        }
        let goes_on = done.bytes_consumed + done.bytes_written > 0;
        if done.status == Ok(MZStatus::StreamEnd) || !goes_on {
            set.truncate(length);
            return Some(set);
        }
    }
}

/// Whether a data set has more than so many elements and items, at whatever depth: it is gone
/// through from head to head, and nothing is kept.
fn has_more_elements(set: &[u8], most: usize) -> bool {
    let (mut rest, mut count) = (set, 0);
    while let Some((head, value)) = element(rest) {
        count += 1;
        if count > most {
            return true;
        }
        let next = head
            .checked_add(value)
            .and_then(|length| rest.get(length..));
        rest = next.unwrap_or_default();
    }
    false
}

/// Lengths of an element's head and of its value; none of a value that holds elements.
fn element(bytes: &[u8]) -> Option<(usize, usize)> {
    let length = |at: usize| -> Option<u32> {
        Some(u32::from(little(bytes, at)?) | u32::from(little(bytes, at + 2)?) << 16)
    };
    let is_item = little(bytes, 0)? == ITEMS;
    let (head, value) = match vr(bytes) {
        _ if is_item => (8, 0),
        Some(VR::SQ) => (12, 0),
        Some(vr) if is_long(vr) => (12, length(8)?),
        Some(_) => (8, little(bytes, 6)?.into()),
        // Within a sequence of unknown meaning elements are written without it.
        None => (8, length(4)?),
    };
    let value = if value == UNDEFINED { 0 } else { value };
    Some((head, value as usize))
}

/// Whether its length takes four bytes (PS3.5, table 7.1-1).
fn is_long(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SV, UC, UN, UR, UT, UV};
    matches!(
        vr,
        OB | OD | OF | OL | OV | OW | SV | UC | UN | UR | UT | UV
    )
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec;

    use super::*;

    const SHORT: &[u8] = b"\x08\0\x60\0CS\x02\0DX";
    const LONG: &[u8] = b"\xe0\x7f\x10\0OW\0\0\x04\0\0\0\x01\x02\x03\x04";
    const SEQUENCE: &[u8] = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff";
    const ITEM: &[u8] = b"\xfe\xff\0\xe0\xff\xff\xff\xff";
    const BARE: &[u8] = b"\x08\0\x60\0\x02\0\0\0DX";

    #[test]
    fn elements_are_counted_at_every_depth() {
        for (what, set, count) in [
            ("none", vec![], 0),
            ("one", SHORT.to_vec(), 1),
            ("two", [SHORT, LONG].concat(), 2),
            ("in an item", [SEQUENCE, ITEM, SHORT, LONG].concat(), 4),
            (
                "without a VR",
                [SEQUENCE, ITEM, BARE, BARE, SHORT].concat(),
                5,
            ),
            ("cut within a value", LONG[..14].to_vec(), 1),
            ("cut within a head", LONG[..7].to_vec(), 0),
        ] {
            let more = |most| has_more_elements(&set, most);
            assert!(!more(count), "{what}");
            assert!(count == 0 || more(count - 1), "{what}");
        }
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused_by_its_limit() {
        let packed = |set: &[u8]| compress_to_vec(set, 6);
        assert_eq!(inflate(&packed(SHORT)).unwrap(), SHORT);
        // Pixels, as many as a file that is not deflated may have.
        let length = (MOST_BYTES as u32 - 12).to_le_bytes();
        let mut pixels = [&LONG[..8], &length].concat();
        pixels.resize(MOST_BYTES, 0);
        assert_eq!(inflate(&packed(&pixels)).unwrap().len(), MOST_BYTES);
        pixels.push(0);
        let why = inflate(&packed(&pixels)).unwrap_err();
        assert_eq!(why, "the deflated data set unpacks to more than 96 MiB");
        let many = SHORT.repeat(MOST_ELEMENTS + 1);
        let why = inflate(&packed(&many)).unwrap_err();
        assert_eq!(why, "the deflated data set has more than 524288 elements");
        let cut = packed(LONG);
        assert!(LONG.starts_with(&inflate(&cut[..cut.len() - 3]).unwrap()));
    }
}
