//! `medfocus health` and the metrics of a running device, of one that cannot answer, and of
//! one that is gone.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::time::{Duration, Instant};

use crate::common::bench::Bench;
use crate::common::device::{Device, PATIENCE};
use crate::common::receivers::dead_port;
use crate::common::{copy_of_starter, medfocus, root};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What `health` says of the device on this folder's state, and its exit code.
fn health(folder: &Path) -> (Value, Option<i32>) {
    let state = folder.join("state").display().to_string();
    let output = medfocus(&["health", "--json", "--state", &state]);
    let said = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (said, output.status.code())
}

/// Waits until the device says of itself what it should.
fn wait(bench: &Bench, until: impl Fn(&Value) -> bool) -> (Value, Option<i32>) {
    let begin = Instant::now();
    loop {
        let (said, code) = health(bench.folder.path());
        if until(&said) {
            return (said, code);
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{said:#}\n{}",
            bench.device.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn sink<'a>(said: &'a Value, name: &str) -> &'a Value {
    let mut sinks = said["sinks"].as_array().unwrap().iter();
    sinks.find(|sink| sink["name"] == name).unwrap()
}

#[test]
fn a_device_at_work_tells_scripts_how_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let metrics = folder.path().join("medfocus.prom");
    let hl7 = format!("127.0.0.1:{}", dead_port());
    let metrics_file = metrics.display().to_string();
    let mut bench = Bench::with(&["--metrics", &metrics_file, "--hl7", &hl7], |_| ());
    let (said, code) = wait(&bench, |said| said["state"] == "ready");
    assert_eq!(code, Some(0));
    assert_eq!(said["queue"]["answered"], 0);
    bench.accept("brain.png");
    bench.accept("missing.png");
    let until = |said: &Value| {
        said["queue"]["answered"] == 2 && sink(said, "hl7")["obstacle"] == "unreachable"
    };
    let (said, code) = wait(&bench, until);
    // A sink that is away keeps no case from being answered.
    assert_eq!((&said["state"], code), (&json!("ready"), Some(0)));
    let schema = std::fs::read_to_string(root().join("docs/health.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let wrong: Vec<String> = schema.iter_errors(&said).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(said["ends"]["findings"], 1);
    assert!(
        said["warnings"]
            .as_array()
            .unwrap()
            .contains(&json!("sink_hl7"))
    );
    assert_eq!(sink(&said, "hl7")["owed"], 1);
    assert_eq!(sink(&said, "link")["owed"], 2);
    assert!(said["memory"]["worker_bytes"].as_u64().unwrap() > 10 << 20);

    let text = std::fs::read_to_string(&metrics).unwrap();
    for line in [
        "medfocus_state{state=\"ready\"} 1",
        "medfocus_state{state=\"safe\"} 0",
        "medfocus_cases_total{end=\"finding\"} 1",
        "medfocus_cases_total{end=\"refusal\"} 1",
        "medfocus_run_seconds_count 2",
        "medfocus_queue_waiting 0",
        "medfocus_sink_owed{sink=\"hl7\"} 1",
        "medfocus_sink_obstacle{sink=\"hl7\",code=\"unreachable\"} 1",
        "medfocus_self_test_passed 1",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} in\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let name = name.split('{').next().unwrap();
        let help = name.trim_end_matches("_bucket").trim_end_matches("_sum");
        let help = format!("# TYPE {} ", help.trim_end_matches("_count"));
        assert!(text.contains(&help), "{help}");
    }
    let all = format!("{said} {text}");
    assert!(
        !all.contains("brain.png") && !all.contains("missing.png"),
        "{all}"
    );

    bench.device.signal(Signal::TERM);
    assert!(bench.device.wait().success());
    assert_eq!(health(bench.folder.path()), (Value::Null, Some(3)));
    assert!(!metrics.exists());
}

#[test]
fn a_device_that_is_gone_or_stands_still_is_not_taken_for_one_at_work() {
    let mut bench = Bench::with(&[], |_| ());
    let (said, _) = wait(&bench, |said| said["state"] == "ready");
    bench.device.kill();
    let file = bench.folder.path().join("state/health.json");
    for (key, value) in [
        ("boot_s", json!(said["boot_s"].as_f64().unwrap() - 100.0)),
        ("boot_id", json!("another")),
        ("boot_id", Value::Null),
    ] {
        let mut old = said.clone();
        old[key] = value;
        std::fs::write(&file, old.to_string()).unwrap();
        assert_eq!(health(bench.folder.path()), (old, Some(3)), "{key}");
    }
    std::fs::write(&file, "{").unwrap();
    assert_eq!(health(bench.folder.path()), (Value::Null, Some(3)));
}

#[test]
fn a_device_that_cannot_answer_says_why() {
    let bundle = copy_of_starter();
    let head = bundle.path().join("heads/brain4.safetensors");
    let mut bytes = std::fs::read(&head).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&head, bytes).unwrap();
    let folder = bundle.path().display().to_string();
    let bench = Bench::with(&["--bundle", &folder], |_| ());
    let (said, code) = wait(&bench, |said| said["state"] == "safe");
    assert_eq!(code, Some(1));
    assert_eq!(said["trouble"]["code"], "bundle_hash");
    assert_eq!(said["self_test"]["passed"], false);
}

#[test]
fn a_device_whose_disk_is_full_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    std::fs::write(&config, "[keep]\nfree_mib = 4294967295\n").unwrap();
    let mut bench = Bench::with(&["--config", &config.display().to_string()], |_| ());
    let (_, code) = wait(&bench, |said| said["state"] == "storage_fault");
    assert_eq!(code, Some(1));
    assert!(bench.accept("brain.png").starts_with("ERR 22,"));
}

