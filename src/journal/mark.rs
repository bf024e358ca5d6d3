//! The device's mark: where the journal stands, in a file of its own outside of it, signed by
//! the device's key. It holds the highest case number, so that none is given twice although
//! entries were cut off the journal, and tells that they were.
//!
//! The file has two places and the mark is written to each in turn, so that a power failure
//! during one leaves the other. Written after the journal's entry, so that it is never ahead
//! of a journal that nobody touched.

use std::ffi::OsStr;
use std::io::{Result, Write};
use std::sync::Arc;

use rustix::fs::Mode;
use serde::{Deserialize, Serialize};

use super::{Place, file};
use crate::device_key::{DeviceKey, PublicKey, Purpose, Signature};
use crate::files::{self, FileError};
use crate::storage::{Open, Over, Storage};

/// The mark's file in the state folder.
pub(super) const FILE: &str = "device-mark";

/// From one place to the other: no sector of a disk holds both.
const STRIDE: u64 = 4096;
/// Bytes of one.
const LENGTH: usize = 512;
const PLACES: u64 = 2;

/// Where the journal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Counts the marks: the highest is the last.
    turn: u64,
    /// No case was given a higher number.
    pub case: u64,
    /// The last entry.
    #[serde(flatten)]
    pub place: Place,
    /// Whether the device ended in order there: it wrote nothing behind.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    signature: Signature,
}

/// What is found of marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// There is no such file.
    Nothing,
    /// The last one.
    Mark(Mark),
    /// There is a file, and nothing in it that this device signed.
    Unreadable,
}

impl Found {
    /// Where the journal was left, and the highest case number.
    pub fn left(&self) -> (Option<Place>, u64) {
        match self {
            Self::Mark(mark) => (Some(mark.place), mark.case),
            Self::Nothing | Self::Unreadable => (None, 0),
        }
    }

    /// Whether the device ended in order.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Mark(mark) if mark.ended)
    }
}

impl Mark {
    fn message(turn: u64, case: u64, place: Place, ended: bool) -> String {
        let end = if ended { ":ended" } else { "" };
        format!("{turn}:{case}:{}:{}{end}", place.seq, place.head)
    }

    fn signed(key: &DeviceKey, turn: u64, case: u64, place: Place, ended: bool) -> Self {
        let message = Self::message(turn, case, place, ended);
        Self {
            turn,
            case,
            place,
            ended,
            signature: key.sign(Purpose::JournalMark, message.as_bytes()),
        }
    }

    fn is_signed_by(&self, key: &PublicKey) -> bool {
        let message = Self::message(self.turn, self.case, self.place, self.ended);
        key.signed(Purpose::JournalMark, message.as_bytes(), &self.signature)
    }

    fn bytes(&self) -> Result<[u8; LENGTH]> {
        let mut bytes = [b' '; LENGTH];
        bytes[LENGTH - 1] = b'\n';
        (&mut bytes[..LENGTH - 1]).write_all(&serde_json::to_vec(self)?)?;
        Ok(bytes)
    }
}

/// Where the mark of this turn lies: never where the one before does.
fn offset(turn: u64) -> u64 {
    turn % PLACES * STRIDE
}

/// Reads the last mark that this key signed.
pub(super) fn read(folder: &dyn Storage, key: &PublicKey) -> std::result::Result<Found, FileError> {
    let bytes = match folder.read(file(FILE), PLACES * STRIDE) {
        Ok(bytes) => bytes,
        Err(error) if error.is_missing() => return Ok(Found::Nothing),
        // Something else lies there: it is told, and replaced.
        Err(error) if !matches!(error.cause, files::Cause::Io(_)) => {
            return Ok(Found::Unreadable);
        }
        Err(error) => return Err(error),
    };
    let marks = bytes.chunks(STRIDE as usize).filter_map(|place| {
        let text = place.get(..LENGTH)?.trim_ascii();
        let mark: Mark = serde_json::from_slice(text).ok()?;
        mark.is_signed_by(key).then_some(mark)
    });
    let last = marks.max_by_key(|mark| mark.turn);
    Ok(last.map_or(Found::Unreadable, Found::Mark))
}

/// The mark's file, open.
#[derive(Debug)]
pub(super) struct Marks {
    folder: Arc<dyn Storage>,
    file: Open,
    turn: u64,
    /// The last mark says that the device ended in order.
    ended: bool,
}

