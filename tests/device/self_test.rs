//! The self-test of the real program: what it finds stops the answers, and nothing else.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::{copy_of_starter, phantom};
use serde_json::Value;

struct Bench {
    folder: tempfile::TempDir,
    bundle: tempfile::TempDir,
    cable: Cable,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cable = Cable::plug(&folder.path().join("port"));
        Self {
            folder,
            bundle: copy_of_starter(),
            cable,
        }
    }

    fn device(&self, more: &[&str]) -> Device {
        let bundle = self.bundle.path().display().to_string();
        let more = [&["--bundle", &bundle], more].concat();
        Device::start_with(self.folder.path(), &["port"], 115_200, &more)
    }

    fn head(&self) -> PathBuf {
        self.bundle.path().join("heads/brain4.safetensors")
    }

    fn accept(&mut self) -> String {
        let path = phantom("brain.png").display().to_string();
        self.cable.ask(&format!("CASE:RUN {path}"))
    }
}

fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// The check of this name in a `self_tested` entry.
fn check<'a>(entry: &'a Value, name: &str) -> &'a Value {
    let mut checks = entry["checks"].as_array().unwrap().iter();
    checks.find(|check| check["name"] == name).unwrap()
}

#[test]
fn a_flipped_bit_in_the_bundle_stops_the_answers_until_it_is_mended() {
    let mut bench = Bench::new();
    let device = bench.device(&[]);
    assert_eq!(bench.accept(), "1");
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
    assert_eq!(bench.cable.ask("*TST?"), "0");

    flip(&bench.head());
    assert_eq!(bench.cable.ask("*TST?"), "1");
    assert!(bench.cable.ask("SYST:ERR?").starts_with("-330,"));
    let status = bench.cable.ask("STAT?");
    assert!(
        status.starts_with("safe_state case=- waiting=0"),
        "{status}"
    );
    assert!(status.contains(" code=bundle_hash "), "{status}");
    assert!(
        status.ends_with("cure=\"copy the bundle again from its source\""),
        "{status}"
    );
    assert_eq!(bench.accept(), "2");
    assert_eq!(bench.cable.ask("*TST?"), "1", "as wrong as before");
    assert_eq!(bench.cable.ask("CASE:STAT? 2"), "2 waiting");

    flip(&bench.head());
    assert_eq!(bench.cable.ask("*TST?"), "0");
    assert_eq!(bench.cable.wait_for_end("2"), "2 finding");
    assert!(bench.cable.ask("STAT?").starts_with("ready"));

    let tested = device.journal("self_tested");
    let whole: Vec<&Value> = tested
        .iter()
        .filter(|entry| entry["because"] != "retry")
        .collect();
    let passed: Vec<&Value> = whole.iter().map(|entry| &entry["passed"]).collect();
    assert_eq!(passed, [true, true, false, false, true]);
    assert_eq!(whole[0]["because"], "boot");
    assert_eq!(whole[1]["because"], "asked");
    for name in [
        "bundle",
        "kernel",
        "known_answers",
        "journal",
        "ports",
        "displays",
    ] {
        assert_eq!(check(whole[0], name)["verdict"], "passed", "{name}");
    }
    let bundle = check(whole[2], "bundle");
    assert_eq!(
        (&bundle["verdict"], &bundle["code"]),
        (&"failed".into(), &"bundle_hash".into())
    );
    assert!(
        bundle["what"]
            .as_str()
            .unwrap()
            .contains("heads/brain4.safetensors: SHA-256 is")
    );
}

#[test]
fn a_device_that_starts_on_a_damaged_bundle_keeps_its_cases_and_says_why() {
    let mut bench = Bench::new();
    let pictures = bench.folder.path().join("pictures");
    let place = format!("png:{}", pictures.display());
    flip(&bench.head());
    let device = bench.device(&["--display", &place]);
    let status = bench.cable.ask("STAT?");
    assert!(
        status.starts_with("safe_state") && status.contains(" code=bundle_hash "),
        "{status}"
    );
    assert!(bench.cable.ask("EXAM:LIST?").contains("brain4"));
    assert_eq!(bench.accept(), "1");
    let begin = Instant::now();
    while !pictures.join("fault.png").exists() {
        assert!(begin.elapsed() < PATIENCE, "{}", device.log());
    }
    flip(&bench.head());
    // Nobody asks: it is tried again.
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
    bench.cable.wait_for("STAT?", "ready");
    let log = device.log();
    assert!(log.contains("no case is answered now: bundle: "), "{log}");
}

#[test]
fn what_warns_is_told_and_stops_nothing() {
    let mut bench = Bench::new();
    let _device = bench.device(&["--display", "ssd1306:/dev/no-such-bus"]);
    let status = bench.cable.ask("STAT?");
    assert!(
        status.starts_with("ready ") && status.contains("displays"),
        "{status}"
    );
    assert_eq!(bench.accept(), "1");
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
}
