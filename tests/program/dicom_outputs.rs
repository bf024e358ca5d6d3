//! What is written of a finding for archives and hospital systems: whose it is stands in
//! DICOM and HL7, and nowhere else.

use std::path::{Path, PathBuf};

use crate::common::dicom::{ultrasound_region, write_grey};
use crate::common::{medfocus, phantom, root};
use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
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
        let (written, code) = Self::of(SOURCE, "sc,sr,seg,hl7,page,pdf", options);
        assert_eq!(code, Some(0), "{}", written.printed);
        written
    }

    fn of(source: &str, kinds: &str, options: &[&str]) -> (Self, Option<i32>) {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().to_str().unwrap();
        let fixed = [
            "classify", source, "--write", kinds, "--to", to, "--format", "json",
        ];
        let output = medfocus(&[&fixed[..], options].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let printed = String::from_utf8(output.stdout).unwrap() + &error;
        (Self { folder, printed }, output.status.code())
    }

    fn answer(&self) -> serde_json::Value {
        serde_json::from_str(&self.printed).unwrap()
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
    let open = |ending| open_file(written.path(ending)).unwrap();
    let (sc, sr, seg) = (open("sc.dcm"), open("sr.dcm"), open("seg.dcm"));
    for object in [&sc, &sr, &seg] {
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
        hl7.contains("PID|1||P\\F\\0815||Müller^Eva^^^^^L^A||19700101|F\r"),
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
    let answer = written.answer();
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
    let written = Written::new(&["--deidentify", "--nothing-burned-in"]);
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
    for ending in ["sc.dcm", "sr.dcm", "seg.dcm"] {
        let object = open_file(written.path(ending)).unwrap();
        assert_eq!(text(&object, tags::PATIENT_IDENTITY_REMOVED), "YES");
        assert_eq!(text(&object, tags::PATIENT_NAME), "");
        assert_is_of_the_basic_profile(&object, ending);
    }
}

/// PS3.15, table E.1-1, as far as our objects have its attributes: no date that is true, no
/// private attribute.
fn assert_is_of_the_basic_profile(object: &InMemDicomObject, name: &str) {
    assert_eq!(text(object, tags::CONTENT_DATE), "19000101", "{name}");
    let temporal = tags::LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED;
    assert_eq!(text(object, temporal), "REMOVED", "{name}");
    for element in object {
        let tag = element.header().tag;
        assert!(tag.group() % 2 == 0, "{name}: {tag} is private");
        let is_empty = element.value().to_str().is_ok_and(|text| text.is_empty());
        let is_date = [VR::DA, VR::TM, VR::DT].contains(&element.vr());
        let is_made_up = [tags::CONTENT_DATE, tags::CONTENT_TIME].contains(&tag);
        assert!(
            !is_date || is_empty || is_made_up,
            "{name}: {tag} is a date"
        );
    }
    let codes = object
        .element(tags::DEIDENTIFICATION_METHOD_CODE_SEQUENCE)
        .unwrap();
    assert_eq!(text(&codes.items().unwrap()[0], tags::CODE_VALUE), "113100");
}

#[test]
fn the_segmentation_is_the_mask_over_the_source() {
    let written = Written::new(&[]);
    let seg = open_file(written.path("seg.dcm")).unwrap();
    assert_eq!(inside(&seg), region(&written.answer()));
    let frames = seg
        .element(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE)
        .unwrap();
    let first =
        |object: &InMemDicomObject, tag| object.element(tag).unwrap().items().unwrap()[0].clone();
    let derivation = first(&frames.items().unwrap()[0], tags::DERIVATION_IMAGE_SEQUENCE);
    let source = first(&derivation, tags::SOURCE_IMAGE_SEQUENCE);
    assert_eq!(
        text(&source, tags::REFERENCED_SOP_INSTANCE_UID),
        "2.25.4711"
    );
    let segment = first(&seg, tags::SEGMENT_SEQUENCE);
    let limits = text(&segment, tags::SEGMENT_DESCRIPTION);
    assert!(
        limits.contains("demonstration only, not for care"),
        "{limits}"
    );
}

/// The segmentation's pixels that are set, as (column, row).
fn inside(seg: &InMemDicomObject) -> Vec<(usize, usize)> {
    let side = |tag| seg.element(tag).unwrap().to_int::<usize>().unwrap();
    let (rows, columns) = (side(tags::ROWS), side(tags::COLUMNS));
    let bytes = seg.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap();
    assert_eq!(bytes.len(), (rows * columns).div_ceil(16) * 2);
    let is_set = |at: &usize| bytes[at / 8] >> (at % 8) & 1 == 1;
    let set = (0..rows * columns).filter(is_set);
    set.map(|at| (at % columns, at / columns)).collect()
}

/// The answer's region, as (column, row) by rows.
fn region(answer: &serde_json::Value) -> Vec<(usize, usize)> {
    let rle = &answer["mask"]["rle"];
    let height = rle["size"][0].as_u64().unwrap() as usize;
    let mut pixels = Vec::new();
    let mut at = 0;
    for (run, length) in rle["counts"].as_array().unwrap().iter().enumerate() {
        let length = length.as_u64().unwrap() as usize;
        if run % 2 == 1 {
            pixels.extend((at..at + length).map(|at| (at / height, at % height)));
        }
        at += length;
    }
    pixels.sort_by_key(|&(x, y)| (y, x));
    pixels
}

/// The page's picture, unpacked again.
#[test]
fn the_pdf_holds_the_page() {
    let written = Written::new(&[]);
    let page = image::open(written.path("page.png")).unwrap().into_rgb8();
    let pdf = std::fs::read(written.path("page.pdf")).unwrap();
    assert!(pdf.starts_with(b"%PDF-1.") && pdf.ends_with(b"%%EOF"));
    let find = |what: &[u8], from: usize| {
        let at = pdf[from..]
            .windows(what.len())
            .position(|part| part == what);
        from + at.unwrap_or_else(|| panic!("no {}", String::from_utf8_lossy(what)))
    };
    let picture = find(b"/Subtype /Image", 0);
    let start = find(b"stream\n", picture) + 7;
    let end = find(b"\nendstream", start);
    let pixels = miniz_oxide::inflate::decompress_to_vec_zlib(&pdf[start..end]).unwrap();
    assert_eq!(pixels, page.into_raw());
    find(b"not for care", 0);
}

/// The breast phantom as an ultrasound unit sends it, with white letters in its first rows.
fn ultrasound(folder: &Path, elements: Vec<DataElement<InMemDicomObject>>) -> PathBuf {
    let mut pixels = image::open(phantom("breast.png")).unwrap().into_luma8();
    for x in 10..200 {
        pixels.put_pixel(x, 5, image::Luma([255]));
    }
    let word = |tag, vr, value: &str| DataElement::new(tag, vr, PrimitiveValue::from(value));
    let of_breast = [
        word(tags::SOP_CLASS_UID, VR::UI, uids::ULTRASOUND_IMAGE_STORAGE),
        word(tags::MODALITY, VR::CS, "US"),
        word(tags::BODY_PART_EXAMINED, VR::CS, "BREAST"),
    ];
    let path = folder.join("ultrasound.dcm");
    write_grey(&path, &pixels, of_breast.into_iter().chain(elements));
    path
}

#[test]
fn deidentified_pictures_show_the_ultrasound_region_alone() {
    let folder = tempfile::tempdir().unwrap();
    let source = ultrasound(folder.path(), vec![ultrasound_region([20, 40, 499, 479])]);
    let overlay = folder.path().join("overlay.png");
    let options = ["--force", "--overlay", overlay.to_str().unwrap()];
    let shown = |options: &[&str]| {
        let (written, code) = Written::of(source.to_str().unwrap(), "sc,page", options);
        assert_eq!(code, Some(0), "{}", written.printed);
        let sc = open_file(written.path("sc.dcm")).unwrap();
        let at = (5 * sc
            .element(tags::COLUMNS)
            .unwrap()
            .to_int::<usize>()
            .unwrap()
            + 100)
            * 3;
        let letter = sc.element(tags::PIXEL_DATA).unwrap().to_bytes().unwrap()[at];
        let overlay = image::open(&overlay).unwrap().into_rgb8();
        let burned = text(&sc, tags::BURNED_IN_ANNOTATION);
        (letter, overlay.get_pixel(100, 5).0[0], burned)
    };
    assert_eq!(shown(&options), (255, 255, "YES".to_owned()));
    let deidentified = [&options[..], &["--deidentify"]].concat();
    assert_eq!(shown(&deidentified), (0, 0, "NO".to_owned()));
}

#[test]
fn burned_in_letters_without_a_region_are_refused_in_pictures_alone() {
    let folder = tempfile::tempdir().unwrap();
    let source = ultrasound(folder.path(), Vec::new());
    let source = source.to_str().unwrap();
    let options = ["--force", "--deidentify"];
    let (refused, code) = Written::of(source, "sc", &options);
    assert_eq!(
        (code, &refused.answer()["code"]),
        (Some(1), &"burned_in".into())
    );
    let (written, code) = Written::of(source, "sr,seg,hl7", &options);
    assert_eq!(code, Some(0), "{}", written.printed);
}

#[test]
fn a_segmentation_has_the_objects_own_pixels_where_they_are_not_square() {
    let folder = tempfile::tempdir().unwrap();
    // Twice as high as wide: the image that is read has 1024 rows.
    let sides = PrimitiveValue::Strs(["2".to_owned(), "1".to_owned()].into_iter().collect());
    let ratio = DataElement::new(tags::PIXEL_ASPECT_RATIO, VR::IS, sides);
    let source = ultrasound(folder.path(), vec![ratio]);
    let (written, code) = Written::of(source.to_str().unwrap(), "seg", &["--force"]);
    assert_eq!(code, Some(0), "{}", written.printed);
    let answer = written.answer();
    assert_eq!(
        answer["mask"]["rle"]["size"],
        serde_json::json!([1024, 512])
    );
    let seg = open_file(written.path("seg.dcm")).unwrap();
    let every_other = region(&answer).into_iter().filter(|(_, y)| y % 2 == 1);
    let expected: Vec<_> = every_other.map(|(x, y)| (x, y / 2)).collect();
    assert_eq!(inside(&seg), expected);
}

#[test]
fn a_segmentation_needs_a_dicom_image_and_nothing_else_waits_for_it() {
    let image = "tests/phantoms/brain.png";
    let kinds = "sr,seg,sc,hl7";
    let (written, code) = Written::of(image, kinds, &["--exam", "all", "--force"]);
    assert_eq!(code, Some(2));
    let printed = &written.printed;
    assert_eq!(printed.matches("leave seg out").count(), 1, "{printed}");
    let line = printed.lines().find(|line| line.contains("leave seg out"));
    assert!(line.unwrap().starts_with(image), "{printed}");
    let findings = printed.matches("\"status\":\"finding\"").count();
    assert!(findings > 1, "one for each exam: {printed}");
    for (ending, count) in [
        ("sr.dcm", findings),
        ("sc.dcm", findings),
        ("hl7", findings),
        ("seg.dcm", 0),
    ] {
        let entries = std::fs::read_dir(written.folder.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let files = paths.filter(|path| path.to_str().unwrap().ends_with(ending));
        assert_eq!(files.count(), count, "{ending}");
    }
    let (written, code) = Written::of(image, "sr,sc,hl7", &[]);
    assert_eq!(code, Some(0), "{}", written.printed);
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
