//! Pictures that are more, or other, than one whole film: borders are left out, several films,
//! parts and thumbnails refused. All are drawn from the phantoms.

use std::path::Path;

use crate::common::{assert_valid, classify, copy_of_starter, medfocus, phantom};
use image::imageops::{FilterType, crop_imm, overlay, resize};
use image::{GrayImage, Luma};
use serde_json::{Value, json};

const FILMS: [(&str, &str); 3] = [
    ("chest.png", "lung_tb2"),
    ("brain.png", "brain4"),
    ("breast.png", "breast3"),
];

fn film(name: &str) -> GrayImage {
    image::open(phantom(name)).unwrap().to_luma8()
}

/// The film at `[x, y]` on a ground of one grey.
fn on_ground(film: &GrayImage, [x, y]: [u32; 2], size: [u32; 2], grey: u8) -> GrayImage {
    let mut picture = GrayImage::from_pixel(size[0], size[1], Luma([grey]));
    overlay(&mut picture, film, x.into(), y.into());
    picture
}

/// The program's answer to one picture.
fn answer(folder: &Path, picture: &GrayImage, exam: &str, more: &[&str]) -> Value {
    let path = folder.join("picture.png");
    picture.save(&path).unwrap();
    let mut arguments = vec![path.to_str().unwrap(), "--exam", exam];
    arguments.extend(more);
    let (mut answers, _) = classify(&arguments);
    assert_valid(&answers[0]);
    answers.remove(0)
}

fn numbers(value: &Value) -> Vec<i64> {
    let values = value.as_array().unwrap().iter();
    values.map(|v| v.as_i64().unwrap()).collect()
}

fn has_reason(answer: &Value, code: &str) -> bool {
    let mut reasons = answer["reasons"].as_array().unwrap().iter();
    reasons.any(|reason| reason.as_str().unwrap().starts_with(code))
}

#[test]
fn a_border_of_any_grey_is_left_out_and_the_answer_stays() {
    let folder = tempfile::tempdir().unwrap();
    struct Case {
        at: [u32; 2],
        size: [u32; 2],
        grey: u8,
    }
    let case = |at, size, grey| Case { at, size, grey };
    let cases = [
        case([199, 0], [910, 512], 0),
        case([0, 104], [512, 720], 0),
        case([102, 102], [717, 717], 0),
        case([64, 64], [640, 640], 255),
        case([64, 64], [640, 640], 90),
        case([700, 30], [1400, 600], 5),
    ];
    for (name, exam) in FILMS {
        let film = film(name);
        let bare = answer(folder.path(), &film, exam, &[]);
        assert_eq!(bare["status"], "finding", "{name}: {bare}");
        for &Case { at, size, grey } in &cases {
            let picture = on_ground(&film, at, size, grey);
            let found = answer(folder.path(), &picture, exam, &[]);
            let what = format!("{name} {at:?} {size:?} {grey}: {found}");
            assert_eq!(found["class"], bare["class"], "{what}");
            assert!(has_reason(&found, "film: "), "{what}");
            // The region is told in the picture's own pixels, and lies in the film.
            assert_eq!(found["mask"]["rle"]["size"], json!([size[1], size[0]]));
            let (film, region) = (numbers(&found["film"]), numbers(&found["mask"]["bbox"]));
            for axis in [0, 1] {
                assert!(film[axis] >= 0 && region[axis] >= film[axis], "{what}");
                let (end, last) = (film[axis] + film[axis + 2], region[axis] + region[axis + 2]);
                assert!(last <= end && end <= i64::from(size[axis]), "{what}");
                // A film without a margin of its own is found to the pixel.
                if name == "breast.png" {
                    assert_eq!(film[axis], i64::from(at[axis]), "{what}");
                }
            }
        }
    }
}

