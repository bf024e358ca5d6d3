//! The table of all cases by number: state, and where acceptance and answer lie in the journal. Each
//! takes some twenty bytes, since those of years must fit in memory. Called by the board. Holds no
//! order and no answer.

use std::collections::{BTreeMap, BTreeSet};

use super::state::State;
use crate::journal::Span;

/// Neighbouring numbers that share one allocation.
const CHUNK: u64 = 256;

/// A case's state, where its acceptance and its answer lie, and what is still to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct CaseRow {
    pub state: State,
    pub accepted: Option<Span>,
    pub answer: Option<Span>,
    /// A host still has to take the answer.
    pub is_undelivered: bool,
    /// It is a refusal that lay in the device: of the same image, another may come.
    pub lies_in_device: bool,
}

impl CaseRow {
    pub fn is_ended(&self) -> bool {
        self.state.has_ended()
    }
}

type Chunk = Box<[Option<CaseRow>; CHUNK as usize]>;

/// The table of all cases, by number.
#[derive(Debug, Default)]
pub(super) struct CaseTable {
    chunks: BTreeMap<u64, Chunk>,
    undelivered: usize,
    /// No case before this one is undelivered.
    oldest: u64,
}

impl CaseTable {
    pub fn get(&self, case: u64) -> Option<&CaseRow> {
        let chunk = self.chunks.get(&(case / CHUNK))?;
        chunk[(case % CHUNK) as usize].as_ref()
    }

    pub fn set(&mut self, case: u64, row: CaseRow) {
        let chunk = self.chunks.entry(case / CHUNK);
        let chunk = chunk.or_insert_with(|| Box::new([None; CHUNK as usize]));
        let before = chunk[(case % CHUNK) as usize].replace(row);
        self.undelivered += usize::from(row.is_undelivered);
        self.undelivered -= usize::from(before.is_some_and(|before| before.is_undelivered));
        if row.is_undelivered {
            self.oldest = self.oldest.min(case);
        }
    }

    /// A host has this answer; whether none had it before.
    pub fn deliver(&mut self, case: u64) -> bool {
        let Some(row) = self.get(case).copied().filter(|s| s.is_undelivered) else {
            return false;
        };
        let is_undelivered = false;
        self.set(
            case,
            CaseRow {
                is_undelivered,
                ..row
            },
        );
        true
    }

    /// How many ended cases' answers no host has.
    pub fn undelivered(&self) -> usize {
        self.undelivered
    }

    pub fn is_undelivered(&self, case: u64) -> bool {
        self.get(case).is_some_and(|row| row.is_undelivered)
    }

    /// The oldest case whose answer no host has, but for some.
    pub fn oldest_undelivered(&mut self, but: &BTreeSet<u64>) -> Option<u64> {
        let mut undelivered = self.from(self.oldest).filter(|(_, s)| s.is_undelivered);
        let oldest = undelivered.next().map(|(case, _)| case);
        let free = oldest.into_iter().chain(undelivered.map(|(case, _)| case));
        let found = free.into_iter().find(|case| !but.contains(case));
        self.oldest = oldest.unwrap_or(u64::MAX);
        found
    }

    /// The last `count` cases, oldest first.
    pub fn last(&self, count: usize) -> Vec<(u64, State)> {
        let chunks = self.chunks.iter().rev();
        let cases = chunks.flat_map(|(at, chunk)| in_chunk(*at, chunk).rev());
        let mut last: Vec<_> = cases.take(count).map(|(case, s)| (case, s.state)).collect();
        last.reverse();
        last
    }

    fn from(&self, first: u64) -> impl Iterator<Item = (u64, &CaseRow)> {
        let chunks = self.chunks.range(first / CHUNK..);
        let cases = chunks.flat_map(|(at, chunk)| in_chunk(*at, chunk));
        cases.filter(move |(case, _)| *case >= first)
    }
}

fn in_chunk(at: u64, chunk: &Chunk) -> impl DoubleEndedIterator<Item = (u64, &CaseRow)> {
    let numbered = chunk.iter().enumerate();
    numbered.filter_map(move |(i, row)| Some((at * CHUNK + i as u64, row.as_ref()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ended(is_undelivered: bool) -> CaseRow {
        CaseRow {
            state: State::Finding,
            accepted: None,
            answer: None,
            is_undelivered,
            lies_in_device: false,
        }
    }

    #[test]
    fn a_standing_takes_few_bytes_and_any_number_can_be_a_case() {
        assert!(size_of::<Option<CaseRow>>() <= 24);
        let mut table = CaseTable::default();
        for case in [0, 1, 255, 256, u64::MAX] {
            table.set(case, ended(true));
        }
        assert_eq!(table.chunks.len(), 3);
        let last: Vec<u64> = table.last(2).into_iter().map(|(case, _)| case).collect();
        assert_eq!(last, [256, u64::MAX]);
    }

    proptest! {
        #[test]
        fn what_is_undelivered_is_what_a_set_says(
            steps in proptest::collection::vec((0_u64..700, any::<bool>()), 1..200),
            but in proptest::collection::btree_set(0_u64..700, 0..20),
        ) {
            let (mut table, mut set) = (CaseTable::default(), BTreeSet::new());
            for (case, ends) in steps {
                if ends {
                    table.set(case, ended(true));
                    set.insert(case);
                } else {
                    prop_assert_eq!(table.deliver(case), set.remove(&case));
                }
                prop_assert_eq!(table.undelivered(), set.len());
                let oldest = set.difference(&but).next().copied();
                prop_assert_eq!(table.oldest_undelivered(&but), oldest);
            }
        }
    }
}
