//! Body part, view and side where an object says them by codes (PS3.3, 10.5 and C.8.11.5; PS3.16,
//! CID 4, 4010 and 244): an object and a frame come in, the words come out that Body Part Examined,
//! View Position and Laterality would have.
//!
//! Called by `header`. A code that is not known here is told by its meaning, so that no exam
//! takes it for silence.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::header::{Header, text_of};
use crate::image::{Coded, cut};

/// A word, and the codes that mean it in SNOMED CT and its older form.
type Word = (&'static str, &'static [&'static str]);

const REGIONS: &[Word] = &[
    ("CHEST", &["816094009", "51185008", "302551006", "T-D3000"]),
    ("BREAST", &["76752008", "T-04000"]),
    ("BRAIN", &["12738006", "T-A0100"]),
    ("HEAD", &["69536005", "T-D1100"]),
    ("SKULL", &["89546000", "T-11100"]),
    ("KNEE", &["72696002", "T-D9200"]),
];

const VIEWS: &[Word] = &[
    ("AP", &["399348003", "R-10206"]),
    ("PA", &["272479007", "R-10214", "R-40888"]),
    ("LL", &["399173006", "R-10236"]),
    ("RL", &["399198007", "R-10232"]),
];

/// Either of AP and PA: it says no more than that it is no lateral.
const FRONTAL: &[&str] = &["399033003", "R-10202"];

const SIDES: &[Word] = &[
    ("R", &["24028007", "G-A100"]),
    ("L", &["7771000", "G-A101"]),
    ("B", &["51440002", "G-A102"]),
];

/// What the codes of one frame say.
pub(super) fn coded(header: &Header<'_>, frame: usize) -> Coded {
    let anatomy = header.group(tags::FRAME_ANATOMY_SEQUENCE, frame);
    let region = first(anatomy, tags::ANATOMIC_REGION_SEQUENCE)
        .or_else(|| first(header.object, tags::ANATOMIC_REGION_SEQUENCE));
    let view = first(header.object, tags::VIEW_CODE_SEQUENCE);
    let side = region.and_then(|region| first(region, tags::ANATOMIC_REGION_MODIFIER_SEQUENCE));
    let is_frontal =
        |item: &&InMemDicomObject| code(item).is_some_and(|code| FRONTAL.contains(&code.as_str()));
    Coded {
        body_part: region.and_then(|item| word(item, REGIONS)),
        view: view
            .filter(|item| !is_frontal(item))
            .and_then(|item| word(item, VIEWS)),
        // Other modifiers are no sides.
        laterality: side.and_then(|item| known(item, SIDES)),
    }
}

fn first(object: &InMemDicomObject, sequence: Tag) -> Option<&InMemDicomObject> {
    object.get(sequence)?.items()?.first()
}

fn code(item: &InMemDicomObject) -> Option<String> {
    text_of(item, tags::CODE_VALUE).or_else(|| text_of(item, tags::LONG_CODE_VALUE))
}

fn known(item: &InMemDicomObject, words: &[Word]) -> Option<String> {
    let code = code(item)?;
    let known = words
        .iter()
        .find(|(_, codes)| codes.contains(&code.as_str()));
    known.map(|(word, _)| (*word).to_owned())
}

/// The word for a code; where it is not known, its meaning, and without one the code itself.
fn word(item: &InMemDicomObject, words: &[Word]) -> Option<String> {
    known(item, words)
        .or_else(|| text_of(item, tags::CODE_MEANING).map(|meaning| meaning.to_uppercase()))
        .or_else(|| code(item))
        .map(|word| cut(&word))
}

#[cfg(test)]
mod tests {
    use dicom_core::value::DataSetSequence;
    use dicom_core::{DataElement, VR, dicom_value};

    use super::*;

    fn item(code: &str, meaning: &str) -> InMemDicomObject {
        let text = |tag, text: &str| DataElement::new(tag, VR::LO, dicom_value!(Str, text));
        InMemDicomObject::from_element_iter([
            text(tags::CODE_VALUE, code),
            text(tags::CODE_MEANING, meaning),
        ])
    }

    fn sequence(tag: Tag, item: InMemDicomObject) -> DataElement<InMemDicomObject> {
        DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![item]))
    }

    #[test]
    fn codes_say_what_words_would() {
        for (region, meaning, view, body_part, position) in [
            ("816094009", "Chest", "399173006", "CHEST", Some("LL")),
            ("T-D3000", "Chest", "R-10206", "CHEST", Some("AP")),
            ("72696002", "Knee", "R-10202", "KNEE", None),
            (
                "99999",
                "Left big toe",
                "R-10214",
                "LEFT BIG TOE",
                Some("PA"),
            ),
            ("99999", "", "99998", "99999", Some("FROM ABOVE")),
        ] {
            let mut region = item(region, meaning);
            let side = item("7771000", "Left");
            region.put(sequence(tags::ANATOMIC_REGION_MODIFIER_SEQUENCE, side));
            let object = InMemDicomObject::from_element_iter([
                sequence(tags::ANATOMIC_REGION_SEQUENCE, region),
                sequence(tags::VIEW_CODE_SEQUENCE, item(view, "from above")),
            ]);
            let header = Header {
                bytes: &[],
                object: &object,
                transfer_syntax: "",
            };
            let coded = coded(&header, 0);
            assert_eq!(coded.body_part.as_deref(), Some(body_part));
            assert_eq!(coded.view.as_deref(), position, "{view}");
            assert_eq!(coded.laterality.as_deref(), Some("L"));
        }
    }
}
