//! `--deidentify`: which pictures may be shown at all, and that no name of a file is left.

use std::path::{Path, PathBuf};

use crate::common::dicom::write_grey;
use crate::common::{medfocus, phantom};
use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use serde_json::Value;

/// What a file is called that tells whose image it is.
const PATIENT: &str = "Doe_Jane_19700101";

fn word(tag: dicom_object::Tag, vr: VR, value: &str) -> DataElement<InMemDicomObject> {
    DataElement::new(tag, vr, PrimitiveValue::from(value))
}

#[derive(Debug)]
struct Case {
    class: &'static str,
    modality: &'static str,
    image_type: &'static str,
    burned_in: Option<&'static str>,
    is_shown: bool,
}

/// A phantom as an object of this kind.
fn write(path: &Path, case: &Case) {
    let name = if case.modality == "MR" {
        "brain.png"
    } else {
        "chest.png"
    };
    let pixels = image::open(phantom(name)).unwrap().into_luma8();
    let image_type = case.image_type.split('\\').map(str::to_owned).collect();
    let burned_in = case.burned_in;
    write_grey(
        path,
        &pixels,
        [
            word(tags::SOP_CLASS_UID, VR::UI, case.class),
            word(tags::MODALITY, VR::CS, case.modality),
            DataElement::new(tags::IMAGE_TYPE, VR::CS, PrimitiveValue::Strs(image_type)),
        ]
        .into_iter()
        .chain(burned_in.map(|said| word(tags::BURNED_IN_ANNOTATION, VR::CS, said))),
    );
}

/// `classify` without names, with a picture asked for: its exit code and answer.
fn shown(image: &Path, more: &[&str]) -> (Option<i32>, Value) {
    let to = tempfile::tempdir().unwrap();
    let fixed = [
        "classify",
        image.to_str().unwrap(),
        "--exam",
        "covid3",
        "--force",
        "--deidentify",
        "--format",
        "json",
        "--write",
        "sc",
        "--to",
        to.path().to_str().unwrap(),
    ];
    let output = medfocus(&[&fixed[..], more].concat());
    let answer = serde_json::from_slice(&output.stdout).expect("JSON");
    let count = std::fs::read_dir(to.path()).unwrap().count();
    assert_eq!(count, usize::from(output.status.success()), "{answer}");
    (output.status.code(), answer)
}

#[test]
fn a_picture_is_shown_by_its_kind_and_its_header() {
    const ORIGINAL: &str = "ORIGINAL\\PRIMARY\\AXIAL";
    let case = |class, modality, image_type, burned_in, is_shown| Case {
        class,
        modality,
        image_type,
        burned_in,
        is_shown,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.dcm");
    let (capture, cr) = (
        uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
        uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
    );
    let mr = uids::MR_IMAGE_STORAGE;
    for case in [
        // Found: ultrasound that calls itself something else, and radiographs from cassettes.
        case(capture, "US", "DERIVED\\SECONDARY", None, false),
        case(capture, "OT", "DERIVED\\SECONDARY", None, false),
        case(uids::ULTRASOUND_IMAGE_STORAGE, "OT", ORIGINAL, None, false),
        case(cr, "CR", ORIGINAL, None, false),
        case(cr, "CR", ORIGINAL, Some("YES"), false),
        case(cr, "CR", ORIGINAL, Some("NO"), true),
        case(capture, "OT", "DERIVED\\SECONDARY", Some("NO"), true),
        // Captures of a scanner's screen.
        case(capture, "MR", ORIGINAL, None, false),
        case(mr, "MR", "DERIVED\\SECONDARY\\OTHER", None, false),
        case(mr, "MR", "DERIVED\\PRIMARY\\SCREEN SAVE", None, false),
        case(mr, "MR", ORIGINAL, None, true),
    ] {
        write(&path, &case);
        let (code, answer) = shown(&path, &[]);
        assert_eq!(code, Some(i32::from(!case.is_shown)), "{case:?}: {answer}");
        if case.is_shown {
            continue;
        }
        assert_eq!(answer["code"], "burned_in", "{case:?}");
        let help = answer["cure"].as_str().unwrap();
        for way_out in ["--nothing-burned-in", "(0028,0301) = NO"] {
            assert!(help.contains(way_out), "{help}");
        }
        // A person has looked; what the header says outright stands.
        let (code, answer) = shown(&path, &["--nothing-burned-in"]);
        let is_shown = case.burned_in.is_none();
        assert_eq!(code, Some(i32::from(!is_shown)), "{case:?}: {answer}");
        if is_shown {
            assert!(
                answer["reasons"].to_string().contains("looked_at"),
                "{answer}"
            );
        }
    }
}

#[test]
fn photographs_and_screenshots_need_a_person_who_has_looked() {
    let (code, answer) = shown(&phantom("chest.png"), &[]);
    assert_eq!((code, &answer["code"]), (Some(1), &"burned_in".into()));
    let (code, _) = shown(&phantom("chest.png"), &["--nothing-burned-in"]);
    assert_eq!(code, Some(0));
    let output = medfocus(&["classify", "a.png", "--nothing-burned-in"]);
    assert_eq!(
        output.status.code(),
        Some(2),
        "without --deidentify it says nothing"
    );
}

/// All that lies in a folder, deeply, names and bytes.
fn written(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(written(&path)),
            false => files.push((path.clone(), std::fs::read(&path).unwrap())),
        }
    }
    files
}

