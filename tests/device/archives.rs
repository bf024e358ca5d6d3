//! `medfocus serve` and archives that do not take all: each object goes for itself, what is
//! missing is told on every channel, and no case waits behind another.
#![cfg(unix)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::archives::{Came, Manner, archive_of};
use crate::common::device::{Device, PATIENCE};
use crate::common::receivers::dead_port;
use crate::sinks::{Bench, delivered_to, patient};

struct Archived {
    bench: Bench,
    device: Device,
    came: std::sync::mpsc::Receiver<Came>,
}

/// A device with the same image as two cases, and an archive of this manner.
fn archived(manner: Manner) -> Archived {
    let bench = Bench::with(&[patient(), patient()]);
    let port = dead_port();
    let came = archive_of(port, manner);
    let device = bench.start(&["--pacs", &format!("ARCHIVE@127.0.0.1:{port}")]);
    Archived {
        bench,
        device,
        came,
    }
}

impl Archived {
    /// The words and syntaxes of all that came, in order.
    fn came(&self) -> Vec<String> {
        let came = self.came.try_iter();
        came.map(|came| format!("{} {}", came.word, came.syntax))
            .collect()
    }

    /// Waits until the health file says of the archive what it should.
    fn health(&self, until: impl Fn(&Value) -> bool) -> Value {
        let begin = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.bench.folder().join("state/health.json"));
            let said: Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
            let sinks = said["sinks"].as_array().cloned().unwrap_or_default();
            let sink = sinks.iter().find(|sink| sink["name"] == "pacs");
            if sink.is_some_and(&until) {
                return said;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{said:#}\n{}",
                self.device.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn an_archive_of_one_syntax_and_without_reports_gets_the_rest_and_no_case_waits() {
    let archived = archived(Manner {
        takes: &["seg", "sc"],
        syntaxes: &["implicit"],
        ..Manner::default()
    });
    for case in [1, 2] {
        archived
            .bench
            .wait(&archived.device, case, delivered_to("pacs"));
        let notes = &archived.bench.case(case).notes["pacs"];
        assert_eq!(*notes, ["sr: class_not_taken"]);
    }
    assert_eq!(archived.came(), ["seg implicit", "sc implicit"].repeat(2));
    let health = archived.health(|sink| sink["delivered"] == 2);
    let warnings = health["warnings"].as_array().unwrap();
    assert!(warnings.contains(&json!("sink_pacs_without")), "{health:#}");
    archived.health(|sink| sink["without"] == json!(["sr: class_not_taken"]));
    let log = archived.device.log();
    assert!(
        log.contains("has it without its sr: abstract syntax not supported"),
        "{log}"
    );
}

#[test]
fn an_archive_that_takes_no_regions_gets_the_rest_and_one_that_takes_nothing_is_waited_for() {
    let archived = archived(Manner {
        takes: &["sr", "sc"],
        ..Manner::default()
    });
    archived
        .bench
        .wait(&archived.device, 2, delivered_to("pacs"));
    assert_eq!(archived.came(), ["sr explicit", "sc explicit"].repeat(2));
    drop(archived);

    let archived = archived_of_nothing();
    let health = archived.health(|sink| sink["obstacle"] == "syntax_not_taken");
    let warnings = health["warnings"].as_array().unwrap();
    assert!(warnings.contains(&json!("sink_pacs")), "{health:#}");
    assert!(
        archived.bench.case(1).owed.contains("pacs"),
        "somebody may change that"
    );
}

fn archived_of_nothing() -> Archived {
    archived(Manner {
        syntaxes: &[],
        ..Manner::default()
    })
}

#[test]
fn duplicates_and_warnings_are_delivered_and_a_full_archive_is_sent_the_rest_again() {
    let archived = archived(Manner {
        answers: |word| match word {
            "sr" => &[0x0111],
            "seg" => &[0xb007],
            _ => &[0xa700, 0],
        },
        ..Manner::default()
    });
    archived
        .bench
        .wait(&archived.device, 1, delivered_to("pacs"));
    let notes = &archived.bench.case(1).notes["pacs"];
    assert_eq!(*notes, ["seg: warning_b007", "sr: duplicate"]);
    archived
        .bench
        .wait(&archived.device, 2, delivered_to("pacs"));
    let came = archived.came();
    let count = |word: &str| came.iter().filter(|came| came.starts_with(word)).count();
    // Of the first case the picture alone was sent again.
    assert_eq!(
        (count("sr"), count("seg"), count("sc ")),
        (2, 2, 3),
        "{came:?}"
    );
    let log = archived.device.log();
    assert!(
        log.contains("status a700: out of resources (out_of_resources)"),
        "{log}"
    );
    archived.health(|sink| sink["obstacle"].is_null() && sink["without"] == json!([]));
}

#[test]
fn what_an_archive_finds_wrong_is_settled_and_told_and_the_outbox_goes_on() {
    let archived = archived(Manner {
        answers: |_| &[0xa900, 0],
        ..Manner::default()
    });
    archived
        .bench
        .wait(&archived.device, 2, delivered_to("pacs"));
    let first = archived.bench.case(1);
    assert_eq!(first.declined["pacs"], "data_set_refused");
    assert!(!first.owed.contains("pacs") && !first.delivered.contains("pacs"));
    let health = archived.health(|sink| sink["failed"] == 1 && sink["owed"] == 0);
    let warnings = health["warnings"].as_array().unwrap();
    assert!(warnings.contains(&json!("sink_pacs_failed")), "{health:#}");
    let log = archived.device.log();
    assert!(log.contains("case 1: pacs will never have it"), "{log}");
    assert_eq!(archived.came().len(), 6, "each was sent once");
}
