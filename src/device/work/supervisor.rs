//! The supervisor: has a worker run the cases, one after the other, and sees to it that
//! there is one that may.
//!
//! A worker that hangs is ended, one that ends is started again; the case that it ran is
//! refused, which is durable before the next one begins. Where workers end again and again,
//! cannot start or do not pass the self-test, the device is in the safe state: cases are
//! accepted and kept, every sink says why, and it is tried again after 1 second, then 2, up
//! to 5 minutes. Nothing else of the device waits for any of this.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bundle::{self, Trust};
use crate::case::{BundleId, Giver, Order, Timings};
use crate::device::cases::Conclusion;
use crate::device::cases::{Cases, Task, Wanted};
use crate::device::device_fault::DeviceFault;
use crate::device::events::{Event, Health};
use crate::device::self_test::{failed, useless};
use crate::device::work::in_hand;
use crate::device::work::lost::Lost;
use crate::device::work::workers::{
    self, NotStarted, Progress, Started, Starting, Step, Worker, Workers,
};
use crate::journal::{Because, SelfCheck};
use crate::pipeline::{Observer, Stage};

/// How soon it is noticed that the worker ended, or the device is switched off, while nothing
/// was to do.
const PULSE: Duration = Duration::from_millis(500);

/// How soon it is noticed that another bundle is loaded.
const SOON: Duration = Duration::from_millis(50);

/// Between two self-tests that nobody asked for.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks at what stands around the worker: the checks of a self-test that are not its own.
pub(crate) type LookAround = Box<dyn Fn() -> Vec<SelfCheck> + Send>;

/// Answers cases as long as the device is on.
pub struct Supervisor {
    cases: Arc<Cases>,
    workers: Box<dyn Workers>,
    /// Whose bundles may be used.
    trust: Trust,
    /// Looks at what stands around the worker.
    look_around: LookAround,
    /// The folder of the bundle, as it was named: it may be a link.
    bundle: PathBuf,
    /// The folder of the bundle that passed the last self-test: what it was named by may lead
    /// to another by now.
    good: Option<PathBuf>,
    /// One that passed its checks.
    worker: Option<Box<dyn Worker>>,
    /// When it was there.
    since: Instant,
    /// One that loads the bundle of a folder.
    next: Option<(Box<dyn Starting>, PathBuf)>,
    /// Why the bundle that was named last is not in use.
    refused: Option<SelfCheck>,
    /// What stood around it when that was last looked at.
    around: Vec<SelfCheck>,
    restart: Restart,
    tested: Instant,
}

impl Supervisor {
    /// A supervisor whose first worker is started on the bundle in a folder: ends the
    /// self-test of the device's start.
    pub fn new(
        cases: Arc<Cases>,
        workers: Box<dyn Workers>,
        trust: Trust,
        look_around: LookAround,
        bundle: PathBuf,
    ) -> Self {
        let now = cases.clock().now();
        let mut supervisor = Self {
            cases,
            workers,
            trust,
            look_around,
            bundle,
            good: None,
            worker: None,
            since: now,
            next: None,
            refused: None,
            around: Vec::new(),
            restart: Restart::default(),
            tested: now,
        };
        let cases = Arc::clone(&supervisor.cases);
        let tell = &mut |health| cases.events().tell(&Event::Health(health));
        let checks = supervisor.start(tell);
        supervisor.conclude(Because::Boot, checks);
        supervisor
    }

    /// Works until the device is switched off. To be called on one thread.
    pub fn work(mut self) {
        while self.cases.lifecycle().is_on() {
            self.turn();
        }
    }

    /// Once round: looks after the workers, and does the next thing that is to be done.
    pub fn turn(&mut self) {
        self.cases.lifecycle().beat();
        self.look_after_worker();
        if self.worker.is_some() && self.cases.clock().since(self.tested) >= DAY {
            self.self_test(Because::Daily);
        }
        self.look_after_next();
        let patience = if self.next.is_some() { SOON } else { PULSE };
        match self.cases.next(self.worker.is_some(), patience) {
            Some(Task::Case(case, order)) => self.run(case, &order),
            Some(Task::SelfTest(number)) => {
                self.self_test(Because::Asked);
                self.cases.note_tested(number);
            }
            Some(Task::Load(wanted)) => self.load(wanted),
            None => {}
        }
    }

