//! `medfocus serve --display`: what a nurse sees, as far as it can be seen without a panel.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::common::device::PATIENCE;
use crate::common::{copy_of_starter, phantom, root, starter};

/// A device on standard input and output.
struct Desk {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Desk {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut process = command(folder, &starter())
            .args(arguments)
            .spawn()
            .expect("the program starts");
        Self {
            to: process.stdin.take().expect("a pipe"),
            from: BufReader::new(process.stdout.take().expect("a pipe")),
            process,
        }
    }

    fn ask(&mut self, line: &str) -> String {
        self.to.write_all(b"SYST:COMM:TALK ON\n").expect("sent");
        self.from.read_line(&mut String::new()).expect("an answer");
        writeln!(self.to, "{line}").expect("sent");
        let mut answer = String::new();
        self.from.read_line(&mut answer).expect("an answer");
        answer.trim_end().to_owned()
    }

    fn run(&mut self, image: &Path) {
        let case = self.ask(&format!("CASE:RUN \"{}\"", image.display()));
        case.parse::<u64>().expect("a number");
    }

    /// Hangs up; gives how the device ended.
    fn end(mut self) -> std::process::ExitStatus {
        drop(self.to);
        self.process.wait().expect("an end")
    }
}

fn command(folder: &Path, bundle: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
    let log = File::create(folder.join("log")).expect("a log");
    command
        .current_dir(root())
        .args(["serve", "--serial", "-", "--bundle"])
        .arg(bundle)
        .arg("--console-folder")
        .arg(root())
        .arg("--state")
        .arg(folder.join("state"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log);
    command
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).expect("a log")
}

struct Shown {
    size: (u32, u32),
    rgb: Vec<u8>,
}

impl Shown {
    fn at(&self, x: u32, y: u32) -> [u8; 3] {
        let start = (y * self.size.0 + x) as usize * 3;
        self.rgb[start..start + 3].try_into().expect("three bytes")
    }
}

/// A time before that of every file that is written from now on: file systems tell the time
/// by the system's last tick, some milliseconds ago.
fn from_now_on() -> SystemTime {
    let now = SystemTime::now();
    std::thread::sleep(Duration::from_millis(50));
    now
}

/// A picture that was written after `since`.
fn picture(folder: &Path, name: &str, since: SystemTime) -> Shown {
    let (begin, file) = (Instant::now(), folder.join(format!("{name}.png")));
    loop {
        let written = std::fs::metadata(&file).and_then(|file| file.modified());
        if written.is_ok_and(|written| written >= since) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{} is missing", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    let file = BufReader::new(File::open(file).expect("a picture"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut rgb = vec![0; reader.output_buffer_size().expect("small")];
    reader.next_frame(&mut rgb).expect("a whole picture");
    Shown {
        size: reader.info().size(),
        rgb,
    }
}

#[test]
fn a_case_is_shown_page_by_page_while_another_display_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let [colour, mono] = ["colour", "mono"].map(|name| folder.path().join(name));
    let mut desk = Desk::start(
        folder.path(),
        &[
            "--display",
            "ssd1306:/dev/no-such-bus",
            "--display",
            &format!("png:{}", colour.display()),
            "--display",
            &format!("png:{},size=128x64", mono.display()),
            "--language",
            "hi",
        ],
    );
    let start = SystemTime::UNIX_EPOCH;
    assert_eq!(desk.ask("EXAM brain4"), "OK");
    picture(&colour, "starting", start);
    picture(&colour, "ready", start);
    desk.run(&phantom("brain.png"));
    let finding = picture(&colour, "finding", start);
    assert_eq!(finding.size, (320, 240));
    // The phantom's level is priority; its band is yellow, and black on white on one bit.
    assert_eq!(finding.at(0, 0), [240, 228, 66]);
    let small = picture(&mono, "finding", start);
    assert_eq!((small.size, small.at(0, 0)), ((128, 64), [255; 3]));
    assert!(small.rgb.iter().all(|value| [0, 255].contains(value)));

    assert_eq!(desk.ask("DISP:PAGE 1"), "OK");
    let classes = picture(&colour, "classes", start);
    assert!(classes.rgb != finding.rgb);
    assert_eq!(desk.ask("DISP:PAGE 2"), "OK");
    picture(&colour, "region", start);
    assert_eq!(desk.ask("DISP:PAGE 3"), "OK");
    picture(&mono, "device", start);
    assert!(desk.ask("DISP:PAGE 4").starts_with("ERR -222"), "no page 4");

    // A new case turns to the first page.
    let before = from_now_on();
    desk.run(Path::new("no such file.png"));
    let refusal = picture(&colour, "refusal", before);
    let now = picture(&colour, "now", before);
    assert!(refusal.rgb == now.rgb);

    assert!(desk.end().success());
    let log = log(folder.path());
    assert_eq!(log.matches("display ssd1306: /dev/no-such-bus").count(), 1);
    assert!(!log.contains("brain.png"), "a path went to the log: {log}");
}

