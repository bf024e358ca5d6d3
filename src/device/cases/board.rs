//! The board: where every case stands, for whoever asks, in memory alone. In go orders, starts and
//! ends; out come states, warnings and what is to be done next. Knows nothing of the journal and
//! tells nobody; [`Cases`](super::Cases) holds it under a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::case_table::{CaseRow, CaseTable};
use super::outbox::{Outbox, Spec};
use super::queue::Queue;
use super::state::State;
use super::work::Wanted;
use crate::case::{Asker, Order, RefusalCode, RequestId};
use crate::clock::Clock;
use crate::device::cases::images::place;
use crate::device::counts::CaseCounts;
use crate::device::device_fault::DeviceFault;
use crate::device::status::{Warned, Warning};
use crate::journal::{Because, Doubt, Gist, SelfCheck, Span, Verdict};

/// How a case ended, as far as the board needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub state: State,
    /// Where the answer lies.
    answer: Option<Span>,
    /// It is a refusal that lay in the device: of the same image, another may come.
    lies_in_device: bool,
}

impl Ending {
    /// In a record, which lies there.
    pub fn answered(record: &Gist, span: Span) -> Self {
        let state = if record.is_finding {
            State::Finding
        } else {
            State::Refusal
        };
        Self {
            state,
            answer: Some(span),
            lies_in_device: record.code.is_some_and(RefusalCode::lies_in_device),
        }
    }

    /// Whether it is a refusal that lies in what was given.
    pub fn is_of_image(&self) -> bool {
        self.state == State::Refusal && !self.lies_in_device
    }

    /// It was dropped before it ran.
    pub fn aborted() -> Self {
        Self {
            state: State::Aborted,
            answer: None,
            lies_in_device: false,
        }
    }
}

/// What stands now.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Cases by the [key](Asker::key) of who asked for them and its number.
    pub requests: BTreeMap<(u64, u64), u64>,
    /// By the start of an instance UID's hash, the first case whose sender gave it, and the
    /// start of its content's hash.
    pub claims: BTreeMap<u64, (u64, u64)>,
    /// Ended cases whose image was accepted again, and the case that it was accepted as.
    pub rerun: BTreeMap<u64, u64>,
    /// How many a host has taken since the device started.
    pub delivered: u64,
    /// Those of them that some link is sending.
    pub offered: BTreeSet<u64>,
    pub table: CaseTable,
    pub waiting: Queue,
    pub running: Option<u64>,
    /// What the running case is asked.
    pub in_work: Option<Order>,
    pub answered: usize,
    /// The last write to the journal failed.
    pub storage_failed: bool,
    /// The state folder is gone.
    pub storage_away: bool,
    /// There is hardly any room left for it.
    pub storage_full: bool,
    /// One of them, as it was told last.
    pub storage_fault: bool,
    pub device_fault: Option<Arc<DeviceFault>>,
    /// What the last self-test came to.
    pub checks: Arc<[SelfCheck]>,
    /// When that was, and why.
    pub tested: Option<(Timestamp, Because)>,
    pub tests: Tests,
    /// A bundle that somebody wants loaded.
    pub wanted: Option<Wanted>,
    pub counts: CaseCounts,
    pub outbox: Outbox,
    /// A sink needs an image no longer.
    pub look_after_images: bool,
    /// Images that sinks need will have to go before long.
    pub images_short: bool,
    /// In what way the journal is not as the device left it.
    pub doubt: Doubt,
    /// An image found no room in the store of late.
    pub store_full: bool,
    /// What else needs a person before long.
    pub warned: Warned,
}

/// Self-tests that somebody asked for, by their number.
#[derive(Debug, Default)]
pub(super) struct Tests {
    pub asked: u64,
    /// All up to this one have their result.
    pub done: u64,
}

impl Board {
    /// What an order is known by from now on.
    pub fn note_order(&mut self, case: u64, order: &Order) {
        self.rerun
            .extend(order.rerun_of.map(|before| (before, case)));
        if let Some(claim) = &order.claim {
            let first = (case, claim.content.short());
            self.claims.entry(claim.uid.short()).or_insert(first);
        }
        let Some(RequestId { asker, number }) = &order.request else {
            return;
        };
        self.requests.insert((asker.key(), *number), case);
    }