#[test]
fn prompts_and_region_are_in_the_pictures_own_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let film = film("breast.png");
    let bordered = on_ground(&film, [200, 100], [912, 712], 255);
    let exam = "breast3";
    let prompted = |picture: &GrayImage, prompt: &str| {
        answer(folder.path(), picture, exam, &["--prompt", prompt])
    };
    let bare = prompted(&film, "box:150,160,200,180");
    let found = prompted(&bordered, "box:350,260,200,180");
    let mut shifted = numbers(&bare["mask"]["bbox"]);
    shifted[0] += 200;
    shifted[1] += 100;
    assert_eq!(numbers(&found["mask"]["bbox"]), shifted, "{found}");
    assert_eq!(found["probabilities"], bare["probabilities"]);
    for outside in ["point:50,50", "box:0,0,100,90", "box:900,700,100,100"] {
        assert_eq!(
            prompted(&bordered, outside)["code"],
            "prompt_outside",
            "{outside}"
        );
    }
    let out = folder.path().join("overlay.png");
    let path = folder.path().join("bordered.png");
    bordered.save(&path).unwrap();
    let (path, out) = (path.to_str().unwrap(), out.to_str().unwrap());
    let run = medfocus(&["classify", path, "--exam", exam, "--overlay", out]);
    assert!(run.status.success());
    let drawn = image::open(out).unwrap();
    assert!(drawn.width() == 912 && drawn.height() > 712);
}

/// Films in columns and rows with a gutter between them.
fn sheet(film: &GrayImage, [columns, rows]: [u32; 2], side: u32, gutter: u32) -> GrayImage {
    let film = resize(film, side, side, FilterType::Triangle);
    let step = side + gutter;
    let size = [columns * step - gutter, rows * step - gutter];
    let mut picture = GrayImage::from_pixel(size[0], size[1], Luma([0]));
    for (column, row) in (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row))) {
        overlay(
            &mut picture,
            &film,
            (column * step).into(),
            (row * step).into(),
        );
    }
    picture
}

#[test]
fn several_films_are_refused_and_answered_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    for (name, exam) in FILMS {
        let film = film(name);
        for (grid, side, gutter) in [
            ([2, 1], 512, 0),
            ([1, 2], 512, 0),
            ([2, 2], 384, 12),
            ([3, 3], 256, 0),
            ([2, 1], 400, 24),
        ] {
            let picture = sheet(&film, grid, side, gutter);
            let found = answer(folder.path(), &picture, exam, &[]);
            assert_eq!(found["code"], "several_images", "{name} {grid:?}: {found}");
        }
        let forced = answer(
            folder.path(),
            &sheet(&film, [2, 1], 512, 0),
            exam,
            &["--force"],
        );
        assert!(has_reason(&forced, "forced: "), "{forced}");
    }
}

#[test]
fn half_a_film_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (name, exam) in &FILMS[..2] {
        let film = film(name);
        for [x, y, w, h] in [[0, 0, 256, 512], [256, 0, 256, 512], [0, 0, 512, 256]] {
            let half = crop_imm(&film, x, y, w, h).to_image();
            let found = answer(folder.path(), &half, exam, &[]);
            assert_eq!(found["status"], "refusal", "{name} {x},{y}: {found}");
        }
        let half = crop_imm(&film, 0, 0, 200, 512).to_image();
        let found = answer(folder.path(), &half, exam, &[]);
        assert_ne!(found["code"], "badly_exposed");
    }
}

#[test]
fn thumbnails_are_refused_by_their_films_size() {
    let folder = tempfile::tempdir().unwrap();
    for (name, exam) in FILMS {
        let small = resize(&film(name), 36, 36, FilterType::Triangle);
        for picture in [&small, &on_ground(&small, [200, 200], [500, 500], 255)] {
            let found = answer(folder.path(), picture, exam, &[]);
            assert_eq!(found["code"], "too_small", "{name}: {found}");
            assert!(found["message"].as_str().unwrap().contains("the film has"));
        }
    }
}

/// Bundles of before have none of the keys: they answer as they did, and say what nothing
/// looked at.
#[test]
fn a_bundle_that_knows_no_borders_says_so() {
    let bundle = copy_of_starter();
    let path = bundle.path().join("bundle.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut manifest: toml::Table = text.parse().unwrap();
    let gate = manifest["gate"].as_table_mut().unwrap();
    gate.remove("film").unwrap();
    gate.remove("layouts").unwrap();
    for kind in gate["kinds"].as_array_mut().unwrap() {
        let kind = kind.as_table_mut().unwrap();
        for key in ["aspect", "shortest_side", "whole_from"] {
            kind.remove(key).unwrap();
        }
    }
    std::fs::write(&path, manifest.to_string()).unwrap();
    let bundle = bundle.path().to_str().unwrap();
    let chest = phantom("chest.png");
    let (answers, code) = classify(&[
        chest.to_str().unwrap(),
        "--bundle",
        bundle,
        "--exam",
        "lung_tb2",
    ]);
    assert_eq!(code, 0, "{answers:?}");
    assert!(has_reason(&answers[0], "no_layout: ") && answers[0].get("film").is_none());
}
