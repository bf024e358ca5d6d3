//! The journal against accidents: what survives a cut, a torn block, a flipped bit. Against a
//! person: [`person`].

mod person;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::held::lock;
use super::*;
use crate::case::{Order, Priority};
use crate::clock::Clock;

fn accepted(case: u64) -> Entry {
    Entry::Accepted {
        case,
        order: Order {
            source: "a\n\"b.png".to_owned(),
            exam: Some("brain4".to_owned()),
            region: Some([1, 2, 3, 4]),
            priority: Priority::Urgent,
            ..Order::default()
        },
    }
}

/// What a state folder holds of a journal.
struct Stored {
    journal: Vec<u8>,
    mark: Vec<u8>,
}

impl Stored {
    fn of(folder: &Path) -> Self {
        let read = |name| std::fs::read(folder.join(name)).unwrap();
        Self {
            journal: read(FILE),
            mark: read(mark::FILE),
        }
    }

    /// Puts it back as if the device had just been switched off.
    fn put(&self, folder: &Path) {
        std::fs::write(folder.join(FILE), &self.journal).unwrap();
        std::fs::write(folder.join(mark::FILE), &self.mark).unwrap();
    }
}

/// A journal of `count` accepted cases.
fn made(folder: &Path, count: u64) -> Stored {
    let (mut journal, _) = Journal::open(folder, Clock::system()).unwrap();
    for case in 1..=count {
        journal.append(accepted(case)).unwrap();
    }
    Stored::of(folder)
}

fn cases(history: &History) -> Vec<u64> {
    let lines = history.lines.iter();
    lines.filter_map(|(line, _)| line.entry.case()).collect()
}

/// Lines of a new journal that are of no case.
const HEAD: u64 = 2;

#[test]
fn what_was_appended_is_there_after_any_cut_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = made(folder.path(), 3).journal;
    let path = folder.path().join(FILE);
    let cuts = (0..=bytes.len())
        .step_by(31)
        .chain([bytes.len() - 1, bytes.len()]);
    for cut in cuts {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        // With the mark, the cut would be told; here the card lost both.
        std::fs::remove_file(folder.path().join(mark::FILE)).unwrap();
        let (mut journal, history) = Journal::open(folder.path(), Clock::system()).unwrap();
        let whole = bytes[..cut].iter().filter(|&&b| b == b'\n').count() as u64;
        let whole = whole.saturating_sub(HEAD);
        assert_eq!(
            cases(&history),
            (1..=whole).collect::<Vec<_>>(),
            "cut {cut}"
        );
        assert!(history.damaged.is_empty());
        let span = journal.append(accepted(9)).unwrap();
        let read = journal.reader().read(span).unwrap();
        assert_eq!(read.entry, accepted(9));
        drop(journal);
        let again = super::history(folder.path()).unwrap();
        assert_eq!(cases(&again).len() as u64, whole + 1, "cut {cut}");
        assert!(again.damaged.is_empty());
    }
}

#[test]
fn blocks_that_were_never_written_take_the_last_line_off() {
    let folder = tempfile::tempdir().unwrap();
    let whole = made(folder.path(), 2);
    let before = whole.mark.clone();
    let mut journal = Journal::open(folder.path(), Clock::system()).unwrap().0;
    journal.append(accepted(3)).unwrap();
    drop(journal);
    let bytes = Stored::of(folder.path()).journal;
    let start = 1 + bytes[..bytes.len() - 1]
        .iter()
        .rposition(|b| *b == b'\n')
        .unwrap();
    // But for the newline alone: that one can be mended.
    for from in (start..bytes.len() - 1).step_by(29) {
        let mut torn = bytes.clone();
        let to = (from + 40).min(bytes.len());
        torn[from..to].fill(0);
        // The mark is written after the line.
        let stored = Stored {
            journal: torn,
            mark: before.clone(),
        };
        stored.put(folder.path());
        let (journal, history) = Journal::open(folder.path(), Clock::system()).unwrap();
        assert_eq!((cases(&history), history.damaged.len()), (vec![1, 2], 0));
        assert_eq!(journal.doubt().get(), None, "nothing was acknowledged");
    }
}

