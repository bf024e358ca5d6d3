//! What somebody without the key writes behind the journal's end: moved to the evidence where the
//! device had ended in order, else nothing ends and nothing is taken on by its word.

use std::ops::RangeInclusive;

use super::*;

/// Writes lines behind the end, numbered and chained as the program does: this needs no key.
fn forge(folder: &Path, entries: &[Entry]) {
    let mut all = lines(&Stored::of(folder).journal);
    for entry in entries {
        let seq = all.len() as u64 + 1;
        let time = "2026-01-01T00:00:00Z".parse().unwrap();
        let entry = entry.clone();
        all.push(serde_json::to_vec(&Line { seq, time, entry }).unwrap());
    }
    write(folder, &chained(&all));
}

/// Which cases a start finds ended, and which delivered.
fn ended(history: History) -> Vec<(u64, bool, bool)> {
    let cases = history.cases().into_iter();
    let told = |(number, case): (u64, CaseHistory)| {
        let is_delivered = !case.delivered.is_empty() || !case.declined.is_empty();
        (number, case.end.is_some(), is_delivered)
    };
    cases.map(told).collect()
}

fn delivered(case: u64) -> Entry {
    let sink = "results".to_owned();
    let notes = Vec::new();
    Entry::Delivered { case, sink, notes }
}

fn declined(case: u64) -> Entry {
    let (sink, code) = ("results".to_owned(), "not_dicom".to_owned());
    Entry::Declined { case, sink, code }
}

fn no_point_is_of(folder: &Path, journal: &Journal, unsigned: &RangeInclusive<u64>) {
    let history = super::history(folder).unwrap();
    for (line, span) in &history.lines {
        let (_, point) = journal.reader().read_signed(*span).unwrap();
        assert!(!unsigned.contains(&line.seq) || point.is_none(), "{line:?}");
    }
}

#[test]
fn what_stands_behind_an_end_in_order_is_somebody_elses_and_goes_to_the_evidence() {
    let forgeries: [(&str, Vec<Entry>); 5] = [
        (
            "an answer",
            vec![accepted(7), Entry::Started { case: 7 }, answered(7)],
        ),
        ("a delivery", vec![delivered(2)]),
        ("an end", vec![Entry::Aborted { case: 3 }]),
        ("the highest number", vec![accepted(u64::MAX)]),
        ("another device's adoption", vec![adopted_by_another()]),
    ];
    for (what, forged) in forgeries {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        used(folder, 2);
        let (mut journal, _) = Journal::open(folder, Clock::system()).unwrap();
        journal.append(accepted(3)).unwrap();
        journal.sign().unwrap();
        drop(journal);
        assert_eq!(report(folder, None).whole(), Whole::Yes, "{what}");
        let end = Stored::of(folder).journal;
        forge(folder, &forged);
        let added = Stored::of(folder).journal[end.len()..].to_vec();
        let before = report(folder, None);
        assert!(
            before.faults.contains(&"journal_added"),
            "{what}: {before:?}"
        );
        let (journal, history) = Journal::open(folder, Clock::system()).unwrap();
        assert_eq!(journal.doubt().get(), Some(How::Added), "{what}");
        assert_eq!(journal.next_case(), 4, "{what}");
        let told = [(1, true, false), (2, true, false), (3, false, false)];
        assert_eq!(ended(history), told, "{what}");
        assert!(Stored::of(folder).journal.starts_with(&end), "{what}");
        let kept = folder.join(format!("journal-found-at-{}-1", lines(&end).len()));
        assert_eq!(std::fs::read(kept).unwrap(), added, "{what}");
        drop(journal);
        let (_, history) = Journal::open(folder, Clock::system()).unwrap();
        assert_eq!(ended(history), told, "{what}: at the next start");
    }
}

#[test]
fn an_old_mark_that_is_put_back_makes_nothing_somebody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let Stored { mark, .. } = used(folder.path(), 1);
    let Stored { journal, .. } = used(folder.path(), 3);
    Stored { journal, mark }.put(folder.path());
    let (journal, history) = Journal::open(folder.path(), Clock::system()).unwrap();
    assert_eq!((ended(history).len(), journal.next_case()), (3, 4));
}

#[test]
fn half_a_line_behind_an_end_in_order_is_evidence_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = used(folder.path(), 1).journal;
    bytes.extend_from_slice(b"somebody was here");
    write(folder.path(), &bytes);
    let (journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    assert_eq!(journal.doubt().get(), Some(How::Added));
}