    /// The case that stands for another: the last one by which its image was answered again,
    /// as long as there was no answer yet.
    pub fn last_try(&self, mut case: u64) -> u64 {
        while let Some(next) = self.rerun.get(&case) {
            let row = self.table.get(case);
            if !row.is_some_and(|s| s.lies_in_device || s.state == State::Aborted) {
                break;
            }
            case = *next;
        }
        case
    }

    /// The highest number that this asker has used.
    pub fn highest(&self, asker: &Asker) -> u64 {
        let key = asker.key();
        let used = self.requests.range((key, 0)..=(key, u64::MAX));
        used.last().map_or(0, |((_, number), _)| *number)
    }

    pub fn wait(&mut self, case: u64, order: Order, accepted: Option<Span>) {
        self.waiting.push(case, order);
        self.recall(case, accepted);
    }

    /// A case of which no more is known than where its acceptance lies.
    pub fn recall(&mut self, case: u64, accepted: Option<Span>) {
        let row = CaseRow {
            state: State::Waiting,
            accepted,
            answer: None,
            is_undelivered: false,
            lies_in_device: false,
        };
        self.table.set(case, row);
    }

    /// A case that waited runs.
    pub fn begin(&mut self, case: u64, order: &Order) {
        (self.running, self.in_work) = (Some(case), Some(order.clone()));
        if let Some(row) = self.table.get(case).copied() {
            let state = State::Running;
            self.table.set(case, CaseRow { state, ..row });
        }
    }

    /// Whether a case that waits or runs has its image there.
    pub fn wants(&self, state: &Path, image: &Path) -> bool {
        let is_there = |order: &Order| place(state, order) == image;
        self.waiting.any(is_there) || self.in_work.as_ref().is_some_and(is_there)
    }

    /// What needs a person before long: storage, clock and folders, checks of the self-test, a
    /// journal that is not as it was left, images that will have to go, sinks that are held up.
    pub fn warnings(&self, clock: &Clock) -> Vec<Warning> {
        let now = clock.now();
        let mut warnings = Vec::new();
        warnings.extend(self.storage_away.then(Warning::state_away));
        warnings.extend(self.storage_full.then(Warning::disk_full));
        warnings.extend(self.storage_failed.then(Warning::journal_unwritable));
        warnings.extend(self.warned.all(now, clock.wall()));
        let warned = self.checks.iter().filter(|c| c.verdict == Verdict::Warned);
        warnings.extend(warned.map(Warning::from));
        warnings.extend(self.doubt.get().map(Warning::of_journal));
        warnings.extend(self.images_short.then(Warning::images_short));
        warnings.extend(self.store_full.then(Warning::store_full));
        let sinks = self.outbox.accounts(now);
        warnings.extend(sinks.iter().flat_map(Warning::of_sink));
        warnings
    }

    /// These sinks work from now on.
    pub fn choose_sinks(&mut self, specs: Vec<Spec>) {
        let table = &self.table;
        let state = |case| table.get(case).map(|row| row.state);
        self.outbox.choose(specs, state);
    }

    pub fn end(&mut self, case: u64, ending: Ending) {
        if self.running == Some(case) {
            (self.running, self.in_work) = (None, None);
        }
        self.answered += usize::from(ending.answer.is_some());
        let before = self.table.get(case);
        let row = CaseRow {
            state: ending.state,
            accepted: before.and_then(|before| before.accepted),
            answer: ending.answer,
            is_undelivered: true,
            lies_in_device: ending.lies_in_device,
        };
        self.table.set(case, row);
        self.outbox.ended(case, ending.state);
    }

    /// Whether this case's image must not go yet: a sink needs it, or it may be answered after
    /// all.
    pub fn awaits_image(&self, case: u64) -> bool {
        let row = self.table.get(case);
        let is_unanswered = row.is_some_and(|row| row.lies_in_device);
        (is_unanswered && !self.rerun.contains_key(&case)) || self.outbox.awaits_image(case)
    }
}
