//! Entries are written to the journal, and whether the storage takes them: the storage is at fault
//! from a write that failed until one succeeds. Called by everything in here that writes an entry,
//! or finds that the disk is full or away.

use super::board::Board;
use super::{Cases, lock};
use crate::device::case_error::CaseError;
use crate::device::events::{Event, Health};
use crate::journal::{Entry, JournalError, Span};

impl Cases {
    /// Writes an entry; durable when this returns.
    pub(super) fn write(&self, entry: Entry) -> Result<Span, CaseError> {
        let written = lock(&self.ledger).journal.append(entry);
        self.note_written(written)
    }

    /// What a write to the journal came to: the storage is at fault until one succeeds.
    pub(super) fn note_written<T>(&self, written: Result<T, JournalError>) -> Result<T, CaseError> {
        match written {
            Ok(written) => {
                self.set_storage_failed(false);
                Ok(written)
            }
            Err(error) => {
                self.storage_failed(&error);
                Err(CaseError::Storage)
            }
        }
    }

    /// Tries whether the journal can be written again, where it could not: else nothing would
    /// try before the next case.
    pub(super) fn try_journal(&self) {
        if lock(&self.board).storage_failed {
            let tried = lock(&self.ledger).journal.try_writing();
            // Where it failed, that stands already.
            let _ = self.note_written(tried);
        }
    }

    pub(super) fn storage_failed(&self, error: &JournalError) {
        self.complain(error);
        self.set_storage_failed(true);
    }

    /// An entry cannot be read: whoever asked is told, and that others can be written stands.
    pub(super) fn read_failed(&self, error: &JournalError) -> CaseError {
        self.complain(error);
        CaseError::Storage
    }

    fn complain(&self, error: &JournalError) {
        // What is damaged or full is met again with every request.
        let (said, kind) = (&self.said, std::mem::discriminant(error));
        if let Some(line) = said.line(kind, error, self.clock().now()) {
            log::error!("journal: {line}");
        }
    }

    pub(super) fn set_storage_failed(&self, failed: bool) {
        let mut board = lock(&self.board);
        if std::mem::replace(&mut board.storage_failed, failed) != failed {
            if !failed {
                log::warn!("the journal can be written again");
            }
            self.tell_storage(&mut board);
        }
    }

    pub(super) fn set_storage_away(&self, away: bool) {
        let mut board = lock(&self.board);
        if std::mem::replace(&mut board.storage_away, away) != away {
            if away {
                log::error!("the state folder is gone: no new case is accepted");
            } else {
                log::warn!("the state folder is there again: cases are accepted");
            }
            self.tell_storage(&mut board);
        }
    }

    pub(super) fn tell_storage(&self, board: &mut Board) {
        let fault = board.storage_failed || board.storage_full || board.storage_away;
        if std::mem::replace(&mut board.storage_fault, fault) != fault {
            self.events
                .tell(&Event::Health(Health::StorageFault(fault)));
        }
    }
}
