//! When an image is run again, and when the answer that it has already is given (`docs/cases.md`).
#![cfg(target_os = "linux")]

use crate::common::clinic::{Clinic, hash, image};
use crate::common::copy_of_starter;
use crate::common::hold::Hold;
use serde_json::{Value, json};

/// Has the device refuse a file of its folder by its deadline.
fn refused_by_deadline(clinic: &Clinic, name: &str, bytes: &[u8]) {
    let hold = Hold::worker(&clinic.device);
    clinic.drop_in(name, bytes);
    let rejected = clinic.at("in/rejected").join(format!("1-{name}"));
    clinic.wait_until("rejected", || rejected.is_file());
    drop(hold);
    assert_eq!(clinic.answer(1)["code"], "deadline");
}

#[test]
fn what_lay_in_the_device_is_run_again_when_the_image_comes_again() {
    let mut clinic = Clinic::open("[device]\ndeadline_s = 2\n");
    let bytes = image(1);
    refused_by_deadline(&clinic, "a.png", &bytes);
    clinic.drop_in("a.png", &bytes);
    clinic.wait_until("answered", || clinic.at("in/taken/2-a.png").is_file());
    let record = clinic.answer(2);
    assert_eq!(
        (&record["status"], &record["rerun_of"]),
        (&json!("finding"), &json!("1"))
    );
    assert_eq!(record["image_sha256"], hash(&bytes));
    // From now on there is an answer, and it is the same for ever; it is written again.
    let result = std::fs::read_dir(clinic.at("results")).unwrap();
    let result = result
        .flatten()
        .find(|file| file.path().display().to_string().ends_with("-2.json"));
    let result = result.expect("a result").path();
    std::fs::remove_file(&result).unwrap();
    clinic.drop_in("b.png", &bytes);
    clinic.wait_until("put away", || clinic.at("in/taken/2-b.png").is_file());
    clinic.wait_until("written again", || result.is_file());
    assert_eq!(clinic.device.journal("accepted").len(), 2);
    clinic.restart();
    clinic.drop_in("c.png", &bytes);
    clinic.wait_until("put away", || clinic.at("in/taken/2-c.png").is_file());
    assert_eq!(clinic.device.journal("accepted").len(), 2);
}

#[test]
fn a_refused_file_that_is_put_back_while_the_device_is_off_is_run_again() {
    let mut clinic = Clinic::open("[device]\ndeadline_s = 2\n");
    refused_by_deadline(&clinic, "a.png", &image(1));
    clinic.device.kill();
    std::fs::rename(clinic.at("in/rejected/1-a.png"), clinic.at("in/a.png")).unwrap();
    clinic.restart();
    clinic.wait_until("answered", || clinic.at("in/taken/2-a.png").is_file());
    assert_eq!(clinic.answer(2)["rerun_of"], "1");
}

#[test]
fn a_file_that_was_left_when_the_power_failed_is_not_run_again() {
    let mut clinic = Clinic::open("[device]\ndeadline_s = 2\n");
    let hold = Hold::worker(&clinic.device);
    // It cannot be put away while a file stands where its folder should.
    std::fs::write(clinic.at("in/rejected"), b"").unwrap();
    clinic.drop_in("a.png", &image(1));
    assert_eq!(clinic.answer(1)["code"], "deadline");
    drop(hold);
    clinic.device.kill();
    std::fs::remove_file(clinic.at("in/rejected")).unwrap();
    clinic.restart();
    clinic.wait_until("put away", || clinic.at("in/rejected/1-a.png").is_file());
    assert_eq!(clinic.device.journal("accepted").len(), 1);
}

