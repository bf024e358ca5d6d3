//! The outbox of every sink: the numbers of the ended cases that it takes and has not confirmed.
//! In go ends of cases, deliveries and which sinks are chosen; out comes the next case that a sink
//! is to be given. Called by the board. In memory alone: all of it follows from the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::state::State;
use crate::device::status::{Account, HANGS, Obstacle};

/// What the device must know of a sink before it works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// By which it is known in the journal: what it owes is owed under this name.
    pub name: String,
    /// Whether it takes refusals as well as findings.
    pub takes_refusals: bool,
    /// Whether a case's image must be kept until it has the answer.
    pub needs_image: bool,
}

impl Spec {
    /// Whether it takes a case that ended like this.
    pub fn takes(&self, state: State) -> bool {
        match state {
            State::Finding => true,
            State::Refusal => self.takes_refusals,
            State::Waiting | State::Running | State::Aborted => false,
        }
    }
}

/// What all sinks owe.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// By sink; those that the journal names and that do not work now are kept.
    owed: BTreeMap<String, BTreeSet<u64>>,
    working: BTreeMap<String, Working>,
}

#[derive(Debug)]
struct Working {
    spec: Spec,
    delivered: u64,
    delivery_error: Option<Obstacle>,
    /// Since when it is being given a case.
    busy: Option<Instant>,
    /// Cases that it will never have by a fault, since the device started.
    failed: BTreeMap<u64, Obstacle>,
    /// What the answer that was delivered last went without.
    without: Vec<(&'static str, Obstacle)>,
}

/// A try takes long.
const NO_ANSWER: Obstacle = Obstacle {
    code: "no_answer",
    help: "see whether the other end hangs: it is given a case and does not come to an end",
};

impl Working {
    fn new(spec: Spec) -> Self {
        Self {
            spec,
            delivered: 0,
            delivery_error: None,
            busy: None,
            failed: BTreeMap::new(),
            without: Vec::new(),
        }
    }

    /// What is wrong with it at this moment: what holds a try up is not told by the try.
    fn error(&self, now: Instant) -> Option<Obstacle> {
        let silent = |since| now.saturating_duration_since(since) >= HANGS;
        match self.busy {
            Some(since) if silent(since) => Some(NO_ANSWER),
            _ => self.delivery_error,
        }
    }
}

impl Outbox {
    /// The journal says that a sink owes this case.
    pub fn recall(&mut self, sink: String, case: u64) {
        self.owed.entry(sink).or_default().insert(case);
    }

    /// These sinks work from now on.
    pub fn choose(&mut self, specs: Vec<Spec>, state: impl Fn(u64) -> Option<State>) {
        let mut before = std::mem::take(&mut self.working);
        for spec in specs {
            let owed = self.owed.entry(spec.name.clone()).or_default();
            owed.retain(|case| state(*case).is_some_and(|state| spec.takes(state)));
            let name = spec.name.clone();
            let working = match before.remove(&name) {
                Some(working) => Working {
                    spec,
                    busy: None,
                    ..working
                },
                None => Working::new(spec),
            };
            self.working.insert(name, working);
        }
    }

    /// A case ended: every sink that works and takes it owes it.
    pub fn ended(&mut self, case: u64, state: State) {
        let takers = self.working.values().filter(|w| w.spec.takes(state));
        for Working { spec, .. } in takers {
            self.owed.entry(spec.name.clone()).or_default().insert(case);
        }
    }

    /// A sink owes this case no longer.
    pub fn settle(&mut self, sink: &str, case: u64, is_delivered: bool) {
        if let Some(owed) = self.owed.get_mut(sink) {
            owed.remove(&case);
        }
        if let Some(working) = self.working.get_mut(sink) {
            working.delivered += u64::from(is_delivered);
            working.failed.remove(&case);
        }
    }

    /// A sink will never have this case by a fault.
    pub fn note_failed(&mut self, sink: &str, case: u64, why: Obstacle) {
        if let Some(working) = self.working.get_mut(sink) {
            working.failed.insert(case, why);
        }
    }