/// An entry and its signed point are two lines that are written at once. Where only the second
/// came to be, an ordinary power failure looked like a broken card from then on.
#[test]
fn blocks_that_were_never_written_take_a_line_off_with_the_point_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let whole = made(folder.path(), 2);
    let mut journal = Journal::open(folder.path(), Clock::system()).unwrap().0;
    let start = Stored::of(folder.path()).journal.len();
    journal.append(Entry::Aborted { case: 2 }).unwrap();
    drop(journal);
    let bytes = Stored::of(folder.path()).journal;
    let end = start + bytes[start..].iter().position(|b| *b == b'\n').unwrap();
    assert!(end + 1 < bytes.len(), "a signed point is behind it");
    for from in (start..=end).step_by(29) {
        let mut journal = bytes.clone();
        journal[from..(from + 40).min(end + 1)].fill(0);
        // The mark is written after the lines.
        let mark = whole.mark.clone();
        Stored { journal, mark }.put(folder.path());
        let (journal, history) = Journal::open(folder.path(), Clock::system()).unwrap();
        assert_eq!((cases(&history), history.damaged.len()), (vec![1, 2], 0));
        assert_eq!(journal.doubt().get(), None, "nothing was acknowledged");
        drop(journal);
        let report = verify(folder.path(), None, None).unwrap();
        assert_eq!(
            (report.faults, report.damaged),
            (vec![], vec![]),
            "byte {from}"
        );
    }
}

/// What is signed behind a torn line was told: the line is damage, and nothing is taken off.
#[test]
fn a_torn_line_with_signed_ones_behind_it_stays_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let whole = made(folder.path(), 2);
    let mut journal = Journal::open(folder.path(), Clock::system()).unwrap().0;
    let start = Stored::of(folder.path()).journal.len();
    journal.append(Entry::Started { case: 1 }).unwrap();
    journal.append(Entry::Aborted { case: 2 }).unwrap();
    drop(journal);
    let mut journal = Stored::of(folder.path()).journal;
    journal[start + 5..start + 20].fill(0);
    let mark = whole.mark.clone();
    Stored { journal, mark }.put(folder.path());
    let (_, history) = Journal::open(folder.path(), Clock::system()).unwrap();
    assert_eq!(cases(&history), [1, 2, 2], "the end is still there");
    assert_eq!(history.damaged.len(), 1);
}

#[test]
fn every_flipped_bit_is_found_by_the_number_of_its_entry() {
    let folder = tempfile::tempdir().unwrap();
    let stored = made(folder.path(), 4);
    let path = folder.path().join(FILE);
    let mut entry = 1;
    for (at, byte) in stored.journal.iter().enumerate() {
        let mut spoilt = stored.journal.clone();
        spoilt[at] ^= 1 << (at % 8);
        std::fs::write(&path, &spoilt).unwrap();
        let history = super::history(folder.path()).unwrap();
        let damaged: Vec<u64> = history.damaged.iter().cloned().flatten().collect();
        assert!(damaged.contains(&entry), "byte {at}: {damaged:?}");
        let is_newline = *byte == b'\n';
        // Without the newline between them, two entries are one line.
        assert!(damaged.len() == 1 || is_newline, "byte {at}: {damaged:?}");
        entry += u64::from(is_newline);
    }
}

#[test]
fn a_journal_with_flipped_bits_goes_on_and_gives_no_number_twice() {
    let folder = tempfile::tempdir().unwrap();
    let stored = made(folder.path(), 4);
    for at in (0..stored.journal.len()).step_by(97) {
        let mut journal = stored.journal.clone();
        journal[at] ^= 1 << (at % 8);
        let mark = stored.mark.clone();
        Stored { journal, mark }.put(folder.path());
        let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
        assert_eq!(journal.next_case(), 5, "byte {at}");
        journal.append(accepted(9)).unwrap();
        drop(journal);
        let again = super::history(folder.path()).unwrap();
        assert_eq!(cases(&again).last(), Some(&9), "byte {at}");
        assert!(!again.damaged.is_empty(), "byte {at}");
    }
}

