//! What every DICOM object that is written has in common: whose it is, where it belongs,
//! who made it, and how it was de-identified.

use dicom_core::header::Tag;
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileDicomObject, FileMetaTableBuilder, InMemDicomObject};

use super::case::{Case, NotWritten, hashed_uid};
use crate::image::Origin;
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
    fn study(&self) -> String {
        let known = self.origin().and_then(|o| o.text(tags::STUDY_INSTANCE_UID));
        match known {
            Some(uid) if self.deidentify => hashed_uid(uid),
            Some(uid) => uid.to_owned(),
            None => self.uid_of_image("study"),
        }
    }

    fn source_series(&self) -> Option<String> {
        let uid = self.origin()?.text(tags::SERIES_INSTANCE_UID)?;
        Some(if self.deidentify {
            hashed_uid(uid)
        } else {
            uid.to_owned()
        })
    }

    /// The reference to the image's object: class, instance and frame.
    pub(super) fn reference(&self) -> Option<InMemDicomObject> {
        let is_named = |o: &&Origin| !o.sop_class.is_empty() && !o.sop_instance.is_empty();
        let origin = self.origin().filter(is_named)?;
        let instance = if self.deidentify {
            hashed_uid(&origin.sop_instance)
        } else {
            origin.sop_instance.clone()
        };
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
                tags::PATIENT_SEX => self.sex().map(str::to_owned),
                tags::PATIENT_AGE => {
                    let carried = self.carried(tag).map(str::to_owned);
                    carried.or_else(|| self.age().map(Age::dicom))
                }
                tag => self.carried(tag).map(str::to_owned),
            };
            match value {
                Some(value) => elements.push(text(tag, vr, value)),
                None if always => elements.push(DataElement::new(tag, vr, PrimitiveValue::Empty)),
                None => {}
            }
        }
        if self.deidentify {
            elements.extend(deidentification(kind.option));
        }
        object(elements)
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
                text(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "+0000"),
                text(tags::SERIES_DATE, VR::DA, &date),
                text(tags::SERIES_TIME, VR::TM, &time),
            ]);
        }
        dates
    }
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
