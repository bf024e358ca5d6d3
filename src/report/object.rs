//! What every DICOM object that is written has in common: whose it is, where it belongs,
//! who made it, and how it was de-identified.

use dicom_core::header::Tag;
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};

use super::case::{Case, NotWritten, hashed_uid};
use crate::image::Origin;
use crate::image::dicom::REQUESTED;
use crate::image::dicom::fitting::{fit, is_uid};
use crate::patient::Age;

/// The scheme of our own codes: exams, classes and levels of bundles.
pub(super) const SCHEME: &str = "99MEDFOCUS";

/// What kind of object is written.
pub(super) struct Kind {
    /// SOP Class UID.
    pub class: &'static str,
    /// Modality.
    pub modality: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// Whether it holds pixels, and so says what of the body they show.
    pub is_image: bool,
    /// The option of PS3.15, annex E, by which its content is de-identified.
    pub option: (&'static str, &'static str),
}

/// PS3.15, E.3.1.
pub(super) const CLEAN_PIXEL_DATA: (&str, &str) = ("113101", "Clean Pixel Data Option");

pub(super) type Element = DataElement<InMemDicomObject>;

pub(super) fn text(tag: Tag, vr: VR, value: impl Into<String>) -> Element {
    DataElement::new(tag, vr, PrimitiveValue::from(value.into()))
}

pub(super) fn number(tag: Tag, value: u16) -> Element {
    DataElement::new(tag, VR::US, PrimitiveValue::from(value))
}

/// Rows or columns: DICOM has 16 bits for them.
pub(super) fn side(pixels: u32) -> Result<u16, NotWritten> {
    let written = u16::try_from(pixels);
    written.map_err(|_| NotWritten::Encoding(format!("{pixels} pixels are too many")))
}

pub(super) fn sequence(tag: Tag, items: Vec<InMemDicomObject>) -> Element {
    DataElement::new(tag, VR::SQ, DataSetSequence::from(items))
}

pub(super) fn object(elements: Vec<Element>) -> InMemDicomObject {
    InMemDicomObject::from_element_iter(elements)
}

/// Attributes of the patient and study that are carried over, with their type: an empty
/// one of type 2 stands in the object without a value.
const IDENTIFYING: [(Tag, VR, bool); 13] = [
    (tags::STUDY_DATE, VR::DA, true),
    (tags::STUDY_TIME, VR::TM, true),
    (tags::ACCESSION_NUMBER, VR::SH, true),
    (tags::REFERRING_PHYSICIAN_NAME, VR::PN, true),
    (tags::STUDY_DESCRIPTION, VR::LO, false),
    (tags::PATIENT_NAME, VR::PN, true),
    (tags::PATIENT_ID, VR::LO, true),
    (tags::ISSUER_OF_PATIENT_ID, VR::LO, false),
    (tags::PATIENT_BIRTH_DATE, VR::DA, true),
    (tags::PATIENT_SEX, VR::CS, true),
    (tags::PATIENT_AGE, VR::AS, false),
    (tags::STUDY_ID, VR::SH, true),
    (tags::STUDY_INSTANCE_UID, VR::UI, false),
];

