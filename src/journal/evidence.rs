//! Evidence: what was found in the journal's place or behind its end is kept in the state folder,
//! under a name of its own, until a person removes it. Called by the writer. Never writes over
//! evidence.

use std::ffi::OsStr;
use std::io::{Error, ErrorKind, Read, Result};

use super::{FILE, file};
use crate::files::FileError;
use crate::storage::{Draft, Open, Over, Reading, Storage, StoredFile};

/// Of what somebody wrote behind the journal's end, no more is kept.
const MOST: u64 = 16 << 20;
/// So many pieces of evidence may be found at one entry.
const MOST_NAMES: u32 = 1000;
/// Bytes that are copied at once.
const PIECE: usize = 64 << 10;

/// Keeps what stands in the file from some place on; the name of the file that has it. `None`
/// where there is nothing, or no room on the disk for it.
pub(super) fn keep_tail(
    folder: &dyn Storage,
    file: &dyn StoredFile,
    from: u64,
    seq: u64,
) -> Result<Option<String>> {
    if file.about()?.bytes <= from {
        return Ok(None);
    }
    let kept = draft(folder, file, from, MOST).and_then(|draft| {
        let name = free_name(folder, seq)?;
        draft.keep(OsStr::new(&name), Over::Nothing)?;
        Ok(name)
    });
    match kept {
        Ok(name) => Ok(Some(name)),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            ) =>
        {
            log::error!("journal: there is no room to keep what was found behind its end");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Moves what has the journal's name out of the way; its new name, where there was something.
pub(super) fn move_aside(folder: &dyn Storage, seq: u64) -> Result<Option<String>> {
    if !folder.has(file(FILE))? {
        return Ok(None);
    }
    let name = free_name(folder, seq)?;
    folder.rename_new(file(FILE), file(&name))?;
    Ok(Some(name))
}

/// A file of the journal's name with the bytes of one that has lost it; durable, and open.
pub(super) fn put_back(folder: &dyn Storage, own: &dyn StoredFile) -> Result<Open> {
    let draft = draft(folder, own, 0, u64::MAX)?;
    Ok(draft.keep(OsStr::new(FILE), Over::Nothing)?)
}

/// The bytes of a file from some place on, in a new one.
fn draft(
    folder: &dyn Storage,
    file: &dyn StoredFile,
    from: u64,
    most: u64,
) -> Result<Box<dyn Draft>> {
    let mut draft = folder.draft(file.about()?.mode)?;
    let mut there = Reading::from(file, from).take(most);
    let mut bytes = vec![0; PIECE];
    loop {
        match there.read(&mut bytes) {
            Ok(0) => return Ok(draft),
            Ok(count) => draft.write_all(&bytes[..count])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn free_name(folder: &dyn Storage, seq: u64) -> Result<String> {
    let names = (1..=MOST_NAMES).map(|n| format!("journal-found-at-{seq}-{n}"));
    let is_free = |name: &String| folder.has(file(name)).map(|has| !has);
    for name in names {
        if is_free(&name).map_err(|error: FileError| Error::from(error))? {
            return Ok(name);
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}
