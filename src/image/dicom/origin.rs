//! What the DICOM and HL7 outputs take over from the image's object: whose it is, where it belongs,
//! who asked for it, when it was taken, and that it was compressed with a loss.
//!
//! A header comes in; an [`Origin`] and notes of what an output cannot hold come out. Never a
//! pixel, and no note repeats a value.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use serde::{Deserialize, Serialize};

use super::fitting::{Fit, fit};
use super::header::{Header, whole_text_of};
use super::moment::{Taken, offset, taken};

/// What is carried from the image's object to the DICOM and HL7 outputs, and nowhere
/// else: never to a log, to JSON, to text or into a picture. So it does not even print
/// itself.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Attributes of patient, study and equipment as `(group, element, value)`.
    pub attributes: Vec<(u16, u16, String)>,
    /// Attributes of the first of its requests.
    pub request: Vec<(u16, u16, String)>,
    /// SOP Class UID of the image's object.
    pub sop_class: String,
    /// SOP Instance UID of the image's object.
    pub sop_instance: String,
    /// The frame that was read, counted from 1.
    pub frame: u32,
    /// Columns and rows of the object: the image's own unless its pixels are not square.
    pub size: [u32; 2],
    /// When the image was taken.
    pub taken: Option<Taken>,
    /// How many minutes the object's times are before UTC, where it says so.
    pub offset: Option<i16>,
}

impl std::fmt::Debug for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin")
            .field("attributes", &self.attributes.len())
            .finish_non_exhaustive()
    }
}

impl Origin {
    /// The value of an attribute, where the object had one.
    pub fn text(&self, tag: Tag) -> Option<&str> {
        of(&self.attributes, tag)
    }

    /// The value of an attribute of its request, or else of the object itself.
    pub fn request(&self, tag: Tag) -> Option<&str> {
        of(&self.request, tag).or_else(|| self.text(tag))
    }
}

fn of(attributes: &[(u16, u16, String)], tag: Tag) -> Option<&str> {
    attributes
        .iter()
        .find(|(group, element, _)| (*group, *element) == (tag.0, tag.1))
        .map(|(_, _, value)| value.as_str())
}

/// The attributes of [`Origin`], in the order of their tags.
pub const CARRIED: [(Tag, VR); 20] = [
    (tags::STUDY_DATE, VR::DA),
    (tags::STUDY_TIME, VR::TM),
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
    (tags::STUDY_DESCRIPTION, VR::LO),
    (tags::PATIENT_NAME, VR::PN),
    (tags::PATIENT_ID, VR::LO),
    (tags::ISSUER_OF_PATIENT_ID, VR::LO),
    (tags::PATIENT_BIRTH_DATE, VR::DA),
    (tags::PATIENT_SEX, VR::CS),
    (tags::PATIENT_AGE, VR::AS),
    (tags::STUDY_INSTANCE_UID, VR::UI),
    (tags::SERIES_INSTANCE_UID, VR::UI),
    (tags::STUDY_ID, VR::SH),
    (tags::LOSSY_IMAGE_COMPRESSION, VR::CS),
    (tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS),
    (tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS),
    (tags::REQUESTING_PHYSICIAN, VR::PN),
    (tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR::LO),
    (tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR::LO),
];

/// What is carried of a request (PS3.3, C.7.3.1 and 10.6).
pub const REQUESTED: [(Tag, VR); 7] = [
    (tags::ACCESSION_NUMBER, VR::SH),
    (tags::STUDY_INSTANCE_UID, VR::UI),
    (tags::REQUESTED_PROCEDURE_DESCRIPTION, VR::LO),
    (tags::REQUESTED_PROCEDURE_ID, VR::SH),
    (tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH),
    (tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR::LO),
    (tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR::LO),
];

