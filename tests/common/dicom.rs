//! DICOM objects and parts of them.

use std::path::Path;

use dicom_core::value::{DataSetSequence, PixelFragmentSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

use super::root;

/// What an ultrasound unit says of where its region lies, by its corners.
pub fn ultrasound_region([x0, y0, x1, y1]: [u32; 4]) -> DataElement<InMemDicomObject> {
    let corner = |tag, value: u32| DataElement::new(tag, VR::UL, PrimitiveValue::from(value));
    let region = InMemDicomObject::from_element_iter([
        corner(tags::REGION_LOCATION_MIN_X0, x0),
        corner(tags::REGION_LOCATION_MIN_Y0, y0),
        corner(tags::REGION_LOCATION_MAX_X1, x1),
        corner(tags::REGION_LOCATION_MAX_Y1, y1),
    ]);
    let regions = DataSetSequence::from(vec![region]);
    DataElement::new(tags::SEQUENCE_OF_ULTRASOUND_REGIONS, VR::SQ, regions)
}

/// Writes a grey picture as an object of made-up UIDs with these elements.
pub fn write_grey(
    path: &Path,
    pixels: &image::GrayImage,
    elements: impl IntoIterator<Item = DataElement<InMemDicomObject>>,
) {
    let word = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let number =
        |tag, value: u32| DataElement::new(tag, VR::US, PrimitiveValue::from(value as u16));
    let mut object = InMemDicomObject::from_element_iter([
        word(tags::SOP_INSTANCE_UID, VR::UI, "2.25.815"),
        word(tags::STUDY_INSTANCE_UID, VR::UI, "2.25.816"),
        word(tags::SERIES_INSTANCE_UID, VR::UI, "2.25.817"),
        word(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        number(tags::SAMPLES_PER_PIXEL, 1),
        number(tags::ROWS, pixels.height()),
        number(tags::COLUMNS, pixels.width()),
        number(tags::BITS_ALLOCATED, 8),
        number(tags::BITS_STORED, 8),
        number(tags::HIGH_BIT, 7),
        number(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(
            tags::PIXEL_DATA,
            VR::OB,
            PrimitiveValue::from(pixels.as_raw().clone()),
        ),
    ]);
    elements
        .into_iter()
        .for_each(|element| drop(object.put(element)));
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let file = object.with_meta(meta).expect("an object");
    file.write_to_file(path).expect("written");
}

/// Writes an object whose pixels are this lossy JPEG.
pub fn write_jpeg(path: &Path, jpeg: Vec<u8>, [columns, rows]: [u16; 2], samples: u16) {
    let word = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let number = |tag, value: u16| DataElement::new(tag, VR::US, PrimitiveValue::from(value));
    let model = match samples {
        1 => "MONOCHROME2",
        _ => "YBR_FULL_422",
    };
    let object = InMemDicomObject::from_element_iter([
        word(tags::SOP_INSTANCE_UID, VR::UI, "2.25.818"),
        word(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, model),
        number(tags::SAMPLES_PER_PIXEL, samples),
        number(tags::PLANAR_CONFIGURATION, 0),
        number(tags::ROWS, rows),
        number(tags::COLUMNS, columns),
        number(tags::BITS_ALLOCATED, 8),
        number(tags::BITS_STORED, 8),
        number(tags::HIGH_BIT, 7),
        number(tags::PIXEL_REPRESENTATION, 0),
        DataElement::new(
            tags::PIXEL_DATA,
            VR::OB,
            PixelFragmentSequence::new_fragments(vec![jpeg]),
        ),
    ]);
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::JPEG_BASELINE8_BIT);
    let file = object.with_meta(meta).expect("an object");
    file.write_to_file(path).expect("written");
}

/// A table of `tests/vectors/dicom`, without its head.
pub fn rows(table: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("tests/vectors/dicom").join(table)).unwrap();
    let cell = |cell: &str| cell.trim_matches('"').to_owned();
    // A quoted name holds commas: the columns that count are taken from either end of it.
    let row = |line: &str| match line.split_once(",\"") {
        Some((file, rest)) if !file.contains(',') => {
            let (name, rest) = rest.split_once("\",").unwrap();
            let head = [file, name].map(cell);
            head.into_iter().chain(rest.split(',').map(cell)).collect()
        }
        _ => line.split(',').map(cell).collect(),
    };
    text.lines().skip(1).map(row).collect()
}

/// An element of an object.
pub fn element(tag: Tag, vr: VR, value: PrimitiveValue) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, value)
}
