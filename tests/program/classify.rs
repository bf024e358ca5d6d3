//! `medfocus classify` from the outside: answers, schema, repeatability, overrides.

use std::path::Path;

use crate::common::{assert_valid, classify, copy_of_starter, medfocus, phantom, root};
use serde_json::Value;

/// Runs of a mask add up to its pixels, and to its area.
fn assert_consistent(finding: &Value) {
    let sum: f64 = finding["probabilities"]
        .as_object()
        .unwrap()
        .values()
        .map(|v| v.as_f64().unwrap())
        .sum();
    assert!((sum - 1.0).abs() < 1e-9, "probabilities sum to {sum}");
    let rle = &finding["mask"]["rle"];
    let counts: Vec<u64> = rle["counts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap())
        .collect();
    let size: Vec<u64> = rle["size"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap())
        .collect();
    assert_eq!(counts.iter().sum::<u64>(), size[0] * size[1]);
    let inside: u64 = counts.iter().skip(1).step_by(2).sum();
    let area = inside as f64 / (size[0] * size[1]) as f64;
    assert!((area - finding["mask"]["area_fraction"].as_f64().unwrap()).abs() < 1e-12);
    let bbox: Vec<u64> = finding["mask"]["bbox"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_u64().unwrap())
        .collect();
    assert!(
        bbox[2] * bbox[3] >= inside && bbox[0] + bbox[2] <= size[1] && bbox[1] + bbox[3] <= size[0]
    );
}

#[test]
fn every_exam_answers_every_phantom() {
    let folder = root().join("tests/phantoms");
    let (answers, code) = classify(&[folder.to_str().unwrap(), "--exam", "all", "--force"]);
    assert_eq!((answers.len(), code), (12, 0));
    let mut forced = 0;
    for answer in &answers {
        assert_valid(answer);
        assert_consistent(answer);
        assert_eq!(answer["intended_use"], "demonstration");
        let reasons = answer["reasons"].as_array().unwrap();
        forced += usize::from(
            reasons
                .iter()
                .any(|r| r.as_str().unwrap().starts_with("forced: ")),
        );
    }
    // Two exams are for the chest, one is for the brain and one for the breast.
    assert_eq!(forced, 8);
}

#[test]
fn the_gate_refuses_each_phantom_the_exams_that_are_not_for_it() {
    let folder = root().join("tests/phantoms");
    let (answers, code) = classify(&[folder.to_str().unwrap(), "--exam", "all"]);
    answers.iter().for_each(assert_valid);
    let refused: Vec<&Value> = answers
        .iter()
        .filter(|a| a["status"] == "refusal")
        .collect();
    assert_eq!((answers.len(), refused.len(), code), (12, 8, 1));
    assert!(
        refused.iter().all(|a| a["code"] == "wrong_modality"),
        "{refused:#?}"
    );
}

/// The phantoms without their words: what is left is what they look like.
#[test]
fn the_gate_sees_what_an_image_does_not_say() {
    let folder = tempfile::tempdir().unwrap();
    let chest = image::open(phantom("chest.png")).unwrap();
    let mut inverted = chest.to_luma8();
    image::imageops::invert(&mut inverted);
    let noise = image::GrayImage::from_fn(256, 256, |x, y| {
        image::Luma([((x * 7919 + y * 104_729) ^ (x * y * 31)) as u8])
    });
    let sunset = image::RgbImage::from_fn(256, 256, |x, y| image::Rgb([x as u8, y as u8, 90]));
    let pictures: [(&str, image::DynamicImage, &str); 8] = [
        ("upright", chest.clone(), "finding"),
        ("left", chest.rotate270(), "rotated"),
        ("right", chest.rotate90(), "rotated"),
        ("over", chest.rotate180(), "rotated"),
        ("inverted", inverted.into(), "inverted"),
        ("blurred", chest.blur(20.0), "blurred"),
        ("noise", noise.into(), "wrong_kind"),
        ("sunset", sunset.into(), "coloured"),
    ];
    for (name, picture, expected) in pictures {
        let path = folder.path().join(format!("{name}.png"));
        picture.save(&path).unwrap();
        let (answers, _) = classify(&[path.to_str().unwrap(), "--exam", "lung_tb2"]);
        assert_valid(&answers[0]);
        let found = if answers[0]["status"] == "finding" {
            "finding"
        } else {
            answers[0]["code"].as_str().unwrap()
        };
        // Which of its faults a picture is refused for is the gate's to say.
        let refused = expected != "finding" && found != "finding";
        assert!(
            found == expected || (refused && name != "sunset"),
            "{name}: {found}"
        );
    }
}

#[test]
fn the_json_array_of_several_answers_fits_the_schema() {
    let output = medfocus(&[
        "classify",
        "tests/phantoms/brain.png",
        "nowhere.png",
        "--format",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_valid(&document);
    assert_eq!(document[0]["status"], "finding");
    assert_eq!(document[1]["code"], "not_found");
}

#[test]
fn an_image_that_says_its_exam_needs_no_option_and_an_ambiguous_one_does() {
    let (answers, code) = classify(&["tests/phantoms/breast.png"]);
    assert_eq!((answers[0]["exam"].as_str(), code), (Some("breast3"), 0));
    let (answers, code) = classify(&["tests/phantoms/chest.png"]);
    assert_eq!(
        (answers[0]["code"].as_str(), code),
        (Some("exam_needed"), 1)
    );
    assert!(
        answers[0]["cure"]
            .as_str()
            .unwrap()
            .contains("covid3, lung_tb2")
    );
}

#[test]
fn a_bundle_without_gate_and_guard_says_so_in_every_form() {
    let folder = copy_of_starter();
    without_checks(folder.path());
    let bundle = folder.path().to_str().unwrap();
    let (answers, code) = classify(&["tests/phantoms/brain.png", "--bundle", bundle]);
    assert_eq!(code, 0);
    assert_valid(&answers[0]);
    assert_eq!(
        (&answers[0]["gate"], &answers[0]["guard"]),
        (&"none".into(), &"none".into())
    );
    let reasons = answers[0]["reasons"].to_string();
    assert!(
        reasons.contains("no_gate: ") && reasons.contains("no_guard: "),
        "{reasons}"
    );
    let twice = [
        "classify",
        "tests/phantoms/brain.png",
        "tests/phantoms/brain.png",
    ];
    let printed = medfocus(&[&twice[..], &["--bundle", bundle]].concat()).stdout;
    let printed = String::from_utf8(printed).unwrap();
    assert!(
        printed
            .lines()
            .all(|line| line.ends_with("  no gate, no guard")),
        "{printed}"
    );
    let inspected = medfocus(&["bundle", "inspect", bundle]).stdout;
    let inspected = String::from_utf8(inspected).unwrap();
    assert!(inspected.contains("gate           none: "), "{inspected}");
    assert!(inspected.contains("guard none: "), "{inspected}");
}

/// Takes gate and guards out of a bundle's manifest.
fn without_checks(bundle: &Path) {
    let path = bundle.join("bundle.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut manifest: toml::Table = text.parse().unwrap();
    manifest.remove("gate").unwrap();
    for exam in manifest["exams"].as_array_mut().unwrap() {
        let exam = exam.as_table_mut().unwrap();
        exam.remove("kind").unwrap();
        exam.remove("guard").unwrap();
    }
    std::fs::write(path, manifest.to_string()).unwrap();
}

#[test]
fn an_image_that_leaves_out_what_an_exam_asks_for_is_not_guessed_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("silent.png");
    let phantom = std::fs::read(phantom("brain.png")).unwrap();
    std::fs::write(&path, without_chunk(&phantom, b"BodyPartExamined")).unwrap();
    let path = path.to_str().unwrap();
    let (answers, code) = classify(&[path]);
    assert_eq!((&answers[0]["code"], code), (&"exam_needed".into(), 1));
    let message = answers[0]["message"].as_str().unwrap();
    assert!(
        message.contains("not its body part, which exam brain4 asks for"),
        "{message}"
    );
    let (answers, code) = classify(&[path, "--exam", "brain4"]);
    assert_eq!((&answers[0]["status"], code), (&"finding".into(), 0));
}

/// A PNG without the text chunk of this keyword.
fn without_chunk(png: &[u8], keyword: &[u8]) -> Vec<u8> {
    let at = png
        .windows(keyword.len())
        .position(|part| part == keyword)
        .unwrap();
    let length = u32::from_be_bytes(png[at - 8..at - 4].try_into().unwrap()) as usize;
    [&png[..at - 8], &png[at + length + 4..]].concat()
}

#[test]
fn two_runs_and_other_thread_counts_differ_in_nothing_but_time() {
    let run = |threads| {
        let path = phantom("chest.png");
        let (mut answers, _) = classify(&[
            path.to_str().unwrap(),
            "--exam",
            "lung_tb2",
            "--threads",
            threads,
        ]);
        answers[0].as_object_mut().unwrap().remove("timings_ms");
        answers.remove(0)
    };
    let first = run("1");
    assert_eq!(first, run("1"));
    assert_eq!(first, run("2"));
}

#[test]
fn every_focus_style_and_prompt_is_taken() {
    for style in ["overlay", "blur", "crop", "cutout", "none"] {
        let (answers, code) = classify(&["tests/phantoms/brain.png", "--focus", style]);
        assert_eq!((answers[0]["focus"].as_str(), code), (Some(style), 0));
    }
    let area = |prompt: &str| {
        let (answers, code) = classify(&["tests/phantoms/breast.png", "--prompt", prompt]);
        assert_eq!(code, 0, "{prompt}");
        assert_consistent(&answers[0]);
        answers[0]["mask"]["area_fraction"].as_f64().unwrap()
    };
    let whole = area("box:0,0,512,512");
    assert_ne!(whole, area("point:240,215"));
    let (answers, code) = classify(&["tests/phantoms/breast.png", "--prompt", "point:600,2"]);
    assert_eq!(
        (answers[0]["code"].as_str(), code),
        (Some("prompt_outside"), 1)
    );
}

#[test]
fn the_overlay_keeps_the_images_scale_and_shows_the_region() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.png");
    let (answers, code) = classify(&[
        "tests/phantoms/brain.png",
        "--overlay",
        out.to_str().unwrap(),
    ]);
    assert_eq!(code, 0);
    let picture = image::open(&out).unwrap().into_rgb8();
    let original = image::open(phantom("brain.png")).unwrap().into_luma8();
    assert_eq!(picture.width(), original.width());
    assert!(picture.height() > original.height());
    let coloured = |p: &image::Rgb<u8>| p.0[0] != p.0[1] || p.0[1] != p.0[2];
    let tinted = picture
        .enumerate_pixels()
        .filter(|(_, y, p)| *y < 512 && coloured(p))
        .count();
    let area = answers[0]["mask"]["area_fraction"].as_f64().unwrap();
    let share = tinted as f64 / (512.0 * 512.0);
    assert!((share - area).abs() < 0.02, "tinted {share}, region {area}");
}

#[test]
fn wrong_usage_ends_with_2_and_names_the_way_out() {
    for (arguments, says) in [
        (vec!["classify"], "IMAGES"),
        (
            vec!["classify", "x.png", "--exam", "knee"],
            "covid3, lung_tb2, brain4, breast3",
        ),
        (
            vec!["classify", "x.png", "--focus", "sharp"],
            "overlay, blur, crop, cutout, none",
        ),
        (
            vec!["classify", "x.png", "--prompt", "box:1,2,3"],
            "four numbers",
        ),
        (vec!["bundle", "shake"], "unrecognized subcommand"),
    ] {
        let output = medfocus(&arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}
