//! Parts of DICOM objects.

use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

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
