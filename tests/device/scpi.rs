//! The console as IEEE 488.2 and SCPI-99 have it, over pseudo-terminals: what a script written by the standards' habits
//! reads. The table of docs/protocol.md names these tests.
#![cfg(unix)]

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::console::Cable;
use crate::common::device::Device;
#[cfg(target_os = "linux")]
use crate::common::hold::Hold;
use crate::common::{phantom, root};

struct Place {
    folder: tempfile::TempDir,
    cable: Cable,
    device: Device,
}

impl Place {
    fn open() -> Self {
        Self::open_with(&[])
    }

    fn open_with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cable = Cable::plug(&folder.path().join("port"));
        let device = Device::start_with(folder.path(), &["port"], 115_200, more);
        Self {
            folder,
            cable,
            device,
        }
    }

    /// Says these commands, and then asks: what is read is the query's answer, so they answered nothing.
    fn asks(&mut self, cases: &[(&str, &str)]) {
        for (line, answer) in cases {
            if answer.is_empty() {
                self.cable.write(line);
            } else {
                assert_eq!(self.cable.query(line), *answer, "{line}");
            }
        }
    }
}

fn run(name: &str) -> String {
    format!("CASE:RUN? \"{}\"", phantom(name).display())
}

#[test]
fn commands_answer_nothing_and_queries_one_line() {
    let mut place = Place::open();
    let brain = phantom("brain.png").display().to_string();
    place.asks(&[
        ("*CLS", ""),
        ("EXAM brain4", ""),
        ("EXAM?", "brain4"),
        ("SYST:VERS?", "1999.0"),
        ("SYST:COMM:TALK?", "0"),
        (&format!("CASE:RUN \"{brain}\""), ""),
        ("CASE:LAST?", "1"),
        ("*OPC?", "1"),
        ("CASE:STAT? 1", "1 finding"),
        (
            &format!("CASE:RUN? '{brain}';*OPC?;:CASE:STAT? 2"),
            "2;1;2 finding",
        ),
        ("EXAM knee", ""),
        ("SYST:ERR:COUN?", "1"),
    ]);
    let error = place.cable.query("SYST:ERR?");
    assert!(
        error.starts_with("-224,\"Illegal parameter value"),
        "{error}"
    );
    place.asks(&[("SYST:ERR:NEXT?", "0,\"No error\"")]);
    // A wrong line, query or not, answers nothing; the next one works.
    place.asks(&[
        ("CASE:FLY?", ""),
        ("CASE:STAT? 99", ""),
        ("CASE:AGE 300", ""),
    ]);
    let all = place.cable.query("SYST:ERR:ALL?");
    let numbers: Vec<&str> = all
        .split("\",")
        .map(|error| error.split(',').next().unwrap())
        .collect();
    assert_eq!(numbers, ["-113", "10", "-222"], "{all}");
    assert!(place.cable.query("SYST:SOFT?").contains("protocol 1"));
    assert_eq!(place.cable.query("*OPC?*49"), "1*31");
    assert!(
        !place.device.log().contains("brain.png"),
        "a path in the log"
    );
}

#[test]
fn a_line_starts_strict_with_a_configuration_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut cable = Cable::plug(&folder.path().join("port"));
    let port = folder.path().join("port").display().to_string();
    let device = Device::configured(folder.path(), &format!("[[serial]]\nport = \"{port}\"\n"));
    device.wait_for_open("port", 1);
    cable.write("EXAM brain4");
    assert_eq!(cable.query("EXAM?"), "brain4");
}

