//! Reads entries again while others are being written, and says where a line was changed meanwhile.
//! Called by the device when an old case is asked for. Never writes.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use super::chain::{self, Chain, START, TAIL};
use super::{Checkpoint, JournalError, Line, Span, failed, integrity};
use crate::device_key::PublicKey;
use crate::storage::{Open, Reading, StoredFile};

/// The journal's open file, which its writer may have to put in place anew.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<RwLock<Open>>);

impl Shared {
    pub fn new(file: Open) -> Self {
        Self(Arc::new(RwLock::new(file)))
    }

    pub fn get(&self) -> Open {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn set(&self, file: Open) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = file;
    }
}

/// Reads entries again while others are being written.
#[derive(Debug)]
pub struct Reader {
    pub(super) path: PathBuf,
    pub(super) file: Shared,
    pub(super) key: PublicKey,
}

impl Reader {
    /// What stands at this place.
    ///
    /// # Errors
    /// [`JournalError::Io`], also where the line was changed by someone else.
    pub fn read(&self, span: Span) -> Result<Line, JournalError> {
        let (file, offset) = (self.file.get(), span.offset());
        line_at(&*file, offset)
            .map(|(line, ..)| line)
            .map_err(failed(&self.path))
    }

    /// The same, and the signed point that was written with it, where there is one.
    ///
    /// # Errors
    /// [`JournalError::Io`], also where line or signature were changed by someone else.
    pub fn read_signed(&self, span: Span) -> Result<(Line, Option<Checkpoint>), JournalError> {
        self.signed_at(span).map_err(failed(&self.path))
    }

    fn signed_at(&self, span: Span) -> std::io::Result<(Line, Option<Checkpoint>)> {
        let (file, offset) = (self.file.get(), span.offset());
        let (line, length, link) = line_at(&*file, offset)?;
        let next = read_line(&*file, offset + length)?;
        let next: Option<Line> = serde_json::from_slice(&next).ok();
        let point = next.as_ref().and_then(integrity::point_of);
        let Some(point) = point.filter(|point| point.seq == line.seq) else {
            return Ok((line, None));
        };
        if link == point.head.0 && point.is_signed_by(&self.key) {
            return Ok((line, Some(point)));
        }
        Err(changed())
    }
}

/// The line at this place, its bytes, and its hash.
fn line_at(file: &dyn StoredFile, offset: u64) -> std::io::Result<(Line, u64, chain::Link)> {
    let bytes = read_line(file, offset)?;
    let follows = |before: chain::Link| {
        let mut chain = Chain::after(before);
        chain.follow(&bytes).then(|| chain.end())
    };
    let mut link = said_before(file, offset)?.and_then(follows);
    if link.is_none() && offset > 0 {
        // What the line before says may be damaged, and its bytes be whole.
        link = follows(hash_before(file, offset)?);
    }
    let link = link.ok_or_else(changed)?;
    Ok((serde_json::from_slice(&bytes)?, bytes.len() as u64, link))
}

/// What the line before this place says is its hash.
fn said_before(file: &dyn StoredFile, offset: u64) -> std::io::Result<Option<chain::Link>> {
    let Some(at) = offset.checked_sub(TAIL as u64) else {
        return Ok((offset == 0).then_some(START));
    };
    let mut tail = [0; TAIL];
    Reading::from(file, at).read_exact(&mut tail)?;
    Ok(chain::written_in(&tail))
}

/// What the bytes of the line before this place give as its hash.
fn hash_before(file: &dyn StoredFile, offset: u64) -> std::io::Result<chain::Link> {
    const BLOCK: u64 = 4096;
    let mut start = offset - 1;
    while start > 0 {
        let at = start.saturating_sub(BLOCK);
        let mut block = vec![0; (start - at) as usize];
        Reading::from(file, at).read_exact(&mut block)?;
        if let Some(end) = block.iter().rposition(|byte| *byte == b'\n') {
            start = at + end as u64 + 1;
            break;
        }
        start = at;
    }
    let mut chain = Chain::after(said_before(file, start)?.unwrap_or(START));
    chain.follow(&read_line(file, start)?);
    let [_, found] = chain.links();
    Ok(found)
}

fn read_line(file: &dyn StoredFile, offset: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    BufReader::new(Reading::from(file, offset)).read_until(b'\n', &mut bytes)?;
    Ok(bytes)
}

fn changed() -> Error {
    Error::new(
        ErrorKind::InvalidData,
        "an entry was changed since it was written",
    )
}