impl Header<'_> {
    /// Of a frame with so many columns and rows; and what its values cannot be in an output.
    pub fn origin(&self, frame: usize, size: [u32; 2]) -> (Origin, Vec<String>) {
        let mut notes = Vec::new();
        let mut of = |object: &InMemDicomObject, list: &[(Tag, VR)]| {
            let value = |&(tag, vr): &(Tag, VR)| {
                let text = whole_text_of(object, tag)?;
                notes.extend(unfit(tag, vr, &text));
                Some((tag.0, tag.1, text))
            };
            list.iter().filter_map(value).collect::<Vec<_>>()
        };
        let mut attributes = of(self.object, &CARRIED);
        let request = self.first_request().map(|item| of(item, &REQUESTED));
        self.mark_loss(&mut attributes);
        let instance = self.text(tags::SOP_INSTANCE_UID);
        let said = instance.as_deref();
        notes.extend(said.and_then(|uid| unfit(tags::SOP_INSTANCE_UID, VR::UI, uid)));
        let origin = Origin {
            attributes,
            request: request.unwrap_or_default(),
            sop_class: self.text(tags::SOP_CLASS_UID).unwrap_or_default(),
            sop_instance: instance.unwrap_or_default(),
            frame: frame as u32 + 1,
            size,
            taken: taken(self, frame),
            offset: self
                .text(tags::TIMEZONE_OFFSET_FROM_UTC)
                .as_deref()
                .and_then(offset),
        };
        notes.extend(unnamed(&origin));
        (origin, notes)
    }

    fn first_request(&self) -> Option<&InMemDicomObject> {
        let requests = self.object.get(tags::REQUEST_ATTRIBUTES_SEQUENCE)?;
        requests.items()?.first()
    }

    /// Pixels that were compressed with a loss stay so, whatever they are written as (PS3.3,
    /// C.7.6.1.1.5), also where only their transfer syntax says it.
    fn mark_loss(&self, attributes: &mut Vec<(u16, u16, String)>) {
        let said = self.text(tags::LOSSY_IMAGE_COMPRESSION);
        let Some(method) = lossy(self.transfer_syntax) else {
            return;
        };
        if matches!(said.as_deref(), Some("00" | "01")) {
            return;
        }
        for (tag, value) in [
            (tags::LOSSY_IMAGE_COMPRESSION, Some("01".to_owned())),
            (tags::LOSSY_IMAGE_COMPRESSION_RATIO, self.ratio()),
            (
                tags::LOSSY_IMAGE_COMPRESSION_METHOD,
                Some(method.to_owned()),
            ),
        ] {
            attributes.retain(|(group, element, _)| (*group, *element) != (tag.0, tag.1));
            attributes.extend(value.map(|value| (tag.0, tag.1, value)));
        }
    }

    /// Bytes of the pixels over bytes that they are compressed to.
    fn ratio(&self) -> Option<String> {
        let number = |tag| self.number(tag).map(f64::from);
        let pixels = number(tags::ROWS)? * number(tags::COLUMNS)? * self.frames() as f64;
        let bytes = number(tags::SAMPLES_PER_PIXEL)? * number(tags::BITS_ALLOCATED)? / 8.0;
        let fragments = self.object.get(tags::PIXEL_DATA)?.fragments()?;
        let packed: usize = fragments.iter().map(Vec::len).sum();
        let ratio = pixels * bytes / packed as f64;
        ratio.is_finite().then(|| format!("{ratio:.2}"))
    }
}

/// The method of a transfer syntax that loses something (PS3.3, C.7.6.1.1.5.1).
fn lossy(transfer_syntax: &str) -> Option<&'static str> {
    match transfer_syntax {
        uids::JPEG_BASELINE8_BIT | uids::JPEG_EXTENDED12_BIT => Some("ISO_10918_1"),
        uids::JPEGLS_NEAR_LOSSLESS => Some("ISO_14495_1"),
        uids::JPEG2000 => Some("ISO_15444_1"),
        uids::HTJ2K => Some("ISO_15444_15"),
        _ => None,
    }
}

/// That a value cannot stand in a DICOM object as it is.
fn unfit(tag: Tag, vr: VR, text: &str) -> Option<String> {
    if [tags::PATIENT_AGE, tags::PATIENT_SEX].contains(&tag) {
        // `patient` says it already.
        return None;
    }
    let what = match fit(tag, vr, text) {
        Fit::Whole(_) => return None,
        Fit::Cut(_) => "is longer than DICOM allows; objects have its beginning",
        Fit::Never if vr == VR::UI => "is no UID; objects have one that was made of it",
        Fit::Never => "is not as DICOM allows; objects are written without it",
    };
    Some(format!(
        "value_unfit: {} {tag} {what}",
        super::legible::name_of(tag)
    ))
}

/// That an object does not say where it belongs.
fn unnamed(origin: &Origin) -> Option<String> {
    let missing: Vec<&str> = [
        (tags::STUDY_INSTANCE_UID, "study"),
        (tags::SERIES_INSTANCE_UID, "series"),
    ]
    .into_iter()
    .filter(|(tag, _)| origin.text(*tag).is_none())
    .map(|(_, what)| what)
    .chain(origin.sop_instance.is_empty().then_some("instance"))
    .collect();
    (!missing.is_empty()).then(|| {
        let missing = missing.join(" and no ");
        format!("uid_missing: the object names no {missing}; outputs have a new UID in its place")
    })
}
