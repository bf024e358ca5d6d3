//! Writes the device's health down as long as it works: at each change, and now and then
//! where nothing changes. Looks at each tick at what fills by itself. A file is replaced whole;
//! it is not waited for until it is on the disk, since nobody needs it after the power failed.
//! One that cannot be renewed is taken away: an old word is worse than none.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::page_writer::PageWriter;
use super::place::StateFile;
use super::{Snapshot, health_at, metrics};
use crate::clock::Clock;
use crate::device::cases::Cases;
use crate::device::config::Telling;
use crate::device::lock::lock;
use crate::device::spawner::Spawner;
use crate::device::status::TICK;
use crate::files::{self, Folder, Readers};

/// How often it is written at least: rarely, since a card wears out.
const PULSE: Duration = Duration::from_secs(15);

/// Who writes it, and where.
#[derive(Debug)]
pub struct Monitor {
    cases: Arc<Cases>,
    written: Option<(Instant, Snapshot)>,
    /// Who may read it.
    readers: Readers,
    /// The last write failed: said once.
    failed: bool,
    last_word: LastWord,
}

/// Ends the writing.
#[derive(Debug, Clone)]
pub struct LastWord {
    clock: Clock,
    /// Where it is written. Held while it is: never waited for without an end, since the file's
    /// folder may be a share that hangs.
    health: Arc<Mutex<StateFile>>,
    is_said: Arc<AtomicBool>,
    metrics: Option<PageWriter>,
}

impl Monitor {
    /// Writes it to one file, and as metrics to another.
    pub fn new(cases: Arc<Cases>, health: StateFile, telling: &Telling) -> Self {
        sweep(&health.file);
        note_place(&cases, &health.file);
        Self {
            last_word: LastWord {
                clock: cases.clock().clone(),
                health: Arc::new(Mutex::new(health)),
                is_said: Arc::default(),
                metrics: metrics_writer(telling, cases.spawner()),
            },
            cases,
            readers: telling.readers(),
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
            self.cases.clock().sleep(TICK / 4);
            while listener.next(Duration::ZERO).is_some() {}
            listener.next(TICK * 3 / 4);
        }
    }

    /// Writes where something changed, or the last time is long ago.
    fn look(&mut self) {
        self.cases.look_at_disk();
        let now = Snapshot::of(&self.cases);
        let is_due = self.written.as_ref().is_none_or(|(time, before)| {
            self.cases.clock().since(*time) >= PULSE || now.differs_from(before)
        });
        if !is_due || self.last_word.is_said() {
            return;
        }
        let wrote = self.write(&now);
        if let Err(error) = &wrote
            && !self.failed
        {
            log::warn!("the device's health cannot be written: {error}");
        }
        self.failed = wrote.is_err();
        self.written = Some((self.cases.clock().now(), now));
    }

    fn write(&self, snapshot: &Snapshot) -> std::io::Result<()> {
        let json = serde_json::to_string_pretty(snapshot)?;
        if let Some(writer) = &self.last_word.metrics {
            writer.write(metrics::text(snapshot));
        }
        let mut health = lock(&self.last_word.health);
        if self.last_word.is_said() {
            return Ok(());
        }
        let json = format!("{json}\n");
        let Err(error) = files::swap_for(&health.file, json.as_bytes(), &self.readers) else {
            return Ok(());
        };
        // Where it cannot be removed either, it is old before long.
        let _ = files::remove(&health.file);
        let Some(otherwise) = health.otherwise.take() else {
            return Err(error.into());
        };
        log::warn!("the device's health goes to the state folder from now on: {error}");
        health.file = otherwise;
        note_place(&self.cases, &health.file);
        Ok(files::swap_for(
            &health.file,
            json.as_bytes(),
            &self.readers,
        )?)
    }
}

/// Notes in the state folder where the health lies: without, it is found where it usually is.
fn note_place(cases: &Cases, file: &Path) {
    let device = format!("{:016x}", cases.device());
    if let Err(error) = health_at::note(cases.state_folder(), file, device) {
        log::warn!("where the device's health lies cannot be noted: {error}");
    }
}

/// Removes what a device that was killed left half written; where the folder is away, later.
fn sweep(file: &Path) {
    let _ = Folder::above(file).and_then(|(folder, _)| folder.sweep());
}

/// Metrics often lie on a share or a disk of others: they keep nobody waiting.
fn metrics_writer(telling: &Telling, spawner: &Spawner) -> Option<PageWriter> {
    let (file, readers) = (telling.metrics.clone()?, telling.readers());
    let mut has_swept = false;
    let begun = PageWriter::begin(spawner, move |page| match page {
        Some(text) => {
            if !std::mem::replace(&mut has_swept, true) {
                sweep(&file);
            }
            Ok(files::swap_for(&file, text.as_bytes(), &readers)?)
        }
        None => Ok(files::remove(&file)?),
    });
    begun
        .inspect_err(|error| log::error!("no metrics are written: {error}"))
        .ok()
}

impl LastWord {
    /// Removes the health of a device that has ended: nothing is written any more.
    pub fn say(&self) {
        self.is_said.store(true, Ordering::SeqCst);
        let begin = self.clock.now();
        // Where whoever writes it hangs, removing it would hang as well.
        while self.clock.since(begin) < PageWriter::PATIENCE {
            if let Ok(health) = self.health.try_lock() {
                // What stays is old before long.
                let _ = files::remove(&health.file);
                break;
            }
            self.clock.sleep(Duration::from_millis(10));
        }
        if let Some(writer) = &self.metrics {
            writer.end();
        }
    }

    fn is_said(&self) -> bool {
        self.is_said.load(Ordering::SeqCst)
    }
}

impl Snapshot {
    /// Whether something happened, beside that time went by.
    fn differs_from(&self, before: &Self) -> bool {
        let Self {
            state,
            device_fault,
            warning_help,
            bundle,
            queue,
            ends,
            self_test,
            sinks,
            clock_sets,
            ..
        } = self;
        let is_running = |queue: &super::Queue| queue.running_s.is_some();
        // Two warnings of one code are two.
        (state, device_fault, warning_help, bundle)
            != (
                &before.state,
                &before.device_fault,
                &before.warning_help,
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
