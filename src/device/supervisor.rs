//! The supervisor: has a worker run the cases, one after the other, and sees to it that
//! there is a worker.
//!
//! A worker that hangs is ended, one that ends is started again; the case that it ran is
//! refused, which is durable before the next one begins. Where workers end again and again,
//! or cannot start, the device is in the safe state: cases are accepted and kept, every sink
//! says why, and it is tried again after 1 second, then 2, up to 5 minutes. Nothing else of
//! the device waits for any of this.

use std::time::{Duration, Instant};

use super::cases::{Cases, Task};
use super::events::{Event, Events};
use super::run::Ran;
use super::trouble::Trouble;
use super::worker::{Lost, NotStarted, Settings, Worker};
use crate::journal::Order;
use crate::pipeline::{Observer, Stage, Timings};

/// How soon a worker that ended while nothing was to do is noticed.
const PULSE: Duration = Duration::from_secs(1);

/// Answers cases as long as the device is on.
#[derive(Debug)]
pub struct Supervisor {
    cases: &'static Cases,
    settings: Settings,
    worker: Option<Worker>,
    restart: Restart,
}

impl Supervisor {
    /// A supervisor with a worker that has just started.
    pub fn new(cases: &'static Cases, settings: Settings, worker: Worker) -> Self {
        cases.set_ready(worker.bundle());
        Self {
            cases,
            settings,
            worker: Some(worker),
            restart: Restart::default(),
        }
    }

    /// Works for ever. To be called on one thread.
    pub fn work(mut self) -> ! {
        loop {
            self.look_after_worker();
            match self.cases.next(self.worker.is_some(), PULSE) {
                Some(Task::Case(case, order)) => self.run(case, &order),
                Some(Task::SelfTest(number)) => {
                    self.self_test();
                    self.cases.note_tested(number);
                }
                None => {}
            }
        }
    }

    fn look_after_worker(&mut self) {
        if let Some(lost) = self.worker.as_mut().and_then(Worker::has_ended) {
            self.lose(&lost);
        }
        if self.worker.is_none() && self.restart.is_due() {
            self.start();
        }
    }

    fn start(&mut self) {
        match Worker::start(&self.settings, &mut |_| {}) {
            Ok(worker) => {
                log::info!("a worker was started");
                self.cases.set_ready(worker.bundle());
                self.worker = Some(worker);
            }
            Err(error) => {
                self.restart.strike();
                self.cases.set_trouble(error.into());
            }
        }
    }

    fn run(&mut self, case: u64, order: &Order) {
        let Some(worker) = &mut self.worker else {
            return;
        };
        self.cases.note_start(case);
        let bundle = worker.bundle().clone();
        let mut progress = Progress {
            case,
            events: self.cases.events(),
            timings: Timings::new(),
        };
        let ran = worker.run(case, order, &mut progress);
        let timings = progress.timings;
        match ran {
            Ok(ran) => {
                self.restart = Restart::default();
                self.cases.end(case, order, ran, &timings, &bundle);
            }
            Err(lost) => {
                log::error!("case {case}: {lost}");
                let ran = Ran::lost(order, &lost);
                self.cases.end(case, order, ran, &timings, &bundle);
                self.lose(&lost);
            }
        }
    }

    /// The worker is gone; where that has become a habit, the device says so.
    fn lose(&mut self, lost: &Lost) {
        log::error!("the worker is gone: {lost}");
        let age = self.worker.take().map(|worker| worker.age());
        if age.is_some_and(|age| age > Restart::FORGIVEN) {
            self.restart = Restart::default();
        }
        self.restart.strike();
        if !self.restart.is_due() {
            self.cases.set_trouble(Trouble::from(lost));
        }
    }

    /// Somebody wants to know now, however soon it was tried last.
    fn self_test(&mut self) {
        let Some(worker) = &mut self.worker else {
            return self.start();
        };
        match worker.self_test() {
            Ok(()) => self.cases.set_ready(worker.bundle()),
            Err(NotStarted::Lost(lost)) => {
                self.lose(&lost);
                self.start();
            }
            Err(NotStarted::Useless(trouble)) => {
                self.worker = None;
                self.restart.strike();
                self.cases.set_trouble(trouble);
            }
        }
    }
}

/// When a worker may be started again: at once after the first that was lost since a case
/// was answered, then after ever longer waits.
#[derive(Debug, Default)]
struct Restart {
    strikes: u32,
    not_before: Option<Instant>,
}

impl Restart {
    const FIRST: Duration = Duration::from_secs(1);
    const LAST: Duration = Duration::from_secs(300);
    /// A worker that was at work so long was no part of any habit.
    const FORGIVEN: Duration = Duration::from_secs(600);

    fn strike(&mut self) {
        let wait = match self.strikes {
            0 => Duration::ZERO,
            n => Self::FIRST.saturating_mul(1 << (n - 1).min(16)),
        };
        self.strikes += 1;
        self.not_before = Some(Instant::now() + wait.min(Self::LAST));
    }

    fn is_due(&self) -> bool {
        self.not_before.is_none_or(|time| time <= Instant::now())
    }
}

/// Tells the stages of one case, and keeps their times.
struct Progress<'a> {
    case: u64,
    events: &'a Events,
    timings: Timings,
}

impl Observer for Progress<'_> {
    fn begun(&mut self, stage: Stage) {
        let case = self.case;
        self.events.tell(&Event::Stage { case, stage });
    }

    fn ended(&mut self, stage: Stage, ms: f64) {
        self.timings.ended(stage, ms);
    }
}
