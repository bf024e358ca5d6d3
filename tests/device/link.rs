//! `medfocus link` and `medfocus serve` at the two ends of a cable: good, bad, and cut.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::common::cable::{Cable, GOOD, Quality};
use crate::common::device::{Device, PATIENCE};
use crate::common::{phantom, pty, root};
use firmware_host::wire::{Packet, Run, Splitter, pack};
use medfocus::case::Order;
use medfocus::clock::Clock;
use medfocus::journal::{Entry, Journal};
use serde_json::Value;

/// A pseudo-terminal has no rate; the link's patience follows from this.
pub const FAST: u32 = 4_000_000;

/// One byte in ten vanishes, one in a hundred is spoilt.
const BAD: Quality = Quality {
    dropped: 100,
    flipped: 10,
    baud: None,
    seed: 5,
};

fn host(folder: &Path, baud: u32, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_medfocus"))
        .current_dir(root())
        .arg("link")
        .arg(folder.join("left"))
        .args(["--baud", &baud.to_string(), "--format", "ndjson"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

pub fn link(folder: &Path, arguments: &[&str]) -> Output {
    let host = host(folder, FAST, arguments);
    host.wait_with_output().expect("it ends")
}

pub fn records(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("UTF-8");
    let objects = text.lines().map(serde_json::from_str);
    objects
        .collect::<Result<_, _>>()
        .expect("one object a line")
}

fn path_of(name: &str) -> String {
    phantom(name).display().to_string()
}

#[test]
fn images_are_sent_answered_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let _cable = Cable::lay(folder.path(), GOOD);
    let device = Device::start(folder.path(), &["right"], FAST);
    let log = folder.path().join("log.ndjson");
    let log = log.to_str().unwrap();
    let brain = path_of("brain.png");
    let output = link(folder.path(), &[&brain, "--exam", "brain4", "--log", log]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let answers = records(&output.stdout);
    let (same, _) = crate::common::classify(&[&brain, "--exam", "brain4"]);
    let answer = &answers[0];
    for key in ["exam", "class", "probabilities", "triage_level"] {
        assert_eq!(answer[key], same[0][key], "{key}");
    }
    assert_eq!(answer["region"], same[0]["mask"]["bbox"]);
    assert_eq!(answer["intended_use"], "demonstration");
    assert_eq!(records(&std::fs::read(log).unwrap()), answers);

    // Its exam is chosen by the image; a region is looked at; what is no image is refused.
    let broken = folder.path().join("broken.png");
    std::fs::write(&broken, b"no image").unwrap();
    let broken = broken.to_str().unwrap();
    let breast = path_of("breast.png");
    let region = ["--region", "100,60,120,140"];
    let output = link(folder.path(), &[&[broken, &breast], &region[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let answers = records(&output.stdout);
    let of = |source: &str| {
        let mut found = answers.iter().filter(|answer| answer["source"] == source);
        found
            .next()
            .unwrap_or_else(|| panic!("no {source}: {answers:?}"))
    };
    assert_eq!(of(broken)["code"], "unsupported_format");
    let asked = crate::common::classify(&[&breast, "--prompt", "box:100,60,120,140"]).0;
    assert_eq!(of(&breast)["region"], asked[0]["mask"]["bbox"]);

    let output = link(folder.path(), &["--fetch", "--log", log]);
    assert_eq!(output.status.code(), Some(0), "all were taken: {output:?}");
    assert_eq!(output.stdout, b"");
    let output = link(folder.path(), &[&brain, "--exam", "knee"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(records(&output.stdout)[0]["code"], -224);
    let images = std::fs::read_dir(folder.path().join("state/images")).unwrap();
    let left: Vec<_> = images.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.len() <= 1,
        "only that of the refused request: {left:?}"
    );
    assert!(!device.log().contains(".png"), "a path went to the log");
}

#[test]
fn help_speaks_of_what_a_link_can_say() {
    let folder = tempfile::tempdir().unwrap();
    let _cable = Cable::lay(folder.path(), GOOD);
    let _device = Device::start(folder.path(), &["right"], FAST);
    let pages = root().join("tests/vectors/pictures/pages.tif");
    let (chest, pages) = (path_of("chest.png"), pages.display().to_string());
    let output = link(folder.path(), &[&chest, &pages]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let mut answers = records(&output.stdout);
    answers.sort_by_key(|answer| answer["code"].as_str().map(str::to_owned));
    let told = |answer: &Value| {
        let word = |key: &str| answer[key].as_str().unwrap().to_owned();
        (word("code"), word("cure"))
    };
    let (code, help) = told(&answers[0]);
    assert_eq!(code, "exam_needed");
    assert_eq!(help, "send it again with its exam: covid3, lung_tb2");
    let (code, help) = told(&answers[1]);
    assert_eq!(code, "several_frames");
    assert!(help.contains("as a file of its own"), "{help}");
    assert!(!help.contains("--"), "{help}");
}

#[test]
fn console_lines_and_frames_alternate_on_one_port() {
    let folder = tempfile::tempdir().unwrap();
    let (mut end, _kept) = pty::pair(&folder.path().join("port"));
    let _device = Device::start(folder.path(), &["port"], FAST);
    let mut splitter = Splitter::default();
    let mut said = |bytes: &[u8], wanted: &dyn Fn(&Run<'_>) -> bool| {
        end.write_all(bytes).unwrap();
        let (begin, mut bytes) = (Instant::now(), [0; 100]);
        loop {
            assert!(begin.elapsed() < PATIENCE, "no answer");
            let count = end.read(&mut bytes).unwrap_or(0);
            for &byte in &bytes[..count] {
                if splitter.push(byte).is_some_and(|run| wanted(&run)) {
                    return;
                }
            }
        }
    };
    let frame = |packet| pack(&packet).unwrap();
    said(b"SYST:COMM:TALK ON\n", &|run| *run == Run::Line(Ok("OK")));
    said(b"SYST:ECHO ON\n", &|run| *run == Run::Line(Ok("OK")));
    let opened = Run::Frame(Ok(Packet::Opened { nonce: 3 }));
    said(&frame(Packet::Open { nonce: 3 }), &|run| *run == opened);
    said(b"EXAM brain4\n", &|run| *run == Run::Line(Ok("OK")));
    // A hello comes by itself, then what was asked for in a message.
    let hello = |run: &Run<'_>| matches!(run, Run::Frame(Ok(Packet::Data { sequence: 0, .. })));
    said(&frame(Packet::Ack { sequence: 0 }), &hello);
    let bytes =
        firmware_host::message::pack(&firmware_host::message::Request::Console { line: "EXAM?" });
    let bytes = bytes.unwrap();
    let data = Packet::Data {
        sequence: 0,
        bytes: &bytes,
    };
    let answer = |run: &Run<'_>| match run {
        Run::Frame(Ok(Packet::Data { bytes, .. })) => {
            bytes.windows(6).any(|part| part == b"brain4")
        }
        _ => false,
    };
    said(&frame(data), &answer);
    said(b"EXAM?\n", &|run| *run == Run::Line(Ok("brain4")));
    // A frame of another version is answered, so that the host can name it.
    let closed = frame(Packet::Close);
    let wire = [0x00, 0x07, 0x02, 0x04, 0x64, 0xb4, 0x82, 0x74, 0x00];
    let both = [closed.as_slice(), &wire].concat();
    said(&both, &|run| *run == Run::Frame(Ok(Packet::Reset)));
    said(b"*OPC?\n", &|run| *run == Run::Line(Ok("1")));
}

#[test]
fn an_upload_that_is_cut_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let quality = Quality {
        baud: Some(1_000_000),
        ..GOOD
    };
    let cable = Cable::lay(folder.path(), quality);
    let mut device = Device::start(folder.path(), &["right"], FAST);
    let image = folder.path().join("large.png");
    let size = 400_000;
    std::fs::write(&image, noise(size)).unwrap();
    let mut host = host(folder.path(), FAST, &[image.to_str().unwrap()]);
    let sent = || cable.carried[0].load(Ordering::Relaxed);
    let begin = Instant::now();
    while sent() < size as u64 / 2 {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    device.kill();
    let _device = Device::start(folder.path(), &["right"], FAST);
    let code = host.wait().unwrap().code();
    assert_eq!(code, Some(1), "it came, and is no image");
    let share = sent() as f64 / size as f64;
    assert!(share < 1.4, "{share} of the image went over the line");
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A state folder whose journal holds so many findings that nobody took.
fn findings(folder: &Path, count: u64) {
    let (records, _) = crate::common::classify(&[&path_of("brain.png"), "--exam", "brain4"]);
    let state = folder.join("state");
    std::fs::create_dir_all(&state).unwrap();
    let (mut journal, _) = Journal::open(&state, Clock::system()).unwrap();
    for case in 1..=count {
        let mut record = records[0].clone();
        record["case"] = case.to_string().into();
        // Each of its own, so that a finding under another's number would be seen.
        record["mask"]["bbox"][0] = case.into();
        let order = Order {
            source: "x.png".to_owned(),
            exam: Some("brain4".to_owned()),
            ..Order::default()
        };
        journal.append(Entry::Accepted { case, order }).unwrap();
        let record = serde_json::from_value(record).unwrap();
        journal.append(Entry::answered(case, &record)).unwrap();
    }
}

/// Takes all findings over a bad line while both ends are killed again and again; every
/// one must be in the host's log once. Gives the bytes that went over the line.
fn every_finding_once(count: u64, kills: u64) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    findings(folder.path(), count);
    let cable = Cable::lay(folder.path(), BAD);
    let mut device = Device::start(folder.path(), &["right"], FAST);
    let log = folder.path().join("log.ndjson");
    let kept = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count() as u64);
    let arguments = ["--fetch", "--log", log.to_str().unwrap()];
    for kill in 1..=kills {
        let mut host = host(folder.path(), FAST, &arguments);
        let (mut last, mut since) = (kept(), Instant::now());
        while last < count * kill / (kills + 1) {
            assert_eq!(host.try_wait().unwrap(), None, "the host goes on");
            assert!(since.elapsed() < PATIENCE, "no more than {last} arrive");
            std::thread::sleep(Duration::from_millis(5));
            let now = kept();
            if now > last {
                (last, since) = (now, Instant::now());
            }
        }
        if kill % 2 == 0 {
            device.kill();
            device = Device::start(folder.path(), &["right"], FAST);
        }
        host.kill().unwrap();
        host.wait().unwrap();
    }
    let output = link(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let mut times = BTreeMap::new();
    for record in records(&std::fs::read(&log).unwrap()) {
        let case: u64 = record["case"].as_str().unwrap().parse().unwrap();
        assert_eq!(record["region"][0], case, "the finding of another case");
        *times.entry(case).or_insert(0) += 1;
    }
    let once: BTreeMap<u64, i32> = (1..=count).map(|case| (case, 1)).collect();
    assert_eq!(times, once);
    let journal = std::fs::read_to_string(folder.path().join("state/journal.ndjson")).unwrap();
    let delivered = journal.matches("\"delivered\"").count() as u64;
    assert_eq!(delivered, count, "the device knows");
    cable
        .carried
        .iter()
        .map(|c| c.load(Ordering::Relaxed))
        .sum()
}

#[test]
fn findings_arrive_once_over_a_bad_line_whoever_is_killed() {
    every_finding_once(12, 2);
}

#[test]
#[ignore = "a measurement, minutes long: scripts/measure-link"]
fn measure_a_thousand_findings_over_a_bad_line() {
    let begin = Instant::now();
    let (count, kills) = (1000, 9);
    let bytes = every_finding_once(count, kills);
    let seconds = begin.elapsed().as_secs();
    println!(
        "{count} findings, 10 % of the bytes dropped and 1 % flipped, seed {}, {kills} times an \
         end was killed: each in the log once, after {bytes} bytes and {seconds} s",
        BAD.seed
    );
}

#[test]
#[ignore = "a measurement: scripts/measure-link"]
fn measure_an_upload_at_115200_baud() {
    let folder = tempfile::tempdir().unwrap();
    let baud = 115_200;
    let quality = Quality {
        baud: Some(baud),
        ..GOOD
    };
    let cable = Cable::lay(folder.path(), quality);
    let _device = Device::start(folder.path(), &["right"], baud);
    let image = folder.path().join("image.png");
    let size = 400_000;
    std::fs::write(&image, noise(size)).unwrap();
    let begin = Instant::now();
    let host = host(folder.path(), baud, &[image.to_str().unwrap()]);
    assert_eq!(host.wait_with_output().unwrap().status.code(), Some(1));
    let seconds = begin.elapsed().as_secs_f64();
    let share = size as f64 * 10.0 / f64::from(baud) / seconds;
    let wire = cable.carried[0].load(Ordering::Relaxed);
    println!(
        "{size} bytes at {baud} baud: {seconds:.1} s from the program's start to its end, \
         {:.1} % of the line; {wire} bytes were sent",
        100.0 * share
    );
    assert!(share >= 0.9);
}

#[test]
#[ignore = "a measurement: scripts/measure-link"]
fn measure_the_console_while_a_case_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (mut end, _kept) = pty::pair(&folder.path().join("port"));
    let _device = Device::start(folder.path(), &["port"], FAST);
    let mut ask = |line: &str| {
        let (begin, mut answer) = (Instant::now(), Vec::new());
        end.write_all(format!("{line}\n").as_bytes()).unwrap();
        let mut bytes = [0; 1000];
        while answer.last() != Some(&b'\n') {
            let count = end.read(&mut bytes).unwrap();
            answer.extend_from_slice(&bytes[..count]);
        }
        (begin.elapsed(), String::from_utf8(answer).unwrap())
    };
    ask("EXAM brain4;EXAM?");
    // As many as may wait of one line.
    for _ in 0..40 {
        ask(&format!("CASE:RUN? {}", path_of("brain.png")));
    }
    let mut times = Vec::new();
    for line in ["STAT?", "CASE:LIST?", "SYST:VERS?", "CASE:STAT? 40"]
        .iter()
        .cycle()
    {
        let (time, answer) = ask(line);
        if *line == "STAT?" && !answer.contains("running case=") {
            break;
        }
        times.push(time);
        std::thread::sleep(Duration::from_millis(3));
    }
    times.sort();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize];
    println!(
        "{} lines while cases ran on all cores: median {:.2?}, 99 % within {:.2?}, longest {:.2?}",
        times.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    assert!(at(0.99) < Duration::from_millis(5));
    assert!(at(1.0) < Duration::from_millis(50));
}

#[test]
fn a_host_hears_why_nothing_is_answered_and_gets_its_answer_when_that_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let _cable = Cable::lay(folder.path(), GOOD);
    let bundle = crate::common::copy_of_starter();
    let head = bundle.path().join("heads/brain4.safetensors");
    let whole = std::fs::read(&head).unwrap();
    std::fs::write(&head, "spoilt").unwrap();
    let more = ["--bundle", &bundle.path().display().to_string()];
    let device = Device::start_with(folder.path(), &["right"], FAST, &more);
    let mut host = host(folder.path(), FAST, &[&path_of("brain.png")]);
    // Its words come as it hears them.
    let mut words = BufReader::new(host.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("answers none: bundle_hash; copy the bundle") {
        line.clear();
        let length = words.read_line(&mut line).expect("words");
        assert!(length > 0, "it ended: {}", device.log());
    }
    std::fs::write(&head, whole).unwrap();
    let output = host.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(records(&output.stdout)[0]["exam"], "brain4");
}
