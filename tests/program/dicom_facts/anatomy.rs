//! What of the body an image shows, by word and by code.

use super::*;

#[test]
fn side_and_body_part_are_in_every_output() {
    let folder = tempfile::tempdir().unwrap();
    let frame = |side: &str| {
        let anatomy = sequence(
            tags::FRAME_ANATOMY_SEQUENCE,
            vec![vec![word(tags::FRAME_LATERALITY, VR::CS, side)]],
        );
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![vec![anatomy]])
    };
    let (of_series, of_image) = (tags::LATERALITY, tags::IMAGE_LATERALITY);
    for (elements, side, sct) in [
        (vec![word(of_image, VR::CS, "L")], Some("L"), "7771000"),
        (
            vec![word(of_series, VR::CS, "right")],
            Some("R"),
            "24028007",
        ),
        (vec![frame("R")], Some("R"), "24028007"),
        (vec![word(of_series, VR::CS, "B")], Some("B"), "51440002"),
        (
            vec![word(of_series, VR::CS, "L"), word(of_image, VR::CS, "R")],
            None,
            "",
        ),
    ] {
        let outputs = Outputs::of(&head(folder.path(), "side", elements), &[]);
        let anatomy = &outputs.answer["anatomy"];
        assert_eq!(anatomy["body_part"], "BRAIN");
        assert_eq!(anatomy["laterality"].as_str(), side);
        assert_eq!(outputs.notes().contains(&"side_disputed"), side.is_none());
        for object in [&outputs.sc, &outputs.seg] {
            assert_eq!(text(object, of_image), side.unwrap_or_default());
            assert_eq!(text(object, tags::BODY_PART_EXAMINED), "BRAIN");
        }
        let coded = outputs
            .observed("111027")
            .and_then(|value| value.split('^').next());
        assert_eq!(coded.unwrap_or_default(), sct);
        assert_eq!(
            outputs.observed("123014").unwrap().split('^').next(),
            Some("12738006")
        );
        let report = std::fs::read(
            outputs
                .paths
                .iter()
                .find(|p| p.to_str().unwrap().ends_with("sr.dcm"))
                .unwrap(),
        )
        .unwrap();
        let says = |code: &str| {
            report
                .windows(code.len())
                .any(|part| part == code.as_bytes())
        };
        assert!(says("12738006") && (side.is_none() || says(sct)));
        let pdf = std::fs::read(
            outputs
                .paths
                .iter()
                .find(|p| p.extension().unwrap() == "pdf")
                .unwrap(),
        )
        .unwrap();
        let keywords = b"/Keywords (BRAIN";
        assert!(pdf.windows(keywords.len()).any(|part| part == keywords));
        outputs.assert_conforming();
    }
}

/// Codes of the standard's context groups, in every attribute and at every place.
#[test]
fn codes_route_and_refuse_as_words_do() {
    let folder = tempfile::tempdir().unwrap();
    let code = |tag: Tag, value: &str, meaning: &str| {
        let vr = if tag == tags::CODE_VALUE {
            VR::SH
        } else {
            VR::UC
        };
        vec![
            word(tag, vr, value),
            word(tags::CODING_SCHEME_DESIGNATOR, VR::SH, "SCT"),
            word(tags::CODE_MEANING, VR::LO, meaning),
        ]
    };
    let short = |value: &str, meaning: &str| code(tags::CODE_VALUE, value, meaning);
    let region = |item| sequence(tags::ANATOMIC_REGION_SEQUENCE, vec![item]);
    let view = |item| sequence(tags::VIEW_CODE_SEQUENCE, vec![item]);
    let shared = |within| {
        let anatomy = sequence(tags::FRAME_ANATOMY_SEQUENCE, vec![within]);
        sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![vec![anatomy]])
    };
    let chest = || region(short("816094009", "Chest"));
    let with_modifier = || {
        let mut item = short("272479007", "postero-anterior");
        let modifier = short("399196006", "cephalad");
        item.push(sequence(tags::VIEW_MODIFIER_CODE_SEQUENCE, vec![modifier]));
        item
    };
    let equivalent = || {
        let mut item = short("Z1", "Bein");
        item.push(sequence(
            tags::EQUIVALENT_CODE_SEQUENCE,
            vec![short("T-D9200", "Knee")],
        ));
        item
    };
    for (elements, refused) in [
        (vec![region(short("72696002", "Knee"))], "wrong_body_part"),
        (vec![region(short("T-D9200", "Knee"))], "wrong_body_part"),
        (
            vec![region(code(tags::LONG_CODE_VALUE, "72696002", "Knee"))],
            "wrong_body_part",
        ),
        (
            vec![region(code(
                tags::URN_CODE_VALUE,
                "http://snomed.info/id/72696002",
                "Knee",
            ))],
            "wrong_body_part",
        ),
        (vec![region(equivalent())], "wrong_body_part"),
        (
            vec![region(short("416550000", "Chest and Abdomen"))],
            "wrong_body_part",
        ),
        (
            vec![shared(vec![region(short("72696002", "Knee"))])],
            "wrong_body_part",
        ),
        (
            vec![chest(), view(short("399067008", "lateral"))],
            "wrong_view",
        ),
        (
            vec![chest(), view(short("R-102CD", "lateral"))],
            "wrong_view",
        ),
        (
            vec![chest(), view(short("399198007", "right lateral"))],
            "wrong_view",
        ),
        (vec![chest(), view(with_modifier())], "wrong_view"),
        (
            vec![
                chest(),
                shared(vec![view(short("399173006", "left lateral"))]),
            ],
            "wrong_view",
        ),
        // Of a chest from the front: nothing is wrong with what it says.
        (
            vec![chest(), view(short("272479007", "postero-anterior"))],
            "",
        ),
        (
            vec![
                region(short("T-D3000", "Chest")),
                view(short("R-10206", "antero-posterior")),
            ],
            "",
        ),
        (
            vec![
                region(short("X1", "Thorax")),
                view(short("X2", "postero-anterior")),
            ],
            "",
        ),
    ] {
        let pixels = image::open(phantom("chest.png")).unwrap().into_luma8();
        let path = folder.path().join("coded.dcm");
        let of_chest = [
            word(
                tags::SOP_CLASS_UID,
                VR::UI,
                uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION,
            ),
            word(tags::MODALITY, VR::CS, "DX"),
        ];
        write_grey(&path, &pixels, of_chest.into_iter().chain(elements.clone()));
        let (answers, _) = classify(&[path.to_str().unwrap(), "--exam", "lung_tb2"]);
        let answer = answers[0]["code"].as_str().unwrap_or_default();
        let said = ["wrong_body_part", "wrong_view"].contains(&answer);
        assert_eq!(
            (said, if said { answer } else { "" }),
            (!refused.is_empty(), refused),
            "{elements:?}"
        );
    }
}