#[test]
fn every_setting_has_its_query_and_rst_takes_it_back() {
    let mut place = Place::open();
    place.asks(&[
        (
            "EXAM?;:CASE:ROI?;PRI?;AGE?;SEX?;PAT?;ACC?;LAB?",
            "auto;none;routine;none;none;\"\";\"\";\"\"",
        ),
        (
            "EXAM BRAIN4;:CASE:ROI 1,2,3.0,4E0;PRI STAT;AGE +34;SEX f",
            "",
        ),
        ("CASE:PAT '4711';ACC \"A;1\";LAB 'bed \"4\"'", ""),
        (
            "EXAM?;:CASE:ROI?;PRI?;AGE?;SEX?;PAT?;ACC?;LAB?",
            "brain4;1,2,3,4;stat;34;F;\"4711\";\"A;1\";\"bed \"\"4\"\"\"",
        ),
        ("CASE:ROI;AGE;LAB ''", ""),
        ("CASE:ROI?;AGE?;LAB?", "none;none;\"\""),
        ("*ESE 5;*SRE 48;STAT:OPER:ENAB 16;PTR 1;NTR 2", ""),
        ("*RST", ""),
        ("EXAM?;:CASE:PRI?;SEX?;PAT?", "auto;routine;none;\"\""),
        // The status model is not the settings (IEEE 488.2, 10.32).
        ("*ESE?;*SRE?;STAT:OPER:ENAB?;PTR?;NTR?", "5;48;16;1;2"),
        ("STAT:PRES;OPER:ENAB?;PTR?;NTR?", "0;32767;0"),
        ("SYST:ECHO?;COMM:TALK?", "0;0"),
    ]);
}

#[test]
fn a_case_never_goes_without_a_setting_that_was_refused() {
    let mut place = Place::open();
    let run = run("brain.png");
    for (refused, right) in [
        ("CASE:AGE 300", "CASE:AGE 30"),
        ("CASE:SEX w", "*RST"),
        ("EXAM knee", "EXAM brain4"),
    ] {
        place.asks(&[(refused, ""), ("*CLS", ""), (&run, "")]);
        let error = place.cable.query("SYST:ERR?");
        assert!(error.starts_with("-221,"), "{refused}: {error}");
        place.asks(&[(right, "")]);
        assert!(place.cable.query(&run).parse::<u64>().is_ok(), "{right}");
    }
    // On one line, what comes after an error is not done.
    place.asks(&[
        (&format!("CASE:AGE 300;:EXAM auto;:{run}"), ""),
        ("*RST", ""),
    ]);
    assert_eq!(place.cable.query("CASE:LAST?"), "3");
}

