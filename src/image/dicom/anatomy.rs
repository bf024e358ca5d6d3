//! Body part, view and side where an object says them by codes (PS3.3, 10.5 and C.8.11.5; PS3.16,
//! CID 4, 4010 and 244): an object and a frame come in, the words come out that Body Part Examined,
//! View Position and Laterality would have.
//!
//! Called by `metadata`, and by the report for the code of a region. A code that is not known here
//! is told by its meaning, so that no exam takes it for silence.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

use super::header::{Header, text_of};
use crate::case::Laterality;
use crate::image::{Coded, cut};

/// A word, and the codes that mean it in SNOMED CT and its older form.
type Word = (&'static str, &'static [&'static str]);

const REGIONS: &[Word] = &[
    (
        "CHEST",
        &["816094009", "43799004", "51185008", "302551006", "T-D3000"],
    ),
    (
        "BREAST",
        &[
            "76752008", "T-04000", "77831004", "T-04002", "19100000", "T-04003", "76365002",
            "T-04004", "33564002", "T-04005",
        ],
    ),
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

/// Words that codes of other schemes have for the same.
const MEANINGS: &[(&str, &str)] = &[
    ("THORAX", "CHEST"),
    ("MAMMA", "BREAST"),
    ("ANTERO-POSTERIOR", "AP"),
    ("ANTEROPOSTERIOR", "AP"),
    ("POSTERO-ANTERIOR", "PA"),
    ("POSTEROANTERIOR", "PA"),
];

/// What makes another projection of a view (PS3.16, CID 4010 and 4011): how it is called.
const MODIFIERS: &[Word] = &[
    ("CAUDAD", &["399162004", "R-10242"]),
    ("CEPHALAD", &["399196006", "R-10244"]),
    ("TRANSORAL", &["118438002", "G-D00B"]),
    ("TRANSFORAMENAL", &["272466003", "R-4087B"]),
    ("TRANSTHORACIC", &["272476000", "R-40885"]),
    ("TRANSORBITAL", &["278318001", "R-40554"]),
    ("AXIAL", &["399061009", "R-10241"]),
    ("TANGENTIAL", &["399110001", "R-102C2"]),
    ("OBLIQUE", &["399182000", "R-102C1"]),
    ("LATERAL", &["399067008", "R-102CD"]),
];

/// Either of AP and PA: it says no more than that it is no lateral.
const FRONTAL: &[&str] = &["399033003", "R-10202"];

const SIDES: &[Word] = &[
    ("R", &["24028007", "G-A100"]),
    ("L", &["7771000", "G-A101"]),
    ("B", &["51440002", "G-A102"]),
];

/// That an image says of itself that it is of the left and of the right.
pub(super) const SIDE_DISPUTED: &str = "side_disputed: the image says in one place that it is of the left side and in another that it \
     is of the right; no output names a side";

/// What the codes of one frame say.
pub(super) fn coded(header: &Header<'_>, frame: usize) -> Coded {
    let places = header.places(frame);
    let nearest = |sequence| places.iter().find_map(|place| first(place, sequence));
    let region = nearest(tags::ANATOMIC_REGION_SEQUENCE);
    let view = nearest(tags::VIEW_CODE_SEQUENCE);
    let modifiers = |item, sequence| all(item, sequence).iter();
    let sides = region.into_iter().flat_map(|region| {
        // Other modifiers are no sides.
        let modifiers = modifiers(region, tags::ANATOMIC_REGION_MODIFIER_SEQUENCE);
        modifiers.filter_map(|item| known(item, SIDES))
    });
    let is_frontal = |item: &&InMemDicomObject| {
        codes(item)
            .iter()
            .any(|code| FRONTAL.contains(&code.as_str()))
    };
    let plain = view
        .filter(|item| !is_frontal(item))
        .and_then(|item| word(item, VIEWS));
    let projection = view.and_then(|view| {
        let within = all(view, tags::VIEW_MODIFIER_CODE_SEQUENCE).iter();
        let beside = places
            .iter()
            .flat_map(|place| all(place, tags::VIEW_MODIFIER_CODE_SEQUENCE));
        within.chain(beside).find_map(|item| known(item, MODIFIERS))
    });
    Coded {
        body_part: region.and_then(|item| word(item, REGIONS)),
        view: match (plain, projection) {
            (plain, None) => plain,
            (None, Some(projection)) => Some(projection),
            (Some(view), Some(projection)) => Some(cut(&format!("{view} {projection}"))),
        },
        laterality: sides.into_iter().next(),
    }
}

/// The sides that an image's words say (PS3.3, C.7.6.1.1, C.7.3.1 and 10.24), the nearest to the
/// frame first.
pub(super) fn sides(header: &Header<'_>, frame: usize) -> Vec<String> {
    let words = [
        tags::FRAME_LATERALITY,
        tags::IMAGE_LATERALITY,
        tags::LATERALITY,
    ];
    let words = words
        .into_iter()
        .filter_map(|tag| header.nested_code(tag, frame));
    words
        .map(|word| match word.as_str() {
            "LEFT" => "L".to_owned(),
            "RIGHT" => "R".to_owned(),
            "BOTH" | "BILATERAL" => "B".to_owned(),
            "UNPAIRED" => "U".to_owned(),
            _ => word,
        })
        .collect()
}

/// The first of several sides.
///
/// # Errors
/// Where they are left and right.
pub(super) fn one_side<'s>(sides: impl Iterator<Item = &'s String>) -> Result<Option<&'s str>, ()> {
    let sides: Vec<&str> = sides.map(String::as_str).collect();
    match sides.contains(&"L") && sides.contains(&"R") {
        true => Err(()),
        false => Ok(sides.first().copied()),
    }
}

/// The code of SNOMED CT for a body part, as far as it is known.
pub fn region_code(body_part: &str) -> Option<&'static str> {
    let known = REGIONS.iter().find(|(word, _)| *word == body_part);
    known.and_then(|(_, codes)| codes.first().copied())
}