    fn look_after_worker(&mut self) {
        if let Some(lost) = self.worker.as_mut().and_then(|w| w.has_ended()) {
            self.lose(&lost);
        }
        if self.worker.is_none() && self.restart.is_due(self.cases.clock().now()) {
            self.self_test(Because::Retry);
        }
    }

    /// Tests everything; the device is ready or in the safe state afterwards.
    fn self_test(&mut self, because: Because) {
        let checks = match self.worker.as_mut().map(|w| w.self_test()) {
            Some(Ok(checks)) => checks,
            Some(Err(lost)) => {
                self.lose(&lost);
                self.start(&mut |_| {})
            }
            None => self.start(&mut |_| {}),
        };
        self.conclude(because, checks);
    }

    /// Begins to load a bundle, beside the one that answers.
    fn load(&mut self, wanted: Wanted) {
        let Wanted { folder, trust } = wanted;
        // It holds for every worker that is started from now on.
        self.trust = trust;
        if self.worker.is_none() {
            // Nothing answers: there is nothing to be kept.
            (self.bundle, self.good) = (folder, None);
            self.self_test(Because::Bundle);
            return self.cases.lifecycle().ready();
        }
        match self.workers.begin(&folder, &self.trust) {
            Ok(starting) => self.next = Some((starting, folder)),
            Err(error) => self.refuse(error.check()),
        }
    }

    /// Between two cases: another bundle takes over once it is loaded and passes.
    fn look_after_next(&mut self) {
        let Some((starting, folder)) = self.next.take() else {
            return;
        };
        match starting.step(Duration::ZERO) {
            Ok(Step::Later(starting)) => self.next = Some((starting, folder)),
            Ok(Step::Now((worker, checks))) => match failed(&checks) {
                Some(check) => self.refuse(check.clone()),
                None => {
                    (self.worker, self.bundle) = (Some(worker), folder);
                    self.since = self.cases.clock().now();
                    (self.refused, self.restart) = (None, Restart::default());
                    self.conclude(Because::Bundle, checks);
                    self.cases.lifecycle().ready();
                }
            },
            Err(error) => self.refuse(error.check()),
        }
    }

    fn refuse(&mut self, check: SelfCheck) {
        log::error!(
            "the bundle is not loaded, the one before goes on: {}",
            check.what
        );
        let refused = check.as_warning("new_bundle");
        self.cases.note_refused(&refused);
        self.refused = Some(refused);
        if let Some(check) = self.distrusted() {
            self.conclude(Because::Bundle, vec![check]);
        }
        self.cases.lifecycle().ready();
    }

    /// Why the bundle that answers may do so no longer: a key was taken away, or revoked.
    fn distrusted(&self) -> Option<SelfCheck> {
        let worker = self.worker.as_ref()?;
        // Of a folder that holds another bundle by now, the next self-test tells.
        let is_there = |id: &BundleId| id.sha256 == worker.bundle().id.sha256;
        let found = bundle::judge(worker.folder(), &self.trust);
        match bundle::outline(worker.folder()) {
            Ok(outline) if is_there(&outline.id) => found.err().map(|error| useless(&error)),
            _ => None,
        }
    }

    fn start(&mut self, tell: &mut dyn FnMut(Health)) -> Vec<SelfCheck> {
        let folder = self.good.as_ref().unwrap_or(&self.bundle);
        let (workers, lifecycle) = (self.workers.as_mut(), self.cases.lifecycle());
        let started = workers::start(workers, folder, &self.trust, lifecycle, tell);
        self.take(started)
    }

    fn take(&mut self, started: Result<Started, NotStarted>) -> Vec<SelfCheck> {
        match started {
            Ok((worker, checks)) => {
                (self.worker, self.since) = (Some(worker), self.cases.clock().now());
                checks
            }
            Err(error) => vec![error.check()],
        }
    }

