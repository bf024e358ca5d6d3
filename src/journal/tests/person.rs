//! The journal against a person who may write its file and has not the device's key: what was
//! cut, emptied, replaced or written anew is told, by the device and by `verify`, and no
//! number is given twice. Random edits beside those that were found.

mod behind;
mod model;

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::super::chain::{self, START};
use super::*;

fn answered(case: u64) -> Entry {
    let record = json!({ "status": "finding", "class": "normal", "case": case.to_string() });
    Entry::Answered {
        case,
        image: None,
        record: serde_json::from_value(record).unwrap(),
    }
}

/// A device that answered so many cases and was switched off.
fn used(folder: &Path, count: u64) -> Stored {
    let (mut journal, _) = Journal::open(folder, Clock::system()).unwrap();
    for case in journal.next_case()..=count {
        journal.append(accepted(case)).unwrap();
        journal.append(answered(case)).unwrap();
    }
    journal.sign().unwrap();
    Stored::of(folder)
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

/// Writes lines anew, chained as the program chains them: this needs no key.
fn chained(lines: &[Vec<u8>]) -> Vec<u8> {
    let (mut bytes, mut before) = (Vec::new(), START);
    for line in lines {
        let mut value: Value = serde_json::from_slice(line).unwrap();
        value.as_object_mut().unwrap().remove("chain");
        let (sealed, link) = chain::seal(&before, serde_json::to_vec(&value).unwrap());
        bytes.extend_from_slice(&sealed);
        before = link;
    }
    bytes
}

/// The last point that a finding went out with.
fn told(bytes: &[u8]) -> Checkpoint {
    let points = lines(bytes).into_iter().rev();
    let mut points = points.filter_map(|line| {
        let value: Value = serde_json::from_slice(&line).ok()?;
        serde_json::from_value(value.get("point")?.clone()).ok()
    });
    points.next().unwrap()
}

fn report(folder: &Path, against: Option<Checkpoint>) -> Report {
    verify(folder, None, against.map(Known::from)).unwrap()
}

/// What somebody does to a journal while the device is off.
type Edit = fn(&Path, &Stored);

fn write(folder: &Path, bytes: &[u8]) {
    std::fs::write(folder.join(FILE), bytes).unwrap();
}

#[test]
fn what_a_person_did_while_it_was_off_is_told_before_and_after_the_next_start() {
    let edits: [(&str, Edit, &str, &str); 9] = [
        (
            "the last entries are cut off",
            |folder, stored| {
                let all = lines(&stored.journal);
                write(folder, &all[..all.len() - 4].concat());
            },
            "journal_cut",
            "journal_cut",
        ),
        (
            "cut in the middle of a line",
            |folder, stored| write(folder, &stored.journal[..stored.journal.len() - 9]),
            "journal_cut",
            "journal_cut",
        ),
        (
            "emptied",
            |folder, _| write(folder, b""),
            "journal_missing",
            "journal_missing",
        ),
        (
            "removed",
            |folder, _| std::fs::remove_file(folder.join(FILE)).unwrap(),
            "journal_missing",
            "journal_missing",
        ),
        (
            "an answer changed, and the whole chain written anew",
            |folder, stored| {
                let text = String::from_utf8(stored.journal.clone()).unwrap();
                let changed = text.replacen("\"normal\"", "\"tuberculosis\"", 1);
                write(folder, &chained(&lines(changed.as_bytes())));
            },
            "journal_changed",
            "journal_changed",
        ),
        (
            "the same, without any signed point",
            |folder, stored| {
                let text = String::from_utf8(stored.journal.clone()).unwrap();
                let changed = text.replacen("\"normal\"", "\"tuberculosis\"", 1);
                let all = lines(changed.as_bytes());
                let all: Vec<_> = all
                    .into_iter()
                    .filter(|line| !line.windows(10).any(|part| part == b"checkpoint"))
                    .collect();
                write(folder, &chained(&renumbered(all)));
            },
            "journal_cut",
            "journal_cut",
        ),
        (
            "a journal of before in its place",
            |folder, _| write(folder, include_bytes!("before.ndjson")),
            "journal_cut",
            "journal_cut",
        ),
        (
            "the mark removed",
            |folder, _| std::fs::remove_file(folder.join(mark::FILE)).unwrap(),
            "journal_unmarked",
            "journal_unmarked",
        ),
        (
            "the mark written over",
            |folder, _| std::fs::write(folder.join(mark::FILE), "{}").unwrap(),
            "journal_unmarked",
            "journal_unmarked",
        ),
    ];
    for (what, edit, fault, found) in edits {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let stored = used(folder, 5);
        assert_eq!(report(folder, None).whole(), Whole::Yes, "{what}");
        edit(folder, &stored);
        let before = report(folder, None);
        assert_eq!(before.whole(), Whole::No, "{what}: {before:?}");
        assert!(before.faults.contains(&fault), "{what}: {before:?}");
        let (journal, _) = Journal::open(folder, Clock::system()).unwrap();
        assert_eq!(journal.doubt().get().map(How::code), Some(found), "{what}");
        assert_eq!(journal.next_case(), 6, "{what}: a number given twice");
        drop(journal);
        // It stays told, at every start, until a person takes it on.
        let (journal, _) = Journal::open(folder, Clock::system()).unwrap();
        assert_eq!(journal.doubt().get().map(How::code), Some(found), "{what}");
        drop(journal);
        let after = report(folder, None);
        assert_eq!(after.open, [found], "{what}: {after:?}");
        assert_ne!(after.whole(), Whole::Yes, "{what}");
        Journal::adopt(folder, "looked into", Clock::system()).unwrap();
        let (journal, _) = Journal::open(folder, Clock::system()).unwrap();
        assert_eq!(journal.doubt().get(), None, "{what}");
        drop(journal);
        let adopted = report(folder, None);
        assert_eq!(adopted.whole(), Whole::Yes, "{what}: {adopted:?}");
        assert_eq!(adopted.not_as_left.len(), 1, "{what}: it is shown for ever");
        let nothing = Journal::adopt(folder, "again", Clock::system()).unwrap_err();
        assert_eq!(nothing.code(), "nothing_to_adopt");
    }
}

#[test]
fn what_a_person_does_while_it_runs_is_told_before_the_next_answer() {
    let edits: [(&str, Edit, How, bool); 7] = [
        (
            "cut",
            |folder, stored| write(folder, &stored.journal[..stored.journal.len() - 500]),
            How::Cut,
            false,
        ),
        ("emptied", |folder, _| write(folder, b""), How::Cut, false),
        (
            "a line of its own appended, well chained",
            |folder, stored| {
                let mut all = lines(&stored.journal);
                let seq = all.len() + 1;
                let forged = json!({
                    "seq": seq, "time": "2026-01-01T00:00:00Z", "event": "answered", "case": 1,
                    "record": { "status": "finding", "class": "forged" },
                });
                all.push(serde_json::to_vec(&forged).unwrap());
                write(folder, &chained(&all));
            },
            How::Added,
            true,
        ),
        (
            "another file in its place",
            |folder, _| {
                std::fs::write(folder.join("other"), "other\n").unwrap();
                std::fs::rename(folder.join("other"), folder.join(FILE)).unwrap();
            },
            How::Replaced,
            true,
        ),
        (
            "a link in its place",
            |folder, _| {
                std::fs::remove_file(folder.join(FILE)).unwrap();
                std::os::unix::fs::symlink("device-id", folder.join(FILE)).unwrap();
            },
            How::Replaced,
            true,
        ),
        (
            "removed",
            |folder, _| std::fs::remove_file(folder.join(FILE)).unwrap(),
            How::Missing,
            false,
        ),
        (
            "a word changed in place, as long as before",
            |folder, stored| {
                // Past the tick that the file's times are told in.
                std::thread::sleep(Duration::from_millis(20));
                let text = String::from_utf8(stored.journal.clone()).unwrap();
                let changed = text.replacen("\"normal\"", "\"benign\"", 1);
                write(folder, &chained(&lines(changed.as_bytes())));
            },
            How::Changed,
            false,
        ),
    ];
    for (what, edit, how, has_evidence) in edits {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let (mut journal, _) = Journal::open(folder, Clock::system()).unwrap();
        let span = journal.append(accepted(1)).unwrap();
        journal.append(answered(1)).unwrap();
        journal.append(accepted(2)).unwrap();
        edit(folder, &Stored::of(folder));
        journal.append(answered(2)).unwrap();
        assert_eq!(journal.doubt().get(), Some(how), "{what}");
        assert_eq!(journal.next_case(), 3, "{what}");
        journal.append(accepted(3)).unwrap();
        let history = super::history(folder).unwrap();
        let noted: Vec<_> = history
            .lines
            .iter()
            .filter_map(|(line, _)| match &line.entry {
                Entry::NotAsLeft { how, evidence, .. } => Some((*how, evidence.is_some())),
                _ => None,
            })
            .collect();
        assert_eq!(
            noted,
            [(how, has_evidence || how == How::Cut && noted[0].1)],
            "{what}"
        );
        assert!(
            cases(&history).ends_with(&[2, 3]),
            "{what}: {:?}",
            cases(&history)
        );
        let forged = history
            .lines
            .iter()
            .any(|(line, _)| serde_json::to_string(line).unwrap().contains("forged"));
        assert!(!forged, "{what}: what somebody wrote is no entry");
        if matches!(how, How::Replaced | How::Missing | How::Added) {
            assert_eq!(cases(&history), [1, 1, 2, 2, 3], "{what}: nothing is lost");
            assert_eq!(journal.reader().read(span).unwrap().entry, accepted(1));
        }
        drop(journal);
        assert_eq!(report(folder, None).open, [how.code()], "{what}");
        let (journal, _) = Journal::open(folder, Clock::system()).unwrap();
        assert_eq!(journal.next_case(), 4, "{what}");
    }
}

#[test]
fn rights_and_owner_may_be_changed_while_it_runs() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    journal.append(accepted(1)).unwrap();
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(folder.path().join(FILE), mode).unwrap();
    journal.append(answered(1)).unwrap();
    assert_eq!(journal.doubt().get(), None);
    assert_eq!(report(folder.path(), None).whole(), Whole::Yes);
}

