//! What sinks ask of the cases: the next one that they owe, what became of it, and that its
//! answer is safe. An entry of the journal comes before what follows from it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::answered::AnsweredCase;
use super::outbox::Spec;
use super::{Cases, lock};
use crate::device::case_error::CaseError;
use crate::device::status::{Account, Obstacle};
use crate::journal::{Entry, Journal, JournalError, Recorded};

/// Writes down which sinks are chosen, where it is not what was chosen `before`.
pub(super) fn note_chosen(
    journal: &mut Journal,
    before: &BTreeSet<String>,
    specs: &[Spec],
) -> Result<(), JournalError> {
    let sinks: BTreeSet<String> = specs.iter().map(|spec| spec.name.clone()).collect();
    if sinks != *before {
        let sinks = sinks.into_iter().collect();
        journal.append(Entry::Sinks { sinks })?;
    }
    Ok(())
}

impl Cases {
    /// The oldest case that this sink owes, but for some; waits for one for so long.
    pub(crate) fn next_due(
        &self,
        sink: &str,
        not_yet: &BTreeSet<u64>,
        patience: Duration,
    ) -> Option<u64> {
        let mut due = None;
        let waits = |board: &mut super::Board| {
            due = board.outbox.next(sink, not_yet);
            due.is_none() && !self.lifecycle.has_ended()
        };
        let board = lock(&self.board);
        drop(self.clock().wait_while(&self.owing, board, patience, waits));
        due
    }

    /// An answered case, for sinks.
    ///
    /// # Errors
    /// [`CaseError::NoSuchCase`], [`CaseError::NotFinished`], [`CaseError::Storage`], and
    /// [`CaseError::OtherVersion`] where another version of the program answered, in a form that is
    /// not understood here.
    pub fn ended(&self, case: u64) -> Result<AnsweredCase<'_>, CaseError> {
        let row = lock(&self.board).table.get(case).copied();
        let span = row.ok_or(CaseError::NoSuchCase)?.answer;
        let read = self.reader.read_signed(span.ok_or(CaseError::NotFinished)?);
        let (line, point) = read.map_err(|error| self.read_failed(&error))?;
        let Entry::Answered {
            case: number,
            image,
            record,
        } = line.entry
        else {
            return Err(CaseError::Storage);
        };
        match record {
            _ if number != case => Err(CaseError::Storage),
            Recorded::Record(record) => Ok(AnsweredCase {
                cases: self,
                number,
                time: line.time,
                image,
                told: self.told(*record, point),
            }),
            Recorded::Foreign(_) | Recorded::Gist(_) => Err(CaseError::OtherVersion),
        }
    }

    /// A sink has this answer safe, and what is to be known of that; durable when this returns.
    ///
    /// # Errors
    /// [`CaseError::Storage`]; then it will be delivered again.
    pub(crate) fn delivered_to(
        &self,
        case: u64,
        sink: &str,
        notes: Vec<String>,
    ) -> Result<(), CaseError> {
        let sink = sink.to_owned();
        self.settle(case, Entry::Delivered { case, sink, notes })
    }

    /// A sink will never have this answer; durable when this returns.
    ///
    /// # Errors
    /// [`CaseError::Storage`]; then it will be tried again.
    pub(crate) fn decline(&self, case: u64, sink: &str, code: &str) -> Result<(), CaseError> {
        let (sink, code) = (sink.to_owned(), code.to_owned());
        self.settle(case, Entry::Declined { case, sink, code })
    }

    fn settle(&self, case: u64, entry: Entry) -> Result<(), CaseError> {
        self.write(entry.clone())?;
        let is_delivered = matches!(entry, Entry::Delivered { .. });
        if let Entry::Delivered { sink, .. } | Entry::Declined { sink, .. } = &entry {
            lock(&self.board).outbox.settle(sink, case, is_delivered);
        }
        self.look_after_images();
        Ok(())
    }

    /// The image of an answered case came again: every sink that takes the answer owes it once
    /// more; durable when this returns.
    ///
    /// # Errors
    /// [`CaseError::Storage`]; then nothing is owed again.
    pub(super) fn owe_again(&self, case: u64) -> Result<(), CaseError> {
        self.write(Entry::CameAgain { case })?;
        let mut board = lock(&self.board);
        if let Some(state) = board.table.get(case).map(|row| row.state) {
            board.outbox.ended(case, state);
        }
        drop(board);
        self.owing.notify_all();
        Ok(())
    }

    /// What a sink's last try came to, for whoever asks after the device's health.
    pub(crate) fn note_error(&self, sink: &str, error: Option<Obstacle>) {
        lock(&self.board).outbox.note_error(sink, error);
    }

    /// A sink will never have this case by a fault, for the same.
    pub(crate) fn note_undeliverable(&self, sink: &str, case: u64, why: Obstacle) {
        lock(&self.board).outbox.note_failed(sink, case, why);
    }

    /// What the answer that a sink has just been given went without, for the same.
    pub(crate) fn note_without(&self, sink: &str, without: Vec<(&'static str, Obstacle)>) {
        lock(&self.board).outbox.note_without(sink, without);
    }

    /// A sink is given a case from now on: where that takes long, it does not answer.
    pub(crate) fn gives(&self, sink: &str) {
        let now = self.clock().now();
        lock(&self.board).outbox.set_busy(sink, Some(now));
    }

    /// A sink was given a case, whatever came of it.
    pub(crate) fn gave(&self, sink: &str) {
        lock(&self.board).outbox.set_busy(sink, None);
    }

    /// How the sinks stand, by name.
    pub fn accounts(&self) -> Vec<Account> {
        lock(&self.board).outbox.accounts(self.clock().now())
    }
}
