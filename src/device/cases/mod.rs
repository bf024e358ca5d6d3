//! The cases of this device: orders come in from the sources, cases are run one after the other, and
//! answers go out to sinks and to whoever asks. An entry of the journal comes before whatever follows
//! from it.
//!
//! | file | what it is for |
//! |---|---|
//! | `accept`, `abort`, `nameable`, `refused` | a case begins, or does not; it is dropped before it runs |
//! | `board`, `case_table`, `state`, `queue`, `share` | where every case stands, and whose turn it is |
//! | `work`, `conclusion` | what the supervisor is given, and the record of what came of it |
//! | `answered`, `delivery`, `outbox` | answers on their way to the sinks |
//! | `images`, `kept`, `retention` | the images: of cases that wait, and of answered ones |
//! | `past`, `writing`, `status` | the cases of before this start; the journal written; how the device is |
//!
//! The journal's lock (`ledger`) is held while the disk works. The board's lock is never held for
//! longer than a lookup, so that a console is answered while a case runs or the disk is slow.
//! Events are told under the board's lock, so that they come in the order in which things
//! happened.

mod abort;
mod accept;
mod answered;
mod board;
mod case_table;
mod conclusion;
mod delivery;
pub(crate) mod images;
pub(crate) mod kept;
pub(crate) mod nameable;
mod outbox;
mod past;
mod queue;
mod refused;
mod retention;
mod share;
mod state;
mod status;
mod work;
mod writing;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::Instant;

pub use abort::Reach;
pub use answered::AnsweredCase;
use board::Board;
pub(super) use board::Ending;
use case_table::CaseRow;
pub(crate) use conclusion::{Answered, Conclusion};
pub use outbox::Spec;
use past::Past;
pub use queue::Bounds;
use refused::Refused;
use retention::RetentionScan;
pub use state::State;
pub(super) use work::Task;
pub use work::Wanted;

use crate::bundle::Outline;
use crate::case::{Giver, Order, Priority, Record};
use crate::clock::Clock;
use crate::device::case_error::CaseError;
use crate::device::cases::images::{Images, place};
use crate::device::cases::nameable::Nameable;
use crate::device::cases::share::Shares;
use crate::device::disk_space::DiskSpace;
use crate::device::events::{Event, Events};
use crate::device::lifecycle::Lifecycle;
use crate::device::lock::lock;
use crate::device::log_throttle::LogThrottle;
use crate::device::spawner::Spawner;
use crate::device::worker_memory::WorkerMemory;
use crate::device_key::PublicKey;
use crate::journal::{Checkpoint, Entry, Journal, JournalError, LINK, Reader, Told};
use crate::sha256::Sha256;
use crate::storage::Storage;
use kept::{Keeping, Kept};

#[derive(Debug)]
struct Ledger {
    journal: Journal,
    next: u64,
}

/// What becomes of answers and of their images.
#[derive(Debug, Default)]
pub struct Afterwards {
    /// The sinks that work.
    pub sinks: Vec<Spec>,
    /// How long images are kept.
    pub keeping: Keeping,
}

/// What the cases are handed of what lies around them.
#[derive(Debug)]
pub(crate) struct Around {
    /// Where everything that happens to cases is told.
    pub events: Arc<Events>,
    /// The device's switch, on its clock.
    pub lifecycle: Arc<Lifecycle>,
    /// Starts threads.
    pub spawner: Spawner,
}

/// All cases of one device.
#[derive(Debug)]
pub struct Cases {
    device: u64,
    key: PublicKey,
    state: PathBuf,
    storage: Arc<dyn Storage>,
    since: Instant,
    images: Arc<Images>,
    bundle: Mutex<Arc<Outline>>,
    ledger: Mutex<Ledger>,
    reader: Reader,
    board: Mutex<Board>,
    kept: Mutex<Kept>,
    disk: DiskSpace,
    /// There is something to do.
    arrived: Condvar,
    /// A self-test ended.
    tested: Condvar,
    /// A sink owes a case, or an image is needed no longer.
    owing: Condvar,
    events: Arc<Events>,
    lifecycle: Arc<Lifecycle>,
    spawner: Spawner,
    /// Cases that may wait at once.
    bounds: Mutex<Bounds>,
    /// How many cases of each giver came to nothing.
    refused: Mutex<Refused>,
    /// What decoders took, by giver.
    shares: Mutex<Shares>,
    /// Files that are being copied into the store.
    copying: Arc<AtomicUsize>,
    /// The files that a console may name.
    nameable: OnceLock<Nameable>,
    /// How much memory the worker uses.
    worker_memory: Arc<WorkerMemory>,
    /// What was said of the journal in the log.
    said: LogThrottle<std::mem::Discriminant<JournalError>>,
    /// How often the clock was set, as far as it was told last.
    clock_sets: AtomicU64,
    /// What kept images took, as far as it was told last.
    kept_bytes: AtomicU64,
}