#[test]
fn whoever_may_read_the_journal_and_not_the_mark_can_verify_it() {
    use rustix::process::{Uid, geteuid};
    use std::os::unix::fs::PermissionsExt;
    if !geteuid().is_root() {
        return eprintln!("skipped: another user needs root");
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let stored = used(folder, 2);
    let open_to = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    open_to(folder, 0o755);
    open_to(&folder.join(FILE), 0o644);
    let by_another = || {
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                let another = Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(another, another, another).unwrap();
                verify(folder, None, None)
            });
            asked.join().unwrap()
        })
    };
    let found = by_another().unwrap();
    assert!(!found.is_mark_compared);
    assert_eq!((found.whole(), found.mark), (Whole::Yes, None));
    assert!(report(folder, None).is_mark_compared);
    // What is wrong all the same is found.
    let text = String::from_utf8(stored.journal).unwrap();
    write(folder, text.replacen("normal", "benign", 1).as_bytes());
    assert_eq!(by_another().unwrap().whole(), Whole::No);
}

#[test]
fn an_answer_that_was_changed_since_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    journal.append(accepted(1)).unwrap();
    let span = journal.append(answered(1)).unwrap();
    let reader = journal.reader();
    let (line, point) = reader.read_signed(span).unwrap();
    let point = point.unwrap();
    assert_eq!(point.seq, line.seq);
    assert!(point.is_signed_by(&journal.key()));
    let text = std::fs::read_to_string(folder.path().join(FILE)).unwrap();
    // With the chain written anew, and without.
    let changed = text.replacen("\"normal\"", "\"benign\"", 1);
    for bytes in [
        changed.clone().into_bytes(),
        chained(&lines(changed.as_bytes())),
    ] {
        write(folder.path(), &bytes);
        assert!(reader.read_signed(span).is_err());
    }
    write(folder.path(), text.as_bytes());
    assert!(reader.read_signed(span).is_ok());
}

