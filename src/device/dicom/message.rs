//! DIMSE commands (PS3.7): the few that verification and storage need.
//!
//! What a peer sends is read here and by no library: one that takes an element's length for
//! true has it set memory aside for gigabytes that never come.

use std::collections::BTreeMap;

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::IMPLICIT_VR_LITTLE_ENDIAN;

/// No data set follows.
const NONE: u16 = 0x0101;
/// A data set follows.
const FOLLOWS: u16 = 0x0001;
const STORE: u16 = 0x0001;
const ECHO: u16 = 0x0030;
const CANCEL: u16 = 0x0fff;
const REPLY: u16 = 0x8000;
/// Characters of an error comment at most (a long string).
const LONGEST_COMMENT: usize = 64;

/// What a peer asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// C-ECHO.
    Echo,
    /// C-STORE of this instance; a peer may forget to name it.
    Store {
        class: String,
        instance: Option<String>,
    },
    /// What is never replied to: a cancellation, or a reply to nothing.
    Nothing,
    /// Something else.
    Other,
}

/// A command, and what its reply repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub ask: Ask,
    /// Whether a data set follows.
    pub has_data: bool,
    field: u16,
    id: u16,
    class: String,
}

/// PS3.7, annex C, and PS3.4, B.2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Success = 0x0000,
    ProcessingFailure = 0x0110,
    InvalidInstance = 0x0117,
    ClassNotSupported = 0x0122,
    UnrecognizedOperation = 0x0211,
    OutOfResources = 0xa700,
    DataSetMismatch = 0xa900,
    CannotUnderstand = 0xc000,
}

impl Command {
    /// Reads a command set; `None` where it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let set = read(bytes)?;
        let number = |tag: Tag| set.number(tag);
        let text = |tag: Tag| {
            let text = str::from_utf8(set.value(tag)?).ok()?;
            Some(text.trim_matches(['\0', ' ']).to_owned())
        };
        let field = number(tags::COMMAND_FIELD)?;
        let class = text(tags::AFFECTED_SOP_CLASS_UID).unwrap_or_default();
        let ask = match field {
            ECHO => Ask::Echo,
            STORE => Ask::Store {
                class: class.clone(),
                instance: text(tags::AFFECTED_SOP_INSTANCE_UID).filter(|uid| !uid.is_empty()),
            },
            CANCEL | REPLY.. => Ask::Nothing,
            _ => Ask::Other,
        };
        let id = match ask {
            // These name the message that they are about.
            Ask::Nothing => 0,
            _ => number(tags::MESSAGE_ID)?,
        };
        Some(Self {
            ask,
            has_data: number(tags::COMMAND_DATA_SET_TYPE).map_or(field == STORE, |it| it != NONE),
            field,
            id,
            class,
        })
    }

    /// The reply's command set; a failure's comment says why.
    pub(crate) fn reply(&self, status: Status, comment: Option<&str>) -> Vec<u8> {
        let mut elements = vec![
            uid(tags::AFFECTED_SOP_CLASS_UID, &self.class),
            number(tags::COMMAND_FIELD, self.field | REPLY),
            number(tags::MESSAGE_ID_BEING_RESPONDED_TO, self.id),
            number(tags::COMMAND_DATA_SET_TYPE, NONE),
            number(tags::STATUS, status as u16),
        ];
        if let Ask::Store {
            instance: Some(instance),
            ..
        } = &self.ask
        {
            elements.push(uid(tags::AFFECTED_SOP_INSTANCE_UID, instance));
        }
        elements.extend(comment.map(|comment| {
            let plain = |c: &char| (' '..='~').contains(c) && *c != '\\';
            let comment: String = comment
                .chars()
                .filter(plain)
                .take(LONGEST_COMMENT)
                .collect();
            DataElement::new(tags::ERROR_COMMENT, VR::LO, PrimitiveValue::from(comment))
        }));
        written(elements)
    }
}

/// A C-STORE request's command set.
pub(crate) fn store(id: u16, class: &str, instance: &str) -> Vec<u8> {
    written(vec![
        uid(tags::AFFECTED_SOP_CLASS_UID, class),
        number(tags::COMMAND_FIELD, STORE),
        number(tags::MESSAGE_ID, id),
        number(tags::PRIORITY, 0),
        number(tags::COMMAND_DATA_SET_TYPE, FOLLOWS),
        uid(tags::AFFECTED_SOP_INSTANCE_UID, instance),
    ])
}