#[test]
fn a_display_that_comes_back_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    // No folder can be made here as long as this file is in the way.
    std::fs::write(&pictures, "in the way").unwrap();
    let place = format!("png:{}", pictures.display());
    let mut desk = Desk::start(folder.path(), &["--display", &place]);
    assert_eq!(desk.ask("*OPC?"), "1");
    std::fs::remove_file(&pictures).unwrap();
    picture(&pictures, "ready", SystemTime::UNIX_EPOCH);
    // Gone while it is open: noticed when something is to be shown.
    std::fs::remove_dir_all(&pictures).unwrap();
    desk.run(Path::new("no such file.png"));
    picture(&pictures, "refusal", SystemTime::UNIX_EPOCH);
    assert!(desk.end().success());
}

#[test]
fn a_device_that_cannot_work_says_so_on_its_display() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = copy_of_starter();
    std::fs::write(bundle.path().join("bundle.toml"), "spoilt").unwrap();
    let pictures = folder.path().join("pictures");
    let status = command(folder.path(), bundle.path())
        .arg("--display")
        .arg(format!("png:{}", pictures.display()))
        .status()
        .expect("the program starts");
    assert_eq!(status.code(), Some(3), "{}", log(folder.path()));
    let fault = picture(&pictures, "fault", SystemTime::UNIX_EPOCH);
    let now = picture(&pictures, "now", SystemTime::UNIX_EPOCH);
    assert!(fault.rgb == now.rgb);
}

#[test]
fn a_display_that_cannot_be_is_refused_before_anything_starts() {
    for (place, what) in [
        ("vga:0", "there is no display of the kind vga"),
        ("png:out,size=9x9", "size cannot be 9x9"),
    ] {
        let output = crate::common::medfocus(&["serve", "--serial", "-", "--display", place]);
        assert_eq!(output.status.code(), Some(2), "{place}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(what), "{text}");
    }
    let output = crate::common::medfocus(&["serve", "--serial", "-", "--language", "xx"]);
    assert_eq!(output.status.code(), Some(2));
}

/// What lies in a folder of pictures.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the pictures");
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        entry
            .expect("an entry")
            .file_name()
            .into_string()
            .expect("UTF-8")
    };
    let mut names: Vec<String> = entries.map(name).collect();
    names.sort();
    names
}

/// However the device ends: nothing of a case is left, on any display, nor in its files.
#[cfg(unix)]
#[test]
fn a_device_that_ends_leaves_nothing_of_a_patient_on_any_display() {
    use rustix::process::{Pid, Signal, kill_process};
    let start = SystemTime::UNIX_EPOCH;
    for signal in [Some(Signal::TERM), Some(Signal::INT), None] {
        let folder = tempfile::tempdir().unwrap();
        let [colour, paper] = ["colour", "paper"].map(|name| folder.path().join(name));
        let mut desk = Desk::start(
            folder.path(),
            &[
                "--display",
                &format!("png:{}", colour.display()),
                "--display",
                &format!("png:{},size=250x122", paper.display()),
            ],
        );
        assert_eq!(desk.ask("EXAM brain4"), "OK");
        desk.run(&phantom("brain.png"));
        let [finding, _] = [&colour, &paper].map(|shown| picture(shown, "finding", start));
        assert_eq!(desk.ask("DISP:PAGE 2"), "OK");
        let [_, _] = [&colour, &paper].map(|shown| picture(shown, "region", start));
        let status = match signal {
            Some(signal) => {
                kill_process(Pid::from_child(&desk.process), signal).expect("sent");
                desk.process.wait().expect("an end")
            }
            // Standard input is closed.
            None => desk.end(),
        };
        assert!(status.success(), "{}", log(folder.path()));
        for shown in [&colour, &paper] {
            let mut left = names(shown);
            // A case may begin before there is a picture of a device that waits for one.
            left.retain(|name| name != "ready.png");
            assert_eq!(left, ["now.png", "off.png", "starting.png"]);
            let [off, now] = ["off", "now"].map(|name| picture(shown, name, start));
            assert!(off.rgb == now.rgb && off.rgb != finding.rgb, "{signal:?}");
        }
    }
}

/// After a power failure, what a display kept goes before anything else is shown.
#[test]
fn what_a_power_failure_left_is_gone_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().join("shown");
    let place = format!("png:{}", shown.display());
    let mut desk = Desk::start(folder.path(), &["--display", &place]);
    assert_eq!(desk.ask("EXAM brain4"), "OK");
    desk.run(&phantom("brain.png"));
    picture(&shown, "finding", SystemTime::UNIX_EPOCH);
    desk.process.kill().expect("killed");
    desk.process.wait().expect("an end");
    assert!(names(&shown).contains(&"finding.png".to_owned()));
    let again = from_now_on();
    let desk = Desk::start(folder.path(), &["--display", &place]);
    picture(&shown, "ready", again);
    assert!(!names(&shown).contains(&"finding.png".to_owned()));
    assert!(desk.end().success());
}