#[test]
fn the_name_of_the_file_is_nowhere() {
    let home = tempfile::tempdir().unwrap();
    let from = home.path().join(PATIENT);
    std::fs::create_dir(&from).unwrap();
    let image = from.join(format!("{PATIENT}.png"));
    std::fs::copy(phantom("chest.png"), &image).unwrap();
    std::fs::write(from.join(format!("{PATIENT}.a.png")), "no image").unwrap();
    std::fs::write(from.join(format!("{PATIENT}.txt")), "no image").unwrap();
    let missing = from.join("missing.png");
    let to = home.path().join("out");
    for format in ["text", "json", "ndjson"] {
        let [from, missing, image] = [&from, &missing, &image].map(|p| p.to_str().unwrap());
        let overlay = to.join("overlays");
        let output = medfocus(&[
            "classify",
            from,
            missing,
            image,
            "--exam",
            "all",
            "--force",
            "--format",
            format,
            "--timings",
            "--deidentify",
            "--nothing-burned-in",
            "--overlay",
            overlay.to_str().unwrap(),
            "--write",
            "overlay,sc,sr,hl7,page,pdf",
            "--to",
            to.to_str().unwrap(),
        ]);
        assert_eq!(output.status.code(), Some(1));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains(PATIENT), "{format}: {said}");
        assert!(
            said.contains("image 1") && said.contains("image 4"),
            "{said}"
        );
        assert!(said.contains("left out: 1 file is no image\n"), "{said}");
        let written = written(&to);
        assert!(written.len() > 20, "{}", written.len());
        for (path, bytes) in written {
            let path = path.strip_prefix(&to).unwrap().to_str().unwrap();
            let bytes = String::from_utf8_lossy(&bytes);
            assert!(
                !path.contains(PATIENT) && !bytes.contains(PATIENT),
                "{path}"
            );
        }
    }
}

/// An image that says of itself to be of another patient than who asks says.
#[test]
fn refusals_of_every_room_leave_the_name_out() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join(format!("{PATIENT}.png"));
    for (bytes, more) in [
        (&b"\x89PNG\r\n\x1a\nno more"[..], &["--exam", "covid3"][..]),
        (b"GIF89a", &["--exam", "covid3"]),
        (b"", &["--exam", "covid3"]),
        (
            &std::fs::read(phantom("brain.png")).unwrap(),
            &["--exam", "covid3"],
        ),
        (
            &std::fs::read(phantom("chest.png")).unwrap(),
            &["--exam", "covid3", "--frame", "7"],
        ),
    ] {
        std::fs::write(&image, bytes).unwrap();
        let fixed = ["classify", image.to_str().unwrap(), "--deidentify"];
        let output = medfocus(&[&fixed[..], more].concat());
        assert_eq!(output.status.code(), Some(1), "{more:?}");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(
            said.starts_with("image 1") && !said.contains(PATIENT),
            "{said}"
        );
    }
}

/// Anybody may have written anything into a header.
#[test]
fn what_a_header_says_in_its_own_words_is_not_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.dcm");
    let pixels = image::open(phantom("chest.png")).unwrap().into_luma8();
    for (tag, words) in [
        (tags::MODALITY, [PATIENT, "CHEST", "PA", "MONOCHROME2"]),
        (
            tags::BODY_PART_EXAMINED,
            ["DX", PATIENT, "PA", "MONOCHROME2"],
        ),
        (tags::VIEW_POSITION, ["DX", "CHEST", PATIENT, "MONOCHROME2"]),
        (
            tags::PHOTOMETRIC_INTERPRETATION,
            ["DX", "CHEST", "PA", PATIENT],
        ),
    ] {
        let attributes = [
            tags::MODALITY,
            tags::BODY_PART_EXAMINED,
            tags::VIEW_POSITION,
            tags::PHOTOMETRIC_INTERPRETATION,
        ];
        let words = words.map(|word| word.to_uppercase());
        let elements = attributes.into_iter().zip(&words);
        write_grey(
            &image,
            &pixels,
            elements.map(|(tag, text)| word(tag, VR::CS, text)),
        );
        for more in [
            &["--exam", "lung_tb2"][..],
            &["--exam", "lung_tb2", "--force"],
            &["--exam", "lung_tb2", "--format", "json"],
            &[],
        ] {
            let fixed = ["classify", image.to_str().unwrap(), "--deidentify"];
            let output = medfocus(&[&fixed[..], more].concat());
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(
                !said.to_uppercase().contains(&PATIENT.to_uppercase()),
                "{tag} {more:?}: {said}"
            );
        }
    }
}
