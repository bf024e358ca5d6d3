//! Writes the device's health down as long as it works: at each change, and now and then
//! where nothing changes. Looks at each tick at what fills by itself. A file is replaced whole;
//! it is not waited for until it is on the disk, since nobody needs it after the power failed.
//! One that cannot be renewed is taken away: an old word is worse than none.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Snapshot, metrics};
use crate::device::cases::Cases;
use crate::device::lock::lock;
use crate::device::status::TICK;
use crate::files::{self, Folder};

/// How often it is written at least: rarely, since a card wears out.
const PULSE: Duration = Duration::from_secs(15);

/// Who writes it, and where.
#[derive(Debug)]
pub struct Monitor {
    cases: Arc<Cases>,
    files: Files,
    written: Option<(Instant, Snapshot)>,
    /// The last write failed: said once.
    failed: bool,
    last_word: LastWord,
}

/// Where it is written.
#[derive(Debug, Clone)]
struct Files {
    health: PathBuf,
    metrics: Option<PathBuf>,
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.health).chain(&self.metrics)
    }
}

/// Ends the writing.
#[derive(Debug, Clone)]
pub struct LastWord {
    is_said: Arc<Mutex<bool>>,
    files: Files,
}

impl Monitor {
    /// Writes it to one file, and as metrics to another.
    pub fn new(cases: Arc<Cases>, health: PathBuf, metrics: Option<PathBuf>) -> Self {
        let files = Files { health, metrics };
        for file in files.all() {
            // What a device that was killed left half written; where a folder is away, later.
            let _ = Folder::above(file).and_then(|(folder, _)| folder.sweep());
        }
        Self {
            cases,
            last_word: LastWord {
                is_said: Arc::default(),
                files: files.clone(),
            },
            files,
            written: None,
            failed: false,
        }
    }

    /// Removes what was written, once the device has ended: see `LastWord::say`.
    pub fn last_word(&self) -> LastWord {
        self.last_word.clone()
    }

    /// Watches until the device has ended.
    pub fn work(mut self) {
        let listener = self.cases.events().subscribe();
        while !self.cases.lifecycle().has_ended() {
            self.look();
            // Many events at once are one change.
            std::thread::sleep(TICK / 4);
            while listener.next(Duration::ZERO).is_some() {}
            listener.next(TICK * 3 / 4);
        }
    }

    /// Writes where something changed, or the last time is long ago.
    fn look(&mut self) {
        self.cases.look_at_disk();
        let now = Snapshot::of(&self.cases);
        let is_due = self
            .written
            .as_ref()
            .is_none_or(|(time, before)| time.elapsed() >= PULSE || now.differs_from(before));
        let last_word = self.last_word.clone();
        let is_said = lock(&last_word.is_said);
        if !is_due || *is_said {
            return;
        }
        let wrote = self.write(&now);
        if let Err(error) = &wrote
            && !self.failed
        {
            log::warn!("the device's health cannot be written: {error}");
        }
        self.failed = wrote.is_err();
        self.written = Some((Instant::now(), now));
    }

    fn write(&self, snapshot: &Snapshot) -> std::io::Result<()> {
        let json = serde_json::to_string_pretty(snapshot)?;
        let health = files::swap(&self.files.health, format!("{json}\n").as_bytes());
        if health.is_err() {
            // Where it cannot be removed either, it is old before long.
            let _ = files::remove(&self.files.health);
        }
        if let Some(file) = &self.files.metrics {
            files::swap(file, metrics::text(snapshot).as_bytes())?;
        }
        Ok(health?)
    }
}

impl LastWord {
    /// Removes the health of a device that has ended: nothing is written any more.
    pub fn say(&self) {
        *lock(&self.is_said) = true;
        for file in self.files.all() {
            // What stays is old before long.
            let _ = files::remove(file);
        }
    }
}

impl Snapshot {
    /// Whether something happened, beside that time went by.
    fn differs_from(&self, before: &Self) -> bool {
        let Self {
            state,
            device_fault,
            warnings,
            bundle,
            queue,
            ends,
            self_test,
            sinks,
            clock_sets,
            ..
        } = self;
        let is_running = |queue: &super::Queue| queue.running_s.is_some();
        (state, device_fault, warnings, bundle)
            != (
                &before.state,
                &before.device_fault,
                &before.warnings,
                &before.bundle,
            )
            || (queue.waiting, queue.answered, is_running(queue))
                != (
                    before.queue.waiting,
                    before.queue.answered,
                    is_running(&before.queue),
                )
            || (ends, self_test, sinks, clock_sets)
                != (
                    &before.ends,
                    &before.self_test,
                    &before.sinks,
                    &before.clock_sets,
                )
    }
}
