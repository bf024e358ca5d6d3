//! Cases that are dropped before they run. In goes who asks for it and which cases; out comes how
//! many were dropped. Called by the console.
//!
//! Whoever gave a case may drop it. A console that may drop the cases of others ends each of those
//! by a refusal that says who dropped it; the image stays, so that the case can be run again. A
//! case that runs is never dropped.

use super::conclusion::Conclusion;
use super::{Cases, Ending, Event, lock};
use crate::case::{Giver, Order, RefusalCode, Timings};
use crate::device::case_error::CaseError;
use crate::journal::{Entry, Gist};
use std::sync::Arc;

/// Whose cases a console drops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Those that were given on its own line.
    #[default]
    Own,
    /// Everybody's: for the console of whoever runs the device.
    Any,
}

impl Cases {
    /// Drops the cases that wait and are in this giver's reach; gives how many.
    ///
    /// # Errors
    /// [`CaseError::Storage`]; those that were dropped before stay dropped.
    pub fn abort(&self, giver: &Giver, reach: Reach) -> Result<usize, CaseError> {
        let is_own = |order: &Order| order.giver.as_ref() == Some(giver);
        let is_in_reach = |order: &Order| reach == Reach::Any || is_own(order);
        let mut dropped = 0;
        loop {
            // Taken off the board first, so that it cannot begin to run meanwhile.
            let taken = lock(&self.board).waiting.pop_oldest(is_in_reach);
            let Some((case, order)) = taken else {
                return Ok(dropped);
            };
            if is_own(&order) {
                self.drop_own(case, order)?;
            } else {
                self.drop_of_another(case, order, giver)?;
            }
            dropped += 1;
        }
    }

    fn drop_own(&self, case: u64, order: Order) -> Result<(), CaseError> {
        self.append_or_put_back(Entry::Aborted { case }, case, &order)?;
        let mut board = lock(&self.board);
        board.end(case, Ending::aborted());
        board.counts.aborted(case);
        self.events.tell(&Event::Aborted { case });
        drop(board);
        self.spent(case, &order, None);
        Ok(())
    }

    /// Its giver was told that it is accepted, and may wait for an answer.
    fn drop_of_another(&self, case: u64, order: Order, by: &Giver) -> Result<(), CaseError> {
        let (bundle, none) = (self.bundle(), Timings::new());
        let dropped = Conclusion::dropped(case, by);
        let answer = dropped.answer(case, &order, bundle.provenance(), none);
        let (image, code) = (answer.record.image, answer.record.code());
        let ending = Gist::of(&answer.record);
        let entry = Entry::answered(case, &answer.record);
        let span = self.append_or_put_back(entry, case, &order)?;
        log::warn!("case {case}: dropped by {by} before it ran");
        let mut board = lock(&self.board);
        board.end(case, Ending::answered(&ending, span));
        let (code, now) = (code.map(RefusalCode::word), self.clock().now());
        board.counts.answered_without_run(case, code, now);
        let answer = Arc::new(answer);
        self.events.tell(&Event::Answered { case, answer });
        drop(board);
        self.spent(case, &order, image);
        self.owing.notify_all();
        Ok(())
    }

    fn append_or_put_back(
        &self,
        entry: Entry,
        case: u64,
        order: &Order,
    ) -> Result<crate::journal::Span, CaseError> {
        self.write(entry).inspect_err(|_| {
            lock(&self.board).waiting.push(case, order.clone());
        })
    }
}