/// The reply to a C-STORE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    pub status: u16,
    /// The message that it answers.
    pub about: u16,
}

impl Reply {
    /// Reads a command set; `None` where it is none, or another one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let set = read(bytes)?;
        (set.number(tags::COMMAND_FIELD)? == STORE | REPLY).then_some(())?;
        Some(Self {
            status: set.number(tags::STATUS)?,
            about: set.number(tags::MESSAGE_ID_BEING_RESPONDED_TO)?,
        })
    }
}

/// The values of a command set, by element; all are of group 0.
struct Set<'a>(BTreeMap<u16, &'a [u8]>);

impl<'a> Set<'a> {
    fn value(&self, tag: Tag) -> Option<&'a [u8]> {
        self.0.get(&tag.1).copied()
    }

    fn number(&self, tag: Tag) -> Option<u16> {
        let bytes = self.value(tag)?.first_chunk()?;
        Some(u16::from_le_bytes(*bytes))
    }
}

/// Command sets are implicit little endian, whatever was negotiated (PS3.7, 6.3.1): tag,
/// length and value, none longer than what there is.
fn read(bytes: &[u8]) -> Option<Set<'_>> {
    let (mut values, mut rest) = (BTreeMap::new(), bytes);
    while !rest.is_empty() {
        let (head, after) = rest.split_first_chunk::<8>()?;
        let [g0, g1, e0, e1, length @ ..] = *head;
        if [g0, g1] != [0, 0] {
            return None;
        }
        let length = usize::try_from(u32::from_le_bytes(length)).ok()?;
        let (value, after) = after.split_at_checked(length)?;
        values.insert(u16::from_le_bytes([e0, e1]), value);
        rest = after;
    }
    Some(Set(values))
}

fn written(elements: Vec<DataElement<InMemDicomObject>>) -> Vec<u8> {
    let set = InMemDicomObject::command_from_element_iter(elements);
    let mut bytes = Vec::new();
    // Into memory, of a set of a few short values.
    if let Err(error) = set.write_dataset_with_ts(&mut bytes, &IMPLICIT_VR_LITTLE_ENDIAN.erased()) {
        log::error!("dicom: a command set cannot be written: {error}");
    }
    bytes
}

fn uid(tag: Tag, value: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::UI, PrimitiveValue::from(value))
}

fn number(tag: Tag, value: u16) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_and_its_reply_has_a_status() {
        let bytes = store(7, "1.2.3", "2.25.9");
        let command = Command::read(&bytes).unwrap();
        let (class, instance) = ("1.2.3".to_owned(), Some("2.25.9".to_owned()));
        assert_eq!(command.ask, Ask::Store { class, instance });
        assert!(command.has_data);
        let long = format!("it\n\\is {}", "full ".repeat(40));
        let reply = command.reply(Status::OutOfResources, Some(&long));
        let (status, about) = (0xa700, 7);
        assert_eq!(Reply::read(&reply), Some(Reply { status, about }));
        let set = read(&reply).unwrap();
        let comment = set.value(tags::ERROR_COMMENT).unwrap();
        assert!(comment.starts_with(b"itis full full"), "{comment:?}");
        assert_eq!(comment.len(), LONGEST_COMMENT);
        for length in 0..bytes.len() {
            let cut = Command::read(&bytes[..length]).map(|command| command.ask);
            let is_named = |ask: &Ask| !matches!(ask, Ask::Store { instance: None, .. });
            assert_eq!(cut.filter(is_named), None, "{length}");
        }
    }

    #[test]
    fn a_length_is_never_taken_for_true() {
        // Affected SOP Class UID, of four gigabytes; of no length; of another group.
        for head in [
            [0, 0, 2, 0, 255, 255, 255, 255],
            [0, 0, 2, 0, 254, 255, 255, 255],
            [0, 0, 2, 0, 1, 0, 0, 0],
            [8, 0, 22, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(Command::read(&head), None, "{head:?}");
            assert_eq!(Reply::read(&head), None, "{head:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_command_or_none(bytes in proptest::collection::vec(0_u8..4, 0..200)) {
            let _ = Command::read(&bytes);
            let _ = Reply::read(&bytes);
        }
    }
}
