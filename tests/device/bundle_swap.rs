//! Another bundle while the device runs: installed, taken up between two cases, taken back.
#![cfg(target_os = "linux")]

use std::path::Path;

use crate::common::bench::Bench;
use crate::common::{copy_of_starter, medfocus, starter};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

/// The starter bundle under another version.
fn version(version: &str) -> tempfile::TempDir {
    let folder = copy_of_starter();
    let manifest = folder.path().join("bundle.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let line = format!("version = \"{version}\"");
    let text = text.replacen("version = \"0.1.0\"", &line, 1);
    assert!(text.contains(&line));
    std::fs::write(&manifest, text).unwrap();
    folder
}

fn bundle(state: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let state = state.display().to_string();
    let output = medfocus(&[&["bundle"], arguments, &["--state", &state]].concat());
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn install(state: &Path, folder: &Path) {
    let (code, said) = bundle(state, &["install", &folder.display().to_string()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("is in use"), "{said}");
}

/// A device that answers with what is installed in its state folder.
fn bench(first: &Path) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    install(&state, first);
    let current = state.join("bundles/current").display().to_string();
    Bench::on(folder, &["--bundle", &current], |_| ())
}

fn loaded(bench: &mut Bench, version: &str) {
    let version = format!("bundle starter {version} ");
    let begin = std::time::Instant::now();
    while !bench.cable.ask("SYST:VERS?").contains(&version) {
        assert!(
            begin.elapsed() < crate::common::device::PATIENCE,
            "{}",
            bench.device.log()
        );
    }
}

/// The bundles that the answers name, and those that were loaded when they were given.
fn named_and_loaded(bench: &Bench) -> Vec<(String, String)> {
    let file = bench.folder.path().join("state/journal.ndjson");
    let text = std::fs::read_to_string(file).unwrap();
    let (mut loaded, mut pairs) = (Value::Null, Vec::new());
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        match entry["event"].as_str() {
            Some("booted" | "bundle_changed") => loaded = entry["bundle"]["version"].clone(),
            Some("answered") => {
                let named = entry["record"]["bundle"]["version"].to_string();
                pairs.push((named, loaded.to_string()));
            }
            _ => {}
        }
    }
    pairs
}

#[test]
fn a_bundle_is_taken_up_between_two_cases_and_taken_back() {
    let mut bench = bench(&starter());
    let state = bench.folder.path().join("state");
    install(&state, version("0.2.0").path());
    assert!(
        bench
            .cable
            .ask("SYST:VERS?")
            .contains("bundle starter 0.1.0 ")
    );
    for case in 1..=30 {
        assert_eq!(bench.accept("brain.png"), case.to_string());
    }
    bench.device.signal(Signal::HUP);
    loaded(&mut bench, "0.2.0");
    assert_eq!(bench.accept("brain.png"), "31");
    for case in 1..=31 {
        let case = case.to_string();
        assert_eq!(bench.cable.wait_for_end(&case), format!("{case} finding"));
    }
    let pairs = named_and_loaded(&bench);
    assert_eq!(pairs.len(), 31);
    assert!(
        pairs.iter().all(|(named, loaded)| named == loaded),
        "{pairs:?}"
    );
    assert_eq!(pairs[0].0, "\"0.1.0\"", "the one before went on meanwhile");
    assert_eq!(pairs[30].0, "\"0.2.0\"");

    let (code, said) = bundle(&state, &["rollback"]);
    assert_eq!(code, Some(0), "{said}");
    bench.device.signal(Signal::HUP);
    loaded(&mut bench, "0.1.0");
    assert_eq!(bench.accept("brain.png"), "32");
    assert_eq!(bench.cable.wait_for_end("32"), "32 finding");
    assert_eq!(bench.device.journal("bundle_changed").len(), 2);
}

