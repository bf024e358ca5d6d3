//! What became of the cases since the device started, in numbers: ends and durations come in,
//! totals and histograms come out, for state file and metrics. Holds no word of any case.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long something took, counted by the second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// How many took no longer than each of [`Histogram::BOUNDS`], but longer than the bound
    /// before it; the last count is of those that took longer than all bounds.
    pub counts: [u64; Histogram::BOUNDS.len() + 1],
    /// Seconds of all together.
    pub seconds: f64,
}

impl Histogram {
    /// Seconds that a count's cases took at most.
    pub const BOUNDS: [f64; 10] = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 300.0];

    fn note(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        let place = Self::BOUNDS.iter().position(|bound| seconds <= *bound);
        self.counts[place.unwrap_or(Self::BOUNDS.len())] += 1;
        self.seconds += seconds;
    }
}

/// What became of the cases.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ends {
    /// Cases that ended in a finding.
    pub findings: u64,
    /// Cases that ended in a refusal, by its code.
    pub refusals: BTreeMap<String, u64>,
    /// Cases that were dropped before they ran.
    pub aborted: u64,
    /// DICOM instances that were refused before they were stored, by why.
    #[serde(default)]
    pub unstored: BTreeMap<String, u64>,
    /// From a case's start to its answer in the journal.
    pub run: Histogram,
    /// From its acceptance on; of cases that were accepted since the device started.
    pub latency: Histogram,
}

/// The count, and what it is made of.
#[derive(Debug, Default)]
pub(super) struct CaseCounts {
    pub ends: Ends,
    accepted: BTreeMap<u64, Instant>,
    started: Option<Instant>,
}

impl CaseCounts {
    /// A case was accepted.
    pub fn accepted(&mut self, case: u64, now: Instant) {
        self.accepted.insert(case, now);
    }

    /// A case began to run: the only one that does.
    pub fn started(&mut self, now: Instant) {
        self.started = Some(now);
    }

    /// How long the case that runs has been running.
    pub fn running_for(&self, now: Instant) -> Option<Duration> {
        self.started
            .map(|since| now.saturating_duration_since(since))
    }

    /// The case that ran was answered: refused by this code, or with a finding.
    pub fn answered(&mut self, case: u64, code: Option<&str>, now: Instant) {
        if let Some(started) = self.started.take() {
            self.ends.run.note(now.saturating_duration_since(started));
        }
        self.answered_without_run(case, code, now);
    }

    /// The same for a case that never ran.
    pub fn answered_without_run(&mut self, case: u64, code: Option<&str>, now: Instant) {
        match code {
            None => self.ends.findings += 1,
            Some(code) => *self.ends.refusals.entry(code.to_owned()).or_default() += 1,
        }
        if let Some(accepted) = self.accepted.remove(&case) {
            let latency = now.saturating_duration_since(accepted);
            self.ends.latency.note(latency);
        }
    }

    /// A case was dropped before it ran.
    pub fn aborted(&mut self, case: u64) {
        self.ends.aborted += 1;
        self.accepted.remove(&case);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_counted_once_by_how_it_ended() {
        let (mut counts, now) = (CaseCounts::default(), Instant::now());
        (1..=4).for_each(|case| counts.accepted(case, now));
        counts.started(now);
        counts.answered(1, None, now);
        counts.started(now);
        counts.answered(2, Some("blurred"), now);
        counts.aborted(3);
        // Of before the start.
        counts.started(now);
        counts.answered(9, Some("blurred"), now);
        let Ends {
            findings,
            refusals,
            aborted,
            run,
            latency,
            ..
        } = counts.ends;
        assert_eq!((findings, refusals["blurred"], aborted), (1, 2, 1));
        assert_eq!(run.counts.iter().sum::<u64>(), 3);
        assert_eq!(latency.counts.iter().sum::<u64>(), 2);
        assert_eq!(counts.accepted.len(), 1, "the one that waits");
    }

    #[test]
    fn times_are_counted_by_their_bounds() {
        let mut times = Histogram::default();
        for seconds in [0.1, 0.25, 0.26, 300.0, 301.0] {
            times.note(Duration::from_secs_f64(seconds));
        }
        assert_eq!(times.counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert!((times.seconds - 601.61).abs() < 1e-6);
    }
}
