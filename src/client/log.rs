//! Answers that were taken from devices: one JSON object a line. A line is on the disk before the
//! device hears that its answer is safe, so each answer stands in the file once, whichever end
//! loses power at whatever time. Called by `medfocus link --log`.

use std::collections::HashSet;
use std::fs::{File, TryLockError};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Answer, ClientError};
use crate::files::{Folder, OPEN_TO_ALL};

/// An open log. Only one process may hold it.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    end: u64,
    /// Device and case of what it holds.
    known: HashSet<Key>,
}

impl Log {
    /// Opens a log, or makes one. A last line that was cut short was never confirmed to the
    /// device and is taken off.
    ///
    /// # Errors
    /// [`ClientError::File`] or [`ClientError::InUse`].
    pub fn open(path: &Path) -> Result<Self, ClientError> {
        let failed = |error| ClientError::File {
            path: path.to_owned(),
            error,
        };
        // Others may write the folder as well: what they put there is not written on.
        let (folder, name) = Folder::above(path).map_err(|error| failed(error.into()))?;
        let file = folder.append(name, OPEN_TO_ALL);
        let file = file.map_err(|error| failed(error.into()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.to_owned();
                return Err(ClientError::InUse { path });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let (known, end) = read(&file).map_err(failed)?;
        file.set_len(end).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            file,
            end,
            known,
        })
    }

    /// Keeps an answer, unless it is here already; durable when this returns.
    ///
    /// # Errors
    /// [`ClientError::File`]; then the log is as it was.
    pub fn keep(&mut self, answer: &Answer) -> Result<(), ClientError> {
        let key = Key::of(answer);
        if self.known.contains(&key) {
            return Ok(());
        }
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        let line = serde_json::to_string(answer).unwrap_or_default() + "\n";
        let written = self
            .file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // Half a line must not be taken for the start of the next one.
            let _ = self.file.set_len(self.end);
            let path = self.path.clone();
            return Err(ClientError::File { path, error });
        }
        self.end += line.len() as u64;
        self.known.insert(key);
        Ok(())
    }
}

fn read(file: &File) -> std::io::Result<(HashSet<Key>, u64)> {
    let mut reader = BufReader::new(file);
    let (mut known, mut end, mut line) = (HashSet::new(), 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)? as u64;
        if line.last() != Some(&b'\n') {
            return Ok((known, end));
        }
        if let Ok(key) = serde_json::from_slice(&line) {
            known.insert(key);
        }
        end += length;
    }
}

/// What an answer is known by: device and case.
#[derive(Debug, PartialEq, Eq, Hash, Deserialize)]
struct Key {
    #[serde(default)]
    device: String,
    #[serde(default)]
    case: String,
}

impl Key {
    fn of(answer: &Answer) -> Self {
        let device = answer.device.as_ref().map(|by| by.device.clone());
        Self {
            device: device.unwrap_or_default(),
            case: answer.case.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Device, Outcome};

    #[test]
    fn an_answer_is_kept_once_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.ndjson");
        let answer = |case: &str| Answer {
            device: Some(Device {
                device: "d".to_owned(),
                software: "s".to_owned(),
                bundle: "b".to_owned(),
            }),
            ..Answer::new(Some(case.to_owned()), None, Outcome::Aborted)
        };
        let line = |case: &str| {
            format!(
                r#"{{"device":"d","software":"s","bundle":"b","case":"{case}","source":null,"status":"aborted"}}"#
            )
        };
        let mut log = Log::open(&path).unwrap();
        assert!(matches!(Log::open(&path), Err(ClientError::InUse { .. })));
        log.keep(&answer("1")).unwrap();
        log.keep(&answer("1")).unwrap();
        drop(log);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(
            &path,
            [&whole, b"{\"device\":\"d\",\"ca".as_slice()].concat(),
        )
        .unwrap();
        let mut log = Log::open(&path).unwrap();
        log.keep(&answer("1")).unwrap();
        log.keep(&answer("2")).unwrap();
        let lines = std::fs::read_to_string(&path).unwrap();
        let expected = format!("{}\n{}\n", line("1"), line("2"));
        assert_eq!(lines, expected);
    }
}
