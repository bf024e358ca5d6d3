//! What the journal says of the time before this start: the history of every case comes in, a
//! board comes out, with the cases that have no end and the images that may still be here. Called
//! once, when the state folder is opened. Writes nothing but the refusals of cases that ended the
//! device each time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::board::{Board, Ending};
use super::conclusion::Conclusion;
use super::retention::EndedImage;
use crate::bundle::Outline;
use crate::case::{Order, Timings};
use crate::device::cases::images::place;
use crate::device::events::Answer;
use crate::journal::{
    Acceptance, CaseHistory, End, Entry, Gist, Journal, JournalError, LINK, Span,
};

/// A case may begin so often without an end, as when the power fails, before it is taken for
/// what ends the device.
const MOST_STARTS: usize = 3;

/// What the journal says of the time before this start.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub board: Board,
    /// Cases that have no end.
    pub open: BTreeMap<u64, Open>,
    /// Images that may still be here.
    pub spent: Vec<EndedImage>,
}

/// A case that has no end.
#[derive(Debug)]
pub(super) struct Open {
    pub order: Order,
    /// Where its acceptance lies.
    pub span: Span,
    /// How often it began.
    starts: usize,
}

impl EndedImage {
    fn of(state: &Path, case: u64, history: &CaseHistory) -> Option<Self> {
        let accepted = history.accepted.as_ref();
        let ordered = accepted.map(|accepted| place(state, &accepted.order));
        let (place, image) = match history.end.as_ref()? {
            End::Answered {
                image,
                steady,
                record,
                ..
            } => {
                let image = image.filter(|_| !history.is_purged);
                // Where the order is damaged, the answer says where the image lay.
                let told = || PathBuf::from(record.gist().source);
                (ordered.unwrap_or_else(told), image.zip(Some(*steady)))
            }
            End::Aborted { .. } => (ordered?, None),
        };
        Some(Self { case, place, image })
    }
}

impl Past {
    /// Of the images, those that `may_be_here`.
    pub fn of(
        state: &Path,
        cases: BTreeMap<u64, CaseHistory>,
        may_be_here: impl Fn(&EndedImage) -> bool,
    ) -> Self {
        let mut past = Self::default();
        for (number, case) in cases {
            if let Some(Acceptance { order, span, .. }) = &case.accepted {
                past.board.note_order(number, order);
                past.board.recall(number, Some(*span));
            }
            let spent = EndedImage::of(state, number, &case);
            past.spent.extend(spent.filter(&may_be_here));
            match case.end {
                // Where the order is damaged, there is nothing to run; the number stays.
                None => {
                    let open = case.accepted.map(|accepted| Open {
                        order: accepted.order,
                        span: accepted.span,
                        starts: case.starts,
                    });
                    past.open.extend(open.map(|open| (number, open)));
                }
                Some(End::Answered { span, record, .. }) => {
                    past.board
                        .end(number, Ending::answered(&record.gist(), span));
                }
                Some(End::Aborted { .. }) => past.board.end(number, Ending::aborted()),
            }
            if case.delivered.contains(LINK) {
                past.board.table.deliver(number);
            }
            for sink in case.owed {
                past.board.outbox.recall(sink, number);
            }
        }
        past
    }

    /// Refuses the cases that began so often without an end: each took the device down.
    pub fn give_up(&mut self, journal: &mut Journal, bundle: &Outline) -> Result<(), JournalError> {
        let hopeless = |_: &u64, open: &mut Open| open.starts >= MOST_STARTS;
        for (case, Open { order, .. }) in self.open.extract_if(.., hopeless) {
            log::error!("case {case}: the device ended {MOST_STARTS} times while it ran; refused");
            let (by, none) = (bundle.provenance(), Timings::new());
            let Answer { record, .. } = Conclusion::given_up().answer(case, &order, by, none);
            let span = journal.append(Entry::answered(case, &record))?;
            self.board
                .end(case, Ending::answered(&Gist::of(&record), span));
        }
        Ok(())
    }
}