#[test]
fn another_devices_journal_is_refused_and_can_be_adopted() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    used(one.path(), 3);
    drop(Journal::open(other.path(), Clock::system()).unwrap());
    // The journal of an old board, on a new one.
    std::fs::copy(one.path().join(FILE), other.path().join(FILE)).unwrap();
    let before = std::fs::read(other.path().join(FILE)).unwrap();
    let error = Journal::open(other.path(), Clock::system()).unwrap_err();
    assert_eq!(error.code(), "journal_foreign", "{error}");
    assert_eq!(std::fs::read(other.path().join(FILE)).unwrap(), before);
    assert!(
        report(other.path(), None)
            .faults
            .contains(&"journal_foreign")
    );
    let was = Journal::adopt(other.path(), "board changed", Clock::system()).unwrap();
    assert!(was.contains("and this is device"), "{was}");
    let (mut journal, _) = Journal::open(other.path(), Clock::system()).unwrap();
    assert_eq!((journal.next_case(), journal.doubt().get()), (4, None));
    journal.append(accepted(4)).unwrap();
    drop(journal);
    let report = report(other.path(), None);
    assert_eq!(report.whole(), Whole::Yes, "{report:?}");
    // Another number with the same key is another device as well.
    std::fs::write(other.path().join("device-id"), "00000000000000aa\n").unwrap();
    let error = Journal::open(other.path(), Clock::system()).unwrap_err();
    assert_eq!(error.code(), "journal_foreign", "{error}");
}

