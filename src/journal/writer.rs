//! The open journal: entries come in, lines that outlast a power failure come out.
//!
//! Before each write it looks whether its file is as it left it, and after each it writes the
//! mark. What it finds changed is never undone and never thrown away: it is written down, kept
//! as evidence where it would be in the way, and told by [`Journal::doubt`].

mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::chain::{self, Link};
use super::clock::{self, Set, WallClock};
use super::evidence;
use super::held::Held;
use super::integrity::{self, Integrity};
use super::mark::Marks;
use super::reader::Shared;
use super::reserve::Reserve;
use super::verify;
use super::{Checkpoint, Doubt, Entry, History, JournalError, Line, Place, Reader, Span, failed};
use crate::clock::Clock;
use crate::device_key::{DeviceKey, PublicKey};
use crate::sha256::Sha256;
use crate::storage::{Area, Disk, Storage, StoredFile};

/// So many entries are written at most without a signed point behind them.
const UNSIGNED: u64 = 64;

/// No line has this hash.
const NEVER: Sha256 = Sha256([0; 32]);

/// The open journal. Only one process may hold it.
#[derive(Debug)]
pub struct Journal {
    folder: Arc<dyn Storage>,
    path: PathBuf,
    file: Shared,
    device: u64,
    key: DeviceKey,
    marks: Marks,
    end: u64,
    last: u64,
    link: Link,
    /// No case was given a higher number.
    case: u64,
    /// Entries since the last signed point.
    unsigned: u64,
    /// When the file was changed last, as the system told after the last write.
    changed: (i64, i64),
    /// A write failed, and what it left could not be taken off.
    is_dirty: bool,
    doubt: Doubt,
    /// What was found of the file and is not written yet.
    found: Option<Entry>,
    clock: WallClock,
    /// The clock was set, and this is not written yet.
    set: Option<Set>,
    /// By how much it was set, all together.
    shift: SignedDuration,
    /// How often, since the journal was opened.
    sets: u64,
    reserve: Reserve,
}

/// Lines that are written at once.
struct Batch {
    bytes: Vec<u8>,
    place: Place,
    /// The last signed point among them.
    point: Option<Checkpoint>,
}