    /// What the answer that was just delivered went without.
    pub fn note_without(&mut self, sink: &str, without: Vec<(&'static str, Obstacle)>) {
        if let Some(working) = self.working.get_mut(sink) {
            working.without = without;
        }
    }

    /// A sink is being given a case since then, or its try has ended.
    pub fn set_busy(&mut self, sink: &str, since: Option<Instant>) {
        if let Some(working) = self.working.get_mut(sink) {
            working.busy = since;
        }
    }

    /// What a sink's last try came to.
    pub fn note_error(&mut self, sink: &str, delivery_error: Option<Obstacle>) {
        if let Some(working) = self.working.get_mut(sink) {
            working.delivery_error = delivery_error;
        }
    }

    /// The oldest case that a working sink owes, but for these.
    pub fn next(&self, sink: &str, not_yet: &BTreeSet<u64>) -> Option<u64> {
        self.working.get(sink)?;
        let mut owed = self.owed.get(sink)?.iter();
        owed.find(|case| !not_yet.contains(case)).copied()
    }

    /// Whether a working sink needs this case's image.
    pub fn awaits_image(&self, case: u64) -> bool {
        let needing = self.working.values().filter(|w| w.spec.needs_image);
        let mut owed = needing.filter_map(|w| self.owed.get(&w.spec.name));
        owed.any(|owed| owed.contains(&case))
    }

    /// How the working sinks stand at this moment, by name.
    pub fn accounts(&self, now: Instant) -> Vec<Account> {
        let account = |(name, working): (&String, &Working)| Account {
            name: name.clone(),
            owed: self.owed.get(name).map_or(0, BTreeSet::len),
            delivered: working.delivered,
            delivery_error: working.error(now),
            failed: working
                .failed
                .last_key_value()
                .map(|(_, why)| (working.failed.len(), *why)),
            without: working.without.clone(),
        };
        self.working.iter().map(account).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, takes_refusals: bool) -> Spec {
        Spec {
            name: name.to_owned(),
            takes_refusals,
            needs_image: !takes_refusals,
        }
    }

    fn owed(outbox: &Outbox, sink: &str) -> Vec<u64> {
        let mut seen = BTreeSet::new();
        while let Some(case) = outbox.next(sink, &seen) {
            seen.insert(case);
        }
        seen.into_iter().collect()
    }

    #[test]
    fn a_sink_owes_what_it_takes_until_it_is_settled() {
        let mut outbox = Outbox::default();
        outbox.choose(vec![spec("results", true), spec("hl7", false)], |_| None);
        for (case, state) in [
            (1, State::Finding),
            (2, State::Refusal),
            (3, State::Aborted),
        ] {
            outbox.ended(case, state);
        }
        assert_eq!(
            (owed(&outbox, "results"), owed(&outbox, "hl7")),
            (vec![1, 2], vec![1])
        );
        assert!(outbox.awaits_image(1) && !outbox.awaits_image(2));
        outbox.settle("hl7", 1, true);
        assert!(!outbox.awaits_image(1));
        let accounts: Vec<_> = outbox
            .accounts(Instant::now())
            .iter()
            .map(|a| (a.owed, a.delivered))
            .collect();
        assert_eq!(accounts, [(0, 1), (2, 0)]);
    }

    #[test]
    fn a_sink_that_hangs_says_so_until_its_try_has_ended() {
        let mut outbox = Outbox::default();
        outbox.choose(vec![spec("results", true)], |_| None);
        let now = Instant::now();
        let not_written = Obstacle {
            code: "not_written",
            help: "",
        };
        let error = |outbox: &Outbox, now| {
            let error = outbox.accounts(now)[0].delivery_error;
            error.map(|obstacle| obstacle.code)
        };
        outbox.set_busy("results", Some(now));
        assert_eq!(error(&outbox, now), None);
        assert_eq!(error(&outbox, now + HANGS), Some("no_answer"));
        outbox.set_busy("results", None);
        outbox.note_error("results", Some(not_written));
        assert_eq!(error(&outbox, now + HANGS), Some("not_written"));
    }

    #[test]
    fn a_case_that_failed_counts_until_it_is_there_after_all() {
        let mut outbox = Outbox::default();
        outbox.choose(vec![spec("pacs", false)], |_| None);
        let why = Obstacle {
            code: "data_set_refused",
            help: "",
        };
        for case in [1, 2] {
            outbox.ended(case, State::Finding);
            outbox.settle("pacs", case, false);
            outbox.note_failed("pacs", case, why);
        }
        assert_eq!(outbox.accounts(Instant::now())[0].failed, Some((2, why)));
        // A configuration that is read again forgets nothing.
        outbox.choose(vec![spec("pacs", false)], |_| None);
        outbox.settle("pacs", 1, true);
        assert_eq!(outbox.accounts(Instant::now())[0].failed, Some((1, why)));
        outbox.settle("pacs", 2, true);
        assert_eq!(outbox.accounts(Instant::now())[0].failed, None);
    }

    #[test]
    fn what_a_sink_owed_waits_for_it_to_come_back() {
        let mut outbox = Outbox::default();
        outbox.recall("hl7".to_owned(), 7);
        outbox.recall("hl7".to_owned(), 8);
        outbox.choose(vec![spec("results", true)], |_| Some(State::Finding));
        assert_eq!(owed(&outbox, "hl7"), [0_u64; 0], "it does not work");
        assert!(!outbox.awaits_image(7));
        let is_finding = |case| (case == 7).then_some(State::Finding);
        outbox.choose(vec![spec("hl7", false)], is_finding);
        assert_eq!(owed(&outbox, "hl7"), [7], "8 is none that it takes");
    }
}
