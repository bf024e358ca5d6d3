//! DICOM Secondary Capture: a finding with its image comes in, the overlay picture comes out as an
//! image of the same study. Called by `--write sc`, the result folder and the archive.

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};

use super::case::{Case, NotWritten};
use super::object::{CLEAN_PIXEL_DATA, Kind, file, number, sequence, side, text};
use super::overlay;

const KIND: Kind = Kind {
    class: uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
    modality: "OT",
    name: "picture",
    is_image: true,
    option: CLEAN_PIXEL_DATA,
};

/// The overlay picture as a Secondary Capture file.
///
/// # Errors
/// [`NotWritten`]; `burned_in` as [`overlay`].
pub fn secondary_capture(case: &Case<'_>) -> Result<Vec<u8>, NotWritten> {
    let picture = overlay(case)?;
    let (columns, rows) = (side(picture.width())?, side(picture.height())?);
    let mut data = case.common(&KIND);
    for element in [
        text(tags::CONVERSION_TYPE, VR::CS, "WSD"),
        text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY"),
        DataElement::new(tags::PATIENT_ORIENTATION, VR::CS, PrimitiveValue::Empty),
        text(tags::BURNED_IN_ANNOTATION, VR::CS, burned_in(case)),
        text(
            tags::DERIVATION_DESCRIPTION,
            VR::ST,
            format!(
                "{}: region and finding of exam {} drawn over the image of SHA-256 {}. {}",
                case.maker(),
                case.finding.exam,
                case.image.sha256,
                case.limits()
            ),
        ),
        text(tags::IMAGE_COMMENTS, VR::LT, case.limits()),
        number(tags::SAMPLES_PER_PIXEL, 3),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB"),
        number(tags::PLANAR_CONFIGURATION, 0),
        number(tags::ROWS, rows),
        number(tags::COLUMNS, columns),
        number(tags::BITS_ALLOCATED, 8),
        number(tags::BITS_STORED, 8),
        number(tags::HIGH_BIT, 7),
        number(tags::PIXEL_REPRESENTATION, 0),
    ] {
        data.put(element);
    }
    if let Some(reference) = case.reference() {
        data.put(sequence(tags::SOURCE_IMAGE_SEQUENCE, vec![reference]));
    }
    let mut pixels = picture.into_raw();
    if !pixels.len().is_multiple_of(2) {
        pixels.push(0);
    }
    data.put(DataElement::new(
        tags::PIXEL_DATA,
        VR::OB,
        PrimitiveValue::from(pixels),
    ));
    file(data)
}

/// Whether the picture may tell whose it is: where nothing says that it does not, it must be
/// feared.
fn burned_in(case: &Case<'_>) -> &'static str {
    if !case.deidentify && case.image.may_hold_words() {
        "YES"
    } else {
        "NO"
    }
}
