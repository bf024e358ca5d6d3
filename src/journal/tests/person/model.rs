//! Random edits of a journal by a person without the key, and random accidents: each is found
//! by the mark, or by a point that was told before.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::device_key::DeviceKey;
use crate::storage::Disk;

/// One edit of a file by who has no key.
#[derive(Debug, Clone)]
enum Meddle {
    /// Lines taken out.
    Drop(prop::sample::Index, usize),
    /// Two lines exchanged.
    Swap(prop::sample::Index, prop::sample::Index),
    /// A line put in once more.
    Repeat(prop::sample::Index, prop::sample::Index),
    /// A word changed.
    Word(prop::sample::Index),
    /// Cut off behind a line.
    Cut(prop::sample::Index),
    /// A point signed by another key.
    Sign(prop::sample::Index),
}

fn meddles() -> impl Strategy<Value = Meddle> {
    use any as index;
    type At = prop::sample::Index;
    prop_oneof![
        (index::<At>(), 1_usize..4).prop_map(|(at, count)| Meddle::Drop(at, count)),
        (index::<At>(), index::<At>()).prop_map(|(a, b)| Meddle::Swap(a, b)),
        (index::<At>(), index::<At>()).prop_map(|(a, b)| Meddle::Repeat(a, b)),
        index::<At>().prop_map(Meddle::Word),
        index::<At>().prop_map(Meddle::Cut),
        index::<At>().prop_map(Meddle::Sign),
    ]
}

fn meddle(lines: &mut Vec<Vec<u8>>, meddle: &Meddle, other: &DeviceKey) {
    let many = lines.len();
    match meddle {
        _ if many == 0 => {}
        Meddle::Drop(at, count) => {
            let at = at.index(many);
            lines.drain(at..(at + count).min(many));
        }
        Meddle::Swap(a, b) => lines.swap(a.index(many), b.index(many)),
        Meddle::Repeat(from, to) => lines.insert(to.index(many), lines[from.index(many)].clone()),
        Meddle::Word(at) => {
            let line = &mut lines[at.index(many)];
            let mut value: Value = serde_json::from_slice(line).unwrap();
            value["time"] = json!("2001-02-03T04:05:06Z");
            *line = serde_json::to_vec(&value).unwrap();
        }
        Meddle::Cut(at) => lines.truncate(at.index(many)),
        Meddle::Sign(at) => {
            let line = &mut lines[at.index(many)];
            let mut value: Value = serde_json::from_slice(line).unwrap();
            if value["event"] == "checkpoint" {
                let seq = value["point"]["seq"].as_u64().unwrap();
                value["point"] = json!(Checkpoint::signed(other, seq, [7; 32]));
                *line = serde_json::to_vec(&value).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_who_has_no_key_makes_of_it_is_found(
        edits in prop::collection::vec(meddles(), 1..4),
        is_renumbered: bool,
        is_chained: bool,
        puts_mark_back: bool,
    ) {
        let [folder, another] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let other = DeviceKey::of(&*Disk::make(another.path()).unwrap()).unwrap();
        let early = used(folder.path(), 1);
        let stored = used(folder.path(), 3);
        let point = told(&stored.journal);
        let mut all = lines(&stored.journal);
        for edit in &edits {
            meddle(&mut all, edit, &other);
        }
        if is_renumbered {
            all = renumbered(all);
        }
        let bytes = if is_chained {
            chained(&all)
        } else {
            all.iter().flat_map(|line| {
                let mut line = line.clone();
                if line.last() != Some(&b'\n') {
                    line.push(b'\n');
                }
                line
            }).collect()
        };
        let mark = if puts_mark_back { &early.mark } else { &stored.mark };
        let is_same = bytes == stored.journal;
        let to_point = lines(&stored.journal)[..point.seq as usize].concat();
        let keeps_point = bytes.starts_with(&to_point);
        Stored { journal: bytes, mark: mark.clone() }.put(folder.path());
        let found = report(folder.path(), Some(point));
        // A point proves what is before it.
        prop_assert!(found.whole() == Whole::No || keeps_point, "{:?}", found);
        prop_assert!(found.whole() == Whole::Yes || !is_same, "{:?}", found);
        if !puts_mark_back {
            let found = report(folder.path(), None);
            prop_assert_eq!(found.whole() == Whole::No, !is_same, "{:?}", found);
        }
        // Whatever it is, the device starts on it and gives no number twice.
        let journal = Journal::open(folder.path(), Clock::system());
        prop_assert!(journal.is_ok(), "{:?}", journal.err());
        let (journal, _) = journal.unwrap();
        prop_assert!(puts_mark_back || journal.next_case() >= 4);
        prop_assert!(puts_mark_back || is_same == journal.doubt().get().is_none()
            || !report(folder.path(), None).damaged.is_empty());
    }

    #[test]
    fn whatever_an_accident_makes_of_it_is_found(
        at: prop::sample::Index,
        length in 1_usize..600,
        kind in 0_u8..3,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let stored = used(folder.path(), 2);
        let mut bytes = stored.journal.clone();
        let at = at.index(bytes.len());
        let to = (at + length).min(bytes.len());
        match kind {
            0 => bytes[at] ^= 1,
            1 => bytes[at..to].fill(0),
            _ => bytes.truncate(at),
        }
        write(folder.path(), &bytes);
        prop_assert_eq!(report(folder.path(), None).whole(), Whole::No);
        let (journal, _) = Journal::open(folder.path(), Clock::system()).unwrap();
        prop_assert_eq!(journal.next_case(), 3);
    }
}
