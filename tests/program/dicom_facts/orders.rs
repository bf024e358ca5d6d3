//! Times, orders and who must not be named.

use super::*;

/// Acquired in the evening of another day than UTC's.
fn ordered(zone: &[Element]) -> Vec<Element> {
    let mut elements = vec![
        word(tags::STUDY_DATE, VR::DA, "20260314"),
        word(tags::STUDY_TIME, VR::TM, "233000"),
        word(tags::ACQUISITION_DATE, VR::DA, "20260314"),
        word(tags::ACQUISITION_TIME, VR::TM, "233100.123456"),
        word(tags::ACCESSION_NUMBER, VR::SH, "ACC123"),
        word(tags::REFERRING_PHYSICIAN_NAME, VR::PN, "Smith^Anna^^Dr."),
        word(tags::REQUESTING_PHYSICIAN, VR::PN, "Jones^Bo"),
        word(tags::PATIENT_ID, VR::LO, "PID001"),
        word(tags::ISSUER_OF_PATIENT_ID, VR::LO, "HOSP"),
        sequence(
            tags::REQUEST_ATTRIBUTES_SEQUENCE,
            vec![vec![
                word(tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP1"),
                word(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH, "SPS1"),
                word(
                    tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
                    VR::LO,
                    "PL^1",
                ),
                word(
                    tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
                    VR::LO,
                    "FI1",
                ),
            ]],
        ),
    ];
    elements.extend(zone.iter().cloned());
    elements
}

#[test]
fn times_have_an_offset_where_it_is_true_and_orders_keep_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let zone = |zone: &str| vec![word(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, zone)];
    for (elements, said, exam) in [
        (zone("+0530"), "+0530", "20260314233100.1234+0530"),
        (zone("+9999"), "absent", "20260314233100.1234"),
        (Vec::new(), "absent", "20260314233100.1234"),
    ] {
        let source = head(folder.path(), "times", ordered(&elements));
        let outputs = Outputs::of(&source, &[]);
        for (kind, output) in outputs.objects() {
            assert_eq!(text(output, tags::TIMEZONE_OFFSET_FROM_UTC), said, "{kind}");
            assert_eq!(text(output, tags::STUDY_TIME), "233000", "{kind}");
        }
        assert_eq!(outputs.field("OBR", 7), exam);
        assert_eq!(outputs.field("OBX", 14), exam);
        let analysed = outputs.field("OBR", 22);
        assert!(analysed.ends_with("+0000"), "{analysed}");
        assert_eq!(outputs.field("OBX", 19), analysed);
        if said == "+0530" {
            // The report's own time is by the same clock as the study's.
            let (utc, local) = (&analysed[8..12], text(&outputs.sr, tags::CONTENT_TIME));
            let minutes = |time: &str| {
                time[..2].parse::<i32>().unwrap() * 60 + time[2..4].parse::<i32>().unwrap()
            };
            let apart = (minutes(&local) - minutes(utc)).rem_euclid(24 * 60);
            assert!((329..=331).contains(&apart), "{utc} {local}");
        }
        for (number, value) in [
            (2, "PL\\S\\1"),
            (3, "FI1"),
            (18, "ACC123"),
            (19, "RP1"),
            (20, "SPS1"),
        ] {
            assert_eq!(outputs.field("OBR", number), value, "OBR-{number}");
        }
        assert_eq!(outputs.field("OBR", 16), "^Jones^Bo^^^^^^^L^^^^^A");
        assert_eq!(outputs.field("PV1", 8), "^Smith^Anna^^^Dr.^^^^L^^^^^A");
        assert_eq!(outputs.field("PID", 3), "PID001^^^HOSP");
        assert_eq!(outputs.observed("110180"), Some("2.25.816"));
        assert_eq!(outputs.observed("case"), outputs.answer["case"].as_str());
        let request = |object: &InMemDicomObject, tag| {
            object.element(tag).unwrap().items().unwrap()[0].clone()
        };
        for object in [&outputs.sc, &outputs.seg] {
            let request = request(object, tags::REQUEST_ATTRIBUTES_SEQUENCE);
            assert_eq!(text(&request, tags::REQUESTED_PROCEDURE_ID), "RP1");
        }
        let request = request(&outputs.sr, tags::REFERENCED_REQUEST_SEQUENCE);
        let filler = tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST;
        assert_eq!(text(&request, filler), "FI1");
        outputs.assert_conforming();
    }
    // Without any time of the source all times are ours.
    let outputs = Outputs::of(&head(folder.path(), "bare", Vec::new()), &[]);
    assert_eq!(text(&outputs.sr, tags::TIMEZONE_OFFSET_FROM_UTC), "+0000");
    assert_eq!(outputs.field("OBR", 7), "");
    assert_eq!(
        outputs.field("OBR", 3),
        outputs.answer["case"].as_str().unwrap()
    );
}

#[test]
fn nobody_is_named_where_nothing_may_tell_whose_image_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let zone = [word(tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "+0530")];
    let source = head(folder.path(), "secret", ordered(&zone));
    let outputs = Outputs::of(&source, &["--deidentify", "--nothing-burned-in"]);
    for path in &outputs.paths {
        let written = std::fs::read(path).unwrap();
        for secret in [
            "Smith", "Jones", "ACC123", "RP1", "SPS1", "FI1", "PID001", "20260314", "2.25.816",
        ] {
            let is_there = written
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!is_there, "{secret} in {}", path.display());
        }
    }
    assert_eq!(outputs.field("PV1", 8), "");
    // What of the body it shows tells of nobody.
    assert_eq!(text(&outputs.sc, tags::BODY_PART_EXAMINED), "BRAIN");
}