impl Journal {
    /// Opens the journal in `folder`, which is made where it is missing; entries have the time
    /// of this clock. A last line
    /// that was cut short by a power failure was never acknowledged to anyone and is
    /// taken off. Of answers the history has outcome and source alone.
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Foreign`] where it is another device's.
    pub fn open(folder: &Path, clock: Clock) -> Result<(Self, History), JournalError> {
        Self::open_on(Disk::make(folder)?, clock)
    }

    /// The same, in this state folder.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(
        storage: Arc<dyn Storage>,
        clock: Clock,
    ) -> Result<(Self, History), JournalError> {
        let held = Held::take(storage, &clock)?;
        held.refuse_foreign()?;
        Self::take_on(held, clock, None)
    }

    /// Has this device take on the journal in `folder`, whosever it is and whatever is wrong
    /// with it, and writes down why; what it was before.
    ///
    /// # Errors
    /// [`JournalError::NothingToAdopt`] where nothing is wrong, and those of [`Journal::open`].
    pub fn adopt(folder: &Path, because: &str, clock: Clock) -> Result<String, JournalError> {
        let held = Held::take(Disk::make(folder)?, &clock)?;
        let foreign = held.foreign();
        let how = held.integrity.how.or(held.integrity.history.doubt);
        let was = match (foreign, how) {
            (Some(what), _) => what,
            (None, Some(how)) => how.what().to_owned(),
            (None, None) => return Err(JournalError::NothingToAdopt { path: held.path }),
        };
        Self::take_on(held, clock, Some(because))?;
        Ok(was)
    }

    fn take_on(
        held: Held,
        clock: Clock,
        adopted: Option<&str>,
    ) -> Result<(Self, History), JournalError> {
        let Held {
            folder,
            path,
            file,
            key,
            origin,
            marked,
            integrity,
        } = held;
        let Integrity {
            mut history,
            how,
            signed_to,
        } = integrity;
        // What another device's journal ends in, this one's mark knows nothing of.
        let how =
            how.filter(|_| adopted.is_none() || history.origin.is_none_or(|o| o.is_of(&origin)));
        let (left, case) = marked.left();
        let last = left.map_or(0, |left| left.seq).max(history.last);
        let case = case.max(history.next_case(left.map_or(0, |left| left.seq)) - 1);
        let evidence = match how {
            Some(_) => evidence::keep_tail(&*folder, &*file, history.end, last),
            None => Ok(None),
        };
        let evidence = evidence.map_err(failed(&path))?;
        settle(&*file, &history).map_err(failed(&path))?;
        // The folder's entry of a new file must last as well.
        folder.sync(Area::State)?;
        let place = Place {
            seq: last,
            head: Sha256(history.link),
        };
        let before = match how {
            // Should power fail before this is written down, the next start finds it as well.
            Some(_) => left.unwrap_or(Place {
                seq: last.saturating_add(1),
                head: NEVER,
            }),
            None => place,
        };
        let mut reserve = Reserve::hold(&folder);
        let begin = || Marks::begin(&folder, &key, &marked, case, before);
        let marks = match begin().map_err(JournalError::from) {
            Err(error) if error.is_full() && reserve.give_up() => begin()?,
            begun => begun?,
        };
        let time = history.lines.last().map(|(line, _)| line.time);
        let (clock, set) = WallClock::not_before(time, clock);
        let mut journal = Self {
            reserve,
            folder,
            path,
            file: Shared::new(file),
            device: origin.device.0,
            key,
            marks,
            end: history.end,
            last,
            link: history.link,
            case,
            unsigned: 0,
            changed: (0, 0),
            is_dirty: false,
            doubt: Doubt::new(history.doubt),
            found: None,
            clock,
            set,
            shift: history.shift(),
            sets: 0,
        };
        journal.look_at_file()?;
        let mut entries = Vec::new();
        if let Some(how) = how {
            entries.push(journal.not_as_left(how, left, integrity::end_of(&history), evidence));
        }
        match (adopted, history.origin) {
            (Some(because), _) => {
                journal.doubt.set(None);
                let mut damaged: Vec<_> = history.damaged.iter().map(verify::ends).collect();
                damaged.extend((history.last < last).then_some([history.last + 1, last]));
                entries.push(Entry::Adopted {
                    by: origin,
                    because: because.to_owned(),
                    damaged,
                });
            }
            (None, Some(_)) => {}
            (None, None) => entries.push(Entry::Begun(origin)),
        }
        if signed_to < history.last {
            let (first, last) = (signed_to + 1, history.last);
            let is_of_before = history.origin.is_none() && how.is_none();
            let counts = adopted.is_some() || is_of_before;
            if !counts {
                warn_of_ends(history.distrust([first, last]), first, last);
            }
            entries.push(Entry::FoundUnsigned {
                first,
                last,
                counts,
            });
        }
        if !entries.is_empty() {
            journal.write(entries, true)?;
        }
        Ok((journal, history))
    }

    /// Appends an entry; once this returns it outlasts a power failure. Where the disk is
    /// full, it takes the room that is held back, unless it is of a new case.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the journal is then as it was before.
    pub fn append(&mut self, entry: Entry) -> Result<Span, JournalError> {
        self.reserve.restore();
        let is_new = matches!(entry, Entry::Accepted { .. });
        match self.append_once(entry.clone()) {
            Err(error) if !is_new && error.is_full() && self.reserve.give_up() => {
                self.append_once(entry)
            }
            done => done,
        }
    }

    fn append_once(&mut self, entry: Entry) -> Result<Span, JournalError> {
        self.look()?;
        // A finding goes out with a signed point, and no end counts without one.
        let is_due = entry.is_an_end() || self.unsigned + 1 >= UNSIGNED;
        self.write(vec![entry], is_due)
    }

    /// Signs where the chain ends, for the device is switched off, and has the mark say that it
    /// ended in order: what stands behind at the next start is somebody else's.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn sign(&mut self) -> Result<(), JournalError> {
        if self.unsigned > 0 {
            self.look()?;
            self.write(Vec::new(), true)?;
        } else {
            self.look_at_file()?;
        }
        let (key, case, place) = (&self.key, self.case, self.place());
        let ended = self.marks.end(key, case, place);
        ended.map_err(failed(&self.path))
    }

    /// Writes a signed point, to see whether the disk takes anything again.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn try_writing(&mut self) -> Result<(), JournalError> {
        self.reserve.restore();
        self.look()?;
        self.write(Vec::new(), true).map(drop)
    }

    /// Looks at the clock, and writes down that it was set.
    fn look(&mut self) -> Result<Timestamp, JournalError> {
        let (time, set) = self.clock.look();
        self.set = self.set.or(set);
        if let Some(Set { from, to }) = self.set {
            self.write(vec![Entry::ClockSet { from, to }], false)?;
            self.set = None;
            self.shift = clock::further(self.shift, from, to);
            self.sets += 1;
        }
        Ok(time)
    }

    #[cfg(test)]
    pub(super) fn pretend_clock_was_set(&mut self, from: Timestamp, to: Timestamp) {
        self.set = Some(Set { from, to });
    }

    /// How often the clock was set since the journal was opened.
    pub fn clock_sets(&self) -> u64 {
        self.sets
    }

    /// What the clock would show, had it never been set since the journal was begun: ages
    /// are told by it, so that a clock set forward by a year makes nothing old.
    ///
    /// # Errors
    /// [`JournalError::Io`], where the clock was set and this cannot be written.
    pub fn steady(&mut self) -> Result<Timestamp, JournalError> {
        let time = self.look()?;
        Ok(clock::steady(time, self.shift))
    }

    /// A number that no case was ever given, by this journal and by the mark outside of it.
    pub fn next_case(&self) -> u64 {
        self.case.saturating_add(1)
    }

    /// Whether the journal is as it was left, from now on and for whoever asks.
    pub fn doubt(&self) -> Doubt {
        self.doubt.clone()
    }

    /// The device's own number.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// The public half of the key that signs its points.
    pub fn key(&self) -> PublicKey {
        self.key.public()
    }

    /// A reader of its own for the same file.
    pub fn reader(&self) -> Reader {
        Reader {
            path: self.path.clone(),
            file: self.file.clone(),
            key: self.key.public(),
        }
    }

    /// Writes entries, and behind them a signed point where it is to. The span is the first
    /// entry's.
    fn write(&mut self, entries: Vec<Entry>, sign: bool) -> Result<Span, JournalError> {
        self.look_at_file()?;
        let highest = entries.iter().filter_map(|entry| match entry {
            Entry::Accepted { case, .. } => Some(*case),
            _ => None,
        });
        let mut case = self.case;
        for given in highest {
            if given <= case {
                let path = self.path.clone();
                return Err(JournalError::NumberGiven { path, case: given });
            }
            case = given;
        }
        // A number that was given is never forgotten, and a start or an end never undone.
        let lasting = entries.is_empty() || entries.iter().any(Entry::must_be_marked);
        let written = entries.len() as u64;
        let batch = self.batch(entries, sign)?;
        let span = self.commit(&batch, case, lasting)?;
        self.unsigned = match batch.point {
            Some(_) => 0,
            None => self.unsigned + written,
        };
        Ok(span)
    }

    fn commit(&mut self, batch: &Batch, case: u64, lasting: bool) -> Result<Span, JournalError> {
        if let Err(error) = self.put(batch, case, lasting) {
            // Half a line must not be taken for the start of the next one. Where even
            // this fails, the next write or the next opening takes it off.
            self.is_dirty = self.file.get().set_len(self.end).is_err();
            self.changed = self.changed_now();
            return Err(failed(&self.path)(error));
        }
        let span = Span::at(self.end);
        self.end += batch.bytes.len() as u64;
        (self.last, self.link) = (batch.place.seq, batch.place.head.0);
        self.case = case;
        if let Some(point) = batch.point {
            log::info!("journal checkpoint {point}");
        }
        Ok(span)
    }

    fn batch(&self, entries: Vec<Entry>, sign: bool) -> Result<Batch, JournalError> {
        let time = self.clock.time();
        let mut batch = Batch {
            bytes: Vec::new(),
            place: Place {
                seq: self.last,
                head: Sha256(self.link),
            },
            point: None,
        };
        let put = |batch: &mut Batch, entry| batch.push(time, entry).map_err(failed(&self.path));
        for entry in entries {
            put(&mut batch, entry)?;
        }
        if sign {
            let Place { seq, head } = batch.place;
            let point = Checkpoint::signed(&self.key, seq, head.0);
            put(&mut batch, Entry::Checkpoint { point })?;
            batch.point = Some(point);
        }
        Ok(batch)
    }

    fn put(&mut self, batch: &Batch, case: u64, lasting: bool) -> std::io::Result<()> {
        let place = self.place();
        self.marks.go_on(&self.key, self.case, place)?;
        let file = self.file.get();
        file.write_all_at(&batch.bytes, self.end)?;
        file.sync_data()?;
        self.changed = self.changed_now();
        self.marks.put(&self.key, case, batch.place, lasting)
    }

    fn changed_now(&self) -> (i64, i64) {
        let about = self.file.get().about();
        about.map_or((0, 0), |about| about.changed)
    }

    fn place(&self) -> Place {
        Place {
            seq: self.last,
            head: Sha256(self.link),
        }
    }
}

impl Batch {
    fn push(&mut self, time: Timestamp, entry: Entry) -> std::io::Result<()> {
        let seq = self.place.seq.saturating_add(1);
        let object = serde_json::to_vec(&Line { seq, time, entry })?;
        let (bytes, link) = chain::seal(&self.place.head.0, object);
        self.bytes.extend_from_slice(&bytes);
        self.place = Place {
            seq,
            head: Sha256(link),
        };
        Ok(())
    }
}

/// Ends that were never acknowledged, or that somebody made up: they are come to once more.
fn warn_of_ends(count: usize, first: u64, last: u64) {
    if count > 0 {
        log::warn!(
            "journal: entries {first} to {last} are not signed; {count} of them that end a case or \
             a delivery count for nothing: it is run or delivered again"
        );
    }
}

/// Takes off what was never acknowledged, and mends the last newline.
fn settle(file: &dyn StoredFile, history: &History) -> std::io::Result<()> {
    if history.end > 0 && !history.ends {
        file.set_len(history.end - 1)?;
        file.write_all_at(b"\n", history.end - 1)?;
    }
    file.set_len(history.end)?;
    file.sync_all()
}
