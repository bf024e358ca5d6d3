//! Values that no object may hold, UIDs that are missing, and losses.

use super::*;

#[test]
fn a_loss_by_compression_stays_said() {
    let folder = tempfile::tempdir().unwrap();
    let elements = vec![
        word(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01"),
        word(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, "10\\2.5"),
        word(
            tags::LOSSY_IMAGE_COMPRESSION_METHOD,
            VR::CS,
            "ISO_10918_1\\ISO_15444_1",
        ),
    ];
    let outputs = Outputs::of(&head(folder.path(), "lossy", elements), &[]);
    for object in [&outputs.sc, &outputs.seg] {
        assert_eq!(text(object, tags::LOSSY_IMAGE_COMPRESSION), "01");
        assert_eq!(text(object, tags::LOSSY_IMAGE_COMPRESSION_RATIO), "10\\2.5");
        let method = text(object, tags::LOSSY_IMAGE_COMPRESSION_METHOD);
        assert_eq!(method, "ISO_10918_1\\ISO_15444_1");
    }
    outputs.assert_conforming();
}

/// A plain JPEG file has no attributes that could say it.
#[test]
fn a_jpeg_files_loss_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let picture = image::open(phantom("brain.png")).unwrap().into_luma8();
    for (ending, lossy) in [("jpg", Some("01")), ("png", None)] {
        let path = folder.path().join(format!("film.{ending}"));
        picture.save(&path).unwrap();
        let to = folder.path().to_str().unwrap();
        let given = [
            path.to_str().unwrap(),
            "--exam",
            "brain4",
            "--write",
            "sc",
            "--to",
            to,
        ];
        let (answers, code) = classify(&given);
        assert_eq!(code, 0, "{ending}");
        let case = answers[0]["case"].as_str().unwrap();
        let object = open_file(folder.path().join(format!("{case}.sc.dcm"))).unwrap();
        let said = |tag| object.get(tag).map(|e| e.to_str().unwrap().into_owned());
        assert_eq!(said(tags::LOSSY_IMAGE_COMPRESSION).as_deref(), lossy);
        let ratio = said(tags::LOSSY_IMAGE_COMPRESSION_RATIO);
        let size = std::fs::metadata(&path).unwrap().len();
        let expected = 100 * u64::from(picture.width() * picture.height()) / size;
        let expected = format!("{}.{:02}", expected / 100, expected % 100);
        assert_eq!(ratio, lossy.map(|_| expected), "{ending}");
    }
}

/// As units of before the standard wrote, or against it.
#[test]
fn values_that_no_object_may_hold_are_cleaned_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let long = "A".repeat(80);
    let elements = vec![
        word(tags::STUDY_DATE, VR::DA, "2026.03.14"),
        word(tags::STUDY_TIME, VR::TM, "10:15:00"),
        word(tags::PATIENT_BIRTH_DATE, VR::DA, "1950.01.02"),
        word(tags::PATIENT_SEX, VR::CS, "male"),
        word(tags::PATIENT_AGE, VR::AS, "76"),
        word(tags::PATIENT_ID, VR::LO, &long),
        word(tags::PATIENT_NAME, VR::PN, &long),
        word(tags::STUDY_DESCRIPTION, VR::LO, &long),
        word(tags::ACCESSION_NUMBER, VR::SH, &long),
        word(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.03.x"),
        word(tags::SERIES_INSTANCE_UID, VR::UI, "1.2.03.y"),
        word(tags::SOP_INSTANCE_UID, VR::UI, "1.2.03.z"),
        word(tags::IMAGE_LATERALITY, VR::CS, "vorn"),
        word(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01"),
    ];
    let outputs = Outputs::of(&head(folder.path(), "old", elements), &[]);
    for (kind, object) in outputs.objects() {
        for (tag, value) in [
            (tags::STUDY_DATE, "20260314"),
            (tags::STUDY_TIME, "101500"),
            (tags::PATIENT_BIRTH_DATE, "19500102"),
            (tags::PATIENT_SEX, ""),
            // A number that is cut would be another patient's.
            (tags::PATIENT_ID, ""),
            (tags::ACCESSION_NUMBER, ""),
            (tags::PATIENT_NAME, &long[..64]),
        ] {
            assert_eq!(text(object, tag), value, "{kind} {tag}");
        }
        let study = text(object, tags::STUDY_INSTANCE_UID);
        assert!(study.starts_with("2.25."), "{kind} {study}");
    }
    assert_eq!(outputs.field("PID", 3), long, "HL7 has no such bound");
    assert_eq!(outputs.field("OBR", 7), "20260314101500");
    assert!(
        outputs
            .notes()
            .iter()
            .filter(|note| **note == "value_unfit")
            .count()
            >= 7
    );
    outputs.assert_conforming();
}

#[test]
fn an_object_without_study_and_series_has_every_output_with_new_uids() {
    let folder = tempfile::tempdir().unwrap();
    let path = head(folder.path(), "lost", Vec::new());
    let mut object = open_file(&path).unwrap();
    for tag in [tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID] {
        object.remove_element(tag);
    }
    object.write_to_file(&path).unwrap();
    let outputs = Outputs::of(&path, &[]);
    assert!(outputs.notes().contains(&"uid_missing"));
    let study = text(&outputs.sc, tags::STUDY_INSTANCE_UID);
    assert!(study.starts_with("2.25."), "{study}");
    for (kind, object) in outputs.objects() {
        assert_eq!(text(object, tags::STUDY_INSTANCE_UID), study, "{kind}");
    }
    outputs.assert_conforming();
}
