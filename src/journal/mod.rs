//! The record of all that a device did: one JSON object a line in `journal.ndjson`. Lines are only
//! ever appended, chained by hashes, and on the disk (`fdatasync`) before the caller goes on.
//!
//! There is an entry when a case is accepted, when it begins, when it ends, and when a sink has
//! confirmed its answer. So power may fail at any time: a case that was accepted and has not ended
//! is run again, and a number is never given twice. A damaged line stays in the file and is
//! reported by its number. Nothing here decides anything about a case. Of the lines, only
//! checkpoints go to the log.
//!
//! The chain finds accidents. Three things find changes that a person made: checkpoints of the
//! chain are signed by the device's key ([`Checkpoint`]), a mark outside the file says where the
//! journal ends, and before each write the file is compared with what the last write left.
//! `docs/journal.md` says what that proves.

mod chain;
mod check;
mod checkpoint;
mod clock;
mod entry;
mod evidence;
mod held;
mod history;
mod integrity;
mod mark;
mod reader;
mod recorded;
mod reserve;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use check::{Because, SelfCheck, Verdict};
pub use checkpoint::{Checkpoint, Known, NotKnown};
pub use entry::{Entry, LINK, Line, Origin, Place};
pub use history::{Acceptance, CaseHistory, End, History, history};
pub use integrity::{CURE, How};
pub use reader::Reader;
pub use recorded::{Difference, Gist, Keys, Recorded, Told};
pub use verify::{Against, Report, Whole, stretches, verify};
pub use writer::Journal;

use crate::device_key::KeyError;
use crate::files::FileError;
use crate::hex::Hex;
use crate::storage::{Area, Name};

/// The journal's file in the state folder.
pub const FILE: &str = "journal.ndjson";

/// Something that lies in the state folder itself.
fn file<'a>(name: &'a (impl AsRef<std::ffi::OsStr> + ?Sized)) -> Name<'a> {
    Area::State.named(name)
}

/// A number by chance that no two journals share.
pub type Nonce = Hex<16>;

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

/// In what way the journal is not as the device left it, for all who ask; until a person has
/// taken it on ([`Journal::adopt`]).
#[derive(Debug, Clone, Default)]
pub struct Doubt(Arc<Mutex<Option<How>>>);

impl Doubt {
    fn new(how: Option<How>) -> Self {
        Self(Arc::new(Mutex::new(how)))
    }

    fn set(&self, how: Option<How>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = how;
    }

    /// In what way; `None` where it is as it was left.
    pub fn get(&self) -> Option<How> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// The state folder or a file in it cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no key to sign with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Another process writes to it.
    #[error("{}: another medfocus is using it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is another device's.
    #[error("{}: this is another device's journal: {whose}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        whose: String,
    },
    /// A case was to get a number that was given already.
    #[error("{}: no case can get the number {case}: it or a higher one was given", path.display())]
    NumberGiven {
        /// The file.
        path: PathBuf,
        /// The number.
        case: u64,
    },
    /// Nothing is wrong with it.
    #[error("{}: it is this device's, and as the device left it: there is nothing to adopt", path.display())]
    NothingToAdopt {
        /// The file.
        path: PathBuf,
    },
}

crate::coded::coded!(JournalError);

impl JournalError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::File(_) | Self::InUse { .. } => "state",
            Self::Key(error) => error.code(),
            Self::Foreign { .. } => "journal_foreign",
            Self::NumberGiven { .. } => "case_number_given",
            Self::NothingToAdopt { .. } => "nothing_to_adopt",
        }
    }

    /// What the user can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::InUse { .. } => {
                "name a folder that can be written with --state, one for each device"
            }
            Self::File(error) => error.help(),
            Self::Key(error) => error.help(),
            Self::Foreign { .. } => {
                "give each device a state folder of its own; where the board was changed or the \
                 key is lost and this is the journal to go on with, run medfocus journal adopt"
            }
            Self::NumberGiven { .. } => {
                "start the device on a new state folder, and keep the old one for whoever looks \
                 into it"
            }
            Self::NothingToAdopt { .. } => "nothing is to be done",
        }
    }

    /// Whether it is for want of room.
    fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let kind = match self {
            Self::Io { error, .. } => error.kind(),
            Self::File(error) => error.kind(),
            _ => return false,
        };
        matches!(kind, StorageFull | QuotaExceeded)
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> JournalError {
    let path = path.to_owned();
    move |error| JournalError::Io {
        path: path.clone(),
        error,
    }
}
