//! A state folder as the program of commit 39cdd1b left it, and what that program told of it:
//! records were untyped then, and a refusal's sentence began with the image's path. Whatever was
//! written must be read, and told as it was. The key in it was made for this and signs nothing else.
//!
//! `journal.ndjson`, `device-*`: the folder. `list.txt`, `export.csv`: what `medfocus journal` said.
//! `console.txt`: what the console answered to `CASE:RES? N` and `CASE:RES? N,JSON`, case by case.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use medfocus::case::Order;
use medfocus::clock::Clock;
use medfocus::journal::{Entry, Journal, Line, Recorded};
use serde_json::{Map, Value, json};

use super::journal::journal;
use super::link::{FAST, link, records};
use crate::common::bench::Bench;
use crate::common::cable::{Cable, GOOD};
use crate::common::device::{Device, PATIENCE};
use crate::common::{phantom, root};

fn of_before(name: &str) -> PathBuf {
    root()
        .join("tests/device/written_before/39cdd1b")
        .join(name)
}

fn text_of_before(name: &str) -> String {
    std::fs::read_to_string(of_before(name)).unwrap()
}

/// A copy of the state folder: a device may only be started on its own.
fn copied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    std::fs::create_dir(&state).unwrap();
    for name in [
        "journal.ndjson",
        "device-id",
        "device-key",
        "device-key.pub",
        "device-mark",
    ] {
        std::fs::copy(of_before(name), state.join(name)).unwrap();
    }
    folder
}

/// A line of the journal without its hash.
fn said(line: &str) -> &str {
    &line[..line.rfind(",\"chain\"").unwrap()]
}

#[test]
fn every_line_is_understood_and_written_back_to_the_byte() {
    let text = text_of_before("journal.ndjson");
    let mut records = 0;
    for line in text.lines() {
        let typed: Line = serde_json::from_str(line).unwrap();
        if let Entry::Answered { record, .. } = &typed.entry {
            assert!(matches!(record, Recorded::Record(_)), "{line}");
            records += 1;
        }
        let again = serde_json::to_string(&typed).unwrap();
        assert_eq!(again.strip_suffix('}').unwrap(), said(line));
    }
    assert_eq!(records, 9, "one of ten cases was dropped");
}

#[test]
fn the_journal_is_told_as_it_was() {
    let folder = copied();
    for (arguments, expected) in [
        (&["list"][..], "list.txt"),
        (&["export", "--format", "csv"], "export.csv"),
    ] {
        let (told, error, code) = journal(folder.path(), arguments);
        assert_eq!(
            (told.as_str(), code),
            (&*text_of_before(expected), Some(0)),
            "{error}"
        );
    }
    let text = text_of_before("journal.ndjson");
    let lines: Vec<Map<String, Value>> = text
        .lines()
        .map(|line| serde_json::from_str(&(said(line).to_owned() + "}")).unwrap())
        .collect();
    for case in 1..=10 {
        let about = lines
            .iter()
            .filter(|line| line.get("case") == Some(&json!(case)));
        let expected: Vec<String> = about
            .map(|line| serde_json::to_string_pretty(line).unwrap() + "\n")
            .collect();
        let (told, _, _) = journal(folder.path(), &["show", &case.to_string()]);
        assert_eq!(told, expected.concat());
    }
}

/// What the bundle that is in use by now adds, once it is another one.
fn without_bundle_in_use(told: &str) -> String {
    if let Ok(mut record) = serde_json::from_str::<Map<String, Value>>(told) {
        record.remove("bundle_in_use");
        return serde_json::to_string(&record).unwrap();
    }
    let words = told.split(' ');
    let words: Vec<&str> = words.filter(|w| !w.starts_with("bundle_in_use=")).collect();
    words.join(" ")
}

#[test]
fn a_device_goes_on_with_it_and_tells_every_answer_as_it_was() {
    let mut bench = Bench::on(copied(), &[], |_| ());
    let told = text_of_before("console.txt");
    let mut expected = told.lines();
    for case in 1..=10 {
        for form in ["", ",JSON"] {
            let question = format!("CASE:RES? {case}{form}");
            let answer = without_bundle_in_use(&bench.cable.ask(&question));
            assert_eq!(Some(&*answer), expected.next(), "{question}");
        }
    }
    let log = bench.device.log();
    assert!(!log.contains("damaged"), "{log}");
}

/// A copy of the state folder to whose journal a later version added two cases: one with a key
/// that may limit the answer, and one that came to something else than a finding or a refusal.
fn gone_on_with() -> (tempfile::TempDir, Value) {
    gone_on_in(copied())
}

fn gone_on_in(folder: tempfile::TempDir) -> (tempfile::TempDir, Value) {
    let text = text_of_before("journal.ndjson");
    let first = text.lines().find(|line| line.contains("\"answered\""));
    let first: Value = serde_json::from_str(first.unwrap()).unwrap();
    let mut more = first["record"].clone();
    more["case"] = json!("11");
    more["withdrawn"] = json!({ "because": "the detector was out of order" });
    let other = json!({ "status": "deferred", "case": "12", "source": "a.png", "until": "noon" });
    let (mut held, _) = Journal::open(&folder.path().join("state"), Clock::system()).unwrap();
    for (case, record) in [(11, &more), (12, &other)] {
        let order = Order::default();
        held.append(Entry::Accepted { case, order }).unwrap();
        let answered = Entry::Answered {
            case,
            image: None,
            record: serde_json::from_value(record.clone()).unwrap(),
        };
        held.append(answered).unwrap();
    }
    (folder, more)
}

