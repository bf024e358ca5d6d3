//! `medfocus doctor` on the machine that the tests run on: whatever that is like, no device
//! is kept from working by it but where something is made wrong.
#![cfg(target_os = "linux")]

use std::path::Path;

use crate::common::bench::Bench;
use crate::common::{copy_of_starter, medfocus, root, starter};
use serde_json::Value;

fn doctor(state: &Path, more: &[&str]) -> (Value, Option<i32>) {
    let state = state.display().to_string();
    let output = medfocus(&[&["doctor", "--json", "--state", &state], more].concat());
    let said = serde_json::from_slice(&output.stdout).expect("JSON");
    (said, output.status.code())
}

/// The checks of this name.
fn checks<'a>(said: &'a Value, name: &str) -> Vec<&'a Value> {
    let checks = said["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["name"] == name).collect()
}

#[test]
fn it_says_what_there_is_and_leaves_nothing_behind() {
    let state = tempfile::tempdir().unwrap();
    let bundle = starter().display().to_string();
    let (said, code) = doctor(state.path(), &["--bundle", &bundle]);
    assert!(matches!(code, Some(0 | 1)), "{said:#}");
    let processor = &said["facts"]["processor"];
    assert!(
        processor["kernels"]
            .as_array()
            .unwrap()
            .contains(&processor["kernel"])
    );
    assert!(processor["cores"].as_u64() > Some(0));
    for name in ["processor", "kernel", "bundle", "state"] {
        assert_eq!(checks(&said, name)[0]["verdict"], "passed", "{name}");
    }
    assert_eq!(said["facts"]["bundle"]["is_signed"], false);
    assert_eq!(std::fs::read_dir(state.path()).unwrap().count(), 0);
}

#[test]
fn a_bundle_that_is_prepared_is_told_from_one_that_is_not() {
    let (state, folder) = (tempfile::tempdir().unwrap(), copy_of_starter());
    let bundle = folder.path().display().to_string();
    let is_prepared = || {
        let (said, _) = doctor(state.path(), &["--bundle", &bundle]);
        said["facts"]["bundle"]["is_prepared"].as_bool().unwrap()
    };
    assert!(!is_prepared());
    let state_text = state.path().display().to_string();
    let prepare = ["bundle", "prepare", &bundle, "--state", &state_text];
    assert!(medfocus(&prepare).status.success());
    assert!(is_prepared());
    let prepared = format!("{bundle}.prepared");
    std::fs::remove_dir_all(prepared).unwrap();
}

#[test]
fn what_keeps_a_device_from_working_is_told_with_its_cure() {
    let (state, bundle) = (tempfile::tempdir().unwrap(), copy_of_starter());
    std::fs::write(bundle.path().join("heads/brain4.safetensors"), "").unwrap();
    let folder = bundle.path().display().to_string();
    let (said, code) = doctor(state.path(), &["--bundle", &folder]);
    assert_eq!((&said["verdict"], code), (&"failed".into(), Some(3)));
    assert_eq!(checks(&said, "bundle")[0]["code"], "bundle_hash");

    let wrong = root().join("tests/cli/wrong.toml").display().to_string();
    let (said, code) = doctor(state.path(), &["--config", &wrong]);
    assert_eq!(code, Some(3));
    let problems = checks(&said, "config");
    assert!(problems.len() > 3, "{problems:?}");
    for problem in problems {
        assert_eq!(problem["verdict"], "failed");
        assert!(!problem["cure"].as_str().unwrap().is_empty(), "{problem}");
    }
}

#[test]
fn a_device_that_is_at_work_is_told_and_not_disturbed() {
    let mut bench = Bench::with(&[], |_| ());
    let state = bench.folder.path().join("state");
    let begin = std::time::Instant::now();
    loop {
        let (said, _) = doctor(&state, &[]);
        let device = checks(&said, "device");
        if device
            .first()
            .is_some_and(|check| check["what"].as_str().unwrap().ends_with("ready"))
        {
            break;
        }
        assert!(
            begin.elapsed() < crate::common::device::PATIENCE,
            "{said:#}"
        );
    }
    assert_eq!(bench.accept("brain.png"), "1");
    assert!(bench.cable.wait_for_end("1").ends_with("finding"));
}
