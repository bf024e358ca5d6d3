//! The journal as people use it: what became of every case, whether anything was changed,
//! and the same answer once more.
#![cfg(unix)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Output;
use std::time::Instant;

use common::device::{Device, PATIENCE};
use common::{medfocus, phantom, pty};
use medfocus::journal::{CaseHistory, Entry, FILE, Journal, Order, history};

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

fn journal(folder: &Path, arguments: &[&str]) -> (String, String, Option<i32>) {
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
    let (mut held, _) = Journal::open(&folder.path().join("state")).unwrap();
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
    let (mut held, _) = Journal::open(&state).unwrap();
    for case in 1..=5 {
        held.append(accepted(case, Path::new("/images/a.png")))
            .unwrap();
    }
    drop(held);
    let (said, _, code) = journal(folder.path(), &["verify"]);
    assert_eq!(code, Some(0));
    assert!(said.contains("5 entries, all whole"), "{said}");
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
    let (mut held, _) = Journal::open(&folder.path().join("state")).unwrap();
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
    let (mut held, _) = Journal::open(&state).unwrap();
    held.append(accepted(1, &phantom("brain.png"))).unwrap();
    drop(held);
    answer_all(folder.path());
    let text = std::fs::read_to_string(state.join(FILE)).unwrap();
    let damaged = text.replacen("\"brain4\"", "\"brain5\"", 1);
    std::fs::write(state.join(FILE), damaged).unwrap();
    let (cases, log) = answer_all(folder.path());
    assert!(log.contains("journal: entries 1 to 1 are damaged"), "{log}");
    assert!(cases[&1].accepted.is_none() && cases[&1].end.is_some());
    let (list, _, _) = journal(folder.path(), &["list"]);
    assert!(list.contains(" finding  brain4 "), "{list}");
    let (_, error, code) = journal(folder.path(), &["replay", "1"]);
    assert_eq!(code, Some(3));
    assert!(error.contains("what was asked is damaged"), "{error}");
}
