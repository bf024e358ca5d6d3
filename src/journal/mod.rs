//! The record of every case: one JSON object a line in `cases.ndjson`, only ever
//! appended to, and durable (`fdatasync`) before the caller goes on.
//!
//! A case is written when it is accepted, when it ends and when its answer is safe with a
//! host. So power may fail at any time: what was accepted and has no end is run again, and a number is never given
//! twice. Nothing here decides or tells anybody anything, and no line of it goes to a log.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a case is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The image's path on this device.
    pub source: String,
    /// The exam; `None` for what the image itself asks for.
    pub exam: Option<String>,
    /// Where to look: `[x, y, width, height]` in the image's own pixels.
    pub region: Option<[u32; 4]>,
    /// The number by which a host asked for it; asked again, it is the same case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Entry {
    /// A case was taken on.
    Accepted {
        /// Its number.
        case: u64,
        /// What it is asked.
        order: Order,
    },
    /// A case ended in a finding or a refusal.
    Answered {
        /// Its number.
        case: u64,
        /// The answer as `--format json` writes it.
        record: Value,
    },
    /// A case was dropped before it ran.
    Aborted {
        /// Its number.
        case: u64,
    },
    /// A host has the answer safe: it is never sent again.
    Delivered {
        /// Its number.
        case: u64,
    },
}

impl Entry {
    /// The number of the case.
    pub fn case(&self) -> u64 {
        match self {
            Self::Accepted { case, .. }
            | Self::Answered { case, .. }
            | Self::Aborted { case }
            | Self::Delivered { case } => *case,
        }
    }
}

/// Where a line lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    start: u64,
    length: u64,
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

/// The open journal. Only one process may hold it.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    end: u64,
}

/// What lay in the journal when it was opened.
#[derive(Debug, Default)]
pub struct Replay {
    /// Every line that could be read, in order.
    pub entries: Vec<(Entry, Span)>,
    /// Lines that could not be read. They stay in the file.
    pub unreadable: usize,
}

impl Journal {
    /// Opens the journal in `folder`, which is made where it is missing. A last line
    /// that was cut short by a power failure was never acknowledged to anyone and is
    /// taken off.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(folder: &Path) -> Result<(Self, Replay), JournalError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| JournalError::Io { path, error }
        };
        std::fs::create_dir_all(folder).map_err(failed(folder))?;
        let path = folder.join("cases.ndjson");
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&path)
            .map_err(failed(&path))?;
        file.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => JournalError::InUse { path: path.clone() },
            std::fs::TryLockError::Error(error) => JournalError::Io {
                path: path.clone(),
                error,
            },
        })?;
        let (replay, end) = replay(&file).map_err(failed(&path))?;
        file.set_len(end)
            .and_then(|()| file.sync_all())
            // The folder's entry of a new file must last as well.
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(failed(&path))?;
        Ok((Self { path, file, end }, replay))
    }

    /// Appends an entry; once this returns it outlasts a power failure.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the journal is then as it was before.
    pub fn append(&mut self, entry: &Entry) -> Result<Span, JournalError> {
        let span = self.write(entry).map_err(|error| {
            // Half a line must not be taken for the start of the next one. Where even
            // this fails, the next opening takes it off.
            let _ = self.file.set_len(self.end);
            JournalError::Io {
                path: self.path.clone(),
                error,
            }
        })?;
        self.end = span.start + span.length;
        Ok(span)
    }

    fn write(&mut self, entry: &Entry) -> std::io::Result<Span> {
        self.file.set_len(self.end)?;
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()?;
        Ok(Span {
            start: self.end,
            length: line.len() as u64,
        })
    }

    /// A reader of its own for the same file.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn reader(&self) -> Result<Reader, JournalError> {
        let failed = |error| JournalError::Io {
            path: self.path.clone(),
            error,
        };
        let file = File::open(&self.path).map_err(failed)?;
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
    /// The entry at this place.
    ///
    /// # Errors
    /// [`JournalError::Io`], also where the file was changed by someone else.
    pub fn read(&mut self, span: Span) -> Result<Entry, JournalError> {
        let mut line = Vec::new();
        self.file
            .seek(SeekFrom::Start(span.start))
            .and_then(|_| (&mut self.file).take(span.length).read_to_end(&mut line))
            .and_then(|_| Ok(serde_json::from_slice(&line)?))
            .map_err(|error| JournalError::Io {
                path: self.path.clone(),
                error,
            })
    }
}

/// Reads all whole lines; gives them and the end of the last one.
fn replay(file: &File) -> std::io::Result<(Replay, u64)> {
    let mut reader = BufReader::new(file);
    let (mut replay, mut end, mut line) = (Replay::default(), 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if line.last() != Some(&b'\n') {
            return Ok((replay, end));
        }
        match serde_json::from_slice(&line) {
            Ok(entry) => replay.entries.push((entry, Span { start: end, length })),
            Err(_) => replay.unreadable += 1,
        }
        end += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(source: &str) -> Order {
        Order {
            source: source.to_owned(),
            exam: Some("brain4".to_owned()),
            region: Some([1, 2, 3, 4]),
            request: None,
        }
    }

    fn accepted(case: u64) -> Entry {
        Entry::Accepted {
            case,
            order: order("a\n\"b.png"),
        }
    }

    #[test]
    fn what_was_appended_is_there_after_any_cut_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path()).unwrap();
        let spans: Vec<Span> = (1..=4)
            .map(|case| journal.append(&accepted(case)).unwrap())
            .collect();
        let mut reader = journal.reader().unwrap();
        assert_eq!(reader.read(spans[2]).unwrap(), accepted(3));
        drop(journal);
        let path = folder.path().join("cases.ndjson");
        let bytes = std::fs::read(&path).unwrap();
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let (mut journal, replay) = Journal::open(folder.path()).unwrap();
            let whole = bytes[..cut].iter().filter(|&&b| b == b'\n').count();
            let cases: Vec<u64> = replay.entries.iter().map(|(e, _)| e.case()).collect();
            assert_eq!(cases, (1..=whole as u64).collect::<Vec<_>>(), "cut {cut}");
            assert_eq!(replay.unreadable, 0);
            journal.append(&accepted(9)).unwrap();
            drop(journal);
            let (_, again) = Journal::open(folder.path()).unwrap();
            assert_eq!(again.entries.len(), whole + 1, "cut {cut}");
        }
    }

    #[test]
    fn a_damaged_line_is_counted_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cases.ndjson");
        std::fs::write(&path, b"\xff not json\n{\"event\":\"other\"}\n").unwrap();
        let (mut journal, replay) = Journal::open(folder.path()).unwrap();
        assert_eq!((replay.entries.len(), replay.unreadable), (0, 2));
        journal.append(&accepted(1)).unwrap();
        drop(journal);
        assert!(
            std::fs::read(&path)
                .unwrap()
                .starts_with(b"\xff not json\n")
        );
        let (_, replay) = Journal::open(folder.path()).unwrap();
        assert_eq!((replay.entries.len(), replay.unreadable), (1, 2));
    }

    #[test]
    fn two_cannot_hold_it() {
        let folder = tempfile::tempdir().unwrap();
        let _held = Journal::open(folder.path()).unwrap();
        let second = Journal::open(folder.path());
        assert!(matches!(second, Err(JournalError::InUse { .. })));
    }
}
