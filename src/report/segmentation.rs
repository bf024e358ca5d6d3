//! DICOM Segmentation: the region as one binary segment over the source's own pixels
//! (PS3.3, A.51), for archives and viewers that lay it over the image.

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;

use super::case::{Case, NotWritten};
use super::object::{
    CLEAN_PIXEL_DATA, Element, Kind, SCHEME, code, file, number, object, sequence, side, text,
};
use crate::case::SOFTWARE;

const KIND: Kind = Kind {
    class: uids::SEGMENTATION_STORAGE,
    modality: "SEG",
    name: "segmentation",
    is_image: true,
    option: CLEAN_PIXEL_DATA,
};
/// The number of the only segment.
const SEGMENT: u16 = 1;

/// The region as a Segmentation file. Where no region was found, its segment is empty.
///
/// # Errors
/// [`NotWritten`], also where the image was no DICOM file.
pub fn segmentation(case: &Case<'_>) -> Result<Vec<u8>, NotWritten> {
    let source = case.reference().ok_or(NotWritten::NoSource)?;
    let series = case.referenced_series(tags::REFERENCED_INSTANCE_SEQUENCE);
    let series = series.ok_or(NotWritten::NoSource)?;
    let [columns, rows] = case.origin().ok_or(NotWritten::NoSource)?.size;
    let mut data = case.common(&KIND);
    let organisation = case.uid("dimensions");
    for element in [
        series,
        sequence(tags::SEGMENT_SEQUENCE, vec![segment(case)]),
        sequence(
            tags::DIMENSION_ORGANIZATION_SEQUENCE,
            vec![object(vec![organised_by(&organisation)])],
        ),
        sequence(
            tags::DIMENSION_INDEX_SEQUENCE,
            vec![dimension(&organisation)],
        ),
        sequence(
            tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
            vec![object(vec![segment_of_all()])],
        ),
        sequence(
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
            vec![frame(source)],
        ),
        text(
            tags::DERIVATION_DESCRIPTION,
            VR::ST,
            format!("SHA-256 of the image's file: {}", case.image.sha256),
        ),
        number(tags::ROWS, side(rows)?),
        number(tags::COLUMNS, side(columns)?),
        pixels(case, columns, rows),
    ] {
        data.put(element);
    }
    let has_lost = data.get(tags::LOSSY_IMAGE_COMPRESSION).is_some();
    for element in constants() {
        // Its own bits lost nothing; what they were drawn over may have (PS3.3, C.8.20.2).
        if element.header().tag != tags::LOSSY_IMAGE_COMPRESSION || !has_lost {
            data.put(element);
        }
    }
    file(data)
}

/// What is the same in all binary segmentations of one segment.
fn constants() -> [Element; 16] {
    [
        text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\PRIMARY"),
        text(tags::CONTENT_LABEL, VR::CS, "REGION"),
        text(
            tags::CONTENT_DESCRIPTION,
            VR::LO,
            "Region that the finding rests on",
        ),
        DataElement::new(tags::CONTENT_CREATOR_NAME, VR::PN, PrimitiveValue::Empty),
        DataElement::new(tags::PATIENT_ORIENTATION, VR::CS, PrimitiveValue::Empty),
        text(tags::SEGMENTATION_TYPE, VR::CS, "BINARY"),
        text(tags::SEGMENTS_OVERLAP, VR::CS, "NO"),
        text(tags::NUMBER_OF_FRAMES, VR::IS, "1"),
        text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "00"),
        text(tags::BURNED_IN_ANNOTATION, VR::CS, "NO"),
        number(tags::SAMPLES_PER_PIXEL, 1),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        number(tags::BITS_ALLOCATED, 1),
        number(tags::BITS_STORED, 1),
        number(tags::HIGH_BIT, 0),
        number(tags::PIXEL_REPRESENTATION, 0),
    ]
}

/// What the segment is and who drew it; its UID is that of the report's measurements.
fn segment(case: &Case<'_>) -> InMemDicomObject {
    object(vec![
        number(tags::SEGMENT_NUMBER, SEGMENT),
        text(tags::SEGMENT_LABEL, VR::LO, "Region"),
        text(tags::SEGMENT_DESCRIPTION, VR::ST, case.limits()),
        text(tags::SEGMENT_ALGORITHM_TYPE, VR::CS, "AUTOMATIC"),
        text(tags::SEGMENT_ALGORITHM_NAME, VR::LO, SOFTWARE),
        sequence(
            tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE,
            vec![code("309825002", "SCT", "Spatial and Relational Concept")],
        ),
        sequence(
            tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE,
            vec![code("region", SCHEME, "Region that the finding rests on")],
        ),
        text(tags::TRACKING_ID, VR::UT, &case.finding.exam),
        text(tags::TRACKING_UID, VR::UI, case.uid("tracking")),
    ])
}

fn organised_by(organisation: &str) -> Element {
    text(tags::DIMENSION_ORGANIZATION_UID, VR::UI, organisation)
}

/// Frames are told apart by their segment.
fn dimension(organisation: &str) -> InMemDicomObject {
    let pointer = |tag, to| DataElement::new(tag, VR::AT, PrimitiveValue::from(to));
    object(vec![
        organised_by(organisation),
        pointer(
            tags::DIMENSION_INDEX_POINTER,
            tags::REFERENCED_SEGMENT_NUMBER,
        ),
        pointer(
            tags::FUNCTIONAL_GROUP_POINTER,
            tags::SEGMENT_IDENTIFICATION_SEQUENCE,
        ),
    ])
}

fn segment_of_all() -> Element {
    let segment = object(vec![number(tags::REFERENCED_SEGMENT_NUMBER, SEGMENT)]);
    sequence(tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![segment])
}

/// Where the frame belongs: to the image that it was made from.
fn frame(mut source: InMemDicomObject) -> InMemDicomObject {
    let purpose = code(
        "121322",
        "DCM",
        "Source image for image processing operation",
    );
    source.put(sequence(
        tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE,
        vec![purpose],
    ));
    let derivation = object(vec![
        sequence(
            tags::DERIVATION_CODE_SEQUENCE,
            vec![code("113076", "DCM", "Segmentation")],
        ),
        sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![source]),
    ]);
    let index = PrimitiveValue::from(u32::from(SEGMENT));
    let content = object(vec![DataElement::new(
        tags::DIMENSION_INDEX_VALUES,
        VR::UL,
        index,
    )]);
    object(vec![
        sequence(tags::FRAME_CONTENT_SEQUENCE, vec![content]),
        sequence(tags::DERIVATION_IMAGE_SEQUENCE, vec![derivation]),
    ])
}

/// The region in the object's own pixels, one bit each, the first in the lowest (PS3.5,
/// 8.1.1).
fn pixels(case: &Case<'_>, columns: u32, rows: u32) -> Element {
    let mask = case.mask;
    let place =
        |at: u32, own: u32, of: u32| (2 * u64::from(at) + 1) * u64::from(of) / (2 * u64::from(own));
    let inside = (0..rows).flat_map(|row| {
        let y = place(row, rows, mask.height) as u32;
        (0..columns).map(move |column| mask.contains(place(column, columns, mask.width) as u32, y))
    });
    let mut bytes = vec![0u8; (columns as usize * rows as usize).div_ceil(16) * 2];
    for (at, _) in inside.enumerate().filter(|(_, inside)| *inside) {
        bytes[at / 8] |= 1 << (at % 8);
    }
    DataElement::new(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(bytes))
}