impl Marks {
    /// Begins a new file in place of the one that was read; durable when this returns.
    pub fn begin(
        folder: &Arc<dyn Storage>,
        key: &DeviceKey,
        before: &Found,
        case: u64,
        place: Place,
    ) -> std::result::Result<Self, FileError> {
        let turn = match before {
            Found::Mark(mark) => mark.turn.saturating_add(1),
            _ => 1,
        };
        let at_file = |error: std::io::Error| FileError {
            path: folder.path_of(file(FILE)),
            cause: error.into(),
        };
        let bytes = Mark::signed(key, turn, case, place, false).bytes();
        let mut draft = folder.draft(Mode::RUSR | Mode::WUSR)?;
        let mut filled = vec![b' '; (PLACES * STRIDE) as usize];
        let offset = offset(turn) as usize;
        filled[offset..offset + LENGTH].copy_from_slice(&bytes.map_err(at_file)?);
        draft.write_all(&filled).map_err(at_file)?;
        let file = draft.keep(OsStr::new(FILE), Over::Existing)?;
        Ok(Self {
            folder: Arc::clone(folder),
            file,
            turn,
            ended: false,
        })
    }

    /// Whether the file is still at its place.
    pub fn is_there(&self) -> std::result::Result<bool, FileError> {
        let own = self.file.about().map_err(|error| FileError {
            path: self.folder.path_of(file(FILE)),
            cause: error.into(),
        })?;
        match self.folder.about(file(FILE)) {
            Ok(there) => Ok(there.place == own.place),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes where the journal stands; waits for the disk only where `lasting`.
    pub fn put(&mut self, key: &DeviceKey, case: u64, place: Place, lasting: bool) -> Result<()> {
        self.write(key, case, place, false)?;
        if lasting {
            self.file.sync_data()
        } else {
            Ok(())
        }
    }

    /// Writes that the device ends here; durable when this returns. It takes both places, so
    /// that none is left that a power failure could have left.
    pub fn end(&mut self, key: &DeviceKey, case: u64, place: Place) -> Result<()> {
        for _ in 0..PLACES {
            self.write(key, case, place, true)?;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// The device goes on after all: written before anything else is; durable when this returns.
    pub fn go_on(&mut self, key: &DeviceKey, case: u64, place: Place) -> Result<()> {
        if self.ended {
            self.put(key, case, place, true)?;
        }
        Ok(())
    }

    fn write(&mut self, key: &DeviceKey, case: u64, place: Place, ended: bool) -> Result<()> {
        self.turn = self.turn.saturating_add(1);
        let bytes = Mark::signed(key, self.turn, case, place, ended).bytes()?;
        self.file.write_all_at(&bytes, offset(self.turn))?;
        self.ended = ended;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256::Sha256;
    use crate::storage::Disk;

    fn place(seq: u64) -> Place {
        Place {
            seq,
            head: Sha256([seq as u8; 32]),
        }
    }

    fn is(found: &Found, case: u64, seq: u64) -> bool {
        matches!(found, Found::Mark(mark) if (mark.case, mark.place) == (case, place(seq)))
    }

    #[test]
    fn the_last_mark_is_read_and_a_torn_one_leaves_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let held = Disk::make(folder.path()).unwrap();
        let key = DeviceKey::of(&*held).unwrap();
        let read = || read(&*held, &key.public()).unwrap();
        assert_eq!(read(), Found::Nothing);
        let mut marks = Marks::begin(&held, &key, &read(), 0, place(1)).unwrap();
        for seq in 2..9 {
            marks.put(&key, seq / 2, place(seq), seq % 2 == 0).unwrap();
            assert!(is(&read(), seq / 2, seq), "{seq}");
        }
        let path = folder.path().join(FILE);
        let bytes = std::fs::read(&path).unwrap();
        let last = offset(marks.turn) as usize;
        for at in (0..LENGTH).step_by(5) {
            let mut torn = bytes.clone();
            torn[last + at] ^= 0x11;
            std::fs::write(&path, torn).unwrap();
            // A byte of the padding says nothing.
            assert!(is(&read(), 3, 7) || is(&read(), 4, 8), "{at}");
        }
        drop(marks);
        std::fs::write(&path, &bytes).unwrap();
        let marks = Marks::begin(&held, &key, &read(), 4, place(8)).unwrap();
        assert!(is(&read(), 4, 8) && marks.is_there().unwrap());
        std::fs::write(&path, "nothing").unwrap();
        assert_eq!(read(), Found::Unreadable);
        std::fs::remove_file(&path).unwrap();
        assert!(!marks.is_there().unwrap());
    }

    #[test]
    fn a_mark_of_another_key_is_none() {
        let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let [one, other] = folders.each_ref().map(|folder| {
            let held = Disk::make(folder.path()).unwrap();
            (DeviceKey::of(&*held).unwrap(), held)
        });
        Marks::begin(&one.1, &one.0, &Found::Nothing, 1, place(1)).unwrap();
        assert_eq!(read(&*one.1, &other.0.public()).unwrap(), Found::Unreadable);
    }
}
