//! The record of all that a device did: one JSON object a line in `journal.ndjson`, only
//! ever appended to, chained by hashes, and durable (`fdatasync`) before the caller goes on.
//!
//! A case is written when it is accepted, when it begins, when it ends and when its answer is
//! safe with a host. So power may fail at any time: what was accepted and has no end is run
//! again, and a number is never given twice. Whatever is damaged stays in the file and is
//! told by its number. Nothing here decides or tells anybody anything, and no line of it
//! goes to a log.

mod chain;
mod check;
mod clock;
mod entry;
mod history;
mod order;
mod reserve;

pub use check::{Because, SelfCheck, Verdict};
pub use entry::{Entry, LINK, Line, Priority};
pub use history::{Acceptance, CaseHistory, End, History, Verified, history, verify};
pub use order::{Asker, Bound, Claim, FileId, Identity, Order, RequestId};

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chain::Link;
use clock::{Clock, Set};
use history::outline;
use jiff::{SignedDuration, Timestamp};
use reserve::Reserve;

/// How long the lock of a device that was killed may last: a process that it had just begun
/// holds it until that is a program of its own, which takes a busy machine milliseconds.
const LINGERS: Duration = Duration::from_secs(2);

/// The journal's file in the state folder.
pub const FILE: &str = "journal.ndjson";

/// Where a line begins in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// One more than that, so that an absent one takes no room of its own.
pub struct Span(NonZeroU64);

impl Span {
    fn at(offset: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(offset))
    }

    fn offset(self) -> u64 {
        self.0.get() - 1
    }
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The operating system refuses.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Another process writes to it.
    #[error("{}: another medfocus is using it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

impl JournalError {
    /// Whether it is for want of room.
    fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { error, .. } if matches!(error.kind(), StorageFull | QuotaExceeded))
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> JournalError {
    let path = path.to_owned();
    move |error| JournalError::Io {
        path: path.clone(),
        error,
    }
}

/// The open journal. Only one process may hold it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    end: u64,
    last: u64,
    link: Link,
    clock: Clock,
    /// The clock was set, and this is not written yet.
    set: Option<Set>,
    /// By how much it was set, all together.
    shift: SignedDuration,
    /// How often, since the journal was opened.
    sets: u64,
    reserve: Reserve,
}

impl Journal {
    /// Opens the journal in `folder`, which is made where it is missing. A last line
    /// that was cut short by a power failure was never acknowledged to anyone and is
    /// taken off. Of answers the history has outcome and source alone.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(folder: &Path) -> Result<(Self, History), JournalError> {
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        let path = folder.join(FILE);
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(failed(&path))?;
        lock(&file, &path, LINGERS)?;
        let history = outline(&file).map_err(failed(&path))?;
        settle(&file, &history)
            // The folder's entry of a new file must last as well.
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(failed(&path))?;
        let (clock, set) = Clock::not_before(history.lines.last().map(|(line, _)| line.time));
        let journal = Self {
            path,
            file,
            end: history.end,
            last: history.last,
            link: history.link,
            clock,
            set,
            shift: history.shift(),
            sets: 0,
            reserve: Reserve::hold(folder),
        };
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
        let time = self.look()?;
        self.write(Line {
            seq: self.last + 1,
            time,
            entry,
        })
    }

    /// Looks at the clock, and writes down that it was set.
    fn look(&mut self) -> Result<Timestamp, JournalError> {
        let (time, set) = self.clock.look();
        self.set = self.set.or(set);
        if let Some(Set { from, to }) = self.set {
            let entry = Entry::ClockSet { from, to };
            self.write(Line {
                seq: self.last + 1,
                time,
                entry,
            })?;
            self.set = None;
            self.shift = clock::further(self.shift, from, to);
            self.sets += 1;
        }
        Ok(time)
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

    fn write(&mut self, line: Line) -> Result<Span, JournalError> {
        let (bytes, link) = serde_json::to_vec(&line)
            .map(|object| chain::seal(&self.link, object))
            .map_err(|error| failed(&self.path)(error.into()))?;
        let put = |file: &mut File| {
            file.set_len(self.end)?;
            file.write_all(&bytes)?;
            file.sync_data()
        };
        put(&mut self.file).map_err(|error| {
            // Half a line must not be taken for the start of the next one. Where even
            // this fails, the next opening takes it off.
            let _ = self.file.set_len(self.end);
            failed(&self.path)(error)
        })?;
        let span = Span::at(self.end);
        self.end += bytes.len() as u64;
        (self.last, self.link) = (line.seq, link);
        Ok(span)
    }

    /// A reader of its own for the same file.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn reader(&self) -> Result<Reader, JournalError> {
        let file = File::open(&self.path).map_err(failed(&self.path))?;
        Ok(Reader {
            path: self.path.clone(),
            file,
        })
    }
}

/// Reads entries again while others are being written.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: File,
}

impl Reader {
    /// What stands at this place.
    ///
    /// # Errors
    /// [`JournalError::Io`], also where the file was changed by someone else.
    pub fn read(&mut self, span: Span) -> Result<Line, JournalError> {
        let mut bytes = Vec::new();
        self.file
            .seek(SeekFrom::Start(span.offset()))
            .and_then(|_| BufReader::new(&mut self.file).read_until(b'\n', &mut bytes))
            .and_then(|_| Ok(serde_json::from_slice(&bytes)?))
            .map_err(failed(&self.path))
    }
}

/// Takes the journal for this process, and waits so long for the one that has it to end.
fn lock(file: &File, path: &Path, patience: Duration) -> Result<(), JournalError> {
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if begin.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let path = path.to_owned();
                return Err(JournalError::InUse { path });
            }
            Err(TryLockError::Error(error)) => return Err(failed(path)(error)),
        }
    }
}

