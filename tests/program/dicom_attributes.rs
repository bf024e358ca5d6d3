//! Every attribute that the device reads: the table of `docs/dicom.md`, the code and the cases here
//! name the same ones, and each changes what it is said to change.

use std::collections::BTreeSet;

use crate::common::dicom::element;
use crate::common::root;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use medfocus::case::{
    Anatomy, BundleId, Check, ClassProbability, Finding, IntendedUse, MaskReport, Outcome,
    Provenance, Record, Rle, TriageLevel,
};
use medfocus::focus::Mask;
use medfocus::image::{FrameChoice, Image, Pixels, decode_frame};
use medfocus::patient::Patient;
use medfocus::report::{Case, Form, Moment};
use medfocus::sha256::Sha256;

mod cases;

type Element = DataElement<InMemDicomObject>;

/// An attribute of the table.
struct Row {
    tag: Tag,
    name: String,
    goes_out: bool,
}

fn rows() -> Vec<Row> {
    let page = std::fs::read_to_string(root().join("docs/dicom.md")).unwrap();
    let table = page
        .split("| attribute | for | what | source |")
        .nth(1)
        .unwrap();
    let lines = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, attribute, uses, what, source, _] = cells[..] else {
                panic!("{line}");
            };
            assert!(!what.is_empty() && source.starts_with("PS3."), "{line}");
            assert!(
                ["reading", "pixels", "routes", "goes out"].contains(&uses),
                "{line}"
            );
            let (name, number) = attribute.split_once(' ').unwrap();
            let entry = StandardDataDictionary.by_name(name).expect(name);
            let Tag(group, part) = entry.tag();
            assert_eq!(number, format!("({group:04X},{part:04X})"), "{line}");
            Row {
                tag: entry.tag(),
                name: name.to_owned(),
                goes_out: uses == "goes out",
            }
        })
        .collect()
}

/// Names as the code has them, without what parts their words.
fn letters(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_uppercase()).collect()
}

/// The attributes that the code of `src/image/dicom` names, but for its tests.
fn named_in_code() -> BTreeSet<String> {
    let mut folders = vec![root().join("src/image/dicom")];
    let mut names = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                let code = std::fs::read_to_string(&path).unwrap();
                let code = code.split("#[cfg(test)]").next().unwrap().to_owned();
                let named = code.split("tags::").skip(1).map(|rest| {
                    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                    letters(&rest[..end.unwrap_or(rest.len())])
                });
                names.extend(named.filter(|name| !name.is_empty()));
            }
        }
    }
    names
}

/// How long a group is says nothing of the image.
const OF_THE_FORM: [&str; 2] = [
    "FILEMETAINFORMATIONGROUPLENGTH",
    "MEDIASTORAGESOPINSTANCEUID",
];

#[test]
fn table_code_and_cases_name_the_same_attributes() {
    let table: BTreeSet<String> = rows().iter().map(|row| letters(&row.name)).collect();
    let code: BTreeSet<String> = named_in_code()
        .into_iter()
        .filter(|n| !OF_THE_FORM.contains(&n.as_str()))
        .collect();
    let apart: Vec<&String> = table.symmetric_difference(&code).collect();
    assert_eq!(apart, [""; 0], "in the table or in the code alone");
    let cases = cases::all();
    let tested: BTreeSet<Tag> = cases.iter().map(|case| case.tag).collect();
    assert_eq!(tested.len(), cases.len(), "one case for each");
    let untested: Vec<String> = rows()
        .into_iter()
        .filter(|row| !tested.contains(&row.tag))
        .map(|row| row.name)
        .collect();
    assert_eq!(untested, [""; 0], "rows without a case");
    assert_eq!(cases.len(), table.len(), "cases without a row");
}

/// Each attribute changes what is seen of the image, and what goes out changes the outputs.
#[test]
fn each_attribute_changes_what_it_is_said_to_change() {
    let cases = cases::all();
    for row in rows() {
        let case = cases.iter().find(|case| case.tag == row.tag).unwrap();
        let before = Seen::of(&case.file(false));
        let after = Seen::of(&case.file(true));
        assert_ne!(before, after, "{} changes nothing", row.name);
        if row.goes_out {
            assert_ne!(
                before.outputs, after.outputs,
                "{} does not go out",
                row.name
            );
        }
    }
}

/// One attribute: what an object has, and what is put into it.
pub struct Change {
    tag: Tag,
    before: Vec<Element>,
    after: Vec<Element>,
    /// Of the meta group: its transfer syntax and class.
    meta: [(&'static str, &'static str); 2],
}

impl Change {
    /// The file without the change or with it.
    fn file(&self, is_changed: bool) -> Vec<u8> {
        let mut object = grey();
        self.before
            .iter()
            .for_each(|element| drop(object.put(element.clone())));
        if is_changed {
            self.after
                .iter()
                .for_each(|element| drop(object.put(element.clone())));
        }
        if object
            .element(tags::SOP_CLASS_UID)
            .unwrap()
            .to_str()
            .unwrap()
            .is_empty()
        {
            object.remove_element(tags::SOP_CLASS_UID);
        }
        let (syntax, class) = self.meta[usize::from(is_changed)];
        let meta = FileMetaTableBuilder::new()
            .transfer_syntax(syntax)
            .media_storage_sop_class_uid(class)
            .media_storage_sop_instance_uid("2.25.1");
        let mut bytes = Vec::new();
        object
            .with_exact_meta(meta.build().unwrap())
            .write_all(&mut bytes)
            .unwrap();
        bytes
    }
}

