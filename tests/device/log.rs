//! What a device says of itself: every line by the system's start and its case, by priority
//! to the journal daemon, and never whose image it was, however much is told.
#![cfg(target_os = "linux")]

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use crate::common::bench::Bench;
use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::receivers::{acknowledgement, archive, dead_port, hl7};
use crate::common::{phantom, root};

/// The patient of `patient.dcm`, and the name in the paths of the other images.
const NAMES: [&str; 5] = ["Müller", "0815", "Meier", "2.25.", "brain.png"];

/// A folder with images that are named after their patient: a good one, none, and DICOM.
fn images(folder: &Path) -> [String; 4] {
    let at = |name: &str| folder.join(name);
    std::fs::copy(phantom("brain.png"), at("Meier_1.png")).unwrap();
    std::fs::write(at("Meier_2.png"), b"no image of Meier").unwrap();
    std::fs::copy(
        root().join("tests/vectors/dicom/patient.dcm"),
        at("Meier_3.dcm"),
    )
    .unwrap();
    let names = [
        "Meier_1.png",
        "Meier_2.png",
        "Meier_3.dcm",
        "Meier_gone.png",
    ];
    names.map(|name| at(name).display().to_string())
}

#[test]
fn no_log_says_whose_image_it_was_however_much_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let images = images(folder.path());
    let watched = folder.path().join("in");
    std::fs::create_dir(&watched).unwrap();
    std::fs::copy(&images[0], watched.join("Meier_4.png")).unwrap();
    std::fs::copy(&images[1], watched.join("Meier_5.png")).unwrap();
    let (hl7_port, pacs_port) = (dead_port(), dead_port());
    let _messages = hl7(hl7_port, |message| Some(acknowledgement("AR", message)));
    let _objects = archive(pacs_port);
    let results = folder.path().join("results").display().to_string();
    let hl7 = format!("127.0.0.1:{hl7_port}");
    let pacs = format!("ARCHIVE@127.0.0.1:{pacs_port}");
    let watched = watched.display().to_string();
    let options = [
        "--hl7",
        &hl7,
        "--pacs",
        &pacs,
        "--results",
        &results,
        "--folder",
        &watched,
        "--console-folder",
        folder.path().to_str().unwrap(),
    ];
    let mut bench = Bench::with(&options, |command| {
        command.env("MEDFOCUS_LOG", "trace");
    });
    bench.cable.ask("EXAM brain4");
    for image in &images {
        let case = bench.cable.ask(&format!("CASE:RUN \"{image}\""));
        bench.cable.wait_for_end(&case);
    }
    let begin = Instant::now();
    while bench.device.journal("answered").len() < 6
        || !bench.device.log().contains("(rejected)")
        || !bench
            .device
            .journal("delivered")
            .iter()
            .any(|entry| entry["sink"] == "pacs")
    {
        assert!(begin.elapsed() < PATIENCE, "{}", bench.device.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let log = bench.device.log();
    for name in NAMES {
        let says = |line: &&str| words(line).any(|word| word.contains(name));
        let said: Vec<&str> = log.lines().filter(says).collect();
        assert!(said.is_empty(), "{name}: {said:#?}");
    }
    assert!(log.contains(" case 1: "), "{log}");
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot = format!("boot {} ", &boot[..8]);
    assert!(log.lines().all(|line| line.contains(&boot)), "{log}");
}

/// A line without the hashes in it, in which any digits stand somewhere.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_hash = |word: &&str| word.len() >= 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    line.split([' ', ':']).filter(move |word| !is_hash(word))
}

#[test]
fn the_journal_daemon_gets_a_priority_before_each_line() {
    let folder = tempfile::tempdir().unwrap();
    let _cable = Cable::plug(&folder.path().join("port"));
    // The file that standard error will be.
    std::fs::write(folder.path().join("log"), "").unwrap();
    let about = std::fs::metadata(folder.path().join("log")).unwrap();
    for (stream, is_the_journals) in [
        (format!("{}:{}", about.dev(), about.ino()), true),
        (format!("{}:{}", about.dev(), about.ino() + 1), false),
    ] {
        let mut command = Device::command(folder.path(), &["port"], 115_200, &[]);
        command.env("JOURNAL_STREAM", stream);
        let device = Device::start_as(folder.path(), &["port"], command);
        let log = device.log();
        let begin = if is_the_journals { "<6>boot " } else { "[20" };
        assert!(log.lines().any(|line| line.starts_with(begin)), "{log}");
        assert_eq!(log.contains("<6>"), is_the_journals, "{log}");
    }
}
