//! Texts of an object, as the parser left them, become what they say: each byte is a character
//! there, since [`mend`](super::mend) hides Specific Character Set from the parser, which knows one
//! set an object and parts values before it reads them.
//!
//! Called where a file is opened. An object comes in and is changed; what could not be read is
//! emptied, so that nobody takes it for a name, and notes come out. Only texts that are asked for
//! are read. No note repeats a value.

use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::value::{PrimitiveValue, Value};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::InMemDicomObject;

use super::characters::{CharacterSets, Split};

/// The highest bit of a byte, by which the name of a character set is hidden.
pub(super) const HIDDEN: u8 = 0x80;

/// The texts that are asked for, of persons first.
const NAMES: [Tag; 3] = [
    tags::PATIENT_NAME,
    tags::REFERRING_PHYSICIAN_NAME,
    tags::REQUESTING_PHYSICIAN,
];
const TEXTS: [Tag; 13] = [
    tags::ACCESSION_NUMBER,
    tags::STUDY_DESCRIPTION,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::STUDY_ID,
    tags::REQUESTED_PROCEDURE_ID,
    tags::REQUESTED_PROCEDURE_DESCRIPTION,
    tags::SCHEDULED_PROCEDURE_STEP_ID,
    tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
    tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
    tags::CODE_VALUE,
    tags::LONG_CODE_VALUE,
    tags::CODE_MEANING,
];

/// Sequences that hold such texts, at whatever depth.
const SEQUENCES: [Tag; 9] = [
    tags::REQUEST_ATTRIBUTES_SEQUENCE,
    tags::ANATOMIC_REGION_SEQUENCE,
    tags::ANATOMIC_REGION_MODIFIER_SEQUENCE,
    tags::VIEW_CODE_SEQUENCE,
    tags::VIEW_MODIFIER_CODE_SEQUENCE,
    tags::EQUIVALENT_CODE_SEQUENCE,
    tags::FRAME_ANATOMY_SEQUENCE,
    tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
    tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
];

/// How deep items may lie in each other: no picture needs half of it.
const DEEPEST: usize = 16;

/// Makes the texts of an object legible; where the parser has read them itself, by one set, only
/// ASCII is believed.
pub(super) fn make_legible(object: &mut InMemDicomObject, is_raw: bool) -> Vec<String> {
    let mut reading = Reading {
        is_raw,
        is_inexact: false,
        notes: Vec::new(),
    };
    reading.object(object, &CharacterSets::default(), 0);
    if reading.is_inexact {
        reading.notes.push(
            "character_set_inexact: texts switch between character sets in another way than the \
             object says; they were read as what they can only mean"
                .to_owned(),
        );
    }
    reading.notes
}

struct Reading {
    is_raw: bool,
    is_inexact: bool,
    notes: Vec<String>,
}

impl Reading {
    /// An object or an item, which may have character sets of its own.
    fn object(&mut self, object: &mut InMemDicomObject, outer: &CharacterSets, depth: usize) {
        if depth > DEEPEST {
            return;
        }
        let own = self.sets(object);
        let sets = own.as_ref().unwrap_or(outer);
        for (tags, split) in [(&NAMES[..], Split::Names), (&TEXTS[..], Split::Values)] {
            for &tag in tags {
                self.text(object, tag, sets, split);
            }
        }
        for tag in SEQUENCES {
            object.update_value(tag, |value| {
                for item in value.items_mut().into_iter().flatten() {
                    self.object(item, sets, depth + 1);
                }
            });
        }
    }

    fn sets(&mut self, object: &InMemDicomObject) -> Option<CharacterSets> {
        let element = object.get(tags::SPECIFIC_CHARACTER_SET)?;
        let mut bytes = bytes(element)?;
        if self.is_raw
            && let Some(first) = bytes.first_mut()
        {
            *first &= !HIDDEN;
        }
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = text.trim_matches(['\0', ' ']);
        let values: Vec<&str> = text.split('\\').collect();
        let sets = CharacterSets::of(&values);
        self.note(sets.note.clone());
        Some(sets)
    }

    fn text(
        &mut self,
        object: &mut InMemDicomObject,
        tag: Tag,
        sets: &CharacterSets,
        split: Split,
    ) {
        let Some(element) = object.get(tag) else {
            return;
        };
        let vr = element.vr();
        let bytes = bytes(element);
        let is_plain = |bytes: &Vec<u8>| bytes.iter().all(|b| b.is_ascii() && *b != b'\x1b');
        let read = match bytes {
            Some(bytes) if self.is_raw || is_plain(&bytes) => sets.read(&bytes, split),
            _ => Default::default(),
        };
        self.is_inexact |= read.is_inexact;
        let is_whole = !read.values.is_empty() && read.values.iter().flatten().all(Option::is_some);
        if !is_whole {
            self.note(Some(unread(tag)));
        }
        let values = read.values.iter().map(|groups| {
            let groups = groups
                .iter()
                .map(|group| group.as_deref().unwrap_or_default());
            let groups: Vec<&str> = groups.collect();
            let value = groups.join("=");
            value.trim_end_matches('=').to_owned()
        });
        let vr = if vr == VR::UN { VR::LO } else { vr };
        object.put(DataElement::new(
            tag,
            vr,
            PrimitiveValue::Strs(values.collect()),
        ));
    }

    /// Once, however many items say so.
    fn note(&mut self, note: Option<String>) {
        if let Some(note) = note.filter(|note| !self.notes.contains(note)) {
            self.notes.push(note);
        }
    }
}

/// The bytes of a value that was taken for text, one a character; `None` where it is none.
fn bytes(element: &DataElement<InMemDicomObject>) -> Option<Vec<u8>> {
    let Value::Primitive(value) = element.value() else {
        return None;
    };
    match value {
        PrimitiveValue::U8(bytes) => Some(bytes.to_vec()),
        other => {
            let text = other.to_raw_str();
            text.chars()
                .map(|c| u8::try_from(u32::from(c)).ok())
                .collect()
        }
    }
}

/// That a text could not be read.
fn unread(tag: Tag) -> String {
    let name = name_of(tag);
    format!(
        "text_unread: {name} {tag} has letters that its character set does not have, or that \
         cannot be read; they were left out"
    )
}

/// What the dictionary calls an attribute.
pub(super) fn name_of(tag: Tag) -> &'static str {
    let entry = StandardDataDictionary.by_tag(tag);
    entry.map_or("an attribute", |entry| entry.alias())
}

#[cfg(test)]
mod tests;
