//! How a case is taken on: an order comes in, a case number that is durable comes out.
//!
//! Called by every source. Before a number is told, the image's bytes lie in the device's own
//! store under their SHA-256, and the order names that hash: whatever becomes of the file, the
//! answer is about those bytes. A request that was made before is the same case; a number that
//! was used for anything else is refused. Never runs a case.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use firmware_host::message::Digest;

use super::{Cases, Event, State, lock};
use crate::case::{Asker, Bound, Claim, Giver, Order, RequestId};
use crate::device::case_error::CaseError;
use crate::device::cases::images::Copied;
use crate::journal::{Entry, Line};
use crate::sha256::Sha256;

/// How long a file may take to be copied, before whoever asked is told that it does.
const COPY_PATIENCE: Duration = Duration::from_secs(20);
/// Files that are copied at once: one on a share that does not answer is waited for for ever.
const MOST_COPIES: usize = 8;

impl Cases {
    /// The case that was accepted for this request.
    ///
    /// # Errors
    /// [`CaseError::RequestReused`] where its number was used for another image, exam or option;
    /// [`CaseError::Storage`].
    pub fn requested(&self, order: &Order) -> Result<Option<u64>, CaseError> {
        let Some(RequestId { asker, number }) = &order.request else {
            return Ok(None);
        };
        let (own, unknown, highest) = {
            let board = lock(&self.board);
            let of = |asker: &Asker| board.requests.get(&(asker.key(), *number)).copied();
            (of(asker), of(&Asker::Unknown), board.highest(asker))
        };
        let is_it = |case: u64| Ok(order.asks_as(&self.order(case)?));
        // An entry of before askers were told apart may be this one's: its content says so.
        for case in [own, unknown].into_iter().flatten() {
            if is_it(case)? {
                return Ok(Some(case));
            }
        }
        match own {
            Some(_) => Err(CaseError::RequestReused { highest }),
            None => Ok(None),
        }
    }

    /// The case of a number and a file that a program of before told by both, while it has not
    /// ended.
    pub(crate) fn open_old_case(&self, number: u64, source: &Path) -> Option<u64> {
        let key = (Asker::Unknown.key(), number);
        let case = lock(&self.board).requests.get(&key).copied()?;
        let is_it = Path::new(&self.order(case).ok()?.source) == source;
        (is_it && !self.state(case).ok()?.has_ended()).then_some(case)
    }

    /// What a case was asked, as the journal has it.
    ///
    /// # Errors
    /// [`CaseError::NoSuchCase`], also where the entry is damaged; [`CaseError::Storage`].
    pub fn order(&self, case: u64) -> Result<Order, CaseError> {
        let accepted = lock(&self.board).table.get(case).map(|s| s.accepted);
        let span = accepted.flatten().ok_or(CaseError::NoSuchCase)?;
        let read = self.reader.read(span);
        match read {
            Ok(Line {
                entry: Entry::Accepted { case: read, order },
                ..
            }) if read == case => Ok(order),
            Ok(_) => Err(CaseError::Storage),
            Err(error) => Err(self.read_failed(&error)),
        }
    }

    /// Accepts a case for an image that the store has; a request that was accepted before is
    /// the same case.
    ///
    /// # Errors
    /// [`CaseError::NoSuchExam`] for an exam that there is not, [`CaseError::NoSuchImage`],
    /// and those of [`Cases::accept`].
    pub fn run_stored(&self, order: Order, image: &Digest) -> Result<u64, CaseError> {
        let order = Order {
            image: Some(Bound::Stored(Sha256(*image))),
            ..order
        };
        if let Some(case) = self.requested(&order)? {
            return Ok(case);
        }
        let exam = order.exam.as_deref();
        if exam.is_some_and(|name| self.bundle().exam(name).is_none()) {
            return Err(CaseError::NoSuchExam);
        }
        self.accept(order)
    }

    /// Accepts a case for the file at the order's path, whose bytes are copied first. A file
    /// that cannot be read becomes a case as well, which ends in a refusal that says so.
    ///
    /// # Errors
    /// [`CaseError::NotNameable`], [`CaseError::ImageUnsteady`], [`CaseError::ImageTimeout`], [`CaseError::StoreFull`],
    /// [`CaseError::ImageBusy`] where too many files are being copied, and those of
    /// [`Cases::accept`].
    pub fn run_file(&self, order: Order) -> Result<u64, CaseError> {
        // Said before a large file is copied for nothing.
        if !self.lifecycle.is_on() {
            return Err(CaseError::Stopping);
        }
        self.may_wait(order.priority, order.giver.as_ref())?;
        self.has_room(0)?;
        let copied = self.copy(Path::new(&order.source), order.giver.as_ref())?;
        let image = copied.image.clone();
        let accepted = self.accept(Order {
            image: Some(image.clone()),
            ..order
        });
        drop(copied);
        if let (Err(_), Bound::Stored(sha256)) = (&accepted, &image) {
            self.forget_unwanted(sha256);
        }
        accepted
    }