impl Case<'_> {
    /// A UID of the source as an object may hold it; where the source has none, one that all
    /// answers about the image share.
    fn uid_of_source(&self, uid: &str, what: &str) -> String {
        match uid {
            "" => self.uid_of_image(what),
            uid if self.deidentify || !is_uid(uid) => hashed_uid(uid),
            uid => uid.to_owned(),
        }
    }

    /// The study that the image belongs to.
    pub(super) fn study(&self) -> String {
        let known = self.origin().and_then(|o| o.text(tags::STUDY_INSTANCE_UID));
        self.uid_of_source(known.unwrap_or_default(), "study")
    }

    fn source_series(&self) -> Option<String> {
        let known = self.origin()?.text(tags::SERIES_INSTANCE_UID);
        Some(self.uid_of_source(known.unwrap_or_default(), "source series"))
    }

    /// The reference to the image's object: class, instance and frame.
    pub(super) fn reference(&self) -> Option<InMemDicomObject> {
        let is_of_a_class = |o: &&Origin| is_uid(&o.sop_class);
        let origin = self.origin().filter(is_of_a_class)?;
        let instance = self.uid_of_source(&origin.sop_instance, "source");
        let mut elements = vec![
            text(tags::REFERENCED_SOP_CLASS_UID, VR::UI, &origin.sop_class),
            text(tags::REFERENCED_SOP_INSTANCE_UID, VR::UI, instance),
        ];
        if matches!(self.image.metadata.frame, Some((_, 2..))) {
            let frame = origin.frame.to_string();
            elements.push(text(tags::REFERENCED_FRAME_NUMBER, VR::IS, frame));
        }
        Some(object(elements))
    }

    /// The source's series, with the instance that was read under `instances`.
    pub(super) fn referenced_series(&self, instances: Tag) -> Option<Element> {
        let (series, mut reference) = (self.source_series()?, self.reference()?);
        reference.remove_element(tags::REFERENCED_FRAME_NUMBER);
        let series = object(vec![
            sequence(instances, vec![reference]),
            text(tags::SERIES_INSTANCE_UID, VR::UI, series),
        ]);
        Some(sequence(tags::REFERENCED_SERIES_SEQUENCE, vec![series]))
    }

    /// The source's study and series as an evidence sequence (PS3.3, C.17.2.1).
    pub(super) fn evidence(&self) -> Option<Element> {
        let study = object(vec![
            self.referenced_series(tags::REFERENCED_SOP_SEQUENCE)?,
            text(tags::STUDY_INSTANCE_UID, VR::UI, self.study()),
        ]);
        let tag = tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE;
        Some(sequence(tag, vec![study]))
    }

    /// Patient, study, series, equipment and SOP common modules.
    pub(super) fn common(&self, kind: &Kind) -> InMemDicomObject {
        let name = kind.name;
        let mut elements = vec![
            text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 192"),
            text(tags::SOP_CLASS_UID, VR::UI, kind.class),
            text(tags::SOP_INSTANCE_UID, VR::UI, self.uid(name)),
            text(tags::MODALITY, VR::CS, kind.modality),
            text(tags::SERIES_DESCRIPTION, VR::LO, format!("medfocus {name}")),
            text(
                tags::SERIES_INSTANCE_UID,
                VR::UI,
                self.uid(&format!("{name} series")),
            ),
            text(tags::SERIES_NUMBER, VR::IS, "990"),
            text(tags::INSTANCE_NUMBER, VR::IS, "1"),
            text(tags::MANUFACTURER, VR::LO, "medfocus"),
            text(tags::MANUFACTURER_MODEL_NAME, VR::LO, "medfocus"),
            text(
                tags::DEVICE_SERIAL_NUMBER,
                VR::LO,
                &self.bundle().sha256[..16],
            ),
            text(tags::SOFTWARE_VERSIONS, VR::LO, self.maker()),
        ];
        elements.extend(self.dates());
        for (tag, vr, always) in IDENTIFYING {
            let value = match tag {
                tags::STUDY_INSTANCE_UID => Some(self.study()),
                tags::PATIENT_SEX => self.sex(),
                tags::PATIENT_AGE => {
                    let carried = self.fitted(tag, vr);
                    carried.or_else(|| self.age().map(Age::dicom))
                }
                tag => self.fitted(tag, vr),
            };
            match value {
                Some(value) => elements.push(text(tag, vr, value)),
                None if always => elements.push(DataElement::new(tag, vr, PrimitiveValue::Empty)),
                None => {}
            }
        }
        if kind.is_image {
            elements.extend(self.shown());
            elements.extend(self.request_attributes());
        }
        if self.deidentify {
            elements.extend(deidentification(kind.option));
        }
        object(elements)
    }

    /// What of the body an image shows, and whether its pixels ever lost something.
    fn shown(&self) -> Vec<Element> {
        let anatomy = self.anatomy();
        let part = anatomy.body_part.as_deref().unwrap_or_default();
        let part = fit(tags::BODY_PART_EXAMINED, VR::CS, part).written();
        let part = part.filter(|part| !part.is_empty());
        // An image's own side stands in place of its series' (PS3.3, C.7.3.1); empty, it is not
        // known.
        let side = anatomy.laterality.map(|side| side.word());
        let side = side.map_or(PrimitiveValue::Empty, PrimitiveValue::from);
        let mut shown = vec![DataElement::new(tags::IMAGE_LATERALITY, VR::CS, side)];
        shown.extend(part.map(|part| text(tags::BODY_PART_EXAMINED, VR::CS, part)));
        shown.extend(self.loss());
        shown
    }

    /// A loss by compression, which tells nothing of the patient.
    fn loss(&self) -> Vec<Element> {
        if let Some(ratio) = self.image.metadata.jpeg_ratio {
            let ratio = format!("{}.{:02}", ratio / 100, ratio % 100);
            return vec![
                text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01"),
                text(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, ratio),
                text(tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS, "ISO_10918_1"),
            ];
        }
        let said = |tag, vr| fit(tag, vr, self.origin()?.text(tag)?).written();
        let of = |(tag, vr)| {
            let values: Vec<String> = said(tag, vr)?.split('\\').map(str::to_owned).collect();
            let values = PrimitiveValue::Strs(values.into());
            Some(DataElement::new(tag, vr, values))
        };
        let flag = (tags::LOSSY_IMAGE_COMPRESSION, VR::CS);
        let how = [
            flag,
            (tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS),
            (tags::LOSSY_IMAGE_COMPRESSION_METHOD, VR::CS),
        ];
        match said(flag.0, flag.1).as_deref() {
            Some("01") => how.into_iter().filter_map(of).collect(),
            Some("00") => of(flag).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// What an object may hold of the request that the image answers, with the attributes that it
    /// must have.
    fn request(&self, needed: &[(Tag, VR)]) -> Option<InMemDicomObject> {
        let mut request = InMemDicomObject::new_empty();
        for (tag, vr) in REQUESTED {
            let value = self.requested(tag).and_then(|v| fit(tag, vr, v).written());
            match value {
                Some(value) => drop(request.put(text(tag, vr, value))),
                None if needed.contains(&(tag, vr)) => {
                    request.put(DataElement::new(tag, vr, PrimitiveValue::Empty));
                }
                None => {}
            }
        }
        let says_which = [
            tags::REQUESTED_PROCEDURE_ID,
            tags::SCHEDULED_PROCEDURE_STEP_ID,
            tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
            tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
        ];
        let is_said = |tag| self.requested(tag).is_some();
        says_which.into_iter().any(is_said).then_some(request)
    }

    /// The request, as the series of an image names it (PS3.3, C.7.3.1).
    fn request_attributes(&self) -> Option<Element> {
        let request = self.request(&[])?;
        Some(sequence(tags::REQUEST_ATTRIBUTES_SEQUENCE, vec![request]))
    }

    /// The request, as a report names it (PS3.3, C.17.2).
    pub(super) fn referenced_request(&self) -> Option<Element> {
        let mut request = self.request(&REQUESTED)?;
        request.remove_element(tags::SCHEDULED_PROCEDURE_STEP_ID);
        request.put(text(tags::STUDY_INSTANCE_UID, VR::UI, self.study()));
        for empty in [
            tags::REFERENCED_STUDY_SEQUENCE,
            tags::REQUESTED_PROCEDURE_CODE_SEQUENCE,
        ] {
            request.put(sequence(empty, Vec::new()));
        }
        Some(sequence(tags::REFERENCED_REQUEST_SEQUENCE, vec![request]))
    }

    fn dates(&self) -> Vec<Element> {
        let (date, time) = self.moment();
        let mut dates = vec![
            text(tags::CONTENT_DATE, VR::DA, &date),
            text(tags::CONTENT_TIME, VR::TM, &time),
        ];
        if !self.deidentify {
            dates.extend([
                text(tags::INSTANCE_CREATION_DATE, VR::DA, &date),
                text(tags::INSTANCE_CREATION_TIME, VR::TM, &time),
                text(tags::SERIES_DATE, VR::DA, &date),
                text(tags::SERIES_TIME, VR::TM, &time),
            ]);
            let offset = self.offset().map(zone);
            dates.extend(offset.map(|zone| text(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, zone)));
        }
        dates
    }
}

/// So many minutes before UTC, as DICOM and HL7 write them.
pub(super) fn zone(minutes: i16) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    let minutes = minutes.unsigned_abs();
    format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
}

