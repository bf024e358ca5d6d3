//! `medfocus enroll` from the outside, on drawn images.

use std::path::{Path, PathBuf};

use crate::common::labelled::{BY, LabelledClinic, chests, verified};
use crate::common::{
    assert_valid, classify, copy_of_starter, embedding_length, medfocus, root, seal,
};
use serde_json::{Value, json};

fn files_under(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_under(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn cases_are_proposed_then_put_in_use_and_rolled_back() {
    let clinic = LabelledClinic::new(0..10);
    let dry = clinic.enroll(&["--dry-run"]);
    assert_eq!(dry["status"], "proposed");
    assert_eq!(dry["cases"], json!({ "normal": 10, "tuberculosis": 10 }));
    let (before, after) = (&dry["before"], &dry["after"]);
    let better = |figure: &str| after[figure].as_f64() > before[figure].as_f64();
    assert!(better("balanced_accuracy"), "{dry:#}");
    assert!(files_under(&clinic.folder("state")).is_empty());

    let proposed = clinic.enroll(&[]);
    assert_eq!(proposed["embedded"], json!({ "now": 20, "before": 0 }));
    assert!(!clinic.current().exists());
    let settled = clinic.enroll(&["--accept", "--by", BY]);
    assert_eq!(settled["embedded"], json!({ "now": 0, "before": 20 }));
    assert_eq!(settled["status"], "in_use");
    assert_eq!(settled["bundle"]["version"], "0.1.0+local.1");
    // What was proposed is what was put in use.
    for key in ["before", "after", "head"] {
        assert_eq!(settled[key], proposed[key], "{key}");
        assert_eq!(dry[key], proposed[key], "{key}");
    }
    verified(&clinic.current());
    let exam = clinic.exam("lung_tb2");
    assert_eq!(exam["enrolled"]["by"].as_str(), Some(BY));
    assert_eq!(
        exam["enrolled"]["cases"]["tuberculosis"].as_integer(),
        Some(10)
    );
    // Nothing else was touched.
    assert!(clinic.exam("brain4").get("enrolled").is_none());
    let brain = crate::common::phantom("brain.png");
    let current = clinic.current();
    let bundle = [
        "--bundle",
        current.to_str().unwrap(),
        brain.to_str().unwrap(),
    ];
    let (now, _) = classify(&bundle);
    let (then, _) = classify(&[bundle[2]]);
    assert_eq!(now[0]["probabilities"], then[0]["probabilities"]);

    let state = clinic.folder("state");
    let output = medfocus(&["bundle", "rollback", "--state", state.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(clinic.manifest()["version"].as_str(), Some("0.1.0"));
}

#[test]
fn later_cases_are_added_and_training_starts_from_the_shipped_head() {
    let clinic = LabelledClinic::new(0..8);
    let first = clinic.enroll(&["--accept", "--by", BY]);
    chests(&clinic.folder("more"), 8..12);
    let more = ["--exam", "lung_tb2", "--accept", "--by", BY];
    let second = clinic.json("enroll", "more", &more);
    assert_eq!(second["cases"], json!({ "normal": 12, "tuberculosis": 12 }));
    assert_eq!(second["embedded"], json!({ "now": 8, "before": 16 }));
    assert_eq!(second["bundle"]["version"], "0.1.0+local.2");
    verified(&clinic.current());
    // The same cases in one go, on a device that saw none of them, make the same head.
    let other = LabelledClinic::new(0..12);
    let at_once = other.enroll(&["--accept", "--by", BY]);
    assert_eq!(at_once["head"], second["head"]);
    assert_eq!(at_once["after"], second["after"]);
    assert_ne!(first["after"], second["after"]);
    let head = |clinic: &LabelledClinic| {
        std::fs::read(clinic.current().join("heads/lung_tb2.safetensors"))
    };
    assert_eq!(head(&other).unwrap(), head(&clinic).unwrap());
    let alone = clinic.json("enroll", "labelled", &["--exam", "lung_tb2", "--forget"]);
    assert_eq!(alone["cases"], json!({ "normal": 8, "tuberculosis": 8 }));
}

/// What is kept of a case is its embedding, its class and its image's hash.
#[cfg(unix)]
#[test]
fn nothing_that_tells_whose_an_image_is_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let clinic = LabelledClinic::new(0..6);
    let image = clinic.folder("labelled/normal/0.png");
    std::fs::rename(&image, clinic.folder("labelled/normal/MUELLER^ANNA.png")).unwrap();
    clinic.enroll(&["--accept", "--by", BY]);
    let state = clinic.folder("state");
    for file in files_under(&state) {
        let bytes = std::fs::read(&file).unwrap();
        let holds = |word: &[u8]| bytes.windows(word.len()).any(|part| part == word);
        assert!(
            !holds(b"MUELLER") && !holds(b"labelled"),
            "{}",
            file.display()
        );
        assert!(!file.to_str().unwrap().contains("MUELLER"));
    }
    for folder in ["embeddings", "enrolled"] {
        let about = std::fs::metadata(state.join(folder)).unwrap();
        assert_eq!(about.permissions().mode() & 0o777, 0o700, "{folder}");
    }
    assert_eq!(files_under(&state.join("embeddings")).len(), 12);
}

#[test]
fn too_few_and_wrong_cases_are_refused_by_a_code() {
    let clinic = LabelledClinic::new(0..6);
    let few = clinic.folder("labelled/tuberculosis");
    for number in 0..3 {
        std::fs::remove_file(few.join(format!("{number}.png"))).unwrap();
    }
    let enroll = |more: &[&str]| clinic.run("enroll", "labelled", more);
    let (code, _, error) = enroll(&["--exam", "lung_tb2"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("tuberculosis has 3 of at least 5 (too_few_cases)"),
        "{error}"
    );
    let twice = clinic.folder("labelled/tuberculosis/again.png");
    std::fs::copy(clinic.folder("labelled/normal/1.png"), &twice).unwrap();
    let (code, _, error) = enroll(&["--exam", "lung_tb2"]);
    assert_eq!(code, 1);
    assert!(error.contains("label_conflict"), "{error}");
    std::fs::remove_file(twice).unwrap();
    std::fs::create_dir(clinic.folder("labelled/scar")).unwrap();
    let (code, _, error) = enroll(&["--exam", "lung_tb2"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("scar is not a class of this exam; there are normal, tuberculosis"),
        "{error}"
    );
    assert_eq!(enroll(&["--exam", "lung"]).0, 2);
    // To accept is to sign.
    assert_eq!(enroll(&["--exam", "lung_tb2", "--accept"]).0, 2);
}

/// Labels that have nothing to do with the images.
#[test]
fn what_is_no_gain_is_refused_and_what_the_exam_would_not_answer_left_out() {
    let clinic = LabelledClinic(tempfile::tempdir().unwrap());
    chests(&clinic.folder("drawn"), 0..12);
    let mut list = String::from("file,label\n");
    for number in 0..12 {
        for (place, class) in ["normal", "tuberculosis"].into_iter().enumerate() {
            let label = ["normal", "tuberculosis"][(place + number / 3) % 2];
            list += &format!("drawn/{class}/{number}.png,{label}\n");
        }
    }
    list += &format!(
        "{},normal\n",
        crate::common::phantom("breast.png").display()
    );
    list += "drawn/nowhere.png,normal\n/dev/zero,normal\n";
    let pages = crate::common::root().join("tests/vectors/pictures/pages.tif");
    list += &format!("{},normal\n", pages.display());
    let file = clinic.folder("cases.csv");
    std::fs::write(&file, list).unwrap();
    let (code, out, error) = clinic.run("enroll", "cases.csv", &["--exam", "lung_tb2"]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("no_gain"), "{error}");
    assert!(
        out.contains("left out: not_a_file 1, not_found 1, several_frames 1, wrong_modality 1"),
        "{out}"
    );
    assert!(out.contains("nothing was changed\n"), "{out}");
    let kept = files_under(&clinic.folder("state/embeddings")).len();
    assert_eq!(kept, 24, "neither the breast nor the missing file");
}

#[test]
fn a_signed_bundle_is_written_to_be_signed_again() {
    let clinic = LabelledClinic::new(0..8);
    let key = clinic.folder("maker.key");
    let key = key.to_str().unwrap();
    let signed = copy_of_starter();
    let base = signed.path().to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = medfocus(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    };
    run(&["bundle", "make-key", key, "--no-password"]);
    run(&["bundle", "sign", base, "--key", key]);
    let public = format!("{key}.pub");
    let trust = ["--bundle", base, "--trust", &public, "--require-signature"];
    let accept = ["--exam", "lung_tb2", "--accept", "--by", BY];
    let (code, _, error) = clinic.run("enroll", "labelled", &[&trust[..], &accept].concat());
    assert_eq!(code, 1);
    assert!(
        error.contains("bundle_signed") && error.contains("--to DIR"),
        "{error}"
    );
    let to = clinic.folder("new");
    let to = to.to_str().unwrap();
    let written = clinic.enroll(&[&trust[..], &accept[2..], &["--to", to]].concat());
    assert_eq!(
        (&written["status"], &written["needs_signature"]),
        (&json!("written"), &json!(true))
    );
    assert!(!clinic.current().exists());
    let verify = [
        "bundle",
        "verify",
        to,
        "--trust",
        &public,
        "--require-signature",
    ];
    assert_eq!(medfocus(&verify).status.code(), Some(3));
    run(&["bundle", "sign", to, "--key", key]);
    run(&verify);
}

const HIP: &str = r#"
name = "opacity2"
title = "An opacity on a chest radiograph"
modalities = ["CR", "DX"]
body_parts = ["CHEST"]
kind = "chest"
review_below = 0.6

[[classes]]
name = "normal"
label = "Normal"
triage_level = "routine"
text_prompts = []

[[classes]]
name = "tuberculosis"
label = "Opacity"
triage_level = "priority"
text_prompts = ["a chest x-ray of an opacity"]
"#;

#[test]
fn a_new_exam_is_made_from_images_or_from_prototypes_alone() {
    let clinic = LabelledClinic::new(0..10);
    let file = clinic.folder("opacity2.toml");
    std::fs::write(&file, HIP).unwrap();
    let new = ["--new", file.to_str().unwrap()];
    let accept = ["--accept", "--by", BY];
    let made = clinic.json("enroll", "labelled", &[&new[..], &accept].concat());
    assert!(
        made["after"]["balanced_accuracy"].as_f64() > Some(0.8),
        "{made:#}"
    );
    verified(&clinic.current());
    let image = clinic.folder("labelled/tuberculosis/3.png");
    let current = clinic.current();
    let current = current.to_str().unwrap();
    let ask = [
        "--bundle",
        current,
        "--exam",
        "opacity2",
        image.to_str().unwrap(),
    ];
    let (answers, code) = classify(&ask);
    assert_eq!(code, 0);
    assert_valid(&answers[0]);
    assert_eq!(answers[0]["class"], "tuberculosis");
    // Twice there is none.
    let (code, _, error) = clinic.run("enroll", "labelled", &new);
    assert!(code == 2 && error.contains("new_exam"), "{error}");

    let other = LabelledClinic::new(0..0);
    let prototypes = other.folder("prototypes.safetensors");
    let length = embedding_length();
    let rows: Vec<u8> = (0..2 * length)
        .flat_map(|i| f32::from(i as u8 % 7).to_le_bytes())
        .collect();
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![2, length], &rows);
    let bytes = safetensors::serialize([("prototypes", view.unwrap())], None).unwrap();
    std::fs::write(&prototypes, bytes).unwrap();
    let given = ["--prototypes", prototypes.to_str().unwrap()];
    let made = other.json("enroll", "labelled", &[&new[..], &given, &accept].concat());
    assert_eq!(made["after"], Value::Null);
    verified(&other.current());
    // Once there are cases, they are added to the prototypes.
    chests(&other.folder("labelled"), 0..10);
    let more = other.json(
        "enroll",
        "labelled",
        &[&["--exam", "opacity2"][..], &accept].concat(),
    );
    assert!(
        more["after"]["balanced_accuracy"].as_f64() > Some(0.8),
        "{more:#}"
    );
}

/// What a person says of cases that the device answered, whose images it keeps.
#[test]
fn cases_of_the_journal_are_labelled_by_their_numbers() {
    use medfocus::case::Order;
    use medfocus::journal::{Entry, Journal};
    use sha2::Digest;
    let clinic = LabelledClinic::new(0..7);
    let (state, mut list) = (clinic.folder("state"), String::from("case,label\n"));
    std::fs::create_dir_all(state.join("kept")).unwrap();
    let (mut journal, _) = Journal::open(&state, medfocus::clock::Clock::system()).unwrap();
    let mut case = 0;
    for class in ["normal", "tuberculosis"] {
        for number in 0..7 {
            case += 1;
            let bytes = clinic.folder(&format!("labelled/{class}/{number}.png"));
            let bytes = std::fs::read(bytes).unwrap();
            let digest = sha2::Sha256::digest(&bytes);
            let sha256: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            if number > 0 {
                std::fs::write(state.join("kept").join(&sha256), bytes).unwrap();
            }
            let order = json!({ "source": "gone.png", "exam": null, "region": null });
            let order: Order = serde_json::from_value(order).unwrap();
            let record = serde_json::from_value(json!({})).unwrap();
            let image = Some(sha256.parse().unwrap());
            journal.append(Entry::Accepted { case, order }).unwrap();
            journal
                .append(Entry::Answered {
                    case,
                    image,
                    record,
                })
                .unwrap();
            list += &format!("{case},{class}\n");
        }
    }
    drop(journal);
    std::fs::write(clinic.folder("cases.csv"), &list).unwrap();
    let made = clinic.json("enroll", "cases.csv", &["--exam", "lung_tb2"]);
    assert_eq!(made["cases"], json!({ "normal": 6, "tuberculosis": 6 }));
    assert_eq!(made["left_out"], json!({ "image_gone": 2 }));
    std::fs::write(clinic.folder("cases.csv"), list + "99,normal\n").unwrap();
    let (code, _, error) = clinic.run("enroll", "cases.csv", &["--exam", "lung_tb2"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("line 16: the journal knows no case 99"),
        "{error}"
    );
}

#[test]
fn the_starter_itself_has_no_local_exam() {
    let text = std::fs::read_to_string(root().join("models/starter/bundle.toml")).unwrap();
    assert!(!text.contains("enrolled") && !text.contains("flag_from"));
    // A start that the manifest names must be there.
    let bundle = copy_of_starter();
    let path = bundle.path().join("bundle.toml");
    let head = "head = \"heads/brain4.safetensors\"";
    let enrolled = "enrolled = { by = \"x\", date = \"2026-01-01\", start = \"heads/none\", \
                    blend = 1.0, cases = {} }";
    std::fs::write(&path, text.replace(head, &format!("{head}\n{enrolled}"))).unwrap();
    seal(bundle.path(), "heads/brain4.safetensors");
    let output = medfocus(&["bundle", "verify", bundle.path().to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("heads/none is used but has no hash"),
        "{error}"
    );
}
