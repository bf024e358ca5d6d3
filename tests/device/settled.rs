//! An answer whose prediction set still holds a class that hurries more: every output and every
//! screen says `review`, and why. The starter's chest phantom is answered `normal`; at a
//! coverage of 95 % its set holds tuberculosis as well.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::cable::{Cable as Noise, GOOD};
use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::{classify, copy_of_starter, medfocus, phantom, root};
use dicom_dictionary_std::tags;
use dicom_object::{InMemDicomObject, open_file};
use serde_json::{Value, json};

const EXAM: &str = "lung_tb2";
const WHY: &str = "set_not_settled: the prediction set still holds what hurries more than the \
                   answer: tuberculosis (urgent)";

/// The starter, with this line in its exam of the lung.
fn starter_with(line: &str) -> tempfile::TempDir {
    let bundle = copy_of_starter();
    let manifest = bundle.path().join("bundle.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let name = format!("name = \"{EXAM}\"\n");
    assert!(text.contains(&name));
    std::fs::write(manifest, text.replace(&name, &format!("{name}{line}\n"))).unwrap();
    bundle
}

fn unsettled() -> tempfile::TempDir {
    starter_with("coverage = 0.95")
}

fn chest() -> String {
    phantom("chest.png").display().to_string()
}

fn folder_of(bundle: &tempfile::TempDir) -> String {
    bundle.path().display().to_string()
}

fn assert_is_to_be_reviewed(answer: &Value) {
    let set = &answer["prediction_set"]["classes"];
    assert_eq!(answer["class"], "normal", "{answer}");
    assert_eq!(*set, json!(["normal", "tuberculosis"]), "{answer}");
    assert_eq!(answer["triage_level"], "review", "{answer}");
    let reasons = answer["reasons"].as_array().unwrap();
    assert!(reasons.contains(&json!(WHY)), "{answer}");
}

#[test]
fn classify_says_review_in_text_json_and_every_file() {
    let (bundle, out) = (unsettled(), tempfile::tempdir().unwrap());
    let (bundle, to) = (folder_of(&bundle), out.path().display().to_string());
    let image = chest();
    let asked = [&image[..], "--exam", EXAM, "--age", "34"];
    let settled = medfocus(&[&["classify"], &asked[..]].concat());
    let text = String::from_utf8(settled.stdout).unwrap();
    assert!(text.contains("answer    Normal  (routine)"), "{text}");

    let asked = [&asked[..], &["--bundle", &bundle]].concat();
    let (answers, code) = classify(&asked);
    assert_eq!(code, 0);
    assert_is_to_be_reviewed(&answers[0]);
    crate::common::assert_valid(&answers[0]);

    let files = ["--write", "sr,hl7,page,pdf", "--to", &to];
    let output = medfocus(&[&["classify"], &asked[..], &files].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("answer    Normal  (review)"), "{text}");
    assert!(text.contains(&format!("note      {WHY}")), "{text}");
    assert!(!text.contains("routine"), "{text}");
    let file = |ending: &str| -> PathBuf {
        let files = std::fs::read_dir(out.path()).unwrap();
        let mut files = files.map(|entry| entry.unwrap().path());
        let found = files.find(|path| path.to_str().unwrap().ends_with(ending));
        found.unwrap_or_else(|| panic!("no {ending}"))
    };
    let hl7 = std::fs::read_to_string(file("hl7")).unwrap();
    assert!(hl7.contains("|review^review^99MEDFOCUS|"), "{hl7}");
    assert!(hl7.contains(WHY) && !hl7.contains("routine"), "{hl7}");
    let report = open_file(file("sr.dcm")).unwrap();
    let texts = texts(&report);
    assert!(texts.iter().any(|text| text == "review"), "{texts:?}");
    assert!(texts.iter().any(|text| text == WHY), "{texts:?}");
    assert!(texts.iter().all(|text| text != "routine"), "{texts:?}");
    assert!(file("page.png").exists() && file("pdf").exists());
}

/// Every text and every code's meaning, deeply.
fn texts(object: &InMemDicomObject) -> Vec<String> {
    let mut texts = Vec::new();
    for element in object {
        if let Some(items) = element.items() {
            items
                .iter()
                .for_each(|item| texts.extend(self::texts(item)));
        } else if [tags::TEXT_VALUE, tags::CODE_MEANING].contains(&element.header().tag) {
            texts.push(element.to_str().unwrap().trim_end().to_owned());
        }
    }
    texts
}

#[test]
fn a_device_says_review_on_line_socket_folder_link_and_display() {
    let (bundle, folder) = (unsettled(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name).display().to_string();
    let mut console = Cable::plug(&folder.path().join("port"));
    let _line = Noise::lay(folder.path(), GOOD);
    let options = [
        "--bundle",
        &folder_of(&bundle),
        "--results",
        &at("results"),
        "--display",
        &format!("png:{}", at("shown")),
    ];
    let device = Device::start_with(folder.path(), &["port", "right"], 4_000_000, &options);
    assert_eq!(console.ask(&format!("EXAM {EXAM}")), "OK");
    assert_eq!(console.ask("CASE:AGE 34"), "OK");
    assert_eq!(console.ask(&format!("CASE:RUN \"{}\"", chest())), "1");
    assert_eq!(console.wait_for_end("1"), "1 finding");
    let words = console.ask("CASE:RES? 1");
    assert!(words.contains(" set=normal,tuberculosis "), "{words}");
    assert!(words.contains(" level=review "), "{words}");
    let record = serde_json::from_str(&console.ask("CASE:RES? 1,JSON")).unwrap();
    assert_is_to_be_reviewed(&record);

    // The band of the display is violet, and never the green of routine.
    let begin = Instant::now();
    let shown = folder.path().join("shown/finding.png");
    while !shown.exists() {
        assert!(begin.elapsed() < PATIENCE, "{}", device.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let band = image::open(shown).unwrap().into_rgb8().get_pixel(0, 0).0;
    assert_eq!(band, [0xaa, 0x96, 0xf0]);

    // What became of it, restored from the journal for whoever asks later.
    let result = wait_for_json(&folder.path().join("results"));
    assert_is_to_be_reviewed(&result);
    let run = |command: &str, arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_medfocus"))
            .current_dir(root())
            .arg(command)
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let socket = at("state/medfocus.sock");
    let asked = [&chest()[..], "--exam", EXAM];
    let wait = ["--socket", &socket, "--wait", "--age", "34"];
    let text = run("submit", &[&asked[..], &wait].concat());
    assert!(text.contains("answer    Normal  (review)"), "{text}");
    let line = ["--baud", "4000000", "--format", "ndjson"];
    let text = run("link", &[&[&at("left")[..]], &asked[..], &line].concat());
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["triage_level"], "review", "{text}");
}

fn wait_for_json(folder: &Path) -> Value {
    let begin = Instant::now();
    loop {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files = files.map(|entry| entry.path());
        if let Some(file) = files.find(|path| path.extension().is_some_and(|e| e == "json")) {
            return serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        }
        assert!(begin.elapsed() < PATIENCE, "no result");
        std::thread::sleep(Duration::from_millis(20));
    }
}
