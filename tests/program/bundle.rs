//! A spoilt bundle is refused by the file's name; the device says that it cannot work.

use std::path::Path;
use std::process::Command;

use crate::common::{copy_of_starter, medfocus, starter};

/// `bundle verify` of a spoilt copy: exit code 3 and a message with all of `says`.
fn refused(spoil: impl Fn(&Path), says: &[&str]) {
    let folder = copy_of_starter();
    spoil(folder.path());
    let output = medfocus(&["bundle", "verify", folder.path().to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{error}");
    for part in says {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

fn edit(folder: &Path, from: &str, to: &str) {
    let path = folder.join("bundle.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Replaces a file and writes its new hash into the manifest, as a maker would.
fn replace(folder: &Path, name: &str, by: &Path) {
    use sha2::Digest;
    let hash = |path: &Path| -> String {
        let digest = sha2::Sha256::digest(std::fs::read(path).unwrap());
        digest.iter().map(|b| format!("{b:02x}")).collect()
    };
    let (old, new) = (hash(&folder.join(name)), hash(by));
    std::fs::copy(by, folder.join(name)).unwrap();
    edit(folder, &old, &new);
}

#[test]
fn the_shipped_bundle_is_whole_and_small() {
    let output = medfocus(&["bundle", "verify"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("is whole") && text.contains("4 exams"),
        "{text}"
    );
    let output = medfocus(&["bundle", "inspect"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in [
        "demonstration",
        "covid3",
        "lung_tb2",
        "brain4",
        "breast3",
        "not for care",
    ] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn altered_cut_and_missing_files_are_named() {
    for name in [
        "image_encoder.onnx",
        "segmenter_decoder.onnx",
        "heads/brain4.safetensors",
    ] {
        let flip = |folder: &Path| {
            let path = folder.join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        };
        refused(
            flip,
            &[name, "SHA-256 is", "expected", "bundle_hash", "cure"],
        );
        let cut = |folder: &Path| {
            let path = folder.join(name);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        };
        refused(cut, &[name, "SHA-256 is", "bundle_hash"]);
        let remove = |folder: &Path| std::fs::remove_file(folder.join(name)).unwrap();
        refused(remove, &[name, "bundle_unreadable"]);
    }
    let add = |folder: &Path| std::fs::write(folder.join("extra.bin"), b"x").unwrap();
    refused(add, &["extra.bin", "bundle_unlisted"]);
}

#[test]
fn a_manifest_must_say_what_it_means() {
    refused(
        |f| edit(f, "format = 1", "format = 9"),
        &["format is 9", "bundle_manifest"],
    );
    refused(
        |f| edit(f, "intended_use", "intended_us"),
        &["intended_us", "unknown field"],
    );
    refused(
        |f| edit(f, "\"demonstration\"", "\"diagnosis\""),
        &["diagnosis", "demonstration"],
    );
    refused(
        |f| edit(f, "name = \"lung_tb2\"", "name = \"covid3\""),
        &["covid3 is there 2 times"],
    );
    refused(
        |f| edit(f, "[files]", "[files]\n\"../x\" = \"00\""),
        &["does not lie inside"],
    );
    refused(
        |f| std::fs::remove_file(f.join("bundle.toml")).unwrap(),
        &["bundle.toml"],
    );
    refused(
        |f| std::fs::write(f.join("bundle.toml"), [0xff, 0xfe]).unwrap(),
        &["utf-8"],
    );
}

#[test]
fn a_graph_in_the_wrong_place_is_refused_by_what_it_wants() {
    let swap = |folder: &Path| {
        replace(
            folder,
            "image_encoder.onnx",
            &starter().join("segmenter_encoder.onnx"),
        );
    };
    refused(
        swap,
        &[
            "image_encoder.onnx",
            "pixels [1, 3, 192, 192]",
            "expected pixels [?, 3, 128, 128]",
        ],
    );
    let no_graph = |folder: &Path| {
        replace(
            folder,
            "image_encoder.onnx",
            &starter().join("model-card.md"),
        )
    };
    refused(
        no_graph,
        &["image_encoder.onnx", "not a graph", "bundle_graph"],
    );
    let other_head = |folder: &Path| {
        replace(
            folder,
            "heads/brain4.safetensors",
            &starter().join("heads/lung_tb2.safetensors"),
        );
    };
    refused(
        other_head,
        &["brain4.safetensors", "prototypes", "[2, 128]", "[4, 128]"],
    );
}

#[test]
fn a_kernel_that_cannot_be_had_is_no_fault_of_the_bundle() {
    let output = Command::new(env!("CARGO_BIN_EXE_medfocus"))
        .args(["bundle", "verify"])
        .arg(starter())
        .env("MEDFOCUS_KERNEL", "mmx")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    for part in [
        "\"mmx\"",
        "scalar",
        "(kernel)",
        "cure: unset MEDFOCUS_KERNEL",
    ] {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn a_device_that_answers_otherwise_than_known_says_so() {
    let answers = starter().join("known_answers/answers.json");
    let mut known: serde_json::Value =
        serde_json::from_slice(&std::fs::read(answers).unwrap()).unwrap();
    let refused_with = |known: &serde_json::Value, says: &[&str]| {
        let changed = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(changed.path(), known.to_string()).unwrap();
        let spoil = |folder: &Path| replace(folder, "known_answers/answers.json", changed.path());
        refused(spoil, says);
    };
    let area = &mut known["images"]["known_answers/chest.png"]["area_fraction"];
    *area = (area.as_f64().unwrap() + 0.05).into();
    refused_with(&known, &["chest.png", "area_fraction", "self_test", "cure"]);
    known["images"]["known_answers/chest.png"]["probabilities"]["covid3"] = vec![1.0].into();
    refused_with(
        &known,
        &[
            "1 probabilities for exam covid3",
            "expected 3",
            "answers.json",
        ],
    );
    known["images"] = serde_json::json!({});
    refused_with(&known, &["answers.json", "it holds no image"]);
}

#[test]
fn refining_a_mask_needs_the_graph_that_encodes_it() {
    refused(
        |folder| {
            edit(
                folder,
                "prompt = \"box\"",
                "prompt = \"box\"\nrefinements = 1",
            )
        },
        &["bundle.toml", "segmenter.refinements", "mask_prompt"],
    );
    let named = "prompt = \"box\"\nmask_prompt = \"mask_prompt.onnx\"";
    refused(
        |folder| edit(folder, "prompt = \"box\"", named),
        &["mask_prompt.onnx", "no hash"],
    );
}

/// Found: a listed pipe was waited for, and `/dev/zero` read, for ever.
#[test]
fn a_bundle_consists_of_regular_files_of_bounded_size() {
    struct Case(&'static str, fn(&Path), &'static [&'static str]);
    fn fifo(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let _ = std::fs::remove_file(path);
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }
    fn link(path: &Path, to: &str) {
        let _ = std::fs::remove_file(path);
        std::os::unix::fs::symlink(to, path).unwrap();
    }
    fn long(path: &Path, bytes: u64) {
        std::fs::File::create(path).unwrap().set_len(bytes).unwrap();
    }
    for Case(what, spoil, says) in [
        Case(
            "a listed pipe",
            |f| fifo(&f.join("model-card.md")),
            &["model-card.md", "a pipe", "bundle_no_file"],
        ),
        Case(
            "a pipe that nobody lists",
            |f| fifo(&f.join("heads/extra")),
            &["heads/extra", "a pipe", "bundle_no_file"],
        ),
        Case(
            "the manifest",
            |f| fifo(&f.join("bundle.toml")),
            &["bundle.toml", "a pipe", "bundle_no_file"],
        ),
        Case(
            "a link that never ends",
            |f| link(&f.join("model-card.md"), "/dev/zero"),
            &["model-card.md", "a link", "bundle_no_file"],
        ),
        Case(
            "a link to what is as it should be",
            |f| {
                std::fs::rename(f.join("model-card.md"), f.with_extension("card")).unwrap();
                link(
                    &f.join("model-card.md"),
                    f.with_extension("card").to_str().unwrap(),
                );
            },
            &["model-card.md", "a link", "bundle_no_file"],
        ),
        Case(
            "a folder that is a link",
            |f| {
                std::fs::remove_dir_all(f.join("heads")).unwrap();
                link(&f.join("heads"), starter().join("heads").to_str().unwrap());
            },
            &["heads", "a link", "bundle_no_file"],
        ),
        Case(
            "a folder for a file",
            |f| {
                std::fs::remove_file(f.join("model-card.md")).unwrap();
                std::fs::create_dir(f.join("model-card.md")).unwrap();
            },
            &["model-card.md", "a folder", "bundle_no_file"],
        ),
        Case(
            "a file without an end",
            |f| long(&f.join("model-card.md"), 1 << 40),
            &["model-card.md", "bytes", "bundle_too_large"],
        ),
        Case(
            "a manifest without an end",
            |f| long(&f.join("bundle.toml"), 1 << 40),
            &["bundle.toml", "bytes", "bundle_too_large"],
        ),
        Case(
            "files without an end",
            |f| {
                for number in 0..4200 {
                    std::fs::write(f.join(format!("heads/{number}")), "").unwrap();
                }
            },
            &["are the most", "bundle_too_large"],
        ),
    ] {
        println!("{what}");
        refused(spoil, says);
    }
}

/// Found: known answers of zero with a tolerance of 1e9 were reproduced. What lets everything
/// pass is refused, whoever signed it.
#[test]
fn no_bundle_may_ask_for_checks_that_let_everything_pass() {
    struct Case(&'static str, &'static str, &'static [&'static str]);
    for Case(from, to, says) in [
        Case(
            "up_to = 104.0",
            "up_to = 1e300",
            &["covid3", "guard.up_to", "bundle_manifest"],
        ),
        Case(
            "up_to = 104.0",
            "up_to = nan",
            &["covid3", "guard.up_to", "bundle_manifest"],
        ),
        Case(
            "up_to = 104.0",
            "up_to = 999999.0",
            &["covid3.safetensors", "bundle_guard"],
        ),
        Case(
            "coloured_up_to = 0.08",
            "coloured_up_to = 1.0",
            &["coloured_up_to"],
        ),
        Case(
            "coloured_up_to = 0.08",
            "coloured_up_to = inf",
            &["coloured_up_to"],
        ),
        Case(
            "brightness = [0.04, 0.85]",
            "brightness = [0.9, 0.1]",
            &["brightness"],
        ),
        Case(
            "brightness = [0.04, 0.85]",
            "brightness = [-1.0, 2.0]",
            &["brightness"],
        ),
        Case(
            "contrast_from = 0.07",
            "contrast_from = -5.0",
            &["contrast_from"],
        ),
        Case(
            "content_from = 0.25",
            "content_from = nan",
            &["content_from"],
        ),
        Case(
            "accept_from = 0.2",
            "accept_from = 0.0",
            &["kinds: chest", "accept_from"],
        ),
        Case(
            "sharpness_from = 0.047",
            "sharpness_from = -1.0",
            &["sharpness_from"],
        ),
        Case("whole_from = 0.128", "whole_from = 7.0", &["whole_from"]),
        Case("aspect = [0.66, 1.6]", "aspect = [1e-9, 1e9]", &["aspect"]),
        Case(
            "review_below = 0.6",
            "review_below = -1.0",
            &["review_below"],
        ),
        Case(
            "crop_margin = 0.15",
            "crop_margin = 1e9",
            &["focus.crop_margin"],
        ),
        Case("input_size = 192", "input_size = 160000", &["input_size"]),
        Case("width = 128", "width = 1000000000", &["width"]),
        Case("prompt = \"box\"", "prompt = { grid = 200 }", &["grid"]),
        Case(
            "mean = [0.5, 0.5, 0.5]",
            "mean = [nan, 0.5, 0.5]",
            &["mean"],
        ),
    ] {
        refused(|folder| edit(folder, from, to), says);
    }
    let file = starter().join("known_answers/answers.json");
    let known: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let refused_with = |change: &dyn Fn(&mut serde_json::Value), says: &[&str]| {
        let mut known = known.clone();
        change(&mut known);
        let changed = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(changed.path(), known.to_string()).unwrap();
        let spoil = |folder: &Path| replace(folder, "known_answers/answers.json", changed.path());
        refused(
            spoil,
            &[says, &["answers.json", "bundle_known_answers"]].concat(),
        );
    };
    for key in ["probability", "area_fraction", "predicted_iou"] {
        for value in [1e9, 0.1, -0.001] {
            refused_with(&|known| known["tolerance"][key] = value.into(), &[key]);
        }
    }
    let chest = "known_answers/chest.png";
    refused_with(
        &|known| known["images"][chest]["probabilities"]["covid3"] = vec![0.0; 3].into(),
        &["covid3", "do not add up"],
    );
    refused_with(
        &|known| known["images"][chest]["area_fraction"] = (-1.0).into(),
        &["area_fraction"],
    );
}