/// The code of SNOMED CT for a view, as far as it is known.
pub fn view_code(view: &str) -> Option<&'static str> {
    let known = VIEWS.iter().find(|(word, _)| *word == view);
    known.and_then(|(_, codes)| codes.first().copied())
}

/// The code of SNOMED CT for a side and what it means, where there are two.
pub fn side_code(side: Laterality) -> Option<(&'static str, &'static str)> {
    match side {
        Laterality::L => Some(("7771000", "Left")),
        Laterality::R => Some(("24028007", "Right")),
        Laterality::B => Some(("51440002", "Bilateral")),
        Laterality::U => None,
    }
}

fn all(object: &InMemDicomObject, sequence: Tag) -> &[InMemDicomObject] {
    object
        .get(sequence)
        .and_then(|e| e.items())
        .unwrap_or_default()
}

fn first(object: &InMemDicomObject, sequence: Tag) -> Option<&InMemDicomObject> {
    all(object, sequence).first()
}

/// The code of an item, in whichever attribute it stands (PS3.3, 8.8), and those that mean the same.
fn codes(item: &InMemDicomObject) -> Vec<String> {
    let own = |item: &InMemDicomObject| {
        let code = text_of(item, tags::CODE_VALUE)
            .or_else(|| text_of(item, tags::LONG_CODE_VALUE))
            .or_else(|| text_of(item, tags::URN_CODE_VALUE))?;
        // `urn:oid:…` and `http://snomed.info/id/…` end in the code.
        let last = code.rsplit(['/', ':']).next().unwrap_or_default();
        Some(last.to_uppercase())
    };
    let same = all(item, tags::EQUIVALENT_CODE_SEQUENCE);
    own(item)
        .into_iter()
        .chain(same.iter().filter_map(own))
        .collect()
}

fn known(item: &InMemDicomObject, words: &[Word]) -> Option<String> {
    let said = codes(item);
    let known = words.iter().find(|(_, codes)| {
        codes
            .iter()
            .any(|code| said.iter().any(|said| said == code))
    });
    known.map(|(word, _)| (*word).to_owned())
}

/// The word for a code; where it is not known, its meaning, and without one the code itself.
fn word(item: &InMemDicomObject, words: &[Word]) -> Option<String> {
    let meant = || {
        let meaning = text_of(item, tags::CODE_MEANING)?.to_uppercase();
        let known = MEANINGS.iter().find(|(other, _)| *other == meaning);
        Some(known.map_or(meaning, |(_, word)| (*word).to_owned()))
    };
    known(item, words)
        .or_else(meant)
        .or_else(|| codes(item).into_iter().next())
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