/// 64 x 64 pixels that are their own columns, of a patient who never was.
fn grey() -> InMemDicomObject {
    let number = |tag, value: u16| element(tag, VR::US, PrimitiveValue::from(value));
    let pixels: Vec<u8> = (0..64 * 64).map(|i| (i % 64) as u8 * 4).collect();
    InMemDicomObject::from_element_iter([
        text(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        text(tags::SOP_INSTANCE_UID, VR::UI, "2.25.1"),
        text(tags::STUDY_INSTANCE_UID, VR::UI, "2.25.2"),
        text(tags::SERIES_INSTANCE_UID, VR::UI, "2.25.3"),
        text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "MONOCHROME2"),
        number(tags::SAMPLES_PER_PIXEL, 1),
        number(tags::ROWS, 64),
        number(tags::COLUMNS, 64),
        number(tags::BITS_ALLOCATED, 8),
        number(tags::BITS_STORED, 8),
        number(tags::HIGH_BIT, 7),
        number(tags::PIXEL_REPRESENTATION, 0),
        element(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)),
    ])
}

fn text(tag: Tag, vr: VR, value: &str) -> Element {
    let values = value.split('\\').map(str::to_owned);
    element(tag, vr, PrimitiveValue::Strs(values.collect()))
}

fn numbers(tag: Tag, values: &[u16]) -> Element {
    element(
        tag,
        VR::US,
        PrimitiveValue::U16(values.iter().copied().collect()),
    )
}

fn words(tag: Tag, values: &[u16]) -> Element {
    element(
        tag,
        VR::OW,
        PrimitiveValue::U16(values.iter().copied().collect()),
    )
}

fn sequence(tag: Tag, item: Vec<Element>) -> Element {
    let item = InMemDicomObject::from_element_iter(item);
    DataElement::new(tag, VR::SQ, DataSetSequence::from(vec![item]))
}

/// What comes of a file.
#[derive(Debug, PartialEq)]
struct Seen {
    /// Size, pixels and what the image says, or the refusal.
    image: String,
    /// HL7, report, segmentation and picture.
    outputs: Vec<Vec<u8>>,
}

impl Seen {
    fn of(file: &[u8]) -> Self {
        let mut image = match decode_frame(file, FrameChoice::default()) {
            Ok(image) => image,
            Err(refusal) => {
                return Self {
                    image: refusal.message,
                    outputs: Vec::new(),
                };
            }
        };
        // Outputs of two files are compared as if they were of one.
        image.sha256 = Sha256::of(b"");
        let pixels = match &image.pixels {
            Pixels::Luma(bytes) | Pixels::Rgb(bytes) => Sha256::of(bytes).to_string(),
        };
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), file).unwrap();
        let priority = medfocus::image::priority(path.path()).said;
        let seen = format!(
            "{} x {} {pixels} {:?} {priority:?} {}",
            image.width,
            image.height,
            image.metadata,
            image.may_hold_words()
        );
        Self {
            image: seen,
            outputs: outputs(&image),
        }
    }
}

/// The outputs of a finding about an image, always the same one.
fn outputs(image: &Image) -> Vec<Vec<u8>> {
    let class = ClassProbability {
        class: "normal".to_owned(),
        label: "Normal".to_owned(),
        probability: 1.0,
    };
    let finding = Finding {
        exam: "brain4".to_owned(),
        answer: 0,
        patient: Patient::default(),
        anatomy: Anatomy::default(),
        probabilities: vec![class],
        prediction_set: None,
        triage_level: TriageLevel::Routine,
        mask: MaskReport {
            bbox: [0; 4],
            area_fraction: 0.0,
            rle: Rle {
                size: [image.height, image.width],
                counts: vec![image.height * image.width],
            },
            predicted_iou: 0.5,
        },
        film: None,
        focus: "crop".to_owned(),
        gate: Check::Passed,
        guard: Check::Passed,
        guard_distance: None,
        reasons: Vec::new(),
    };
    let bundle = BundleId {
        name: "starter".to_owned(),
        version: "1".to_owned(),
        sha256: "cd".repeat(32),
    };
    let by = Provenance::of(&bundle, IntendedUse::Research);
    let outcome = Outcome::Finding(Box::new(finding.clone()));
    let record = Record::new(Some("17".to_owned()), "a.dcm", outcome, by);
    let bits = vec![false; (image.width * image.height) as usize];
    let case = Case {
        record: &record,
        finding: &finding,
        title: "Title",
        image,
        mask: &Mask::new(image.width, image.height, bits),
        now: Moment::at(jiff::Timestamp::UNIX_EPOCH),
        point: None,
        deidentify: false,
    };
    let forms = [
        Form::Hl7,
        Form::StructuredReport,
        Form::Segmentation,
        Form::SecondaryCapture,
    ];
    forms
        .iter()
        .map(|form| form.bytes(&case).unwrap_or_default())
        .collect()
}
