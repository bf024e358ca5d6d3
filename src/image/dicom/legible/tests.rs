use dicom_core::value::DataSetSequence;
use dicom_core::{dicom_value, header::Header as _};

use super::*;

/// Bytes as the parser tells them: a character each, parted at backslashes.
fn told(tag: Tag, vr: VR, bytes: &[u8]) -> DataElement<InMemDicomObject> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let values = text.split('\\').map(str::to_owned);
    DataElement::new(tag, vr, PrimitiveValue::Strs(values.collect()))
}

fn hidden(name: &str) -> DataElement<InMemDicomObject> {
    let mut bytes = name.as_bytes().to_vec();
    bytes[0] |= HIDDEN;
    told(tags::SPECIFIC_CHARACTER_SET, VR::CS, &bytes)
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    object.element(tag).unwrap().to_str().unwrap().into_owned()
}

#[test]
fn each_item_has_the_set_that_it_says_or_that_of_what_holds_it() {
    let request = |elements: Vec<DataElement<InMemDicomObject>>| {
        let item = InMemDicomObject::from_element_iter(elements);
        let items = DataSetSequence::from(vec![item]);
        DataElement::new(tags::REQUEST_ATTRIBUTES_SEQUENCE, VR::SQ, items)
    };
    let procedure = tags::REQUESTED_PROCEDURE_DESCRIPTION;
    for (own, bytes, expected) in [
        (None, &b"Th\xf6rax"[..], "Thörax"),
        (Some("ISO_IR 144"), b"\xbb\xee\xda", "Люк"),
    ] {
        let mut item = vec![told(procedure, VR::LO, bytes)];
        item.extend(own.map(hidden));
        let mut object = InMemDicomObject::from_element_iter([
            hidden("ISO_IR 100"),
            told(tags::PATIENT_NAME, VR::PN, b"M\xfcller "),
            request(item),
        ]);
        assert_eq!(make_legible(&mut object, true), [""; 0]);
        assert_eq!(text(&object, tags::PATIENT_NAME).trim(), "Müller");
        let items = object.element(tags::REQUEST_ATTRIBUTES_SEQUENCE).unwrap();
        assert_eq!(text(&items.items().unwrap()[0], procedure), expected);
    }
}

#[test]
fn what_is_no_text_is_emptied_and_noted_once_without_its_value() {
    let name = b"Wang=\xcd\xf5=ok";
    for (is_raw, expected) in [(true, "Wang==ok"), (false, "")] {
        let mut object = InMemDicomObject::from_element_iter([
            hidden("ISO_IR 192"),
            told(tags::PATIENT_NAME, VR::PN, name),
            told(tags::PATIENT_ID, VR::LO, b"0815"),
            DataElement::new(tags::ROWS, VR::US, dicom_value!(U16, 9)),
        ]);
        let notes = make_legible(&mut object, is_raw);
        assert_eq!(
            notes
                .iter()
                .filter(|n| n.starts_with("text_unread: PatientName (0010,0010)"))
                .count(),
            1
        );
        assert!(!notes.concat().contains("Wang"));
        assert_eq!(text(&object, tags::PATIENT_NAME), expected);
        assert_eq!(text(&object, tags::PATIENT_ID), "0815");
        assert_eq!(object.element(tags::ROWS).unwrap().tag(), tags::ROWS);
    }
}

#[test]
fn bytes_of_an_unknown_representation_are_text_as_well() {
    let bytes = PrimitiveValue::U8(b"Adams^John".iter().copied().collect());
    let name = DataElement::new(tags::PATIENT_NAME, VR::UN, bytes);
    let mut object = InMemDicomObject::from_element_iter([name]);
    assert_eq!(make_legible(&mut object, true), [""; 0]);
    assert_eq!(text(&object, tags::PATIENT_NAME), "Adams^John");
}
