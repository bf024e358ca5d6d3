//! What the device told those around it, and whether that still holds.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::Record;
use crate::device::cases::Cases;
use crate::device::events::Event;
use crate::journal;
use crate::sha256::Sha256;
use crate::storage::memory::{Chance, Memory};
use crate::storage::{Area, Storage};

/// What a case was accepted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Given {
    pub sha256: Sha256,
    pub request: Option<(u32, u64)>,
    pub rerun_of: Option<u64>,
}

/// All that was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    accepted: BTreeMap<u64, Given>,
    requests: BTreeMap<(u32, u64), (u64, Sha256)>,
    /// The record of each case whose answer was told.
    answers: BTreeMap<u64, String>,
    /// Those that were told as they ended.
    ended: BTreeSet<u64>,
    aborted: BTreeSet<u64>,
    /// What sinks were given, whether the device knows or not.
    given: BTreeSet<(String, u64)>,
    /// What they confirmed.
    delivered: BTreeSet<(String, u64)>,
    starts: u64,
}

fn text(record: &Record) -> String {
    serde_json::to_string(record).unwrap()
}

/// Whether an entry of this kind about this case outlasts a power cut.
fn is_durable(memory: &Memory, event: &str, case: u64) -> bool {
    let (event, case) = (
        format!(r#""event":"{event}""#),
        format!(r#""case":{case},"#),
    );
    let has_it = |most| {
        let lasting = memory.lasting(Area::State.named(journal::FILE), most);
        let text = String::from_utf8_lossy(&lasting);
        let mut lines = text.lines().rev();
        lines.any(|line| line.contains(&event) && line.contains(&case))
    };
    // Most often it was written just now.
    has_it(64 << 10) || has_it(usize::MAX)
}

impl Told {
    /// A case that was accepted, with its number.
    pub fn accepted(&mut self, case: u64, given: Given, seed: u64) {
        if let Some(before) = self.accepted.get(&case) {
            let is_it = before.sha256 == given.sha256 && before.request == given.request;
            assert!(
                is_it && given.request.is_some(),
                "seed {seed}: case {case} given twice"
            );
            return;
        }
        if let Some(request) = given.request {
            let before = self.requests.insert(request, (case, given.sha256));
            assert_eq!(before, None, "seed {seed}: a request is two cases");
        }
        self.accepted.insert(case, given);
    }

    /// The case and the image that a request was accepted for.
    pub fn requested(&self, request: (u32, u64)) -> Option<(u64, Sha256)> {
        self.requests.get(&request).copied()
    }

    /// Any case that was accepted.
    pub fn one_of(&self, chance: &mut Chance) -> Option<(u64, Given)> {
        let number = chance.below(self.accepted.len() as u64) as usize;
        self.accepted
            .iter()
            .nth(number)
            .map(|(case, given)| (*case, *given))
    }

    /// Something that the device told.
    pub fn hear(&mut self, event: &Event, memory: &Memory, seed: u64) {
        match event {
            Event::Accepted { case } => {
                assert!(
                    is_durable(memory, "accepted", *case),
                    "seed {seed}: case {case}"
                );
            }
            Event::Answered { case, answer } => {
                assert!(
                    self.ended.insert(*case),
                    "seed {seed}: case {case} answered twice"
                );
                assert!(
                    !self.aborted.contains(case),
                    "seed {seed}: case {case} was dropped"
                );
                self.answered(*case, &answer.record, memory, seed);
            }
            Event::Aborted { case } => {
                assert!(
                    is_durable(memory, "aborted", *case),
                    "seed {seed}: case {case}"
                );
                assert!(
                    !self.answers.contains_key(case),
                    "seed {seed}: case {case} has an answer"
                );
                self.aborted.insert(*case);
            }
            _ => {}
        }
    }

    /// An answer that somebody was told.
    pub fn answered(&mut self, case: u64, record: &Record, memory: &Memory, seed: u64) {
        let is_known = self.answers.contains_key(&case);
        let is_durable = is_known || is_durable(memory, "answered", case);
        assert!(is_durable, "seed {seed}: case {case} is not durable");
        if let Some(given) = self.accepted.get(&case) {
            assert_eq!(
                record.image,
                Some(given.sha256),
                "seed {seed}: case {case}: another image"
            );
            assert_eq!(record.rerun_of, given.rerun_of, "seed {seed}: case {case}");
        }
        let text = text(record);
        let told = self.answers.entry(case).or_insert_with(|| text.clone());
        assert_eq!(*told, text, "seed {seed}: case {case} has another answer");
    }

    /// A sink is to have this.
    pub fn is_due(&self, sink: &str, case: u64, seed: u64) {
        let delivered = self.delivered.contains(&(sink.to_owned(), case));
        assert!(!delivered, "seed {seed}: {sink} is given case {case} twice");
        assert!(
            !self.aborted.contains(&case),
            "seed {seed}: {sink} is given case {case}"
        );
    }

    /// A sink has it.
    pub fn given(&mut self, sink: &str, case: u64) {
        self.given.insert((sink.to_owned(), case));
    }

    /// A sink has it, and the device knows.
    pub fn delivered(&mut self, sink: &str, case: u64, memory: &Memory, seed: u64) {
        assert!(
            is_durable(memory, "delivered", case),
            "seed {seed}: case {case} to {sink}"
        );
        self.delivered.insert((sink.to_owned(), case));
    }

    /// The device has just started.
    pub fn check_start(&mut self, cases: &Cases, memory: &Memory, seed: u64) {
        self.starts += 1;
        self.check_cases(cases, memory, seed);
        check_journal(memory, seed);
    }

    /// Everything that was accepted has come to its end, and every sink has what it takes.
    pub fn check_end(&mut self, cases: &Cases, memory: &Memory, seed: u64) {
        self.check_cases(cases, memory, seed);
        check_journal(memory, seed);
        for case in self
            .accepted
            .keys()
            .filter(|case| !self.aborted.contains(case))
        {
            let state = cases.state(*case).unwrap();
            assert!(state.has_ended(), "seed {seed}: case {case} never ended");
            let answer = cases.answer(*case).unwrap();
            let has = |sink: &str| self.given.contains(&(sink.to_owned(), *case));
            if let Some(told) = answer {
                assert!(has("results"), "seed {seed}: no sink was given case {case}");
                let is_finding = told.record.finding().is_some();
                assert_eq!(has("pacs"), is_finding, "seed {seed}: case {case}");
            }
        }
        let counted = self.accepted.len();
        assert!(
            counted > 20 && self.starts > 5,
            "seed {seed}: {counted} cases say little"
        );
    }

    fn check_cases(&self, cases: &Cases, memory: &Memory, seed: u64) {
        if memory.is_off() {
            return;
        }
        let storage: &dyn Storage = memory;
        for (case, given) in &self.accepted {
            let state = cases.state(*case);
            let state = state.unwrap_or_else(|_| panic!("seed {seed}: case {case} is lost"));
            let is_told = self.answers.contains_key(case) || self.aborted.contains(case);
            assert!(
                state.has_ended() || !is_told,
                "seed {seed}: case {case} runs again"
            );
            if !state.has_ended() {
                let name = given.sha256.to_string();
                let image = storage.read(Area::Images.named(&name), 1 << 20);
                let is_it = image.is_ok_and(|bytes| Sha256::of(&bytes) == given.sha256);
                assert!(
                    is_it || memory.is_off(),
                    "seed {seed}: the image of case {case} is lost"
                );
            }
        }
        for (case, told) in &self.answers {
            match cases.answer(*case) {
                Ok(Some(now)) => assert_eq!(text(&now.record), *told, "seed {seed}: case {case}"),
                other => assert!(memory.is_off(), "seed {seed}: case {case}: {other:?}"),
            }
        }
        for case in &self.aborted {
            assert!(
                matches!(cases.answer(*case), Ok(None)),
                "seed {seed}: case {case}"
            );
        }
    }
}

/// The journal is whole, and nothing in it is taken for what a person did.
fn check_journal(memory: &Memory, seed: u64) {
    let storage: &dyn Storage = memory;
    let folder = tempfile::tempdir().unwrap();
    let Ok(names) = storage.names(Area::State) else {
        return;
    };
    for name in names {
        let Ok(bytes) = storage.read(Area::State.named(&name), 1 << 30) else {
            return;
        };
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let report = journal::verify(folder.path(), None, None).unwrap();
    let found = (&report.faults, &report.open, &report.not_as_left);
    assert!(
        found.0.is_empty() && found.1.is_empty() && found.2.is_empty(),
        "seed {seed}: {found:?}, damaged {:?} of {}",
        report.damaged,
        report.entries
    );
}