/// That and how an object was de-identified (PS3.15, E.1.1 and PS3.16, CID 7050). Nothing of
/// the source is copied but what [`IDENTIFYING`] lists, so no private attribute is either;
/// the descriptions are our own words.
fn deidentification(option: (&str, &str)) -> [Element; 4] {
    let codes = [
        ("113100", "Basic Application Confidentiality Profile"),
        ("113105", "Clean Descriptors Option"),
        option,
    ];
    let codes = codes.map(|(value, meaning)| code(value, "DCM", meaning));
    let how = "medfocus: nothing of patient and study kept, UIDs replaced";
    [
        text(tags::PATIENT_IDENTITY_REMOVED, VR::CS, "YES"),
        text(tags::DEIDENTIFICATION_METHOD, VR::LO, how),
        sequence(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE, codes.into()),
        text(
            tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED,
            VR::CS,
            "REMOVED",
        ),
    ]
}

/// A coded concept (PS3.3, section 8).
pub(super) fn code(value: &str, scheme: &str, meaning: &str) -> InMemDicomObject {
    object(vec![
        text(tags::CODE_VALUE, VR::SH, shortened(value, 16)),
        text(tags::CODING_SCHEME_DESIGNATOR, VR::SH, scheme),
        text(tags::CODE_MEANING, VR::LO, shortened(meaning, 64)),
    ])
}

/// A value that fits its representation; a longer code keeps both ends.
fn shortened(value: &str, most: usize) -> String {
    let count = value.chars().count();
    if count <= most {
        return value.to_owned();
    }
    let head = value.chars().take(most / 2);
    let tail = value.chars().skip(count - most / 2);
    head.chain(tail).collect()
}

/// The object as a file's bytes.
pub(super) fn file(data: InMemDicomObject) -> Result<Vec<u8>, NotWritten> {
    let fail = |error: &dyn std::error::Error| NotWritten::Encoding(error.to_string());
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let file: FileDicomObject<_> = data.with_meta(meta).map_err(|e| fail(&e))?;
    let mut bytes = Vec::new();
    file.write_all(&mut bytes).map_err(|e| fail(&e))?;
    Ok(bytes)
}