impl Cases {
    /// Opens the state folder; cases that were accepted and not answered wait again.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(crate) fn open(
        bundle: Arc<Outline>,
        storage: Arc<dyn Storage>,
        afterwards: Afterwards,
        around: Around,
    ) -> Result<Self, JournalError> {
        let Around {
            events,
            lifecycle,
            spawner,
        } = around;
        let (mut journal, history) =
            Journal::open_on(Arc::clone(&storage), lifecycle.clock().clone())?;
        for damaged in &history.damaged {
            let (first, last) = (damaged.start(), damaged.end());
            log::error!("journal: entries {first} to {last} are damaged");
        }
        journal.append(Entry::Booted {
            software: env!("CARGO_PKG_VERSION").to_owned(),
            bundle: bundle.id.clone(),
        })?;
        let state = storage.path();
        let (next, chosen) = (journal.next_case(), history.sinks());
        let in_kept = || in_folder(state.join(kept::FOLDER));
        let mut kept = Kept::open(Arc::clone(&storage), afterwards.keeping).map_err(in_kept())?;
        let scan = RetentionScan::of(&*storage, &kept).map_err(in_kept())?;
        let mut past = Past::of(state, history.cases(), |spent| scan.has(spent));
        delivery::note_chosen(&mut journal, &chosen, &afterwards.sinks)?;
        past.board.choose_sinks(afterwards.sinks);
        past.give_up(&mut journal, &bundle)?;
        let Past {
            mut board,
            open,
            spent,
        } = past;
        if !open.is_empty() {
            log::warn!("journal: {} cases wait again", open.len());
        }
        scan.recall(&mut kept, &spent).map_err(in_kept())?;
        let waiting = open.values();
        let waiting = waiting.map(|open| (place(state, &open.order), open.order.giver.clone()));
        let ended = spent.iter().map(|spent| (spent.place.clone(), None));
        let wanted = ended.chain(waiting).collect();
        let room = DiskSpace::new(Arc::clone(&storage), afterwards.keeping.least_free);
        let images = Images::open(
            Arc::clone(&storage),
            &wanted,
            room.clone(),
            lifecycle.clock().clone(),
        )
        .map_err(in_folder(state.join("images")))?;
        board.doubt = journal.doubt();
        for (case, open) in open {
            board.wait(case, open.order, Some(open.span));
        }
        let cases = Self {
            state: state.to_owned(),
            storage: Arc::clone(&storage),
            since: lifecycle.clock().now(),
            device: journal.device(),
            key: journal.key(),
            images: Arc::new(images),
            bundle: Mutex::new(bundle),
            reader: journal.reader(),
            ledger: Mutex::new(Ledger { journal, next }),
            board: Mutex::new(board),
            kept: Mutex::new(kept),
            disk: room,
            arrived: Condvar::new(),
            tested: Condvar::new(),
            owing: Condvar::new(),
            events,
            lifecycle,
            spawner,
            bounds: Mutex::new(Bounds::default()),
            refused: Mutex::new(Refused::new(Bounds::MOST_REFUSED)),
            shares: Mutex::default(),
            copying: Arc::default(),
            nameable: OnceLock::new(),
            worker_memory: Arc::default(),
            said: LogThrottle::new(),
            clock_sets: AtomicU64::new(0),
            kept_bytes: AtomicU64::new(0),
        };
        // Power failed between an end and what follows from it.
        for spent in &spent {
            cases.release(spent);
        }
        Ok(cases)
    }

    /// Writes down what the device is told to do, by the hash of its configuration.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn configured(&self, sha256: String) -> Result<(), JournalError> {
        let entry = Entry::Configured { sha256 };
        lock(&self.ledger).journal.append(entry).map(drop)
    }

    /// Has a console name these files; without, it may name none.
    pub fn set_nameable(&self, nameable: Nameable) {
        // It is said once, before anybody asks.
        let _ = self.nameable.set(nameable);
    }

    /// The device is switched off: where the journal ends is signed, and told to the log.
    pub fn sign_off(&self) {
        if let Err(error) = lock(&self.ledger).journal.sign() {
            self.storage_failed(&error);
        }
    }

    /// The public half of the device's key.
    pub fn key(&self) -> PublicKey {
        self.key
    }

    /// From now on so many cases may wait, and so many of one giver come to nothing in an
    /// hour; those that wait already do.
    pub fn bound(&self, bounds: Bounds) {
        *lock(&self.bounds) = bounds;
        lock(&self.refused).most_an_hour(bounds.most_refused);
    }

    /// The device's own number, chosen by chance when its state folder was made.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// The images that came over a line.
    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }

    /// The folder of all that must not be lost.
    pub fn state_folder(&self) -> &Path {
        &self.state
    }

    /// Where the image of an order lies.
    pub(crate) fn place(&self, order: &Order) -> PathBuf {
        place(&self.state, order)
    }

    /// The disk that the state folder lies on.
    pub(crate) fn disk(&self) -> &DiskSpace {
        &self.disk
    }

    /// Where everything that happens to cases is told.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The device's switch.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// The device's clock.
    pub(crate) fn clock(&self) -> &Clock {
        self.lifecycle.clock()
    }

    /// The device's switch, for whoever holds it.
    pub(crate) fn shared_lifecycle(&self) -> &Arc<Lifecycle> {
        &self.lifecycle
    }

    /// What starts threads.
    pub(crate) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// The bundle that answers now.
    pub fn bundle(&self) -> Arc<Outline> {
        Arc::clone(&lock(&self.bundle))
    }

    /// Whether another case of this priority and giver may wait now.
    ///
    /// # Errors
    /// [`CaseError::TooManyWaiting`], [`CaseError::TooManyRefused`].
    pub fn may_wait(&self, priority: Priority, giver: Option<&Giver>) -> Result<(), CaseError> {
        self.may_fail(giver)?;
        let bounds = *lock(&self.bounds);
        let has_room = lock(&self.board).waiting.has_room(priority, giver, bounds);
        has_room.then_some(()).ok_or(CaseError::TooManyWaiting)
    }

    /// Whether a case of this giver may come to nothing: each is written down for ever.
    fn may_fail(&self, giver: Option<&Giver>) -> Result<(), CaseError> {
        let may = lock(&self.refused).may(giver, self.clock().now());
        may.then_some(()).ok_or(CaseError::TooManyRefused)
    }

    /// A case of this giver came to nothing.
    fn note_failed(&self, giver: Option<&Giver>) {
        lock(&self.refused).note(giver, self.clock().now());
    }

    /// Where a case stands.
    ///
    /// # Errors
    /// [`CaseError::NoSuchCase`].
    pub fn state(&self, case: u64) -> Result<State, CaseError> {
        let board = lock(&self.board);
        let row = board.table.get(case).ok_or(CaseError::NoSuchCase)?;
        Ok(row.state)
    }

    /// The answer of a case; `None` where it was dropped.
    ///
    /// # Errors
    /// [`CaseError::NoSuchCase`], [`CaseError::NotFinished`], [`CaseError::Storage`],
    /// [`CaseError::OtherVersion`].
    pub fn answer(&self, case: u64) -> Result<Option<Told>, CaseError> {
        let row = *lock(&self.board)
            .table
            .get(case)
            .ok_or(CaseError::NoSuchCase)?;
        if !row.is_ended() {
            return Err(CaseError::NotFinished);
        }
        match row.answer {
            Some(_) => self.ended(case).map(|ended| Some(ended.told)),
            None => Ok(None),
        }
    }

    /// A record as it is told: with the point of the journal that it stands at, and where
    /// another bundle is in use by now, it says so.
    fn told(&self, record: Record, point: Option<Checkpoint>) -> Told {
        let in_use = &self.bundle().id;
        let is_other = record.provenance.bundle.sha256 != in_use.sha256;
        Told {
            record,
            journal: point,
            bundle_in_use: is_other.then(|| in_use.clone()),
        }
    }

    /// SHA-256 of the image that a case is about; `None` where none could be read.
    ///
    /// # Errors
    /// [`CaseError::NoSuchCase`], [`CaseError::Storage`].
    pub fn image_hash(&self, case: u64) -> Result<Option<Sha256>, CaseError> {
        match self.order(case)?.sha256() {
            Some(sha256) => Ok(Some(sha256)),
            // An old order names none; its answer does.
            None => Ok(self.ended(case).ok().and_then(|ended| ended.image)),
        }
    }

    /// An ended case, of `among` or of all, whose answer no host has taken and no link is
    /// sending; from now on the caller's is.
    pub fn offer(&self, among: Option<&BTreeSet<u64>>) -> Option<u64> {
        let mut board = lock(&self.board);
        let Board { table, offered, .. } = &mut *board;
        let case = match among {
            None => table.oldest_undelivered(offered)?,
            Some(own) => *own
                .iter()
                .find(|case| table.is_undelivered(**case) && !offered.contains(*case))?,
        };
        board.offered.insert(case);
        Some(case)
    }

    /// These answers were offered and not taken.
    pub fn withdraw(&self, cases: &BTreeSet<u64>) {
        let mut board = lock(&self.board);
        board.offered.retain(|case| !cases.contains(case));
    }

    /// A host has this answer safe; durable when this returns.
    ///
    /// # Errors
    /// [`CaseError::Storage`]; then it will be offered again.
    pub fn deliver(&self, case: u64) -> Result<(), CaseError> {
        let sink = LINK.to_owned();
        let notes = Vec::new();
        let entry = Entry::Delivered { case, sink, notes };
        self.write(entry)?;
        let mut board = lock(&self.board);
        board.delivered += u64::from(board.table.deliver(case));
        board.offered.remove(&case);
        Ok(())
    }

    /// Whether the case ended and a host has taken its answer.
    pub fn is_delivered(&self, case: u64) -> bool {
        let board = lock(&self.board);
        let ended = board.table.get(case).is_some_and(CaseRow::is_ended);
        ended && !board.table.is_undelivered(case)
    }

    /// The last cases, oldest first.
    pub fn last(&self, count: usize) -> Vec<(u64, State)> {
        lock(&self.board).table.last(count)
    }
}

fn in_folder(path: PathBuf) -> impl FnOnce(std::io::Error) -> JournalError {
    |error| JournalError::Io { path, error }
}