#[test]
fn a_bundle_that_is_no_good_is_refused_and_the_one_before_goes_on() {
    let mut bench = bench(&starter());
    let state = bench.folder.path().join("state");
    install(&state, version("0.2.0").path());
    let head = state.join("bundles/current/heads/brain4.safetensors");
    std::fs::write(&head, "spoilt").unwrap();
    bench.device.signal(Signal::HUP);
    let status = bench
        .cable
        .wait_until("STAT?", |said| said.contains("new_bundle"));
    assert!(status.starts_with("ready "), "{status}");
    let refused = &bench.device.journal("bundle_refused")[0];
    assert_eq!(refused["code"], "bundle_hash");
    assert!(
        refused["what"]
            .as_str()
            .unwrap()
            .contains("heads/brain4.safetensors")
    );
    assert_eq!(bench.accept("brain.png"), "1");
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
    // Whoever is started instead loads what was good, whatever the link leads to.
    let worker = bench.worker(None);
    kill_process(worker, Signal::KILL).unwrap();
    bench.worker(Some(worker));
    assert_eq!(bench.accept("brain.png"), "2");
    assert_eq!(bench.cable.wait_for_end("2"), "2 finding");
    assert!(
        named_and_loaded(&bench)
            .iter()
            .all(|(named, _)| named == "\"0.1.0\"")
    );
    // Taken back, nothing is left to warn of.
    assert_eq!(bundle(&state, &["rollback"]).0, Some(0));
    bench.device.signal(Signal::HUP);
    bench
        .cable
        .wait_until("STAT?", |said| !said.contains("new_bundle"));
}

#[test]
fn what_is_damaged_is_not_installed_and_nothing_is_taken_back_where_nothing_was() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = version("0.2.0");
    std::fs::write(damaged.path().join("heads/brain4.safetensors"), "spoilt").unwrap();
    let (code, said) = bundle(
        folder.path(),
        &["install", &damaged.path().display().to_string()],
    );
    assert_eq!(code, Some(3));
    assert!(said.contains("(bundle_hash)"), "{said}");
    assert!(!folder.path().join("bundles/current").exists());
    install(folder.path(), &starter());
    let (code, said) = bundle(folder.path(), &["rollback"]);
    assert_eq!(code, Some(3));
    assert!(said.contains("(bundle_not_found)"), "{said}");
}

#[test]
fn a_configuration_is_read_again_and_one_that_cannot_be_is_not_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (version("0.2.0"), version("0.3.0"));
    let file = folder.path().join("medfocus.toml");
    let configure = |bundle: &Path, more: &str| {
        let text = format!(
            "[bundle]\nfolder = {:?}\n{more}",
            bundle.display().to_string()
        );
        std::fs::write(&file, text).unwrap();
    };
    configure(first.path(), "");
    let mut bench = Bench::on(folder, &["--config", &file.display().to_string()], |_| ());
    loaded(&mut bench, "0.2.0");
    configure(second.path(), "fodler = 1\n");
    bench.device.signal(Signal::HUP);
    bench
        .device
        .wait_for_log("the configuration is not taken up");
    loaded(&mut bench, "0.2.0");
    configure(second.path(), "[device]\nthreads = 1\n");
    bench.device.signal(Signal::HUP);
    loaded(&mut bench, "0.3.0");
    bench
        .device
        .wait_for_log("device.threads waits for the next start");
    assert_eq!(bench.device.journal("configured").len(), 2);
}

/// Found: a prepared file that was changed while it was mapped turned meningioma into pituitary
/// tumour, and the status stayed `ready`.
#[test]
fn a_prepared_file_that_is_changed_while_a_device_answers_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    install(&state, &starter());
    let current = state.join("bundles/current").display().to_string();
    let (code, said) = bundle(&state, &["prepare", &current]);
    assert_eq!(code, Some(0), "{said}");
    let mut bench = Bench::on(folder, &["--bundle", &current], |_| ());
    // Whatever it loads of a file it has loaded by the end of a case.
    assert_eq!(bench.accept("breast.png"), "1");
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
    for line in said.lines() {
        use std::os::unix::fs::FileExt;
        let file = line.rsplit_once(": ").unwrap().0;
        let mut bytes = std::fs::read(file).unwrap();
        let weights = bytes.len() / 2;
        bytes[weights..].iter_mut().for_each(|byte| *byte ^= 0x55);
        let in_place = std::fs::OpenOptions::new().write(true).open(file);
        in_place.unwrap().write_all_at(&bytes, 0).unwrap();
    }
    assert_eq!(bench.accept("brain.png"), "2");
    assert_eq!(bench.cable.wait_for_end("2"), "2 finding");
    let found = bench.cable.ask("CASE:RES? 2");
    let image = crate::common::phantom("brain.png").display().to_string();
    let (known, _) = crate::common::classify(&[&image]);
    let p = known[0]["probabilities"]["meningioma"].as_f64().unwrap();
    let known = format!("class=meningioma p={p:.3} ");
    assert!(found.contains(&known), "{found}, expected {known}");
}
