//! What several end-to-end tests need: the program, the phantoms, a bundle to spoil.

#![allow(dead_code)] // each test binary uses its own part

#[cfg(unix)]
pub mod archives;
#[cfg(target_os = "linux")]
pub mod bench;
#[cfg(unix)]
pub mod cable;
#[cfg(unix)]
pub mod clinic;
#[cfg(unix)]
pub mod console;
pub mod device;
pub mod dicom;
pub mod film;
#[cfg(target_os = "linux")]
pub mod hold;
pub mod labelled;
pub mod maker;
#[cfg(target_os = "linux")]
pub mod peer;
#[cfg(unix)]
pub mod pty;
pub mod receivers;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The repository's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The shipped starter bundle.
pub fn starter() -> PathBuf {
    root().join("models/starter")
}

/// One of the shipped phantoms.
pub fn phantom(name: &str) -> PathBuf {
    root().join("tests/phantoms").join(name)
}

/// Copies of some bytes, each with one to four of them changed: always the same copies for
/// the same seed.
pub fn spoilt(bytes: &[u8], seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut state = seed;
    (0..).map(move |round| {
        let mut spoilt = bytes.to_vec();
        for _ in 0..1 + round % 4 {
            // Knuth's 64-bit linear congruential generator.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % spoilt.len();
            spoilt[at] = (state >> 20) as u8;
        }
        spoilt
    })
}

/// Runs the program.
pub fn medfocus(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_medfocus"))
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("the program starts")
}

/// The JSON answers of `classify --format ndjson` and the exit code.
pub fn classify(arguments: &[&str]) -> (Vec<Value>, i32) {
    let output = medfocus(&[&["classify", "--format", "ndjson"], arguments].concat());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let answers = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("one object a line"));
    let answers: Vec<Value> = answers.collect();
    let code = output.status.code().unwrap_or(-1);
    assert!(
        !answers.is_empty() || code >= 2,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    (answers, code)
}

/// A copy of the starter bundle that a test may spoil.
pub fn copy_of_starter() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy(&starter(), folder.path());
    folder
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("the starter bundle") {
        let path = entry.expect("an entry").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target)
        } else {
            std::fs::copy(&path, &target).map(drop).expect("copied")
        }
    }
}

/// The length of the starter bundle's embeddings.
pub fn embedding_length() -> usize {
    let text = std::fs::read_to_string(starter().join("bundle.toml")).expect("the manifest");
    let manifest: toml::Table = toml::from_str(&text).expect("TOML");
    let length = manifest["image_encoder"]["embedding"].as_integer();
    usize::try_from(length.expect("a number")).expect("a length")
}

/// Writes a file's hash into the manifest of a bundle, as its maker would.
pub fn seal(bundle: &Path, file: &str) {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(std::fs::read(bundle.join(file)).expect("the file"));
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = bundle.join("bundle.toml");
    let text = std::fs::read_to_string(&manifest).expect("the manifest");
    let key = format!("\"{file}\" = ");
    let lines = text.lines().map(|line| match line.strip_prefix(&key) {
        Some(_) => format!("{key}\"{hash}\"\n"),
        None => format!("{line}\n"),
    });
    std::fs::write(&manifest, lines.collect::<String>()).expect("the manifest is written");
}

/// Holds a value against a schema of `docs/`.
pub fn assert_valid_by(schema: &str, value: &Value) {
    let text = std::fs::read_to_string(root().join("docs").join(schema)).expect("the schema");
    let schema = serde_json::from_str(&text).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let errors = schema.iter_errors(value);
    let errors: Vec<String> = errors
        .map(|e| format!("{}: {e}", e.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// Holds an answer against the schema of findings.
pub fn assert_valid(answer: &Value) {
    assert_valid_by("finding.schema.json", answer);
}