#[test]
fn what_a_later_version_wrote_is_told_on_or_refused_by_name() {
    let (folder, more) = gone_on_with();
    let mut bench = Bench::on(folder, &[], |_| ());
    let told = bench.cable.ask("CASE:RES? 11,JSON");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["withdrawn"], more["withdrawn"]);
    assert_eq!(told["probabilities"], more["probabilities"]);
    for form in ["", ",JSON"] {
        let answer = bench.cable.ask(&format!("CASE:RES? 12{form}"));
        assert!(
            answer.starts_with("ERR 16,\"Answer of another version"),
            "{answer}"
        );
    }
    let (shown, _, _) = journal(bench.folder.path(), &["show", "12"]);
    assert!(shown.contains("\"until\": \"noon\""), "{shown}");
}

/// A refusal as an answer of its own: a host of before takes what is said of no case for a refusal
/// of the image that it is just sending.
#[test]
fn a_host_is_told_of_an_answer_that_cannot_be_said_by_its_case() {
    let (folder, _) = gone_on_with();
    let _cable = Cable::lay(folder.path(), GOOD);
    let _device = Device::start(folder.path(), &["right"], FAST);
    let brain = phantom("brain.png").display().to_string();
    let output = link(folder.path(), &[&brain, "--exam", "brain4", "--fetch"]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "some are refusals: {output:?}"
    );
    let mut told = records(&output.stdout);
    let case = |of: &Value| {
        of["case"]
            .as_str()
            .and_then(|case| case.parse::<u64>().ok())
    };
    told.sort_by_key(case);
    let cases: Vec<Option<u64>> = told.iter().map(case).collect();
    assert_eq!(cases, (1..=13).map(Some).collect::<Vec<_>>());
    let unsaid = &told[11];
    assert_eq!(
        (&unsaid["status"], &unsaid["code"], &unsaid["cure"]),
        (
            &json!("refusal"),
            &json!("other_version"),
            &json!("medfocus journal show says what stands in it")
        )
    );
    let own = &told[12];
    assert_eq!(
        (&own["status"], &own["source"]),
        (&json!("finding"), &json!(brain))
    );
    let again = link(folder.path(), &["--fetch"]);
    assert_eq!(again.stdout, b"", "all were taken");
}

/// A sink has nothing to try again, and the device nothing that a person could see to.
#[test]
fn a_sink_never_gets_an_answer_of_another_form_and_goes_on() {
    let folder = copied();
    let (mut held, _) = Journal::open(&folder.path().join("state"), Clock::system()).unwrap();
    let sinks = vec!["results".to_owned()];
    held.append(Entry::Sinks { sinks }).unwrap();
    drop(held);
    let folder = gone_on_in(folder).0;
    let results = folder.path().join("results").display().to_string();
    let bench = Bench::on(folder, &["--results", &results], |_| ());
    let begin = Instant::now();
    let declined = loop {
        let text = std::fs::read_to_string(bench.folder.path().join("state/journal.ndjson"));
        let declined = text.unwrap().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["event"] == "declined").then_some(line)
        });
        if let Some(declined) = declined {
            break declined;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", bench.device.log());
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(
        (&declined["case"], &declined["sink"], &declined["code"]),
        (&json!(12), &json!("results"), &json!("other_version"))
    );
}

/// What another version wrote may say anywhere whose image it is.
#[test]
fn an_export_tells_no_key_that_is_not_known() {
    let (folder, _) = gone_on_with();
    let (told, error, code) = journal(folder.path(), &["export", "--format", "json"]);
    assert_eq!(code, Some(0), "{error}");
    let told = records(told.as_bytes());
    assert!(
        told[10]["answer"]["probabilities"].is_object(),
        "{}",
        told[10]
    );
    assert_eq!(told[10]["answer"].get("withdrawn"), None);
    assert_eq!(
        told[11]["answer"],
        json!({ "status": "deferred", "case": "12" })
    );
}

/// Told whole to people by `show`, and nowhere with the key left out.
#[test]
fn a_key_of_a_later_version_inside_a_record_is_never_left_out() {
    let (folder, _) = gone_on_with();
    let (mut held, _) = Journal::open(&folder.path().join("state"), Clock::system()).unwrap();
    let text = text_of_before("journal.ndjson");
    let first = text.lines().find(|line| line.contains("\"finding\""));
    let first: Value = serde_json::from_str(first.unwrap()).unwrap();
    let mut record = first["record"].clone();
    record["case"] = json!("13");
    record["mask"]["truncated"] = json!(true);
    let (case, order) = (13, Order::default());
    held.append(Entry::Accepted { case, order }).unwrap();
    let record = serde_json::from_value(record).unwrap();
    let image = None;
    held.append(Entry::Answered {
        case,
        image,
        record,
    })
    .unwrap();
    drop(held);
    let mut bench = Bench::on(folder, &[], |_| ());
    let answer = bench.cable.ask("CASE:RES? 13");
    assert!(answer.starts_with("ERR 16,"), "{answer}");
    let (shown, _, _) = journal(bench.folder.path(), &["show", "13"]);
    assert!(shown.contains("\"truncated\": true"), "{shown}");
}
