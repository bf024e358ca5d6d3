//! What the journal says of the time before this start, folded to a board.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::board::{Board, State};
use super::keeping::Spent;
use crate::bundle::Outline;
use crate::device::run::Ran;
use crate::journal::{CaseHistory, End, Entry, Journal, JournalError, LINK, Order};
use crate::pipeline::Timings;

/// A case may begin so often without an end, as when the power fails, before it is taken for
/// what ends the device.
const MOST_STARTS: usize = 3;

/// What the journal says of the time before this start.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub board: Board,
    /// Cases that have no end, and how often each began.
    pub open: BTreeMap<u64, (Order, usize)>,
    /// Images that may still be here.
    pub spent: Vec<Spent>,
}

impl Spent {
    fn of(case: u64, history: &CaseHistory) -> Option<Self> {
        let (source, image) = match history.end.as_ref()? {
            End::Answered {
                image,
                steady,
                record,
                ..
            } => {
                let image = image.clone().filter(|_| !history.is_purged);
                (record["source"].as_str()?, image.zip(Some(*steady)))
            }
            End::Aborted { .. } => (history.accepted.as_ref()?.0.source.as_str(), None),
        };
        Some(Self {
            case,
            source: PathBuf::from(source),
            image,
        })
    }
}

impl Past {
    /// Of the images, those that `may_be_here`.
    pub fn of(cases: BTreeMap<u64, CaseHistory>, may_be_here: impl Fn(&Spent) -> bool) -> Self {
        let mut past = Self::default();
        for (number, case) in cases {
            if let Some((order, _)) = &case.accepted {
                past.board.note_request(number, order);
            }
            let spent = Spent::of(number, &case);
            past.spent.extend(spent.filter(&may_be_here));
            match case.end {
                // Where the order is damaged, there is nothing to run; the number stays.
                None => {
                    let open = case.accepted.map(|(order, _)| (order, case.starts));
                    past.open.extend(open.map(|open| (number, open)));
                }
                Some(End::Answered { span, record, .. }) => {
                    past.board.end(number, State::of(&record), Some(span));
                }
                Some(End::Aborted { .. }) => past.board.end(number, State::Aborted, None),
            }
            if case.delivered.contains(LINK) {
                past.board.standings.deliver(number);
            }
            for sink in case.owed {
                past.board.dues.recall(sink, number);
            }
        }
        past
    }

    /// Refuses the cases that began so often without an end: each took the device down.
    pub fn give_up(&mut self, journal: &mut Journal, bundle: &Outline) -> Result<(), JournalError> {
        let hopeless = |_: &u64, (_, starts): &mut (Order, usize)| *starts >= MOST_STARTS;
        for (case, (order, _)) in self.open.extract_if(.., hopeless) {
            log::error!("case {case}: the device ended {MOST_STARTS} times while it ran; refused");
            let record = Ran::given_up(&order).record(bundle, case, &order, &Timings::new());
            let entry = Entry::Answered {
                case,
                image: None,
                record,
            };
            let span = journal.append(entry)?;
            self.board.end(case, State::Refusal, Some(span));
        }
        Ok(())
    }
}
