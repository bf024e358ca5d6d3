//! A file's head: what stands before its data set, and what it would say where it is not
//! there. Old units and dumps of what was sent leave out preamble and magic word, and many
//! of them the meta group; the data set's first element then says how the rest is written.
//!
//! A meta group is read to its end, whatever it says of its length. Nothing here guesses how
//! pixels are compressed: only the meta group could say.

use std::io::Read;

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::file::ReadPreamble;
use dicom_object::{DefaultDicomObject, OpenFileOptions, ReadError};

use super::deflated;
use super::element::{little, vr};
use super::legible::make_legible;
use super::mend::{Form, mended};

/// Retired, and still met.
pub(super) const EXPLICIT_BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";

const MAGIC: &[u8] = b"DICM";
const MAGIC_AT: usize = 128;
/// The group that every picture's data set begins with.
const FIRST_GROUP: u16 = 0x0008;

/// Whether the bytes begin as a DICOM file does, with the whole head or without.
pub fn is_dicom(bytes: &[u8]) -> bool {
    has_magic(bytes) || Parts::of(bytes).is_some()
}

/// Why there is no object.
#[derive(Debug)]
pub(super) enum Unopened {
    /// It is damaged.
    Read(Box<ReadError>),
    /// It unpacks to more than is read.
    TooMuch(String),
}

impl From<ReadError> for Unopened {
    fn from(error: ReadError) -> Self {
        Self::Read(error.into())
    }
}

/// A file's object, its texts as they are told.
pub(super) struct Opened {
    pub object: DefaultDicomObject,
    /// What could not be read of its texts.
    pub notes: Vec<String>,
}

/// The file's object.
pub(super) fn open(bytes: &[u8]) -> Result<Opened, Unopened> {
    let (mut object, is_raw) = object(bytes)?;
    let notes = make_legible(&mut object, is_raw);
    let meta = object.meta();
    for (tag, of_media) in [
        (
            tags::SOP_CLASS_UID,
            meta.media_storage_sop_class_uid().to_owned(),
        ),
        (
            tags::SOP_INSTANCE_UID,
            meta.media_storage_sop_instance_uid().to_owned(),
        ),
    ] {
        // The meta group says them, too.
        let of_media = of_media.trim_end_matches(['\0', ' ']);
        if object.get(tag).is_none() && !of_media.is_empty() {
            object.put(DataElement::new(
                tag,
                VR::UI,
                PrimitiveValue::from(of_media),
            ));
        }
    }
    Ok(Opened { object, notes })
}

/// The object, and whether its texts are bytes still.
fn object(bytes: &[u8]) -> Result<(DefaultDicomObject, bool), Unopened> {
    let Some(parts) = Parts::of(behind_magic(bytes)) else {
        return Ok((OpenFileOptions::new().from_reader(bytes)?, false));
    };
    let form = match parts.syntax.as_str() {
        deflated if deflated::is_deflated(deflated) => return inflated(&parts),
        EXPLICIT_BIG_ENDIAN => Form::ExplicitBig,
        uids::IMPLICIT_VR_LITTLE_ENDIAN => Form::Implicit,
        _ => Form::Explicit,
    };
    let (data, is_raw) = mended(parts.data, form);
    Ok((parsed(&parts.head, &data)?, is_raw))
}

fn parsed(head: &[u8], data: &[u8]) -> Result<DefaultDicomObject, Unopened> {
    let options = OpenFileOptions::new().read_preamble(ReadPreamble::Never);
    Ok(options.from_reader(head.chain(data))?)
}

/// The object of a file whose data set is deflated: the parser never inflates anything.
fn inflated(parts: &Parts<'_>) -> Result<(DefaultDicomObject, bool), Unopened> {
    let set = deflated::inflate(parts.data).map_err(Unopened::TooMuch)?;
    let head = parts.head_as(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let (data, is_raw) = mended(&set, Form::Explicit);
    let mut object = parsed(&head, &data)?;
    object.update_meta(|meta| meta.transfer_syntax.clone_from(&parts.syntax));
    Ok((object, is_raw))
}

/// The class of the object, as the meta group says it.
pub(super) fn media_class(bytes: &[u8]) -> Option<&str> {
    let mut data = behind_magic(bytes);
    while let Some((tag, length)) = meta_element(data) {
        let (element, rest) = data.split_at_checked(length)?;
        if tag == tags::MEDIA_STORAGE_SOP_CLASS_UID {
            let class = std::str::from_utf8(element.get(8..)?).ok()?;
            return Some(class.trim_end_matches(['\0', ' ']));
        }
        data = rest;
    }
    None
}

fn has_magic(bytes: &[u8]) -> bool {
    bytes.get(MAGIC_AT..MAGIC_AT + MAGIC.len()) == Some(MAGIC) || bytes.starts_with(MAGIC)
}

/// What follows the preamble and the magic word, where they are there.
fn behind_magic(bytes: &[u8]) -> &[u8] {
    match has_magic(bytes) {
        true if bytes.starts_with(MAGIC) => &bytes[MAGIC.len()..],
        true => &bytes[MAGIC_AT + MAGIC.len()..],
        false => bytes,
    }
}

/// A file without its preamble and its magic word.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'b> {
    /// Magic word and meta group, as the parser wants them.
    head: Vec<u8>,
    /// The transfer syntax.
    syntax: String,
    data: &'b [u8],
}