    /// On a thread of its own: a share that does not answer must not keep a line from talking.
    fn copy(&self, path: &Path, giver: Option<&Giver>) -> Result<Copied, CaseError> {
        if self.copying.fetch_add(1, Ordering::SeqCst) >= MOST_COPIES {
            self.copying.fetch_sub(1, Ordering::SeqCst);
            return Err(CaseError::ImageBusy);
        }
        let (sender, copied) = channel();
        let (images, giver) = (Arc::clone(&self.images), giver.cloned());
        let (path, copying) = (path.to_owned(), Arc::clone(&self.copying));
        let nameable = self.nameable.get().cloned().unwrap_or_default();
        let state = self.state.clone();
        let copy = move || {
            let opened = nameable.open(&path, &state);
            let copied = opened.and_then(|file| images.copy_from(file, &path, giver.as_ref()));
            copying.fetch_sub(1, Ordering::SeqCst);
            // Whoever asked may wait no longer.
            let _ = sender.send(copied);
        };
        if let Err(error) = self.spawner.spawn("copy", copy) {
            log::warn!("no thread to copy a file on: {error}");
            self.copying.fetch_sub(1, Ordering::SeqCst);
            return Err(CaseError::ImageBusy);
        }
        let copied = copied.recv_timeout(COPY_PATIENCE);
        self.told_full(copied.unwrap_or(Err(CaseError::ImageTimeout)))
    }

    /// Accepts a case; its number is durable when this returns. A request that was accepted
    /// before is the same case.
    ///
    /// # Errors
    /// [`CaseError::RequestReused`], [`CaseError::TooManyWaiting`], [`CaseError::TooManyRefused`],
    /// [`CaseError::NoSuchImage`], [`CaseError::Stopping`], [`CaseError::StorageFull`] or [`CaseError::Storage`]; then nothing was
    /// accepted.
    pub fn accept(&self, order: Order) -> Result<u64, CaseError> {
        self.take_on(order, |cases, order| cases.requested(order))
    }

    /// Accepts a case unless it is `known`.
    fn take_on(
        &self,
        order: Order,
        known: impl FnOnce(&Self, &Order) -> Result<Option<u64>, CaseError>,
    ) -> Result<u64, CaseError> {
        if !self.lifecycle.is_on() {
            return Err(CaseError::Stopping);
        }
        let mut ledger = lock(&self.ledger);
        if let Some(case) = known(self, &order)? {
            return Ok(case);
        }
        self.may_wait(order.priority, order.giver.as_ref())?;
        self.has_room(0)?;
        // An image that was given to the device may have been taken away meanwhile.
        let image = self.place(&order);
        let given = self.given(&image);
        let is_there = |name| self.storage.about(name).is_ok_and(|about| about.is_file);
        if given.is_some_and(|name| !is_there(name)) {
            return Err(CaseError::NoSuchImage);
        }
        let case = ledger.next;
        let written = ledger.journal.append(Entry::Accepted {
            case,
            order: order.clone(),
        });
        let span = self.note_written(written)?;
        ledger.next = ledger.journal.next_case();
        let mut board = lock(&self.board);
        board.note_order(case, &order);
        board.wait(case, order, Some(span));
        board.counts.accepted(case, self.clock().now());
        self.events.tell(&Event::Accepted { case });
        drop(board);
        drop(ledger);
        self.arrived.notify_one();
        Ok(case)
    }

    /// Has an ended case's image answered again, by the bundle that answers now, as a new case
    /// that names the old one.
    ///
    /// # Errors
    /// [`CaseError::NoSuchCase`], [`CaseError::NotFinished`], [`CaseError::NoSuchImage`] where the image
    /// is kept no longer or there was none, and those of [`Cases::accept`].
    pub fn rerun(&self, case: u64, giver: Giver) -> Result<u64, CaseError> {
        if !self.state(case)?.has_ended() {
            return Err(CaseError::NotFinished);
        }
        let before = self.order(case)?;
        // An old order names no hash; its answer does.
        let answered = || self.ended(case).ok()?.image;
        // What lies at the path of a case that had no image is another's by now.
        let sha256 = before.sha256().or_else(answered);
        let sha256 = sha256.ok_or(CaseError::NoSuchImage)?;
        let again = Order {
            request: None,
            rerun_of: Some(case),
            file: None,
            image: Some(Bound::Stored(sha256)),
            giver: Some(giver),
            ..before
        };
        // Held until the case is accepted, so that the image does not go meanwhile.
        let _kept = lock(&self.kept);
        self.bring_back(&sha256, again.giver.as_ref())?;
        self.take_on(again, |_, _| Ok(None))
    }

    /// The image of a known request came again. What ended without an answer, or in a refusal
    /// that lay in the device, is answered now, as a new case; an answer is told to the sinks
    /// once more. Gives the case that stands for the image from now on.
    ///
    /// # Errors
    /// Those of [`Cases::accept`].
    pub(crate) fn came_again(&self, case: u64, order: Order) -> Result<u64, CaseError> {
        let (case, row) = {
            let board = lock(&self.board);
            let case = board.last_try(case);
            (case, board.table.get(case).copied())
        };
        let row = row.ok_or(CaseError::NoSuchCase)?;
        if !row.is_ended() {
            return Ok(case);
        }
        if row.lies_in_device || row.state == State::Aborted {
            let again = Order {
                rerun_of: Some(case),
                ..order
            };
            // Another source may have been quicker.
            return self.take_on(again, |cases, order| {
                let known = cases.requested(order)?;
                let known = known.map(|known| lock(&cases.board).last_try(known));
                Ok(known.filter(|known| *known != case))
            });
        }
        // Each writes to the journal and tells every sink again, for no new answer.
        self.may_fail(order.giver.as_ref())?;
        self.note_failed(order.giver.as_ref());
        self.owe_again(case)?;
        self.release_again(case, &self.place(&order));
        Ok(case)
    }

    /// The older case of other content that this order's sender gave the same SOP Instance UID.
    pub(crate) fn same_claim(&self, claim: &Claim) -> Option<u64> {
        let board = lock(&self.board);
        let &(case, content) = board.claims.get(&claim.uid.short())?;
        (content != claim.content.short()).then_some(case)
    }
}
