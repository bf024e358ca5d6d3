//! DICOM Secondary Capture: the overlay picture as an image of the patient's study.

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};

use super::object::{Case, NotWritten, file, number, sequence, text};
use super::overlay;

/// The overlay picture as a Secondary Capture file.
///
/// # Errors
/// [`NotWritten`].
pub fn secondary_capture(case: &Case<'_>) -> Result<Vec<u8>, NotWritten> {
    let picture = overlay(case.image, case.mask, case.finding, case.intended_use);
    let side = |pixels: u32| {
        u16::try_from(pixels).map_err(|_| NotWritten(format!("{pixels} pixels are too many")))
    };
    let (columns, rows) = (side(picture.width())?, side(picture.height())?);
    let mut data = case.common(uids::SECONDARY_CAPTURE_IMAGE_STORAGE, "OT", "picture");
    // An ultrasound unit may have burned a name into its picture.
    let is_ultrasound = case.image.said.modality.as_deref() == Some("US");
    let burned = if is_ultrasound { "YES" } else { "NO" };
    for element in [
        text(tags::CONVERSION_TYPE, VR::CS, "WSD"),
        text(tags::IMAGE_TYPE, VR::CS, "DERIVED\\SECONDARY"),
        DataElement::new(tags::PATIENT_ORIENTATION, VR::CS, PrimitiveValue::Empty),
        DataElement::new(tags::LATERALITY, VR::CS, PrimitiveValue::Empty),
        text(tags::BURNED_IN_ANNOTATION, VR::CS, burned),
        text(tags::DATE_OF_SECONDARY_CAPTURE, VR::DA, case.now.date()),
        text(tags::TIME_OF_SECONDARY_CAPTURE, VR::TM, case.now.time()),
        text(
            tags::DERIVATION_DESCRIPTION,
            VR::ST,
            format!(
                "{}: region and finding of exam {} drawn over the image. {}",
                case.maker(),
                case.finding.exam,
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