impl<'b> Parts<'b> {
    /// `None` where the bytes do not begin as DICOM does.
    fn of(bytes: &'b [u8]) -> Option<Self> {
        let mut group = Vec::new();
        let mut data = bytes;
        let mut syntax = None;
        while let Some((tag, length)) = meta_element(data) {
            let (element, rest) = data.split_at_checked(length)?;
            if tag != tags::FILE_META_INFORMATION_GROUP_LENGTH && !is_bad_uid(element) {
                group.extend_from_slice(element);
            }
            if tag == tags::TRANSFER_SYNTAX_UID {
                let uid = std::str::from_utf8(element.get(8..)?).ok()?;
                syntax = Some(uid.trim_end_matches(['\0', ' ']).to_owned());
            }
            data = rest;
        }
        let syntax = match syntax {
            Some(syntax) => syntax,
            None => {
                let syntax = syntax_of(data)?;
                group.extend(uid_element(tags::TRANSFER_SYNTAX_UID, syntax));
                syntax.to_owned()
            }
        };
        Some(Self {
            head: head_of(&group)?,
            syntax,
            data,
        })
    }

    /// The head as it would be with another transfer syntax.
    fn head_as(&self, syntax: &str) -> Vec<u8> {
        let mut group = Vec::new();
        let mut rest = &self.head[MAGIC.len()..];
        while let Some((tag, length)) = meta_element(rest) {
            let (element, behind) = rest.split_at(length);
            match tag {
                tags::FILE_META_INFORMATION_GROUP_LENGTH => {}
                tags::TRANSFER_SYNTAX_UID => group.extend(uid_element(tag, syntax)),
                _ => group.extend_from_slice(element),
            }
            rest = behind;
        }
        head_of(&group).unwrap_or_default()
    }
}

/// A meta group behind magic word and length; `None` where it is longer than can be written.
fn head_of(group: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(group.len()).ok()?.to_le_bytes();
    let length = short_element(tags::FILE_META_INFORMATION_GROUP_LENGTH, VR::UL, &length);
    Some([MAGIC, &length, group].concat())
}

/// Whether an element of the meta group is a UID that is none: the parser would read nothing of
/// the file, which has them all again in its data set, but for the transfer syntax.
fn is_bad_uid(element: &[u8]) -> bool {
    let may_be = |byte: &u8| byte.is_ascii_digit() || b". \0".contains(byte);
    vr(element) == Some(VR::UI) && !element.iter().skip(8).all(may_be)
}

/// Tag and length, head included, of an element of the meta group, where one begins here;
/// they are explicit and little endian (PS3.10, 7.1).
fn meta_element(bytes: &[u8]) -> Option<(Tag, usize)> {
    let tag = Tag(little(bytes, 0)?, little(bytes, 2)?);
    if tag.group() != tags::TRANSFER_SYNTAX_UID.group() {
        return None;
    }
    let length = match vr(bytes)? {
        VR::OB | VR::UN | VR::UT | VR::UR => {
            12 + (usize::from(little(bytes, 8)?) | usize::from(little(bytes, 10)?) << 16)
        }
        _ => 8 + usize::from(little(bytes, 6)?),
    };
    Some((tag, length))
}

/// How a data set is written, by its first element (PS3.5, 7.1).
fn syntax_of(data: &[u8]) -> Option<&'static str> {
    let group = little(data, 0)?;
    let explicit = vr(data).is_some();
    if group == FIRST_GROUP.swap_bytes() && explicit {
        return Some(EXPLICIT_BIG_ENDIAN);
    }
    if group != FIRST_GROUP {
        return None;
    }
    if explicit {
        return Some(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    }
    // A first element of 64 KiB is none.
    let is_short = little(data, 6)? == 0;
    is_short.then_some(uids::IMPLICIT_VR_LITTLE_ENDIAN)
}

fn uid_element(tag: Tag, uid: &str) -> Vec<u8> {
    let mut value = uid.as_bytes().to_vec();
    if !value.len().is_multiple_of(2) {
        value.push(0);
    }
    short_element(tag, VR::UI, &value)
}

fn short_element(tag: Tag, vr: VR, value: &[u8]) -> Vec<u8> {
    let mut element = [tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat();
    element.extend_from_slice(vr.to_string().as_bytes());
    element.extend_from_slice(&(value.len() as u16).to_le_bytes());
    element.extend_from_slice(value);
    element
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_element_says_how_a_data_set_is_written() {
        let implicit = b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100";
        for (bytes, syntax) in [
            (&implicit[..], Some(uids::IMPLICIT_VR_LITTLE_ENDIAN)),
            (
                b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100",
                Some(uids::EXPLICIT_VR_LITTLE_ENDIAN),
            ),
            (
                b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100",
                Some(EXPLICIT_BIG_ENDIAN),
            ),
            (b"\x08\x00\x05\x00\x0a\x00\x01\x00", None),
            (b"\x10\x00\x10\x00\x0a\x00\x00\x00", None),
            (b"\x08\x00\x05\x00", None),
            (b"", None),
        ] {
            assert_eq!(syntax_of(bytes), syntax, "{bytes:?}");
        }
    }

    #[test]
    fn a_meta_group_without_its_length_gets_one() {
        let syntax = uid_element(tags::TRANSFER_SYNTAX_UID, uids::JPEGLS_LOSSLESS);
        let set = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100";
        let bytes = [&syntax[..], set].concat();
        let parts = Parts::of(&bytes).unwrap();
        let whole = [
            MAGIC,
            b"\x02\0\0\0UL\x04\0",
            &(syntax.len() as u32).to_le_bytes(),
            &syntax,
        ];
        let expected = Parts {
            head: whole.concat(),
            syntax: uids::JPEGLS_LOSSLESS.to_owned(),
            data: set,
        };
        assert_eq!(parts, expected);
        // Cut within the group, there is no saying what follows.
        assert!(Parts::of(&syntax[..syntax.len() - 1]).is_none());
    }
}