#[test]
fn a_device_that_fails_shows_why_and_nothing_of_a_patient() {
    let folder = tempfile::tempdir().unwrap();
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    // As a device leaves them that was cut off.
    for name in ["finding", "region"] {
        std::fs::write(pictures.join(format!("{name}.png")), "of a patient").unwrap();
    }
    let bundle = copy_of_starter();
    std::fs::write(bundle.path().join("bundle.toml"), "spoilt").unwrap();
    let status = command(folder.path(), bundle.path())
        .arg("--display")
        .arg(format!("png:{}", pictures.display()))
        .status()
        .expect("the program starts");
    assert_eq!(status.code(), Some(3));
    let left = names(&pictures);
    assert!(left.contains(&"fault.png".to_owned()), "{left:?}");
    assert!(!left.contains(&"finding.png".to_owned()), "{left:?}");
    assert!(!left.contains(&"region.png".to_owned()), "{left:?}");
}

#[test]
fn an_answer_leaves_the_display_when_nobody_turns_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let [idle, stays] = ["idle", "stays"].map(|name| folder.path().join(name));
    let config = folder.path().join("medfocus.toml");
    let text = format!(
        "[[display]]\nplace = \"png:{}\"\nidle_s = 2\n[[display]]\nplace = \"png:{}\"\n",
        idle.display(),
        stays.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut desk = Desk::start(folder.path(), &["--config", config.to_str().unwrap()]);
    assert_eq!(desk.ask("EXAM brain4"), "OK");
    let start = SystemTime::UNIX_EPOCH;
    picture(&idle, "ready", start);
    let asked = from_now_on();
    desk.run(&phantom("brain.png"));
    let finding = picture(&idle, "finding", asked);
    // Written anew also while the case waited.
    let found = from_now_on();
    let ready = picture(&idle, "ready", found);
    let now = picture(&idle, "now", found);
    assert!(now.rgb == ready.rgb && now.rgb != finding.rgb);
    assert!(
        !idle.join("finding.png").exists(),
        "nor is its picture left"
    );
    assert!(
        stays.join("finding.png").exists(),
        "the other display keeps it"
    );
    // A page that is turned to brings it back.
    let turned = from_now_on();
    assert_eq!(desk.ask("DISP:PAGE 0"), "OK");
    assert!(picture(&idle, "finding", turned).rgb == finding.rgb);
    // So does a new finding.
    let asked = from_now_on();
    picture(&idle, "ready", asked);
    desk.run(&phantom("brain.png"));
    picture(&idle, "finding", asked);
    assert!(desk.end().success());
}

#[test]
fn the_display_names_the_exam_and_shows_the_patient_where_that_is_allowed() {
    let start = SystemTime::UNIX_EPOCH;
    let shown = |bundle: &Path, more: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let place = format!("png:{}", folder.path().join("shown").display());
        let mut process = command(folder.path(), bundle)
            .args(["--display", &place])
            .args(more)
            .spawn()
            .expect("the program starts");
        let mut desk = Desk {
            to: process.stdin.take().expect("a pipe"),
            from: BufReader::new(process.stdout.take().expect("a pipe")),
            process,
        };
        assert_eq!(desk.ask("EXAM 1"), "OK");
        assert_eq!(desk.ask("CASE:AGE 34"), "OK");
        desk.run(&phantom("brain.png"));
        let shown = picture(&folder.path().join("shown"), "finding", start);
        assert!(desk.end().success());
        shown.rgb
    };
    // Two exams that differ in what they are called alone.
    let bundle = |line: &str| {
        let bundle = copy_of_starter();
        let manifest = bundle.path().join("bundle.toml");
        let text = std::fs::read_to_string(&manifest).unwrap();
        let known = "short_title = \"Brain MRI: tumour\"\n";
        assert!(text.contains(known));
        let text = text.replace(known, line).replace("\"brain4\"", "\"1\"");
        std::fs::write(manifest, text).unwrap();
        let answers = "known_answers/answers.json";
        let file = bundle.path().join(answers);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, text.replace("\"brain4\"", "\"1\"")).unwrap();
        crate::common::seal(bundle.path(), answers);
        bundle
    };
    let (head, unnamed) = (bundle("short_title = \"Head\"\n"), bundle(""));
    let of_head = shown(head.path(), &[]);
    assert!(
        of_head != shown(unnamed.path(), &[]),
        "the name, where it has no title"
    );
    assert!(of_head == shown(head.path(), &[]), "the same is the same");
    assert!(of_head != shown(head.path(), &["--display-patient"]), "age");
}
