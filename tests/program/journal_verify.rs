//! `medfocus journal verify` on what is no journal, no key and no point: it ends soon, says what is
//! wrong with which file, and never takes it for whole.
#![cfg(target_os = "linux")]

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::common::root;

struct Case {
    name: &'static str,
    /// Makes it of a good state folder.
    make: fn(&Path),
    more: &'static [&'static str],
    code: i32,
    says: &'static str,
}

const WHOLE: Case = Case {
    name: "",
    make: |_| (),
    more: &[],
    code: 3,
    says: "",
};

/// A state folder with a journal of 44 entries.
fn state() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = root().join("tests/device/written_before/39cdd1b");
    for name in [
        "journal.ndjson",
        "device-id",
        "device-key.pub",
        "device-mark",
    ] {
        std::fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// In place of a file, a pipe that nobody writes: whoever opens it waits for ever.
fn pipe(file: &Path) {
    let _ = std::fs::remove_file(file);
    mknodat(CWD, file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

fn append(state: &Path, bytes: &[u8]) {
    let file = state.join("journal.ndjson");
    let mut text = std::fs::read(&file).unwrap();
    text.extend_from_slice(bytes);
    std::fs::write(file, text).unwrap();
}

/// The journal, cut to so many bytes.
fn cut(state: &Path, length: impl Fn(usize) -> usize) {
    let file = state.join("journal.ndjson");
    let text = std::fs::read(&file).unwrap();
    std::fs::write(file, &text[..length(text.len())]).unwrap();
}

fn verify(state: &Path, more: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["20", env!("CARGO_BIN_EXE_medfocus"), "journal", "--state"]);
    command
        .arg(state)
        .arg("verify")
        .args(more)
        .current_dir(state);
    command.output().unwrap()
}

#[test]
fn whatever_lies_there_is_told_and_nothing_is_waited_for() {
    let cases = [
        Case {
            name: "as the device left it",
            code: 0,
            ..WHOLE
        },
        Case {
            name: "a pipe",
            make: |state| pipe(&state.join("journal.ndjson")),
            says: "journal.ndjson: it is a pipe and no file",
            ..WHOLE
        },
        Case {
            name: "a folder",
            make: |state| {
                std::fs::remove_file(state.join("journal.ndjson")).unwrap();
                std::fs::create_dir(state.join("journal.ndjson")).unwrap();
            },
            says: "journal.ndjson: it is a folder and no file",
            ..WHOLE
        },
        Case {
            name: "a link to a device",
            make: |state| {
                std::fs::remove_file(state.join("journal.ndjson")).unwrap();
                symlink("/dev/full", state.join("journal.ndjson")).unwrap();
            },
            says: "journal.ndjson: it is a link",
            ..WHOLE
        },
        Case {
            name: "nothing",
            make: |state| std::fs::remove_file(state.join("journal.ndjson")).unwrap(),
            says: "(journal_missing)",
            ..WHOLE
        },
        Case {
            name: "cut within a line",
            make: |state| cut(state, |length| length - 37),
            says: "(journal_cut)",
            ..WHOLE
        },
        Case {
            name: "cut to a few bytes",
            make: |state| cut(state, |_| 5),
            says: "(journal",
            ..WHOLE
        },
        Case {
            name: "a line of 64 MiB",
            make: |state| append(state, &[&vec![b'a'; 64 << 20][..], b"\n"].concat()),
            says: "damaged: entry 45 (journal)",
            ..WHOLE
        },
        Case {
            name: "line ends alone",
            make: |state| append(state, &[b'\n'; 10_000]),
            says: "damaged: entries 45 to 10044 (journal)",
            ..WHOLE
        },
        Case {
            name: "the mark is a pipe",
            make: |state| pipe(&state.join("device-mark")),
            says: "(journal_unmarked)",
            ..WHOLE
        },
        Case {
            name: "the public key is a pipe",
            make: |state| pipe(&state.join("device-key.pub")),
            says: "device-key.pub: it is a pipe and no file",
            ..WHOLE
        },
        Case {
            name: "the given key is a pipe",
            make: |state| pipe(&state.join("given")),
            more: &["--key", "given"],
            code: 2,
            says: "'given' is neither a device's public key (64 hexadecimal digits) nor a file that \
                   holds one: it is a pipe and no file",
        },
        Case {
            name: "the given key has no end",
            more: &["--key", "/dev/zero"],
            code: 2,
            says: "it is a device and no file",
            ..WHOLE
        },
        Case {
            name: "the given key is long",
            make: |state| std::fs::write(state.join("given"), vec![b'a'; 1 << 20]).unwrap(),
            more: &["--key", "given"],
            code: 2,
            says: "the file has more than 4096 bytes",
        },
        Case {
            name: "the given key is a folder",
            more: &["--key", "."],
            code: 2,
            says: "it is a folder and no file",
            ..WHOLE
        },
        Case {
            name: "no point",
            more: &["--against", "{\"journal\":{\"entry\":44}}"],
            code: 2,
            says: "this is no point of a journal",
            ..WHOLE
        },
    ];
    for case in &cases {
        let state = state();
        (case.make)(state.path());
        let output = verify(state.path(), case.more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(case.code),
            "{}: {said}",
            case.name
        );
        assert!(said.contains(case.says), "{}: {said}", case.name);
    }
}

#[test]
fn a_state_folder_that_is_a_file_is_told_as_that() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    std::fs::write(&file, "").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_medfocus"))
        .args(["journal", "--state"])
        .arg(&file)
        .arg("verify")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("cure: check the path"), "{said}");
}