#[test]
fn a_case_is_run_again_on_request_and_names_the_old_one() {
    let mut clinic = Clinic::open("[device]\ndeadline_s = 2\n");
    let (path, bytes) = (clinic.at("a.png"), image(1));
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(clinic.console.ask("EXAM brain4"), "OK");
    let hold = Hold::worker(&clinic.device);
    assert_eq!(
        clinic
            .console
            .ask(&format!("CASE:RUN \"{}\"", path.display())),
        "1"
    );
    assert!(
        clinic.console.ask("CASE:RER 1").starts_with("ERR 11,"),
        "it runs"
    );
    assert_eq!(clinic.answer(1)["code"], "deadline");
    drop(hold);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(clinic.console.ask("CASE:RERUN 1"), "2");
    let record = clinic.answer(2);
    assert_eq!(
        (&record["status"], &record["image_sha256"]),
        (&json!("finding"), &hash(&bytes))
    );
    let line = clinic.console.ask("CASE:RES? 2");
    assert!(line.contains(" rerun_of=1 "), "{line}");
    assert!(clinic.console.ask("CASE:RER 99").starts_with("ERR 10,"));
    // An image that is kept no longer has to be given again.
    let gone = |clinic: &mut Clinic| clinic.console.ask("CASE:RER 2").starts_with("ERR 32,");
    assert!(
        gone(&mut clinic),
        "answers' images are not kept unless asked for"
    );
    let socket = clinic.at("state/medfocus.sock").display().to_string();
    let output = crate::common::medfocus(&["submit", "--rerun", "2", "--socket", &socket]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("(image_gone)"));
    // The command line does the same.
    clinic.restart_with("[keep]\nimages_days = 1\n", None);
    let more = json!({ "exam": "brain4" });
    assert_eq!(clinic.client().submit(&bytes, &more)["case"], 3);
    clinic.answer(3);
    let output = crate::common::medfocus(&[
        "submit", "--rerun", "3", "--wait", "--format", "ndjson", "--socket", &socket,
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&record["case"], &record["rerun_of"]),
        (&json!("4"), &json!("3"))
    );
    crate::common::assert_valid(&record);
}

#[test]
fn a_new_bundle_starts_nothing_anew_and_the_old_finding_says_that_there_is_one() {
    let newer = copy_of_starter();
    let manifest = newer.path().join("bundle.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(
        &manifest,
        text.replacen("version = \"0.1.0\"", "version = \"0.2.0\"", 1),
    )
    .unwrap();
    let mut clinic = Clinic::open("[keep]\nimages_days = 1\n");
    let bytes = image(1);
    clinic.drop_in("a.png", &bytes);
    clinic.wait_until("answered", || clinic.at("in/taken/1-a.png").is_file());
    assert!(clinic.answer(1).get("bundle_in_use").is_none());
    clinic.restart_with("[keep]\nimages_days = 1\n", Some(newer.path()));
    clinic.drop_in("a.png", &bytes);
    clinic.wait_until("put away", || clinic.at("in/taken/1-a.png").is_file());
    assert_eq!(clinic.device.journal("accepted").len(), 1);
    let record = clinic.answer(1);
    crate::common::assert_valid(&record);
    assert_eq!(record["bundle"]["version"], "0.1.0");
    assert_eq!(record["bundle_in_use"]["version"], "0.2.0");
    let line = clinic.console.ask("CASE:RES? 1");
    assert!(line.contains(" bundle_in_use=starter/0.2.0 "), "{line}");
    assert_eq!(clinic.console.ask("CASE:RER 1"), "2");
    let record = clinic.answer(2);
    assert_eq!(
        (&record["bundle"]["version"], &record["rerun_of"]),
        (&json!("0.2.0"), &json!("1"))
    );
}

#[test]
fn a_case_that_had_no_image_is_not_run_again_on_whatever_lies_there_now() {
    let mut clinic = Clinic::open("");
    let path = clinic.at("a.png");
    assert_eq!(clinic.console.ask("EXAM brain4"), "OK");
    let ask = format!("CASE:RUN \"{}\"", path.display());
    assert_eq!(clinic.console.ask(&ask), "1");
    assert_eq!(clinic.answer(1)["code"], "not_found");
    std::fs::write(&path, image(1)).unwrap();
    assert!(clinic.console.ask("CASE:RER 1").starts_with("ERR 32,"));
}