#[test]
fn after_a_power_failure_nothing_ends_by_the_word_of_what_is_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    used(folder, 2);
    let (mut journal, _) = Journal::open(folder, Clock::system()).unwrap();
    journal.append(accepted(3)).unwrap();
    journal.append(Entry::Aborted { case: 3 }).unwrap();
    journal.append(delivered(2)).unwrap();
    let early = Stored::of(folder).mark;
    journal.append(accepted(4)).unwrap();
    drop(journal);
    let end = lines(&Stored::of(folder).journal).len() as u64;
    forge(
        folder,
        &[
            accepted(7),
            Entry::Started { case: 7 },
            answered(7),
            delivered(1),
            declined(1),
            Entry::Aborted { case: 4 },
            adopted_by_another(),
        ],
    );
    // What was acknowledged, and no more: cases that began are run, and 7 is as well.
    let told = [
        (1, true, false),
        (2, true, true),
        (3, true, false),
        (4, false, false),
        (7, false, false),
    ];
    for start in 0..3 {
        let (mut journal, history) = Journal::open(folder, Clock::system()).unwrap();
        assert_eq!(ended(history), told, "start {start}");
        no_point_is_of(folder, &journal, &(end + 1..=end + 7));
        if start == 1 {
            journal.sign().unwrap();
        }
        drop(journal);
    }
    let found = report(folder, None);
    assert_eq!(found.whole(), Whole::Yes, "{found:?}");
    assert_eq!(
        (found.adopted, found.found_unsigned),
        (None, vec![[end + 1, end + 7]])
    );
    // Nor with the mark of before put back, and the entry that says so cut off or changed.
    let all = lines(&Stored::of(folder).journal);
    let at = end as usize + 7;
    let mut without = all[..at].to_vec();
    without.extend_from_slice(&all[at + 1..]);
    for journal in [all.clone(), all[..at].to_vec(), renumbered(without)] {
        let journal = chained(&journal);
        let mark = early.clone();
        Stored { journal, mark }.put(folder);
        let (journal, history) = Journal::open(folder, Clock::system()).unwrap();
        assert_eq!(ended(history), told);
        no_point_is_of(folder, &journal, &(end + 1..=end + 7));
    }
}

fn adopted_by_another() -> Entry {
    let other = tempfile::tempdir().unwrap();
    used(other.path(), 1);
    let by = super::history(other.path()).unwrap().origin.unwrap();
    Entry::Adopted {
        by,
        because: "x".to_owned(),
        damaged: vec![[1, 9]],
    }
}

#[test]
fn a_made_up_adoption_takes_nothing_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let stored = used(folder, 3);
    let all = lines(&stored.journal);
    let by = super::history(folder).unwrap().origin.unwrap();
    write(folder, &all[..all.len() - 2].concat());
    drop(Journal::open(folder, Clock::system()).unwrap());
    let before = report(folder, None);
    assert_eq!(
        (before.whole(), &before.faults),
        (Whole::No, &vec!["journal"])
    );
    assert_eq!(before.open, ["journal_cut"]);
    let damaged = before.damaged.clone();
    let because = "routine".to_owned();
    // Cut entries have numbers that the lines do not show.
    let seq = before.end.seq + 1;
    let time = "2026-01-01T00:00:00Z".parse().unwrap();
    let entry = Entry::Adopted {
        by,
        because,
        damaged,
    };
    let object = serde_json::to_vec(&Line { seq, time, entry }).unwrap();
    let (line, _) = chain::seal(&before.end.head.0, object);
    let mut bytes = Stored::of(folder).journal;
    bytes.extend_from_slice(&line);
    write(folder, &bytes);
    for start in 0..3 {
        let found = report(folder, None);
        assert_eq!(
            (found.adopted, &found.faults),
            (None, &before.faults),
            "{start}"
        );
        assert_eq!(found.open, ["journal_cut"], "{start}");
        let (mut journal, _) = Journal::open(folder, Clock::system()).unwrap();
        assert_eq!(journal.doubt().get(), Some(How::Cut), "{start}");
        // Entries behind bring it into the stretch that is signed.
        journal.append(Entry::Started { case: 1 }).unwrap();
    }
    Journal::adopt(folder, "looked into", Clock::system()).unwrap();
    let found = report(folder, None);
    assert_eq!(found.whole(), Whole::Yes, "{found:?}");
}

#[test]
fn a_device_that_goes_on_behind_its_end_is_not_taken_for_somebody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    journal.append(accepted(1)).unwrap();
    journal.sign().unwrap();
    let ended = Stored::of(folder.path()).mark;
    journal.append(Entry::Started { case: 1 }).unwrap();
    assert_ne!(Stored::of(folder.path()).mark, ended);
    drop(journal);
    let (journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    assert_eq!(journal.doubt().get(), None);
}

#[test]
fn no_number_is_given_twice_whatever_number_somebody_makes_up() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
    journal.append(accepted(1)).unwrap();
    drop(journal);
    forge(folder.path(), &[accepted(u64::MAX), delivered(u64::MAX)]);
    let (mut journal, history) = Journal::open(folder.path(), Clock::system()).unwrap();
    assert_eq!(history.damaged, [4..=5]);
    let given: Vec<u64> = (0..3)
        .map(|_| {
            let case = journal.next_case();
            journal.append(accepted(case)).unwrap();
            case
        })
        .collect();
    assert_eq!(given, [4, 5, 6]);
    let error = journal.append(accepted(6)).unwrap_err();
    assert_eq!(error.code(), "case_number_given");
    // Where all are given, the next one is refused.
    journal.append(accepted(u64::MAX)).unwrap();
    let case = journal.next_case();
    assert!(journal.append(accepted(case)).is_err());
}