    fn conclude(&mut self, because: Because, mut checks: Vec<SelfCheck>) {
        if !self.cases.lifecycle().is_on() {
            // It was broken off: it says nothing.
            return;
        }
        // A worker that was only lost is replaced at once, without a long look around.
        if because != Because::Retry || self.cases.device_fault().is_some() {
            self.around = (self.look_around)();
            self.tested = self.cases.clock().now();
        }
        checks.extend(self.around.clone());
        checks.extend(self.refused.clone());
        let device_fault = failed(&checks).map(DeviceFault::from);
        self.cases.note_checks(because, checks);
        match (device_fault, &self.worker) {
            (None, Some(worker)) => {
                log::info!("self-test passed; ready");
                self.cases.lifecycle().status("ready");
                self.good = Some(worker.folder().to_owned());
                self.cases.set_ready(worker.bundle());
            }
            (None, None) => {}
            (Some(device_fault), _) => {
                // The next one loads what may have been mended.
                (self.worker, self.good) = (None, None);
                self.restart.strike(self.cases.clock().now());
                self.set_trouble(device_fault);
            }
        }
    }

    fn run(&mut self, case: u64, order: &Order) {
        let Some(worker) = &mut self.worker else {
            return;
        };
        let _in_hand = in_hand::take(case);
        self.cases.note_start(case);
        let bundle = worker.bundle().clone();
        let mut progress = CaseProgress {
            case,
            giver: order.giver.as_ref(),
            cases: &self.cases,
            timings: Timings::new(),
        };
        let concluded = match Conclusion::unreadable(order) {
            Some(conclusion) => Ok(conclusion),
            None => {
                let image = self.cases.place(order);
                worker.run(case, order.question(), &image, &mut progress)
            }
        };
        let (by, timings) = (bundle.provenance(), progress.timings);
        match concluded {
            Ok(conclusion) => {
                self.restart = Restart::default();
                let answer = conclusion.answer(case, order, by, timings);
                self.cases.end(case, order, answer);
            }
            // Whatever ended it, switching off may have been the cause.
            Err(_) if !self.cases.lifecycle().is_on() => {
                self.worker = None;
                self.cases.put_back(case);
            }
            Err(lost) => {
                log::error!("case {case}: {lost}");
                let answer = lost.conclusion().answer(case, order, by, timings);
                self.cases.end(case, order, answer);
                self.lose(&lost);
            }
        }
    }

    /// The worker is gone; where that has become a habit, the device says so.
    fn lose(&mut self, lost: &Lost) {
        log::error!("the worker is gone: {lost}");
        let age = self.cases.clock().since(self.since);
        if self.worker.take().is_some() && age > Restart::FORGIVEN {
            self.restart = Restart::default();
        }
        self.restart.strike(self.cases.clock().now());
        if !self.restart.is_due(self.cases.clock().now()) {
            self.set_trouble((&lost.check()).into());
        }
    }

    fn set_trouble(&self, device_fault: DeviceFault) {
        let status = format!("safe state: {}", device_fault.code);
        self.cases.lifecycle().status(&status);
        self.cases.set_trouble(device_fault);
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

    fn strike(&mut self, now: Instant) {
        let wait = match self.strikes {
            0 => Duration::ZERO,
            n => Self::FIRST.saturating_mul(1 << (n - 1).min(16)),
        };
        self.strikes += 1;
        self.not_before = Some(now + wait.min(Self::LAST));
    }

    fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|time| time <= now)
    }
}

/// Tells the stages of one case, and keeps their times.
struct CaseProgress<'a> {
    case: u64,
    giver: Option<&'a Giver>,
    cases: &'a Cases,
    timings: Timings,
}

impl Progress for CaseProgress<'_> {
    fn decoded(&mut self, processor: Duration) {
        self.cases.note_decoded(self.giver, processor);
    }
}

impl Observer for CaseProgress<'_> {
    fn begun(&mut self, stage: Stage) {
        let case = self.case;
        let event = Event::Stage { case, stage };
        self.cases.events().tell(&event);
    }

    fn ended(&mut self, stage: Stage, ms: f64) {
        self.timings.ended(stage, ms);
    }
}