#[test]
fn what_is_no_line_of_ours_is_counted_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    std::fs::write(&path, b"\xff not json\n{\"event\":\"other\"}\n").unwrap();
    let (mut journal, history) = Journal::open(folder.path(), Clock::system()).unwrap();
    assert_eq!((history.lines.len(), &history.damaged), (0, &vec![1..=2]));
    assert_eq!(journal.next_case(), 3, "each may have given a number");
    journal.append(accepted(3)).unwrap();
    drop(journal);
    assert!(
        std::fs::read(&path)
            .unwrap()
            .starts_with(b"\xff not json\n")
    );
    let (_, history) = Journal::open(folder.path(), Clock::system()).unwrap();
    assert_eq!((cases(&history), &history.damaged), (vec![3], &vec![1..=2]));
}

#[test]
fn a_line_that_is_there_twice_is_found_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let stored = made(folder.path(), 3);
    let text = String::from_utf8(stored.journal).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for at in 0..lines.len() {
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        std::fs::write(folder.path().join(FILE), twice.concat()).unwrap();
        let damaged = history(folder.path()).unwrap().damaged;
        // Behind the last line, it stands in the place of another one.
        let number = at as u64 + if at + 1 == lines.len() { 2 } else { 1 };
        assert_eq!(damaged, [number..=number], "line {at}");
    }
}

#[test]
fn a_clock_set_back_is_written_and_changes_no_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    let to = "2020-01-01T00:00:00Z".parse().unwrap();
    let from = "2031-01-01T00:00:00Z".parse().unwrap();
    journal.pretend_clock_was_set(from, to);
    journal.append(accepted(1)).unwrap();
    journal.append(accepted(2)).unwrap();
    let history = super::history(folder.path()).unwrap();
    let seqs: Vec<u64> = history.lines.iter().map(|(line, _)| line.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    assert_eq!(history.lines[2].0.entry, Entry::ClockSet { from, to });
}

#[test]
fn two_cannot_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let held = Journal::open(folder.path(), Clock::system()).unwrap();
    let second = Journal::open(folder.path(), Clock::system());
    assert!(matches!(second, Err(JournalError::InUse { .. })));

    // A process that a killed device had just begun lets go of it: that is waited for.
    let path = folder.path().join(FILE);
    let file = File::open(&path).unwrap();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| lock(&file, &path, Duration::MAX, &Clock::system()));
        std::thread::sleep(Duration::from_millis(50));
        assert!(!second.is_finished());
        drop(held);
        second.join().unwrap().unwrap();
    });
}

#[test]
fn a_journal_of_before_is_read_gone_on_with_and_says_whose_it_is_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let old = include_bytes!("tests/before.ndjson");
    std::fs::write(folder.path().join(FILE), old).unwrap();
    let report = verify(folder.path(), None, None).unwrap();
    assert_eq!((report.whole(), report.entries), (Whole::Yes, 9));
    assert_eq!((report.origin, report.signed_to()), (None, None));
    let (mut journal, history) = Journal::open(folder.path(), Clock::system()).unwrap();
    assert_eq!(history.lines.len(), 9);
    assert_eq!(journal.doubt().get(), None);
    assert_eq!(journal.next_case(), 3);
    journal.append(accepted(3)).unwrap();
    drop(journal);
    let report = verify(folder.path(), None, None).unwrap();
    assert_eq!(report.whole(), Whole::Yes, "{report:?}");
    assert!(report.origin.is_some());
    assert_eq!(report.signed, [[1, 13]]);
    assert_eq!(
        report.found_unsigned,
        [[1, 9]],
        "who wrote these, nobody knows"
    );
    let bytes = std::fs::read(folder.path().join(FILE)).unwrap();
    assert!(bytes.starts_with(old));
}
