//! `medfocus serve` over real pseudo-terminals: what a script with nothing but a serial
//! library sees.
#![cfg(unix)]

use std::time::Duration;

use crate::common::console::Cable;
use crate::common::device::Device;
#[cfg(target_os = "linux")]
use crate::common::hold::Hold;
use crate::common::{phantom, root};
use serde_json::Value;

fn path_of(name: &str) -> String {
    phantom(name).display().to_string()
}

#[test]
fn a_script_runs_a_case_from_the_console() {
    let folder = tempfile::tempdir().unwrap();
    let mut cable = Cable::plug(&folder.path().join("port"));
    let device = Device::start(folder.path(), &["port"], 115_200);
    let version = env!("CARGO_PKG_VERSION");
    let identity = cable.ask("*IDN?");
    let fields: Vec<&str> = identity.split(',').collect();
    assert_eq!(fields[..2], ["medfocus", "triage"]);
    assert_eq!((fields[2].len(), fields[3]), (16, version), "{identity}");
    assert_eq!(cable.ask("*OPC?"), "1");
    let status = cable.ask("STAT?");
    // What a machine warns of stands between.
    assert!(
        status.starts_with("ready case=- waiting=0 answered=0 ")
            && status.ends_with("use=demonstration"),
        "{status}"
    );
    assert_eq!(cable.ask("CASE:LIST?"), "none");
    assert_eq!(cable.ask("EXAM?"), "auto");
    assert_eq!(cable.ask("EXAM:LIST?"), "covid3,lung_tb2,brain4,breast3");
    assert_eq!(cable.ask("EXAM BRAIN4"), "OK");
    assert_eq!(cable.ask("EXAM?"), "brain4");
    assert_eq!(
        cable.ask(&format!("CASE:RUN \"{}\"", path_of("brain.png"))),
        "1"
    );
    assert_eq!(cable.wait_for_end("1"), "1 finding");

    let record: Value = serde_json::from_str(&cable.ask("CASE:RES? 1,JSON")).unwrap();
    let schema = std::fs::read_to_string(root().join("docs/finding.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    assert!(schema.is_valid(&record), "{record}");
    let (same, _) = crate::common::classify(&[&path_of("brain.png"), "--exam", "brain4"]);
    for key in [
        "exam",
        "class",
        "probabilities",
        "triage_level",
        "mask",
        "bundle",
    ] {
        assert_eq!(record[key], same[0][key], "{key}");
    }
    assert_eq!(record["case"], "1");
    let compact = cable.ask("CASE:RES? 1");
    let class = record["class"].as_str().unwrap();
    assert!(
        compact.starts_with(&format!("1 finding exam=brain4 class={class} p=0.")),
        "{compact}"
    );
    assert!(compact.ends_with(" use=demonstration"), "{compact}");

    assert_eq!(cable.ask("*TST?"), "0");
    assert!(cable.ask("SYST:VERS?").contains("protocol 1"));
    assert!(cable.ask("HELP?").contains("CASE:RUN"));
    assert!(
        !device.log().contains("brain.png"),
        "a path went to the log"
    );
}

#[test]
fn wrong_lines_are_numbered_and_the_next_one_works() {
    let folder = tempfile::tempdir().unwrap();
    let mut cable = Cable::plug(&folder.path().join("port"));
    let _device = Device::start(folder.path(), &["port"], 115_200);
    assert_eq!(cable.ask("SYST:ERR?"), "0,\"No error\"");
    for (line, number) in [
        ("CASE:FLY", "-113"),
        ("CASE:STAT? 99", "10"),
        ("CASE:RES? x", "-104"),
        ("EXAM knee", "-224"),
        ("DISP:PAGE 1", "-241"),
        ("*IDN?*00", "1"),
        ("CASE:RUN", "-109"),
    ] {
        let answer = cable.ask(line);
        assert!(
            answer.starts_with(&format!("ERR {number},\"")),
            "{line}: {answer}"
        );
    }
    // As a pseudo-terminal takes at most 4 kB at once, the flood comes in parts.
    for _ in 0..8 {
        cable.send(&[b'z'; 1024]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(cable.ask("").starts_with("ERR -363"), "a flood");
    cable.send(b"\x01\x02\xff\xfe\n");
    assert!(cable.line().starts_with("ERR -101"), "binary");
    assert_eq!(cable.ask("*OPC?"), "1");
    let first = cable.ask("SYST:ERR?");
    assert!(first.starts_with("-113,"), "oldest first: {first}");
    assert_eq!(cable.ask("*CLS"), "OK");
    assert_eq!(cable.ask("SYST:ERR?"), "0,\"No error\"");
    assert_eq!(cable.ask("*OPC?*49"), "1*31");
}

#[test]
fn refusals_regions_and_exams_of_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let mut cable = Cable::plug(&folder.path().join("port"));
    let _device = Device::start(folder.path(), &["port"], 115_200);
    assert_eq!(cable.ask("CASE:RUN no such file.png"), "1");
    assert_eq!(cable.wait_for_end("1"), "1 refusal");
    let answer = cable.ask("CASE:RES? 1");
    assert!(
        answer.starts_with("1 refusal code=not_found use=demonstration cure=\""),
        "{answer}"
    );
    assert_eq!(cable.ask("CASE:ROI 100,60,120,140"), "OK");
    assert_eq!(
        cable.ask(&format!("CASE:RUN {}", path_of("breast.png"))),
        "2"
    );
    assert_eq!(cable.wait_for_end("2"), "2 finding");
    let record: Value = serde_json::from_str(&cable.ask("CASE:RES? 2,JSON")).unwrap();
    let asked =
        crate::common::classify(&[&path_of("breast.png"), "--prompt", "box:100,60,120,140"]).0;
    assert_eq!(record["exam"], "breast3", "the phantom says what it is");
    assert_eq!(record["mask"], asked[0]["mask"]);
    assert_eq!(
        cable.ask(&format!("CASE:RUN {}", path_of("breast.png"))),
        "3"
    );
    assert_eq!(cable.wait_for_end("3"), "3 finding");
    let record: Value = serde_json::from_str(&cable.ask("CASE:RES? 3,JSON")).unwrap();
    assert_ne!(
        record["mask"], asked[0]["mask"],
        "a region is for one case only"
    );
}

#[test]
fn what_was_accepted_is_answered_after_the_power_failed() {
    let folder = tempfile::tempdir().unwrap();
    let mut cable = Cable::plug(&folder.path().join("port"));
    let mut device = Device::start(folder.path(), &["port"], 115_200);
    let path = path_of("chest.png");
    assert_eq!(cable.ask("EXAM covid3"), "OK");
    // None of them ends before the power fails, however slow the asking is.
    #[cfg(target_os = "linux")]
    let held = Hold::worker(&device);
    for case in 1..=12 {
        assert_eq!(cable.ask(&format!("CASE:RUN {path}")), case.to_string());
    }
    cable.wait_until("STAT?", |busy| busy.contains("running case="));
    assert!(cable.ask("*TST?").starts_with("ERR 14,"), "busy");
    assert_eq!(cable.ask("*OPC?"), "0");
    device.kill();
    #[cfg(target_os = "linux")]
    drop(held);
    drop(cable);
    let mut cable = Cable::plug(&folder.path().join("port"));
    let mut device = Device::start(folder.path(), &["port"], 115_200);
    assert_eq!(cable.ask("EXAM covid3"), "OK");
    assert_eq!(
        cable.ask(&format!("CASE:RUN {path}")),
        "13",
        "no number twice"
    );
    for case in 1..=12 {
        assert_eq!(
            cable.wait_for_end(&case.to_string()),
            format!("{case} finding")
        );
    }
    let (first, last) = (cable.ask("CASE:RES? 1"), cable.ask("CASE:RES? 12"));
    let body = |line: &str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
    assert_eq!(body(&first), body(&last), "the same image, the same answer");
    assert_eq!(cable.wait_for_end("13"), "13 finding");
    // None of them ends before they are dropped, however slow the asking is.
    #[cfg(target_os = "linux")]
    let _hold = Hold::worker(&device);
    for case in 14..=20 {
        assert_eq!(cable.ask(&format!("CASE:RUN {path}")), case.to_string());
    }
    let dropped: usize = cable.ask("CASE:ABOR").parse().unwrap();
    assert!((5..=7).contains(&dropped), "{dropped}");
    assert_eq!(cable.ask("CASE:STAT? 20"), "20 aborted");
    assert_eq!(cable.ask("CASE:RES? 20"), "20 aborted");
    device.kill();
}

#[test]
fn two_lines_at_once_and_one_that_is_pulled() {
    let folder = tempfile::tempdir().unwrap();
    let mut left = Cable::plug(&folder.path().join("left"));
    let mut right = Cable::plug(&folder.path().join("right"));
    let device = Device::start(folder.path(), &["left", "right"], 115_200);
    assert_eq!(left.ask("EXAM brain4"), "OK");
    assert_eq!(right.ask("EXAM?"), "auto", "each line chooses for itself");
    assert_eq!(left.ask(&format!("CASE:RUN {}", path_of("brain.png"))), "1");
    assert_eq!(right.wait_for_end("1"), "1 finding");
    let state = folder.path().join("state").display().to_string();
    let second = crate::common::medfocus(&["serve", "--serial", "-", "--state", &state]);
    assert_eq!(
        second.status.code(),
        Some(3),
        "one state folder, one device"
    );
    assert!(String::from_utf8_lossy(&second.stderr).contains("(state)"));
    left.send(b"half a li");
    drop(left);
    let mut left = Cable::plug(&folder.path().join("left"));
    assert_eq!(right.ask("*OPC?"), "1", "the other line goes on");
    device.wait_for_open("left", 2);
    assert_eq!(left.ask("CASE:STAT? 1"), "1 finding", "plugged again");
}

/// Runs a case that is refused; its code, its help, and that of its record.
fn refused(cable: &mut Cable, path: &str) -> (String, String, String) {
    let case = cable.ask(&format!("CASE:RUN \"{path}\""));
    assert_eq!(cable.wait_for_end(&case), format!("{case} refusal"));
    let answer = cable.ask(&format!("CASE:RES? {case}"));
    let (head, help) = answer.split_once(" cure=").unwrap();
    let code = head.split("code=").nth(1).unwrap();
    let code = code.split_whitespace().next().unwrap().to_owned();
    let record = cable.ask(&format!("CASE:RES? {case},JSON"));
    let record: Value = serde_json::from_str(&record).unwrap();
    let recorded = record["cure"].as_str().unwrap().to_owned();
    for help in [help, &recorded] {
        assert!(
            !help.contains("--"),
            "an option of the command line: {help}"
        );
    }
    (code, help.to_owned(), recorded)
}

#[test]
fn help_speaks_of_what_a_console_can_say() {
    let folder = tempfile::tempdir().unwrap();
    let mut cable = Cable::plug(&folder.path().join("port"));
    let _device = Device::start(folder.path(), &["port"], 115_200);
    let (code, help, recorded) = refused(&mut cable, &path_of("chest.png"));
    assert_eq!(code, "exam_needed");
    assert_eq!(
        help,
        "\"choose one with EXAM, then run it again: covid3, lung_tb2\""
    );
    assert!(recorded.starts_with("say which with exam"), "{recorded}");
    assert_eq!(cable.ask("EXAM brain4"), "OK");
    let (code, help, _) = refused(&mut cable, &path_of("chest.png"));
    assert_eq!(code, "wrong_modality");
    assert!(help.contains("another exam with EXAM"), "{help}");
    assert_eq!(cable.ask("CASE:ROI 5000,5000,10,10"), "OK");
    let (code, help, _) = refused(&mut cable, &path_of("brain.png"));
    assert_eq!(code, "prompt_outside");
    assert!(help.contains("CASE:ROI"), "{help}");
    let pages = root().join("tests/vectors/pictures/pages.tif");
    let (code, help, recorded) = refused(&mut cable, &pages.display().to_string());
    assert_eq!(code, "several_frames");
    assert!(help.contains("as a file of its own"), "{help}");
    assert!(recorded.contains("as a file of its own"), "{recorded}");
    // What is no file is never waited for.
    let pipe = folder.path().join("pipe.png");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    let (code, help, _) = refused(&mut cable, &pipe.display().to_string());
    assert_eq!(code, "not_a_file");
    assert!(help.contains("save the image as a file"), "{help}");
    assert!(cable.ask("CASE:RUN /dev/zero").starts_with("ERR 37,"));
}
