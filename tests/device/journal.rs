//! The journal as people use it: what became of every case, whether anything was changed,
//! and the same answer once more.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::Instant;

use crate::common::bench::Bench;
use crate::common::device::{Device, PATIENCE};
use crate::common::{medfocus, phantom, pty, root};
use medfocus::case::Order;
use medfocus::clock::Clock;
use medfocus::journal::{CaseHistory, Entry, FILE, Journal, history};
use medfocus::sha256::Sha256;
use serde_json::{Value, json};

fn accepted(case: u64, source: &Path) -> Entry {
    let order = Order {
        source: source.display().to_string(),
        exam: Some("brain4".to_owned()),
        ..Order::default()
    };
    Entry::Accepted { case, order }
}

/// Lets a device answer all that the journal in `folder/state` holds.
fn answer_all(folder: &Path) -> (BTreeMap<u64, CaseHistory>, String) {
    let _line = pty::pair(&folder.join("port"));
    let device = Device::start(folder, &["port"], 115_200);
    let begin = Instant::now();
    loop {
        let cases = history(&folder.join("state")).unwrap().cases();
        if cases.values().all(|case| case.end.is_some()) {
            return (cases, device.log());
        }
        assert!(begin.elapsed() < PATIENCE, "{}", device.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

pub fn journal(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
    let state = folder.join("state").display().to_string();
    let output: Output = medfocus(&[&["journal", "--state", &state], arguments].concat());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

#[test]
fn what_was_done_can_be_listed_exported_and_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("slice.png");
    std::fs::copy(phantom("brain.png"), &image).unwrap();
    let (mut held, _) = Journal::open(&folder.path().join("state"), Clock::system()).unwrap();
    held.append(accepted(1, &image)).unwrap();
    held.append(accepted(2, &folder.path().join("gone.png")))
        .unwrap();
    drop(held);
    answer_all(folder.path());

    let (list, _, code) = journal(folder.path(), &["list"]);
    assert_eq!(code, Some(0));
    assert_eq!(list.lines().count(), 2, "{list}");
    assert!(list.contains(" finding  brain4 "), "{list}");
    assert!(list.contains(" refusal  brain4 not_found"), "{list}");
    let (shown, _, _) = journal(folder.path(), &["show", "1"]);
    for event in ["accepted", "started", "answered"] {
        assert!(shown.contains(&format!("\"{event}\"")), "{shown}");
    }
    for format in ["csv", "json"] {
        let (export, _, code) = journal(folder.path(), &["export", "--format", format]);
        assert_eq!(code, Some(0));
        assert!(
            export.contains("brain4") && export.contains("not_found"),
            "{export}"
        );
        assert!(
            !export.contains(".png"),
            "a path may tell whose image it is: {export}"
        );
    }
    for case in ["1", "2"] {
        let (said, _, code) = journal(folder.path(), &["replay", case]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.ends_with("the same answer, key by key\n"), "{said}");
    }
    let (_, error, code) = journal(folder.path(), &["replay", "9"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("knows no case 9"), "{error}");
    std::fs::copy(phantom("chest.png"), &image).unwrap();
    let (_, error, code) = journal(folder.path(), &["replay", "1"]);
    assert_eq!(code, Some(3));
    assert!(error.contains("the image's SHA-256 was"), "{error}");
}

#[test]
fn a_changed_entry_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (mut held, _) = Journal::open(&state, Clock::system()).unwrap();
    for case in 1..=5 {
        held.append(accepted(case, Path::new("/images/a.png")))
            .unwrap();
    }
    drop(held);
    let (said, _, code) = journal(folder.path(), &["verify"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("7 entries, all whole"), "{said}");
    let text = std::fs::read_to_string(state.join(FILE)).unwrap();
    let third = text.lines().nth(2).unwrap();
    let changed = text.replace(third, &third.replace("/images/a", "/images/b"));
    std::fs::write(state.join(FILE), changed).unwrap();
    let (_, error, code) = journal(folder.path(), &["verify"]);
    assert_eq!(code, Some(3));
    assert!(error.contains("damaged: entry 3 (journal)"), "{error}");
}

#[test]
fn a_case_that_ends_the_device_each_time_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut held, _) = Journal::open(&folder.path().join("state"), Clock::system()).unwrap();
    for case in 1..=2 {
        held.append(accepted(case, &phantom("brain.png"))).unwrap();
    }
    for _ in 0..3 {
        held.append(Entry::Started { case: 1 }).unwrap();
    }
    held.append(Entry::Started { case: 2 }).unwrap();
    drop(held);
    let (_, log) = answer_all(folder.path());
    assert!(log.contains("case 1: the device ended 3 times"), "{log}");
    let (list, _, _) = journal(folder.path(), &["list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].contains("refusal  brain4 device_fault"), "{list}");
    assert!(lines[1].contains("finding"), "{list}");
}

#[test]
fn an_answer_outlives_the_entry_that_asked_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (mut held, _) = Journal::open(&state, Clock::system()).unwrap();
    held.append(accepted(1, &phantom("brain.png"))).unwrap();
    drop(held);
    answer_all(folder.path());
    let text = std::fs::read_to_string(state.join(FILE)).unwrap();
    let damaged = text.replacen("\"brain4\"", "\"brain5\"", 1);
    std::fs::write(state.join(FILE), damaged).unwrap();
    let (cases, log) = answer_all(folder.path());
    assert!(log.contains("journal: entries 3 to 3 are damaged"), "{log}");
    assert!(cases[&1].accepted.is_none() && cases[&1].end.is_some());
    let (list, _, _) = journal(folder.path(), &["list"]);
    assert!(list.contains(" finding  brain4 "), "{list}");
    let (_, error, code) = journal(folder.path(), &["replay", "1"]);
    assert_eq!(code, Some(3));
    assert!(error.contains("what was asked is damaged"), "{error}");
}

/// Writes lines anew, chained as the program chains them: this needs no key.
fn chained(text: &str) -> String {
    let mut before = Sha256([0; 32]);
    let chain = |line: &str| {
        let body = &line[..line.rfind(",\"chain\"").unwrap()];
        before = Sha256::of(&[&before.0[..], body.as_bytes()].concat());
        format!("{body},\"chain\":\"{before}\"}}\n")
    };
    text.lines().map(chain).collect()
}

/// What `verify --json` says, and its exit code; by the schema.
fn verified(folder: &Path, more: &[&str]) -> (Value, Option<i32>) {
    let (said, error, code) = journal(folder, &[&["verify", "--json"], more].concat());
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{error}"));
    let schema = std::fs::read_to_string(root().join("docs/journal-verify.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let wrong: Vec<String> = schema.iter_errors(&said).map(|e| e.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    (said, code)
}

/// A bench whose device answered one case, and what it told of it.
fn answered_once() -> (Bench, Value) {
    let mut bench = Bench::with(&[], |_| ());
    bench.cable.ask("EXAM brain4");
    assert_eq!(bench.accept("brain.png"), "1");
    bench.cable.wait_for_end("1");
    let finding = bench.cable.ask("CASE:RES? 1,JSON");
    let finding = finding[finding.find('{').unwrap()..].to_owned();
    (bench, serde_json::from_str(&finding).unwrap())
}

fn switch_off(bench: &mut Bench) {
    bench.device.signal(rustix::process::Signal::TERM);
    assert!(bench.device.wait().success(), "{}", bench.device.log());
}

#[test]
fn a_point_that_was_told_is_one_of_the_chain_until_somebody_writes_it_anew() {
    let (mut bench, finding) = answered_once();
    let point = &finding["journal"];
    let text = format!(
        "{}:{}:{}",
        point["seq"],
        point["head"].as_str().unwrap(),
        point["signature"].as_str().unwrap()
    );
    bench
        .device
        .wait_for_log(&format!("journal checkpoint {text}"));
    let schema = std::fs::read_to_string(root().join("docs/finding.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    assert!(schema.is_valid(&finding), "{finding:#}");
    switch_off(&mut bench);
    let folder = bench.folder.path().to_owned();
    for known in [text.as_str(), &point.to_string(), &finding.to_string()] {
        let (said, code) = verified(&folder, &["--against", known]);
        assert_eq!(
            (&said["verdict"], code),
            (&json!("whole"), Some(0)),
            "{said:#}"
        );
        assert_eq!(
            said["against"],
            json!({ "entry": point["seq"], "is_signed": true })
        );
    }
    let (said, _, code) = journal(&folder, &["verify", "--against", &text]);
    assert_eq!(code, Some(0));
    for words in [
        "all whole",
        "signed by the device",
        "its signature is the device's",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(
        journal(&folder, &["verify", "--against", "12:x"]).2,
        Some(2)
    );

    // Somebody changes the answer, and writes chain and numbers as the program would.
    let file = folder.join("state").join(FILE);
    let whole = std::fs::read_to_string(&file).unwrap();
    let forged = whole.replace("\"class\":\"meningioma\"", "\"class\":\"notumor\"");
    assert_ne!(forged, whole);
    std::fs::write(&file, chained(&forged)).unwrap();
    let (said, code) = verified(&folder, &[]);
    assert_eq!((&said["damaged"], code), (&json!([]), Some(3)), "{said:#}");
    assert_eq!(said["faults"], json!(["journal_changed", "journal_forged"]));
    let (said, code) = verified(&folder, &["--against", &text]);
    assert_eq!((&said["against"]["entry"], code), (&Value::Null, Some(3)));
    let (_, error, _) = journal(&folder, &["verify"]);
    assert!(
        error.contains("(journal_changed)") && error.contains("cure: "),
        "{error}"
    );

    // An empty journal is not a whole one, nor is one that is gone.
    std::fs::write(&file, "").unwrap();
    let (said, code) = verified(&folder, &[]);
    assert_eq!(
        (&said["faults"], code),
        (&json!(["journal_missing"]), Some(3))
    );
    let bare = tempfile::tempdir().unwrap();
    std::fs::create_dir(bare.path().join("state")).unwrap();
    std::fs::write(bare.path().join("state").join(FILE), "").unwrap();
    let (said, code) = verified(bare.path(), &[]);
    assert_eq!(
        (&said["faults"], code),
        (&json!(["journal_empty"]), Some(3))
    );
}

#[test]
fn a_journal_that_was_cut_is_told_on_every_channel_and_no_number_is_given_twice() {
    let (mut bench, _) = answered_once();
    assert_eq!(bench.accept("chest.png"), "2");
    bench.cable.wait_for_end("2");
    switch_off(&mut bench);
    let folder = bench.folder.path().to_owned();
    let file = folder.join("state").join(FILE);
    let whole = std::fs::read_to_string(&file).unwrap();
    // All of the second case is cut off.
    let cut = &whole[..whole.find("\"event\":\"accepted\",\"case\":2").unwrap()];
    let cut = &cut[..cut.rfind('\n').unwrap() + 1];
    std::fs::write(&file, cut).unwrap();
    assert_eq!(verified(&folder, &[]).0["faults"], json!(["journal_cut"]));
    bench.restart();
    assert_eq!(bench.accept("brain.png"), "3", "2 was given");
    bench.cable.ask("EXAM brain4");
    bench.cable.wait_for_end("3");
    let status = bench.cable.ask("STAT?");
    assert!(
        status.starts_with("ready") && status.contains("journal_cut"),
        "{status}"
    );
    assert!(
        bench
            .device
            .log()
            .contains("entries are missing from its end")
    );
    let state = folder.join("state").display().to_string();
    let begin = Instant::now();
    let health = loop {
        let said = medfocus(&["health", "--json", "--state", &state]).stdout;
        let said: Value = serde_json::from_slice(&said).unwrap_or_default();
        if said["queue"]["answered"] == 2 {
            break said;
        }
        assert!(begin.elapsed() < PATIENCE, "{said:#}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let warnings = health["warnings"].as_array().unwrap();
    assert!(warnings.contains(&json!("journal_cut")), "{health:#}");
    let doctor = medfocus(&["doctor", "--state", &state]);
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    let print = health["device_key"]["fingerprint"].as_str().unwrap();
    assert!(doctor.contains(print), "{doctor}");
    assert!(doctor.contains("journal_cut"), "{doctor}");
    let (said, code) = verified(&folder, &[]);
    assert_eq!(said["open"], json!(["journal_cut"]));
    // The numbers that are missing are told as such.
    assert_eq!((&said["faults"], code), (&json!(["journal"]), Some(3)));

    let (_, error, code) = journal(&folder, &["adopt", "--because", "looked into, J. O."]);
    assert_eq!(code, Some(3), "a device runs: {error}");
    switch_off(&mut bench);
    let (said, error, code) = journal(&folder, &["adopt", "--because", "looked into, J. O."]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said.contains("taken on; entries are missing"), "{said}");
    // What was missing then is shown for ever, and is no fault any more.
    let (said, code) = verified(&folder, &[]);
    assert_eq!(
        (&said["verdict"], code),
        (&json!("whole"), Some(0)),
        "{said:#}"
    );
    assert_eq!(said["damaged"].as_array().unwrap().len(), 1);
    bench.restart();
    let status = bench.cable.ask("STAT?");
    assert!(!status.contains("journal_cut"), "{status}");
    assert_eq!(bench.accept("brain.png"), "4");
}

#[test]
fn a_journal_that_is_taken_away_under_a_device_is_put_back_and_told() {
    let (mut bench, _) = answered_once();
    let state = bench.folder.path().join("state");
    std::fs::remove_file(state.join(FILE)).unwrap();
    std::fs::write(state.join(FILE), "somebody else's\n").unwrap();
    assert_eq!(bench.accept("brain.png"), "2");
    bench.cable.wait_for_end("2");
    let status = bench.cable.ask("STAT?");
    assert!(status.contains("journal_replaced"), "{status}");
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
    let found = bench.device.journal("not_as_left");
    assert_eq!(found.len(), 1);
    let evidence = state.join(found[0]["evidence"].as_str().unwrap());
    assert_eq!(
        std::fs::read_to_string(evidence).unwrap(),
        "somebody else's\n"
    );
    let (said, code) = verified(bench.folder.path(), &[]);
    assert_eq!(
        (&said["verdict"], code),
        (&json!("open"), Some(1)),
        "{said:#}"
    );
    assert_eq!(history(&state).unwrap().cases().len(), 2, "nothing is lost");
}

#[test]
fn a_device_refuses_another_devices_journal_until_a_person_adopts_it() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    for folder in [&old, &new] {
        let (mut held, _) = Journal::open(&folder.path().join("state"), Clock::system()).unwrap();
        held.append(accepted(1, Path::new("/gone.png"))).unwrap();
    }
    let [from, to] = [&old, &new].map(|folder| folder.path().join("state").join(FILE));
    std::fs::copy(from, to).unwrap();
    let mut device = Device::start_as(new.path(), &[], Device::command(new.path(), &[], 9600, &[]));
    assert_eq!(device.wait().code(), Some(3), "{}", device.log());
    let log = device.log();
    assert!(
        log.contains("(journal_foreign)") && log.contains("journal adopt"),
        "{log}"
    );
    let (said, code) = verified(new.path(), &[]);
    assert_eq!(
        (&said["faults"], code),
        (&json!(["journal_foreign"]), Some(3))
    );
    assert_eq!(
        journal(new.path(), &["adopt", "--because", "board changed"]).2,
        Some(0)
    );
    assert_eq!(verified(new.path(), &[]).1, Some(0));
    let _line = pty::pair(&new.path().join("port"));
    Device::start(new.path(), &["port"], 115_200).wait_for_log("case 1");

    // A copy on another computer is compared with the key that was written down.
    let copy = tempfile::tempdir().unwrap();
    std::fs::create_dir(copy.path().join("state")).unwrap();
    let copied = copy.path().join("state").join(FILE);
    std::fs::copy(old.path().join("state").join(FILE), &copied).unwrap();
    let key = |folder: &Path| folder.join("state/device-key.pub").display().to_string();
    let (said, code) = verified(copy.path(), &["--key", &key(old.path())]);
    assert_eq!(
        (&said["verdict"], code),
        (&json!("whole"), Some(0)),
        "{said:#}"
    );
    let (said, code) = verified(copy.path(), &["--key", &key(new.path())]);
    assert_eq!(
        (&said["faults"], code),
        (&json!(["journal_foreign"]), Some(3))
    );
}
