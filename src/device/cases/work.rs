//! What the supervisor asks of the cases and tells them: the next task comes out, starts, answers
//! and self-tests come in. An answer is in the journal before anybody is told. Runs no case
//! itself.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{Cases, Ending};
use crate::bundle::{ClockBack, Older, Outline, Trust};
use crate::case::{BundleId, Giver, Order, RefusalCode};
use crate::device::case_error::CaseError;
use crate::device::device_fault::DeviceFault;
use crate::device::events::{Answer, Event, Health};
use crate::device::lock::lock;
use crate::journal::{Because, Entry, Gist, SelfCheck, Span, Verdict};
use crate::sha256::Sha256;

/// By what the account of a giver is known.
fn account(giver: Option<&Giver>) -> u64 {
    giver.map_or(0, |giver| Sha256::of(giver.to_string().as_bytes()).short())
}

const STORAGE_RETRY: Duration = Duration::from_secs(1);

/// Something to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// A case, which counts as running from now on.
    Case(u64, Box<Order>),
    /// The self-test, for all who asked up to this number.
    SelfTest(u64),
    /// To load a bundle.
    Load(Wanted),
}

/// A bundle that somebody wants loaded.
#[derive(Debug)]
pub struct Wanted {
    /// Its folder.
    pub folder: PathBuf,
    /// Whose bundles may be used from now on.
    pub trust: Trust,
}

impl Cases {
    /// The next thing to do; a case only where there is `someone` to run it. `None` where
    /// nothing came for so long.
    pub(crate) fn next(&self, someone: bool, patience: Duration) -> Option<Task> {
        let nothing = |board: &mut super::Board| {
            board.wanted.is_none()
                && board.tests.asked == board.tests.done
                && (!someone || board.waiting.is_empty())
        };
        let (board, clock) = (lock(&self.board), self.clock());
        let mut board = clock.wait_while(&self.arrived, board, patience, nothing);
        if let Some(wanted) = board.wanted.take() {
            return Some(Task::Load(wanted));
        }
        if board.tests.asked > board.tests.done {
            return Some(Task::SelfTest(board.tests.asked));
        }
        if !someone {
            return None;
        }
        let (shares, now) = (lock(&self.shares), clock.now());
        let is_held_back = |order: &Order| shares.is_over(account(order.giver.as_ref()), now);
        let (case, order) = board.waiting.next(is_held_back)?;
        drop(shares);
        board.counts.started(now);
        board.begin(case, &order);
        self.events.tell(&Event::Started { case });
        Some(Task::Case(case, Box::new(order)))
    }

    /// A decoder took so much of a processor for an image of this giver.
    pub(crate) fn note_decoded(&self, giver: Option<&Giver>, processor: Duration) {
        let mut shares = lock(&self.shares);
        let (sender, now) = (account(giver), self.clock().now());
        let was_over = shares.is_over(sender, now);
        shares.spend(sender, processor, now);
        if shares.is_over(sender, now) && !was_over {
            log::warn!(
                "a sender's images take more than their share of the processor: its cases wait \
                 behind all others"
            );
        }
    }

    /// What decoders took since the start, and how many senders are held back.
    pub(crate) fn decoding(&self) -> (Duration, usize) {
        let shares = lock(&self.shares);
        (shares.spent(), shares.over(self.clock().now()))
    }

    /// A case that takes the device down with it must be known at the next start. Where the
    /// disk refuses, the case runs all the same: its answer waits for the disk.
    pub(crate) fn note_start(&self, case: u64) {
        self.note(Entry::Started { case });
    }

    /// Writes what nobody waits for.
    fn note(&self, entry: Entry) {
        // That it failed is told as the device's state.
        let _ = self.write(entry);
    }

    /// A case has run: its answer is written, then told.
    pub(crate) fn end(&self, case: u64, order: &Order, answer: Answer) {
        let (image, code) = (answer.record.image, answer.record.code());
        let Some(span) = self.store(&Entry::answered(case, &answer.record)) else {
            return;
        };
        let ending = Ending::answered(&Gist::of(&answer.record), span);
        if ending.is_of_image() {
            self.note_failed(order.giver.as_ref());
        }
        let mut board = lock(&self.board);
        board.end(case, ending);
        let now = self.clock().now();
        board
            .counts
            .answered(case, code.map(RefusalCode::word), now);
        let answer = Arc::new(answer);
        self.events.tell(&Event::Answered { case, answer });
        drop(board);
        // What lies there is not the image where it was changed.
        let is_changed = code == Some(RefusalCode::ImageChanged);
        self.spent(case, order, image.filter(|_| !is_changed));
        self.owing.notify_all();
    }

    /// Writes an answer, however long the disk refuses: it must not be lost. `None` where the
    /// device is switched off meanwhile: then the case is run again after its next start.
    fn store(&self, entry: &Entry) -> Option<Span> {
        loop {
            if let Ok(span) = self.write(entry.clone()) {
                return Some(span);
            }
            if !self.lifecycle.is_on() {
                return None;
            }
            self.clock().sleep(STORAGE_RETRY);
            self.lifecycle.beat();
        }
    }

