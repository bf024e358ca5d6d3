//! What the gate asks of a DICOM object: modality, body part, view, side, patient, and whether
//! anybody may have written into the picture. In goes the header, out comes the image's metadata.

use dicom_dictionary_std::tags;

use super::header::Header;
use super::patient::patient;
use super::{anatomy, classes};
use crate::image::ImageMetadata;

impl Header<'_> {
    /// The metadata of a frame, counted from 0.
    pub fn said(&self, frame: usize) -> ImageMetadata {
        let upper = |tag| self.code(tag);
        let (patient, mut notes) = patient(self);
        let coded = anatomy::coded(self, frame);
        let sides = anatomy::sides(self, frame);
        let one_side = anatomy::one_side(sides.iter().chain(&coded.laterality));
        if one_side.is_err() {
            notes.push(anatomy::SIDE_DISPUTED.to_owned());
        }
        ImageMetadata {
            modality: upper(tags::MODALITY),
            body_part: self.nested_code(tags::BODY_PART_EXAMINED, frame),
            view: self.nested_code(tags::VIEW_POSITION, frame),
            // Where two are said, no exam that asks for one is for it.
            laterality: match one_side {
                Ok(_) => sides.into_iter().next(),
                Err(()) => Some("L/R".to_owned()),
            },
            coded,
            frame: Some((frame as u32 + 1, self.frames() as u32)),
            window: None,
            burned_in: upper(tags::BURNED_IN_ANNOTATION).and_then(|word| match word.as_str() {
                "YES" => Some(true),
                "NO" => Some(false),
                _ => None,
            }),
            is_reconstruction: self.is_reconstruction(),
            region: None,
            patient,
            jpeg_ratio: None,
            notes,
        }
    }

    /// By class and Image Type (PS3.3, C.7.6.1.1.2): units store captures of their screens,
    /// too, as Secondary Capture or as images that are not PRIMARY.
    fn is_reconstruction(&self) -> bool {
        let class = self.text(tags::SOP_CLASS_UID).unwrap_or_default();
        let image_type = self.object.get(tags::IMAGE_TYPE);
        let values = image_type.and_then(|element| element.to_multi_str().ok());
        let values = values.unwrap_or_default();
        // A screen is in colour, or was converted.
        let is_grey = self.number(tags::SAMPLES_PER_PIXEL) == Some(1)
            && self
                .code(tags::PHOTOMETRIC_INTERPRETATION)
                .is_some_and(|model| model.starts_with("MONOCHROME"));
        is_grey
            && self.text(tags::CONVERSION_TYPE).is_none()
            && classes::is_reconstruction(&class)
            && values.get(1).is_some_and(|value| value.trim() == "PRIMARY")
            && !values.iter().any(|value| classes::names_a_capture(value))
    }
}
