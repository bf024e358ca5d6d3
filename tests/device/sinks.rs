//! `medfocus serve` and where its answers go: a result folder, an HL7 receiver and an
//! archive, each of which may be away, refuse or be cut off at any time.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use crate::common::device::{Device, PATIENCE};
use crate::common::receivers::{acknowledgement, archive, control_id, dead_port, hl7, hl7_bytes};
use crate::common::{phantom, pty, root};
use medfocus::case::Order;
use medfocus::clock::Clock;
use medfocus::journal::{CaseHistory, Entry, Journal, history};

/// A device with cases that wait, and where it keeps them.
pub struct Bench {
    folder: tempfile::TempDir,
    _line: (pty::End, std::fs::File),
}

impl Bench {
    /// These images wait to be answered, as cases 1, 2 and so on.
    pub fn with(images: &[PathBuf]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) =
            Journal::open(&folder.path().join("state"), Clock::system()).unwrap();
        for (case, image) in (1..).zip(images) {
            let order = Order {
                source: image.display().to_string(),
                exam: Some("brain4".to_owned()),
                ..Order::default()
            };
            journal.append(Entry::Accepted { case, order }).unwrap();
        }
        let _line = pty::pair(&folder.path().join("port"));
        Self { folder, _line }
    }

    pub fn start(&self, options: &[&str]) -> Device {
        Device::start_with(self.folder.path(), &["port"], 115_200, options)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn results(&self) -> PathBuf {
        self.folder.path().join("results")
    }

    pub fn case(&self, case: u64) -> CaseHistory {
        let mut cases = history(&self.folder.path().join("state")).unwrap().cases();
        cases.remove(&case).unwrap()
    }

    /// Waits until the journal says of a case what it should.
    pub fn wait(&self, device: &Device, case: u64, until: impl Fn(&CaseHistory) -> bool) {
        let begin = Instant::now();
        loop {
            let found = self.case(case);
            if until(&found) {
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "{found:?}\n{}", device.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub fn delivered_to(sink: &'static str) -> impl Fn(&CaseHistory) -> bool {
    move |case| case.delivered.contains(sink)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    // Each begins with the device's own number, which is 16 digits long.
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.unwrap().file_name().to_string_lossy()[16..].to_owned()
    };
    entries.map(name).collect()
}

pub fn patient() -> PathBuf {
    root().join("tests/vectors/dicom/patient.dcm")
}

#[test]
fn sinks_that_are_away_delay_nobody_and_get_all_when_they_come() {
    let bench = Bench::with(&[patient(), phantom("brain.png"), PathBuf::from("/gone.png")]);
    let (hl7_port, pacs_port) = (dead_port(), dead_port());
    let hl7_address = format!("127.0.0.1:{hl7_port}");
    let pacs = format!("ARCHIVE@127.0.0.1:{pacs_port}");
    let results = bench.results().display().to_string();
    let options = [
        "--hl7",
        &hl7_address,
        "--pacs",
        &pacs,
        "--results",
        &results,
    ];
    let device = bench.start(&options);
    for case in 1..=3 {
        bench.wait(&device, case, delivered_to("results"));
    }
    let expected = [
        "-1.json",
        "-1.overlay.png",
        "-2.json",
        "-2.overlay.png",
        "-3.json",
    ];
    assert_eq!(names(&bench.results()), expected.map(str::to_owned).into());
    let owed = bench.case(1).owed;
    assert_eq!(owed, ["hl7", "pacs"].map(str::to_owned).into());

    let stored = archive(pacs_port);
    let messages = hl7(hl7_port, |message| Some(acknowledgement("AA", message)));
    for (case, sink) in [(1, "hl7"), (2, "hl7"), (1, "pacs")] {
        bench.wait(&device, case, delivered_to(sink));
    }
    bench.wait(&device, 2, |case| case.declined.contains_key("pacs"));
    assert_eq!(bench.case(2).declined["pacs"], "not_dicom");
    assert!(
        !bench.case(3).delivered.contains("hl7"),
        "a refusal is no finding"
    );
    let objects: BTreeSet<_> = stored.try_iter().collect();
    assert_eq!(objects.len(), 3, "report, region and picture: {objects:?}");
    let messages: Vec<String> = messages.try_iter().collect();
    assert_eq!(messages.len(), 2);
    assert!(messages[0].contains("Müller^Eva"), "{}", messages[0]);
    let point = "|TX|journal^Point of the device's journal^99MEDFOCUS||";
    for message in &messages {
        assert!(message.contains(point), "{message}");
    }

    let log = device.log();
    for word in ["Müller", "brain.png", "gone.png", "patient.dcm"] {
        assert!(!log.contains(word), "{word} in the log: {log}");
    }
}

#[test]
fn a_delivery_that_the_journal_missed_comes_again_under_the_same_name() {
    let bench = Bench::with(&[patient()]);
    let (heard, hearing) = channel();
    let port = dead_port();
    let mut times = 0;
    let messages = hl7(port, move |message| {
        times += 1;
        heard.send(()).unwrap();
        (times > 1).then(|| acknowledgement("AA", message))
    });
    let address = format!("127.0.0.1:{port}");
    let mut device = bench.start(&["--hl7", &address]);
    hearing.recv_timeout(PATIENCE).expect("a message");
    device.kill();
    assert!(bench.case(1).delivered.is_empty());
    let device = bench.start(&["--hl7", &address]);
    bench.wait(&device, 1, delivered_to("hl7"));
    drop(device);
    let messages: Vec<String> = messages.try_iter().collect();
    assert_eq!(messages.len(), 2);
    assert_eq!(messages[0], messages[1], "the receiver can drop the second");
    assert!(bench.case(1).owed.is_empty(), "it is never sent again");
}

#[test]
fn a_message_that_is_refused_is_sent_until_it_is_taken_and_holds_up_no_other() {
    let bench = Bench::with(&[patient(), phantom("brain.png")]);
    let port = dead_port();
    let (mut first, mut answers) = (None, ["AE", "AR", "other", "AA"].into_iter());
    let messages = hl7(port, move |message| {
        let first = first.get_or_insert_with(|| control_id(message).to_owned());
        if control_id(message) != first {
            return Some(acknowledgement("AA", message));
        }
        match answers.next().expect("taken before") {
            "other" => Some(acknowledgement("AA", "|||||||||another")),
            code => Some(acknowledgement(code, message)),
        }
    });
    let device = bench.start(&["--hl7", &format!("127.0.0.1:{port}")]);
    bench.wait(&device, 2, delivered_to("hl7"));
    assert!(bench.case(1).delivered.is_empty(), "it was refused");
    bench.wait(&device, 1, delivered_to("hl7"));
    let messages: Vec<String> = messages.try_iter().collect();
    assert_eq!(messages.len(), 5);
    let log = device.log();
    for code in ["(receiver_error)", "(rejected)", "(wrong_ack)"] {
        assert!(log.contains(code), "{log}");
    }
}

#[test]
fn an_answer_that_is_no_frame_is_named_at_once_and_an_odd_frame_is_read() {
    let bench = Bench::with(&[patient()]);
    let port = dead_port();
    let mut times = 0;
    let messages = hl7_bytes(port, move |message| {
        times += 1;
        let answer = acknowledgement("AA", message);
        match times {
            1 => answer.into_bytes(),
            2 => format!("\x0b{answer}").into_bytes(),
            // A line end and a mark before, others' answers in it, no last carriage return.
            _ => {
                let others = acknowledgement("AE", "|||||||||another").replace('\r', "\r\n");
                let answer = answer.trim_end();
                format!("\n\u{feff}\x0b\n{others}\u{feff}{answer}|more|fields\x1c").into_bytes()
            }
        }
    });
    let begin = Instant::now();
    let device = bench.start(&["--hl7", &format!("127.0.0.1:{port}")]);
    bench.wait(&device, 1, delivered_to("hl7"));
    let took = begin.elapsed();
    assert!(
        took < Duration::from_secs(25),
        "a limit of 30 s was waited for: {took:?}"
    );
    assert_eq!(messages.try_iter().count(), 3);
    let log = device.log();
    assert!(
        log.contains("does not begin with 0x0B (bad_frame)"),
        "{log}"
    );
}