/// Takes off what was never acknowledged, and mends the last newline.
fn settle(mut file: &File, history: &History) -> std::io::Result<()> {
    if history.end > 0 && !history.ends {
        file.set_len(history.end - 1)?;
        file.write_all(b"\n")?;
    }
    file.set_len(history.end)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(case: u64) -> Entry {
        Entry::Accepted {
            case,
            order: Order {
                source: "a\n\"b.png".to_owned(),
                exam: Some("brain4".to_owned()),
                region: Some([1, 2, 3, 4]),
                priority: Priority::Urgent,
                ..Order::default()
            },
        }
    }

    /// A journal of `count` accepted cases, and its bytes.
    fn made(folder: &Path, count: u64) -> Vec<u8> {
        let (mut journal, _) = Journal::open(folder).unwrap();
        for case in 1..=count {
            journal.append(accepted(case)).unwrap();
        }
        std::fs::read(folder.join(FILE)).unwrap()
    }

    fn cases(history: &History) -> Vec<u64> {
        let lines = history.lines.iter();
        lines.filter_map(|(line, _)| line.entry.case()).collect()
    }

    #[test]
    fn what_was_appended_is_there_after_any_cut_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = made(folder.path(), 4);
        let path = folder.path().join(FILE);
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (mut journal, history) = Journal::open(folder.path()).unwrap();
            let whole = bytes[..cut].iter().filter(|&&b| b == b'\n').count() as u64;
            assert_eq!(
                cases(&history),
                (1..=whole).collect::<Vec<_>>(),
                "cut {cut}"
            );
            assert!(history.damaged.is_empty());
            let span = journal.append(accepted(9)).unwrap();
            let read = journal.reader().unwrap().read(span).unwrap();
            assert_eq!(read.entry, accepted(9));
            drop(journal);
            let again = super::history(folder.path()).unwrap();
            assert_eq!(again.lines.len() as u64, whole + 1, "cut {cut}");
            assert!(again.damaged.is_empty());
        }
    }

    #[test]
    fn blocks_that_were_never_written_take_the_last_line_off() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = made(folder.path(), 3);
        let start = 1 + bytes[..bytes.len() - 1]
            .iter()
            .rposition(|b| *b == b'\n')
            .unwrap();
        // But for the newline alone: that one can be mended.
        for from in (start..bytes.len() - 1).step_by(7) {
            let mut torn = bytes.clone();
            let to = (from + 40).min(bytes.len());
            torn[from..to].fill(0);
            std::fs::write(folder.path().join(FILE), torn).unwrap();
            let (_, history) = Journal::open(folder.path()).unwrap();
            assert_eq!((cases(&history), history.damaged.len()), (vec![1, 2], 0));
        }
    }

    #[test]
    fn every_flipped_bit_is_found_by_the_number_of_its_entry() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = made(folder.path(), 4);
        let path = folder.path().join(FILE);
        let mut entry = 1;
        for at in 0..bytes.len() {
            let mut spoilt = bytes.clone();
            spoilt[at] ^= 1 << (at % 8);
            std::fs::write(&path, &spoilt).unwrap();
            let (mut journal, history) = Journal::open(folder.path()).unwrap();
            let damaged: Vec<u64> = history.damaged.iter().cloned().flatten().collect();
            assert!(damaged.contains(&entry), "byte {at}: {damaged:?}");
            assert!(history.next_case() > 4, "byte {at}: a number given twice");
            let is_newline = bytes[at] == b'\n';
            // Without the newline between them, two entries are one line.
            assert!(damaged.len() == 1 || is_newline, "byte {at}: {damaged:?}");
            journal.append(accepted(9)).unwrap();
            drop(journal);
            let again = super::history(folder.path()).unwrap();
            assert_eq!(cases(&again).last(), Some(&9), "byte {at}");
            assert_eq!(again.lines.last().unwrap().0.seq, 5, "byte {at}");
            entry += u64::from(is_newline);
        }
    }

    #[test]
    fn what_is_no_line_of_ours_is_counted_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, b"\xff not json\n{\"event\":\"other\"}\n").unwrap();
        let (mut journal, history) = Journal::open(folder.path()).unwrap();
        assert_eq!((history.lines.len(), &history.damaged), (0, &vec![1..=2]));
        journal.append(accepted(1)).unwrap();
        drop(journal);
        assert!(
            std::fs::read(&path)
                .unwrap()
                .starts_with(b"\xff not json\n")
        );
        let (_, history) = Journal::open(folder.path()).unwrap();
        assert_eq!((history.lines.len(), &history.damaged), (1, &vec![1..=2]));
    }

    #[test]
    fn a_clock_set_back_is_written_and_changes_no_order() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        let to = "2020-01-01T00:00:00Z".parse().unwrap();
        let from = "2031-01-01T00:00:00Z".parse().unwrap();
        journal.set = Some(Set { from, to });
        journal.append(accepted(1)).unwrap();
        journal.append(accepted(2)).unwrap();
        let history = super::history(folder.path()).unwrap();
        let seqs: Vec<u64> = history.lines.iter().map(|(line, _)| line.seq).collect();
        assert_eq!(seqs, [1, 2, 3]);
        assert_eq!(history.lines[0].0.entry, Entry::ClockSet { from, to });
    }

    #[test]
    fn two_cannot_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let held = Journal::open(folder.path()).unwrap();
        let second = Journal::open(folder.path());
        assert!(matches!(second, Err(JournalError::InUse { .. })));

        // A process that a killed device had just begun lets go of it: that is waited for.
        let path = folder.path().join(FILE);
        let file = File::open(&path).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| lock(&file, &path, Duration::MAX));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!second.is_finished());
            drop(held);
            second.join().unwrap().unwrap();
        });
    }
}
