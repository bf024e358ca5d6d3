//! Evidence: what was found in the journal's place or behind its end is kept in the state folder,
//! under a name of its own, until a person removes it. Called by the writer. Never writes over
//! evidence.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;

use rustix::fs::Mode;

use super::FILE;
use crate::files::{FileError, Folder, Fresh};

/// Of what somebody wrote behind the journal's end, no more is kept.
const MOST: u64 = 16 << 20;
/// So many pieces of evidence may be found at one entry.
const MOST_NAMES: u32 = 1000;

/// Keeps what stands in the file from some place on; the name of the file that has it. `None`
/// where there is nothing, or no room on the disk for it.
pub(super) fn keep_tail(
    folder: &Folder,
    file: &File,
    from: u64,
    seq: u64,
) -> Result<Option<String>> {
    if file.metadata()?.len() <= from {
        return Ok(None);
    }
    let kept = fresh(folder, file, from, MOST).and_then(|fresh| {
        let name = free_name(folder, seq)?;
        fresh.keep_new(&name)?;
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
pub(super) fn move_aside(folder: &Folder, seq: u64) -> Result<Option<String>> {
    if !folder.has(FILE)? {
        return Ok(None);
    }
    let name = free_name(folder, seq)?;
    folder.rename_new(FILE, folder, &name)?;
    Ok(Some(name))
}

/// A file of the journal's name with the bytes of one that has lost it; durable, and open.
pub(super) fn put_back(folder: &Folder, own: &File) -> Result<File> {
    let fresh = fresh(folder, own, 0, u64::MAX)?;
    let file = fresh.file().try_clone()?;
    fresh.keep_new(FILE)?;
    Ok(file)
}

/// The bytes of a file from some place on, in a new one.
fn fresh(folder: &Folder, file: &File, from: u64, most: u64) -> Result<Fresh> {
    let mode = Mode::from_raw_mode(file.metadata()?.mode() & 0o777);
    let mut fresh = folder.fresh(mode)?;
    let mut from_there = file;
    from_there.seek(SeekFrom::Start(from))?;
    std::io::copy(&mut from_there.take(most), &mut fresh)?;
    fresh.flush()?;
    Ok(fresh)
}

fn free_name(folder: &Folder, seq: u64) -> Result<String> {
    let names = (1..=MOST_NAMES).map(|n| format!("journal-found-at-{seq}-{n}"));
    let is_free = |name: &String| folder.has(name).map(|has| !has);
    for name in names {
        if is_free(&name).map_err(|error: FileError| Error::from(error))? {
            return Ok(name);
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}
