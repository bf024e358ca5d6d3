//! One sink at work: the oldest case that it owes, again and again until it has it.
//!
//! A sink that is away is left alone for a while with all its cases; a case that it refuses
//! is set aside alone, so that those after it go on.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::{Delivered, DeliveryError, NotDelivered, Note, Sink};
use crate::device::case_error::CaseError;
use crate::device::cases::Cases;
use crate::device::work::in_hand;

/// Longest sleep: what is missed by a hair is seen then.
const LONGEST: Duration = Duration::from_secs(60);

/// Works until the device has ended.
pub(crate) fn work(mut sink: Box<dyn Sink>, cases: &Cases) {
    let name = sink.spec().name;
    let mut runner = Runner {
        name: &name,
        cases,
        away: Backoff::default(),
        aside: BTreeMap::new(),
        said: None,
    };
    while !cases.lifecycle().has_ended() {
        let now = cases.clock().now();
        let wait = runner.away.left(now);
        if !wait.is_zero() {
            cases.rest(wait);
            continue;
        }
        let (not_yet, patience) = runner.not_yet(now);
        if let Some(case) = cases.next_due(&name, &not_yet, patience) {
            runner.deliver(sink.as_mut(), case);
        }
    }
}

struct Runner<'a> {
    name: &'a str,
    cases: &'a Cases,
    /// The whole sink failed.
    away: Backoff,
    /// Cases that it refused.
    aside: BTreeMap<u64, Backoff>,
    /// The error that was logged last: said once, not at every try.
    said: Option<&'static str>,
}

impl Runner<'_> {
    /// Cases that are left alone now, and how long until the first of them is tried again.
    fn not_yet(&mut self, now: Instant) -> (BTreeSet<u64>, Duration) {
        let waits = self
            .aside
            .iter()
            .map(|(case, wait)| (*case, wait.left(now)));
        let waits = waits.filter(|(_, left)| !left.is_zero());
        waits.fold(
            (BTreeSet::new(), LONGEST),
            |(mut cases, first), (case, left)| {
                cases.insert(case);
                (cases, first.min(left))
            },
        )
    }

    fn deliver(&mut self, sink: &mut dyn Sink, case: u64) {
        let _in_hand = in_hand::take(case);
        let tried = self.cases.ended(case).map(|ended| {
            self.cases.gives(self.name);
            let delivered = catch_unwind(AssertUnwindSafe(|| sink.deliver(&ended)));
            self.cases.gave(self.name);
            delivered.unwrap_or_else(|_| {
                let why = "the program failed on this case";
                Err(NotDelivered::Refused(DeliveryError::new("fault", why)))
            })
        });
        let unreadable = |fault| match fault {
            // No try will understand it: the answer stays what it is.
            CaseError::OtherVersion => NotDelivered::Never("other_version"),
            // A journal that cannot be read is told by the cases themselves.
            _ => NotDelivered::Away(DeliveryError::new("storage", "the journal")),
        };
        match tried.map_err(unreadable).and_then(|done| done) {
            Ok(delivered) => self.delivered(case, &delivered),
            Err(NotDelivered::Never(code)) => {
                if self.declined(case, code) {
                    log::info!("case {case}: not for {} ({code})", self.name);
                }
            }
            Err(NotDelivered::Failed(error)) => self.failed(case, &error),
            Err(NotDelivered::Away(delivery_error)) => {
                let wait = self.away.failed(self.cases.clock().now());
                self.say(case, &delivery_error, wait);
            }
            Err(NotDelivered::Refused(delivery_error)) => {
                self.away = Backoff::default();
                let wait = self
                    .aside
                    .entry(case)
                    .or_default()
                    .failed(self.cases.clock().now());
                self.say(case, &delivery_error, wait);
            }
        }
    }

    fn delivered(&mut self, case: u64, Delivered { notes }: &Delivered) {
        let name = self.name;
        let told = notes.iter().map(Note::to_string).collect();
        if self.cases.delivered_to(case, name, told).is_err() {
            // It is there, and will be there again: under the same name.
            self.away.failed(self.cases.clock().now());
            return;
        }
        self.settled(case);
        let mut without = Vec::new();
        for note in notes {
            if let Note::Without(part, error) = note {
                without.push((*part, error.obstacle()));
                log::warn!("case {case}: {name} has it without its {part}: {error}");
            } else {
                log::info!("case {case}: {name} remarks on its {note}");
            }
        }
        self.cases.note_without(name, without);
        log::info!("case {case}: {name} has it");
    }

    /// Settles a case that never goes there; whether that is written down.
    fn declined(&mut self, case: u64, code: &'static str) -> bool {
        let is_written = self.cases.decline(case, self.name, code).is_ok();
        if is_written {
            self.settled(case);
        } else {
            self.away.failed(self.cases.clock().now());
        }
        is_written
    }

    fn failed(&mut self, case: u64, error: &DeliveryError) {
        let name = self.name;
        if self.declined(case, error.code) {
            self.cases.note_undeliverable(name, case, error.obstacle());
            log::error!("case {case}: {name} will never have it: {error}");
        }
    }

    fn settled(&mut self, case: u64) {
        self.cases.note_error(self.name, None);
        self.said = None;
        self.away = Backoff::default();
        self.aside.remove(&case);
    }

    fn say(&mut self, case: u64, delivery_error: &DeliveryError, wait: Duration) {
        let name = self.name;
        self.cases.note_error(name, Some(delivery_error.obstacle()));
        let level = match self.said.replace(delivery_error.code) {
            Some(code) if code == delivery_error.code => log::Level::Debug,
            _ => log::Level::Warn,
        };
        log::log!(
            level,
            "case {case}: {name} has it not, again in {wait:?}: {delivery_error}"
        );
    }
}
