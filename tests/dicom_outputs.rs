//! What is written of a finding for archives and hospital systems: whose it is stands in
//! DICOM and HL7, and nowhere else.

mod common;

use std::path::{Path, PathBuf};

use common::{medfocus, root};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{InMemDicomObject, open_file};

const SOURCE: &str = "tests/vectors/dicom/patient.dcm";
/// Of the patient in `patient.dcm`, who never was.
const IDENTIFYING: [&str; 7] = [
    "Müller",
    "0815",
    "19700101",
    "ACC42",
    "2.25.4711",
    "2.25.4712",
    "2.25.4713",
];

struct Written {
    folder: tempfile::TempDir,
    printed: String,
}

impl Written {
    fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().to_str().unwrap();
        let fixed = [
            "classify",
            SOURCE,
            "--write",
            "sc,sr,hl7,page",
            "--to",
            to,
            "--format",
            "json",
        ];
        let output = medfocus(&[&fixed[..], options].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{error}");
        let printed = String::from_utf8(output.stdout).unwrap() + &error;
        Self { folder, printed }
    }

    fn path(&self, ending: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        let is_it = |path: &PathBuf| path.to_str().unwrap().ends_with(ending);
        paths.find(is_it).unwrap_or_else(|| panic!("no {ending}"))
    }
}

fn text(object: &InMemDicomObject, tag: dicom_object::Tag) -> String {
    let element = object.element(tag).unwrap();
    element.to_str().unwrap().trim_end().to_owned()
}

/// All content items of a structured report, deeply, as (value type, object).
fn items(object: &InMemDicomObject, found: &mut Vec<InMemDicomObject>) {
    let Some(content) = object.get(tags::CONTENT_SEQUENCE) else {
        return;
    };
    for item in content.items().unwrap() {
        found.push(item.clone());
        items(item, found);
    }
}

#[test]
fn the_patient_is_in_dicom_and_hl7_and_nowhere_else() {
    let written = Written::new(&[]);
    let (sc, sr) = (
        open_file(written.path("sc.dcm")),
        open_file(written.path("sr.dcm")),
    );
    let (sc, sr) = (sc.unwrap(), sr.unwrap());
    for object in [&sc, &sr] {
        assert_eq!(text(object, tags::PATIENT_NAME), "Müller^Eva");
        assert_eq!(text(object, tags::PATIENT_ID), "P|0815");
        assert_eq!(text(object, tags::STUDY_INSTANCE_UID), "2.25.4712");
        assert_eq!(text(object, tags::ACCESSION_NUMBER), "ACC42");
        assert_ne!(text(object, tags::SERIES_INSTANCE_UID), "2.25.4713");
    }
    let source = sc
        .element(tags::SOURCE_IMAGE_SEQUENCE)
        .unwrap()
        .items()
        .unwrap();
    assert_eq!(
        text(&source[0], tags::REFERENCED_SOP_INSTANCE_UID),
        "2.25.4711"
    );
    let hl7 = std::fs::read_to_string(written.path("hl7")).unwrap();
    assert!(
        hl7.starts_with("MSH|^~\\&|MEDFOCUS|") && hl7.ends_with('\r'),
        "{hl7}"
    );
    assert!(
        hl7.contains("PID|1||P\\F\\0815^^^||Müller^Eva||19700101|F\r"),
        "{hl7}"
    );
    assert!(!written.printed.contains("Origin"));
    for word in IDENTIFYING {
        assert!(!written.printed.contains(word), "{word} was printed");
    }
    assert_eq!(
        text(&sc, tags::SOP_CLASS_UID),
        uids::SECONDARY_CAPTURE_IMAGE_STORAGE
    );
    let pixels = sc.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
    let side = |tag| sc.element(tag).unwrap().to_int::<usize>().unwrap();
    assert_eq!(pixels.len(), 3 * side(tags::ROWS) * side(tags::COLUMNS));
}

#[test]
fn the_report_holds_finding_probabilities_region_and_limits() {
    let written = Written::new(&[]);
    let answer: serde_json::Value = serde_json::from_str(&written.printed).unwrap();
    let sr = open_file(written.path("sr.dcm")).unwrap();
    let mut all = Vec::new();
    items(&sr, &mut all);
    let of = |kind: &str| -> Vec<&InMemDicomObject> {
        all.iter()
            .filter(|item| text(item, tags::VALUE_TYPE) == kind)
            .collect()
    };
    let numbers: Vec<f64> = of("NUM")
        .iter()
        .map(|item| {
            let measured = item.element(tags::MEASURED_VALUE_SEQUENCE).unwrap();
            let value = &measured.items().unwrap()[0];
            text(value, tags::NUMERIC_VALUE).parse().unwrap()
        })
        .collect();
    let probabilities = answer["probabilities"].as_object().unwrap();
    assert_eq!(numbers.len(), probabilities.len() + 1);
    for (number, expected) in numbers.iter().zip(probabilities.values()) {
        assert!((number - expected.as_f64().unwrap()).abs() < 1e-6);
    }
    let region = of("SCOORD")[0].element(tags::GRAPHIC_DATA).unwrap();
    let region = region.to_multi_float32().unwrap();
    let bbox: Vec<f32> = answer["mask"]["bbox"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap() as f32)
        .collect();
    assert_eq!(region.len(), 10);
    assert_eq!((region[0], region[1]), (bbox[0], bbox[1]));
    assert_eq!(
        (region[4], region[5]),
        (bbox[0] + bbox[2], bbox[1] + bbox[3])
    );
    let texts: Vec<String> = of("TEXT")
        .iter()
        .map(|i| text(i, tags::TEXT_VALUE))
        .collect();
    assert!(
        texts.iter().any(|text| text.contains("not for care")),
        "{texts:?}"
    );
}

#[test]
fn deidentified_files_do_not_say_whose_they_are() {
    let written = Written::new(&["--deidentify"]);
    for entry in std::fs::read_dir(written.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for word in IDENTIFYING {
            let there = bytes
                .windows(word.len())
                .any(|part| part == word.as_bytes());
            assert!(!there, "{word} in {}", path.display());
        }
    }
    let sc = open_file(written.path("sc.dcm")).unwrap();
    assert_eq!(text(&sc, tags::PATIENT_IDENTITY_REMOVED), "YES");
    assert_eq!(text(&sc, tags::PATIENT_NAME), "");
}

#[test]
fn the_same_case_has_the_same_instances() {
    let uid = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut uids: Vec<String> = paths
            .filter(|path| path.extension().is_some_and(|ending| ending == "dcm"))
            .map(|path| text(&open_file(path).unwrap(), tags::SOP_INSTANCE_UID))
            .collect();
        uids.sort();
        uids
    };
    let (first, second) = (Written::new(&[]), Written::new(&[]));
    assert_eq!(uid(first.folder.path()), uid(second.folder.path()));
    assert!(root().join(SOURCE).is_file());
}