#[test]
fn only_a_point_told_elsewhere_finds_journal_and_mark_put_back_together() {
    let folder = tempfile::tempdir().unwrap();
    let old = used(folder.path(), 2);
    let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    journal.append(accepted(3)).unwrap();
    journal.append(answered(3)).unwrap();
    drop(journal);
    let point = told(&Stored::of(folder.path()).journal);
    let whole = report(folder.path(), Some(point));
    assert_eq!(whole.whole(), Whole::Yes);
    assert_eq!(whole.against.unwrap().is_signed, Some(true));
    old.put(folder.path());
    assert_eq!(
        report(folder.path(), None).whole(),
        Whole::Yes,
        "nothing here can tell"
    );
    let found = report(folder.path(), Some(point));
    assert_eq!(found.faults, ["point_not_found"]);
    assert_eq!(
        found.against.unwrap().is_signed,
        Some(true),
        "it was this device's"
    );
}

#[test]
fn entries_that_a_power_failure_left_unsigned_are_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    journal.append(accepted(1)).unwrap();
    let mark = Stored::of(folder.path()).mark;
    journal.append(Entry::Started { case: 1 }).unwrap();
    drop(journal);
    // The mark of the last entry was not on the disk yet.
    let stored = Stored::of(folder.path());
    Stored { mark, ..stored }.put(folder.path());
    let (journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    assert_eq!(journal.doubt().get(), None);
    drop(journal);
    let report = report(folder.path(), None);
    assert_eq!(report.whole(), Whole::Yes, "{report:?}");
    assert_eq!(report.found_unsigned, [[4, 4]]);
}

#[test]
fn each_start_and_answer_costs_no_more_lines_than_it_must() {
    let folder = tempfile::tempdir().unwrap();
    used(folder.path(), 1);
    let count = || lines(&Stored::of(folder.path()).journal).len();
    let before = count();
    for _ in 0..3 {
        drop(Journal::open(folder.path(), Clock::system()).unwrap());
    }
    assert_eq!(count(), before, "a start alone writes nothing");
    let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    for _ in 0..70 {
        journal.append(Entry::Started { case: 1 }).unwrap();
    }
    assert_eq!(count(), before + 71, "one signed point in 64 entries");
}

#[test]
fn garbage_behind_the_end_is_kept_as_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    journal.append(accepted(1)).unwrap();
    let path = folder.path().join(FILE);
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"somebody was here").unwrap();
    journal.append(answered(1)).unwrap();
    let names = std::fs::read_dir(folder.path()).unwrap();
    let names = names.map(|entry| entry.unwrap().path());
    let kept: Vec<_> = names
        .filter(|path| path.display().to_string().contains("journal-found-at-3"))
        .collect();
    assert_eq!(std::fs::read(&kept[0]).unwrap(), b"somebody was here");
    assert_eq!(kept.len(), 1);
}

/// Gives lines the numbers that they would have.
fn renumbered(lines: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let number = |(i, line): (usize, Vec<u8>)| {
        let mut value: Value = serde_json::from_slice(&line).unwrap();
        value["seq"] = json!(i + 1);
        serde_json::to_vec(&value).unwrap()
    };
    lines.into_iter().enumerate().map(number).collect()
}