    /// A case that began is not ended, since the device is switched off.
    pub(crate) fn put_back(&self, case: u64) {
        log::info!("case {case}: put back; it runs again after the next start");
        self.note(Entry::Returned { case });
    }

    /// The self-test was run. One that was only tried again is written where it came to
    /// something else than before.
    pub(crate) fn note_checks(&self, because: Because, checks: Vec<SelfCheck>) {
        for check in checks.iter().filter(|c| c.verdict == Verdict::Warned) {
            log::warn!("{}: {}; {}", check.name, check.what, check.help);
        }
        let checks: Arc<[SelfCheck]> = checks.into();
        let before = {
            let mut board = lock(&self.board);
            board.tested = Some((self.clock().wall(), because));
            std::mem::replace(&mut board.checks, Arc::clone(&checks))
        };
        let says = |check: &SelfCheck| (check.name.clone(), check.verdict, check.code.clone());
        if because == Because::Retry && before.iter().map(says).eq(checks.iter().map(says)) {
            return;
        }
        self.note(Entry::SelfTested {
            because,
            passed: checks.iter().all(|c| c.verdict != Verdict::Failed),
            checks: checks.to_vec(),
        });
    }

    /// Why no case is answered now, where that is so.
    pub fn device_fault(&self) -> Option<Arc<DeviceFault>> {
        lock(&self.board).device_fault.clone()
    }

    /// Cases are answered from now on, by this bundle.
    pub(crate) fn set_ready(&self, bundle: &Arc<Outline>) {
        let before = std::mem::replace(&mut *lock(&self.bundle), Arc::clone(bundle));
        if before.id != bundle.id {
            let bundle = bundle.id.clone();
            self.note(Entry::BundleChanged { bundle });
        }
        if let Some(older) = &bundle.older
            && before.older.as_ref() != Some(older)
        {
            self.went_back(bundle.id.clone(), older);
        }
        let mut board = lock(&self.board);
        board.device_fault = None;
        self.events.tell(&Event::Health(Health::Ready {
            bundle: bundle.id.clone(),
            intended_use: bundle.intended_use,
        }));
    }

    /// An older bundle answers than the device has had: that a person wanted it so is on record.
    fn went_back(&self, bundle: BundleId, older: &Older) {
        let Older {
            release,
            highest,
            at,
            by,
        } = *older;
        log::warn!(
            "release {release} of bundle {} answers, and the device has had release {highest}: \
             user {by} went back to it",
            bundle.name
        );
        self.note(Entry::WentBack {
            bundle,
            release,
            highest,
            at,
            by,
        });
    }

    /// A person set back the latest time that this device has seen: that is on record.
    pub fn clock_believed(&self, back: &ClockBack) {
        let ClockBack { from, to, by } = *back;
        log::warn!("this device had seen {from:.0}: user {by} said that {to:.0} is right");
        self.note(Entry::ClockBelieved { from, to, by });
    }

    /// The safe state: cases are accepted and kept, none is answered, and this is why.
    pub(crate) fn set_trouble(&self, device_fault: DeviceFault) {
        log::error!(
            "no case is answered now: {device_fault}; {}",
            device_fault.help
        );
        let device_fault = Arc::new(device_fault);
        let mut board = lock(&self.board);
        board.device_fault = Some(Arc::clone(&device_fault));
        self.events
            .tell(&Event::Health(Health::Fault(device_fault)));
    }

    /// Has the bundle of a folder loaded, beside the one that answers; where it passes the
    /// self-test it answers from the next case on.
    pub fn load(&self, wanted: Wanted) {
        lock(&self.board).wanted = Some(wanted);
        self.arrived.notify_one();
    }

    /// A bundle that was to be loaded was not; the one before goes on.
    pub(crate) fn note_refused(&self, refused: &SelfCheck) {
        self.note(Entry::BundleRefused {
            code: refused.code.clone(),
            what: refused.what.clone(),
        });
        let mut board = lock(&self.board);
        let mut checks = board.checks.to_vec();
        checks.retain(|check| check.name != refused.name);
        checks.push(refused.clone());
        board.checks = checks.into();
    }

    /// Runs the self-test; what is wrong, where something is. To be called by whoever can
    /// wait: it takes as long as some cases.
    ///
    /// # Errors
    /// [`CaseError::Busy`] where cases are being answered.
    pub fn self_test(&self) -> Result<Option<Arc<DeviceFault>>, CaseError> {
        let mut board = lock(&self.board);
        let answers = board.device_fault.is_none() && !board.waiting.is_empty();
        if board.running.is_some() || answers {
            return Err(CaseError::Busy);
        }
        board.tests.asked += 1;
        let mine = board.tests.asked;
        self.arrived.notify_one();
        let board = self
            .tested
            .wait_while(board, |board| board.tests.done < mine)
            .unwrap_or_else(PoisonError::into_inner);
        Ok(board.device_fault.clone())
    }

    /// The self-test ended for all who asked up to this number: the device is ready or in
    /// trouble by now.
    pub(crate) fn note_tested(&self, up_to: u64) {
        lock(&self.board).tests.done = up_to;
        self.tested.notify_all();
    }
}
