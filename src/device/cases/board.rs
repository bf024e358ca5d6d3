//! Where each case stands: what a look answers, in memory alone. Knows nothing of the
//! journal and tells nobody; [`Cases`](super::Cases) holds it under a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::queue::Queue;
use super::standings::{Standing, Standings};
use crate::device::sinks::{Dues, Spec};
use crate::device::tally::Tally;
use crate::device::trouble::Trouble;
use crate::journal::{Because, Order, SelfCheck, Span, Verdict};

/// Where a case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Accepted; others are before it.
    Waiting,
    /// Being answered.
    Running,
    /// Ended in a finding.
    Finding,
    /// Ended in a refusal.
    Refusal,
    /// Dropped before it ran.
    Aborted,
}

impl State {
    /// What a record ends its case in.
    pub(super) fn of(record: &Value) -> Self {
        if record["status"] == "finding" {
            Self::Finding
        } else {
            Self::Refusal
        }
    }

    /// The word on the line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finding => "finding",
            Self::Refusal => "refusal",
            Self::Aborted => "aborted",
        }
    }
}

/// What the device does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Cases that wait.
    pub waiting: usize,
    /// The case that runs.
    pub running: Option<u64>,
    /// Cases that ended in a finding or refusal, since the state folder was made.
    pub answered: usize,
    /// Whether the last write to the journal failed, or there is hardly any room for more.
    pub storage_fault: bool,
    /// Why no case is answered now; they are accepted and kept.
    pub trouble: Option<Arc<Trouble>>,
    /// Names of what needs a person before long.
    pub warnings: Vec<String>,
}

/// What stands now.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Cases by the number that a host asked for them with.
    pub requests: BTreeMap<u64, u64>,
    /// How many a host has taken since the device started.
    pub delivered: u64,
    /// Those of them that some link is sending.
    pub offered: BTreeSet<u64>,
    pub standings: Standings,
    pub waiting: Queue,
    pub running: Option<u64>,
    pub answered: usize,
    /// The last write to the journal failed.
    pub storage_failed: bool,
    /// There is hardly any room left for it.
    pub storage_full: bool,
    /// Either, as it was told last.
    pub storage_fault: bool,
    pub trouble: Option<Arc<Trouble>>,
    /// What the last self-test came to.
    pub checks: Arc<[SelfCheck]>,
    /// When that was, and why.
    pub tested: Option<(Timestamp, Because)>,
    pub tests: Tests,
    /// The folder of a bundle that somebody wants loaded.
    pub wanted: Option<PathBuf>,
    pub tally: Tally,
    pub dues: Dues,
    /// A sink needs an image no longer.
    pub look_after_images: bool,
    /// Images that sinks need will have to go before long.
    pub images_short: bool,
}

/// Self-tests that somebody asked for, by their number.
#[derive(Debug, Default)]
pub(super) struct Tests {
    pub asked: u64,
    /// All up to this one have their result.
    pub done: u64,
}

impl Board {
    pub fn note_request(&mut self, case: u64, order: &Order) {
        if let Some(request) = order.request {
            self.requests.insert(request, case);
        }
    }

    pub fn wait(&mut self, case: u64, order: Order) {
        self.waiting.push(case, order);
        let standing = Standing {
            state: State::Waiting,
            answer: None,
            is_undelivered: false,
        };
        self.standings.set(case, standing);
    }

    /// A case that waited runs.
    pub fn begin(&mut self, case: u64) {
        self.running = Some(case);
        if let Some(standing) = self.standings.get(case).copied() {
            let state = State::Running;
            self.standings.set(case, Standing { state, ..standing });
        }
    }

    /// Names of what needs a person before long: checks of the self-test, images that will
    /// have to go, sinks that are held up.
    pub fn warnings(&self) -> Vec<String> {
        let warned = self.checks.iter().filter(|c| c.verdict == Verdict::Warned);
        let mut warnings: Vec<String> = warned.map(|check| check.name.clone()).collect();
        warnings.extend(self.images_short.then(|| "images_short".to_owned()));
        let sinks = self.dues.accounts().into_iter();
        let held_up = sinks.filter(|sink| sink.obstacle.is_some());
        warnings.extend(held_up.map(|sink| format!("sink_{}", sink.name)));
        warnings
    }

    /// These sinks work from now on.
    pub fn choose_sinks(&mut self, specs: Vec<Spec>) {
        let standings = &self.standings;
        let state = |case| standings.get(case).map(|standing| standing.state);
        self.dues.choose(specs, state);
    }

    pub fn end(&mut self, case: u64, state: State, answer: Option<Span>) {
        self.answered += usize::from(answer.is_some());
        let standing = Standing {
            state,
            answer,
            is_undelivered: true,
        };
        self.standings.set(case, standing);
        self.dues.ended(case, state);
    }
}