#[cfg(target_os = "linux")]
#[test]
fn opc_and_wai_wait_for_the_cases_of_the_line() {
    let mut place = Place::open();
    let hold = Hold::worker(&place.device);
    place.asks(&[
        ("*CLS;*ESE 1;*SRE 32", ""),
        (&run("brain.png"), "1"),
        ("*OPC", ""),
    ]);
    place.asks(&[("*ESR?;*STB?", "0;16")]);
    let running = Instant::now();
    while place.cable.query("STAT:OPER:COND?") != "16" {
        assert!(running.elapsed() < Duration::from_secs(60), "the case runs");
    }
    // An unfinished result is a state.
    place.asks(&[
        ("CASE:RES? 1", "1 running"),
        ("CASE:RES? 1,JSON", r#"{"status":"running","case":"1"}"#),
    ]);
    place.asks(&[
        ("SYST:ERR:COUN?", "0"),
        ("CASE:WAIT? 1,0.1", "1 running"),
        ("CASE:WAIT? 1,0", "1 running"),
    ]);
    let begun = Instant::now();
    let letting_go = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(400));
        hold.let_go();
    });
    place.asks(&[("*WAI;:CASE:STAT? 1", "1 finding")]);
    assert!(begun.elapsed() > Duration::from_millis(300), "it waited");
    letting_go.join().unwrap();
    place.asks(&[("*STB?", "96"), ("*ESR?", "1"), ("*ESR?", "0")]);
    let event: u16 = place.cable.query("STAT:OPER?").parse().unwrap();
    assert_eq!(event & 16, 16, "a case ran");
    place.asks(&[("STAT:OPER?", "0")]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_device_clear_ends_a_wait_and_kills_the_line() {
    let mut place = Place::open();
    let hold = Hold::worker(&place.device);
    for wait in ["*OPC?", "*WAI;*OPC?", "CASE:WAIT? 1,3600"] {
        place.cable.write(&run("brain.png"));
        place.cable.line();
        // What comes behind a wait waits as well, and is killed with it.
        place.cable.write(wait);
        place.cable.write("EXAM knee;*TST?");
        std::thread::sleep(Duration::from_millis(100));
        place.cable.send(b"CASE:ABOR\x03*IDN?;*STB?\n");
        let answer = place.cable.line();
        assert!(
            answer.starts_with("medfocus,triage,") && answer.ends_with(";16"),
            "{wait}: {answer}"
        );
        place.asks(&[("SYST:ERR?", "0,\"No error\"")]);
    }
    hold.let_go();
    place.asks(&[("*OPC?", "1"), ("CASE:STAT? 3", "3 finding")]);
    // *CLS, too, forgets what *OPC was to note.
    place.asks(&[("*ESR?", "128"), ("*OPC;*ESR?", "1")]);
}

#[test]
fn the_status_byte_sums_up_errors_events_and_answers() {
    let mut place = Place::open();
    place.asks(&[
        ("*ESR?", "128"),
        ("*STB?", "0"),
        ("CASE:FLY", ""),
        ("*STB?", "4"),
        ("*ESE 32", ""),
        ("*STB?", "36"),
        ("*SRE 255;*SRE?", "191"),
        ("*STB?", "100"),
        ("*ESR?", "32"),
        ("*STB?", "68"),
        ("*CLS", ""),
        ("*STB?", "0"),
        ("*ESE?;*STB?", "32;80"),
        ("CASE:STAT? 9", ""),
        ("*ESR?", "8"),
        ("*ESE 999", ""),
        ("*ESR?", "16"),
        ("DISP:PAGE?", ""),
        ("*CLS;*ESE?;*SRE?", "32;191"),
        ("SYST:ERR:ALL?", "0,\"No error\""),
    ]);
}

#[test]
fn labels_come_back_with_every_result_and_never_in_the_log() {
    let mut place = Place::open();
    place.asks(&[("CASE:PAT 'P-4711';ACC 'ACC-9';LAB 'bed 4'", "")]);
    assert_eq!(place.cable.query(&run("brain.png")), "1");
    place.asks(&[("CASE:PAT?", "\"\""), ("*OPC?", "1")]);
    let words = place.cable.query("CASE:RES? 1");
    let labels = r#" patient_id="P-4711" accession="ACC-9" label="bed 4""#;
    assert!(words.contains(labels), "{words}");
    let record: Value = serde_json::from_str(&place.cable.query("CASE:RES? 1,JSON")).unwrap();
    let expected =
        serde_json::json!({ "patient_id": "P-4711", "accession": "ACC-9", "label": "bed 4" });
    assert_eq!(record["labels"], expected);
    let schema = std::fs::read_to_string(root().join("docs/finding.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    assert!(schema.is_valid(&record), "{record}");
    // The next case is somebody else's; the same image again is the same person's.
    assert_eq!(place.cable.query(&run("brain.png")), "2");
    assert_eq!(place.cable.query("CASE:RER? 1"), "3");
    place.asks(&[("*OPC?", "1")]);
    assert!(!place.cable.query("CASE:RES? 2").contains("patient_id"));
    assert!(place.cable.query("CASE:RES? 3").contains(labels));
    place.asks(&[(&format!("CASE:PAT '{}'", "x".repeat(65)), "")]);
    assert!(place.cable.query("SYST:ERR?").starts_with("-223,"));
    let log = place.device.log();
    for said in ["P-4711", "ACC-9", "bed 4"] {
        assert!(!log.contains(said), "{said} in the log");
    }
}

#[test]
fn the_time_is_set_over_the_line_and_the_journal_keeps_its_order() {
    let mut place = Place::open();
    let shown = |answer: String| answer.trim_matches('"').parse::<jiff::Timestamp>().unwrap();
    place.asks(&[("SYST:TIME '2031-05-06T07:08:09Z'", "")]);
    let later: jiff::Timestamp = "2031-05-06T07:08:09Z".parse().unwrap();
    assert!((shown(place.cable.query("SYST:TIME?")) - later).get_seconds() < 30);
    assert_eq!(place.cable.query(&run("brain.png")), "1");
    place.asks(&[
        ("*OPC?", "1"),
        ("SYST:TIME \"2030-01-01T00:00:00+02:00\"", ""),
    ]);
    let earlier: jiff::Timestamp = "2029-12-31T22:00:00Z".parse().unwrap();
    assert!((shown(place.cable.query("SYST:TIME?")) - earlier).get_seconds() < 30);
    for (wrong, number) in [
        ("SYST:TIME 'noon'", "-224"),
        ("SYST:TIME '1970-01-01T00:00:00Z'", "42"),
    ] {
        place.asks(&[(wrong, "")]);
        let error = place.cable.query("SYST:ERR?");
        assert!(error.starts_with(number), "{wrong}: {error}");
    }
    assert_eq!(place.cable.query(&run("brain.png")), "2");
    place.asks(&[("*OPC?", "1")]);
    let given = place.device.journal("time_given");
    assert_eq!(given.len(), 2);
    assert!(
        given[0]["by"].as_str().unwrap().contains("port"),
        "{given:?}"
    );
    assert_eq!(place.device.journal("clock_set").len(), 2);
    let accepted = place.device.journal("accepted");
    assert!(accepted[0]["seq"].as_u64() < accepted[1]["seq"].as_u64());
    let state = place.folder.path().join("state");
    drop(place.device);
    let verified =
        crate::common::medfocus(&["journal", "--state", &state.display().to_string(), "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn every_setting_of_display_and_echo_is_asked() {
    let mut place = Place::open();
    place.asks(&[("SYST:ECHO ON", "")]);
    // What is typed comes back before the answer.
    assert_eq!(place.cable.query("SYST:ECHO?"), "SYST:ECHO?");
    assert_eq!(place.cable.line(), "1");
}

/// What a real client sent and was answered, as `scripts/record-session` wrote it down: `> ` the client's bytes, `< ` the
/// device's. `…` stands for what differs from device to device.
fn replay(session: &str) {
    let mut place = Place::open();
    let text = root().join("tests/device/sessions").join(session);
    let text = std::fs::read_to_string(text).unwrap();
    let chest = phantom("chest.png").display().to_string();
    let text = text.replace("PHANTOM", &chest);
    for (number, line) in text.lines().enumerate() {
        let bytes: String = serde_json::from_str(&line[2..]).unwrap();
        match &line[..2] {
            "> " => place.cable.send(bytes.as_bytes()),
            "< " => {
                let (before, after) = bytes
                    .trim_end()
                    .split_once('…')
                    .unwrap_or((bytes.trim_end(), ""));
                let said = place.cable.line();
                assert!(
                    said.starts_with(before) && said.ends_with(after),
                    "{session}:{}: {said}",
                    number + 1
                );
            }
            other => panic!("{session}:{}: {other}", number + 1),
        }
    }
    place.asks(&[("*OPC?;SYST:ERR:COUN?", "1;0")]);
}

#[test]
fn recorded_sessions_of_real_clients_pass() {
    for session in [
        "pyvisa-py.txt",
        "pyserial.txt",
        "picocom.txt",
        "minicom.txt",
        "talkative.txt",
    ] {
        replay(session);
    }
}

#[test]
fn labels_come_back_by_hl7_from_the_line_and_from_submit() {
    use crate::common::receivers::{acknowledgement, dead_port, hl7};
    let port = dead_port();
    let messages = hl7(port, |message| Some(acknowledgement("AA", message)));
    let mut place = Place::open_with(&["--hl7", &format!("127.0.0.1:{port}")]);
    place.asks(&[("CASE:PAT 'P|4711';ACC 'ACC-9';LAB 'bed 4'", "")]);
    assert_eq!(place.cable.query(&run("brain.png")), "1");
    let patience = Duration::from_secs(60);
    let message = messages.recv_timeout(patience).unwrap();
    let segment = |name: &str| {
        let mut segments = message.split('\r');
        segments
            .find(|segment| segment.starts_with(name))
            .unwrap()
            .to_owned()
    };
    assert!(segment("PID").starts_with("PID|1||P\\F\\4711"), "{message}");
    assert_eq!(
        segment("OBR").split('|').nth(18),
        Some("ACC-9"),
        "{message}"
    );
    assert!(
        message.contains("|label^Label, as given with the image^"),
        "{message}"
    );
    let socket = place
        .folder
        .path()
        .join("state/medfocus.sock")
        .display()
        .to_string();
    let brain = phantom("brain.png").display().to_string();
    let asked = [
        "submit", &brain, "--label", "bed 5", "--wait", "--format", "json", "--socket", &socket,
    ];
    let told = crate::common::medfocus(&asked);
    assert!(told.status.success(), "{told:?}");
    let record: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(
        record["labels"],
        serde_json::json!({ "label": "bed 5" }),
        "{told:?}"
    );
    assert!(messages.recv_timeout(patience).unwrap().contains("|bed 5"));
    for said in ["P|4711", "ACC-9", "bed 4", "bed 5"] {
        assert!(!place.device.log().contains(said), "{said} in the log");
    }
}
