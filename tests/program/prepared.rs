//! Prepared graphs: the same answers from a quicker start, and never from a file that is
//! not as it was written.

use std::path::{Path, PathBuf};

use crate::common::{classify, copy_of_starter, medfocus, phantom};

/// The prepared files of a bundle, sorted.
fn prepared(bundle: &Path) -> Vec<PathBuf> {
    let mut name = bundle.file_name().unwrap().to_owned();
    name.push(".prepared");
    let entries = std::fs::read_dir(bundle.with_file_name(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// What the bundle answers for one phantom, but the milliseconds, and the warnings.
fn answer(bundle: &Path) -> (String, String) {
    let bundle = bundle.to_str().unwrap();
    let image = phantom("brain.png");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_medfocus"))
        .args([
            "classify", "--bundle", bundle, "--exam", "brain4", "--format", "json",
        ])
        .arg(&image)
        .env("MEDFOCUS_STATE", state_of(bundle))
        .env("MEDFOCUS_LOG", "warn")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    let mut json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    json.as_object_mut().unwrap().remove("timings_ms");
    (json.to_string(), errors)
}

/// A state folder beside the bundle, whose key its prepared files carry.
fn state_of(bundle: impl AsRef<Path>) -> PathBuf {
    bundle.as_ref().with_file_name("state")
}

fn prepare(bundle: &Path) -> String {
    let state = state_of(bundle).display().to_string();
    let bundle = bundle.to_str().unwrap();
    let output = medfocus(&["bundle", "prepare", bundle, "--state", &state]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A copy of the starter in a folder of its own, so that `NAME.prepared` is the test's.
fn bundle() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    std::fs::rename(copy_of_starter().keep(), &bundle).unwrap();
    (folder, bundle)
}

#[test]
fn answers_stay_the_same_to_the_bit() {
    let (_folder, bundle) = bundle();
    let (before, _) = answer(&bundle);
    let told = prepare(&bundle);
    let files = prepared(&bundle);
    assert_eq!(files.len(), 3, "{told}");
    for file in &files {
        assert!(
            told.contains(file.file_name().unwrap().to_str().unwrap()),
            "{told}"
        );
    }
    let (after, warnings) = answer(&bundle);
    assert_eq!(before, after);
    assert!(warnings.is_empty(), "{warnings}");
}

#[test]
fn a_broken_file_is_told_of_and_made_anew() {
    let (_folder, bundle) = bundle();
    prepare(&bundle);
    let files = prepared(&bundle);
    let (good, _) = answer(&bundle);
    let whole = std::fs::read(&files[0]).unwrap();
    let spoil = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases = [
        ("a byte of the weights", spoil(whole.len() - 100)),
        ("a byte of the nodes", spoil(200)),
        ("a byte of the header", spoil(10)),
        ("the end", whole[..whole.len() / 2].to_vec()),
        ("everything", Vec::new()),
        ("what another device made", {
            let (_folder, other) = self::bundle();
            prepare(&other);
            std::fs::read(&prepared(&other)[0]).unwrap()
        }),
    ];
    for (what, bytes) in cases {
        std::fs::write(&files[0], bytes).unwrap();
        let (found, warnings) = answer(&bundle);
        assert_eq!(found, good, "{what}");
        assert!(warnings.contains("made anew"), "{what}: {warnings}");
        assert_eq!(std::fs::read(&files[0]).unwrap(), whole, "{what}");
    }
}

#[test]
fn the_graph_itself_must_still_be_there_and_as_long() {
    let (_folder, bundle) = bundle();
    prepare(&bundle);
    let graph = bundle.join("image_encoder.onnx");
    let bytes = std::fs::read(&graph).unwrap();
    let refused = |what: &str| {
        let bundle = bundle.to_str().unwrap();
        let image = phantom("brain.png");
        let (_, code) = classify(&[
            "--bundle",
            bundle,
            "--exam",
            "brain4",
            image.to_str().unwrap(),
        ]);
        assert_eq!(code, 3, "{what}");
    };
    std::fs::write(&graph, &bytes[..bytes.len() - 1]).unwrap();
    refused("cut by a byte");
    std::fs::remove_file(&graph).unwrap();
    refused("missing");
}

/// Found: what root prepared under a tight `umask` the device could not read.
#[test]
fn what_is_prepared_can_be_read_by_the_device_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, bundle) = bundle();
    let program = env!("CARGO_BIN_EXE_medfocus");
    let command = format!(
        "umask 077; exec {program} bundle prepare {} --state {}",
        bundle.display(),
        state_of(&bundle).display()
    );
    let done = std::process::Command::new("sh")
        .args(["-c", &command])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let files = prepared(&bundle);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(files[0].parent().unwrap()), 0o755);
    assert!(files.iter().all(|file| mode(file) == 0o644));
}

/// Whoever has no key of the device believes no prepared file, and answers the same.
#[test]
fn without_the_devices_key_no_prepared_file_is_used() {
    let (_folder, bundle) = bundle();
    let (good, _) = answer(&bundle);
    prepare(&bundle);
    std::fs::remove_dir_all(state_of(&bundle)).unwrap();
    for file in prepared(&bundle) {
        std::fs::write(file, "spoilt").unwrap();
    }
    let (found, warnings) = answer(&bundle);
    assert_eq!(found, good);
    assert!(warnings.is_empty(), "{warnings}");
}