#[test]
fn a_device_that_tests_itself_is_starting_and_has_its_state_folder_already() {
    let (folder, bundle) = (tempfile::tempdir().unwrap(), copy_of_starter());
    // Whoever reads this file waits until somebody writes it.
    let head = bundle.path().join("heads/brain4.safetensors");
    std::fs::remove_file(&head).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &head,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let (bundle, port) = (bundle.path().display().to_string(), dead_port().to_string());
    let options = [
        "--bundle",
        &bundle,
        "--dicom-port",
        &port,
        "--dicom-bind",
        "127.0.0.1",
    ];
    let command = || Device::command(folder.path(), &[], 115_200, &options);
    let device = Device::start_as(folder.path(), &[], command());
    let begin = Instant::now();
    loop {
        let (said, code) = health(folder.path());
        if said["state"] == "starting" {
            assert_eq!(code, Some(1));
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{said:#}\n{}", device.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let second = command().output().unwrap();
    assert_eq!(second.status.code(), Some(3));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another medfocus is using it"), "{said}");
}

/// The state file may lie in the folder of another service, or of a user who logs out meanwhile.
#[test]
fn health_finds_the_state_file_wherever_the_device_has_it() {
    for variable in ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"] {
        let run = tempfile::tempdir().unwrap();
        let mut bench = Bench::with(&[], |command| {
            command.env(variable, run.path());
        });
        let (_, code) = wait(&bench, |said| said["state"] == "ready");
        assert_eq!(code, Some(0), "{variable}");
        assert!(!bench.folder.path().join("state/health.json").exists());

        // In a copy of the state folder, nobody is at work.
        let copy = tempfile::tempdir().unwrap();
        std::fs::create_dir(copy.path().join("state")).unwrap();
        for name in ["health-at", "device-id"] {
            let from = bench.folder.path().join("state").join(name);
            std::fs::copy(from, copy.path().join("state").join(name)).unwrap();
        }
        assert_eq!(health(copy.path()), (Value::Null, Some(3)), "{variable}");

        // The folder goes, and the device stays.
        std::fs::remove_dir_all(run.path()).unwrap();
        bench.accept("brain.png");
        let (_, code) = wait(&bench, |said| said["queue"]["answered"] == 1);
        assert_eq!(code, Some(0), "{variable}");
        assert!(bench.folder.path().join("state/health.json").exists());
    }
}

#[test]
fn a_state_file_that_another_device_wrote_is_told_as_anothers() {
    let run = tempfile::tempdir().unwrap();
    let mut bench = Bench::with(&[], |command| {
        command.env("RUNTIME_DIRECTORY", run.path());
    });
    let (mut said, _) = wait(&bench, |said| said["state"] == "ready");
    bench.device.kill();
    said["device"] = json!("00000000000000aa");
    said["state_folder"] = json!("00000000000000bb");
    std::fs::write(run.path().join("health.json"), said.to_string()).unwrap();
    let state = bench.folder.path().join("state").display().to_string();
    let output = medfocus(&["health", "--state", &state]);
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("of the device 00000000000000aa, which is another"),
        "{told}"
    );
}
