//! A watched folder: every image that is put into it becomes a case.
//!
//! A file stays where it is until its case has ended; then it goes to `taken` (or is
//! deleted) where it ended in a finding, and to `rejected` where it ended in a refusal,
//! with the case's number before its name. Nothing else is remembered: its case is asked
//! for by a number made from its content, so that a file which is met again, after whatever
//! happened, is the same case. What runs is a copy in the device's own store, so that a
//! stick may be pulled.
//!
//! Looking is what counts; what the system tells of changes only says when to look. A name
//! may tell whose image it is: none goes to a log.

mod found;
mod hint;
mod settle;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use firmware_host::fault::Fault;
use firmware_host::message::Digest;
use sha2::{Digest as _, Sha256};

use super::cases::{Cases, State};
use super::config::{After, Watched};
use super::images::{Begun, LARGEST, Upload};
use crate::image::open::{NoFile, open};
use crate::journal::Order;
use found::files;
use hint::Hint;
use settle::{Mark, Settler};

/// Between two looks, however much is told.
const SHORTEST: Duration = Duration::from_millis(100);

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Where files go that were answered.
const TAKEN: &str = "taken";
/// Where files go that were refused.
const REJECTED: &str = "rejected";

/// Watches a folder on a thread of its own, for ever.
pub fn watch(folder: Watched, cases: &'static Cases) {
    std::thread::spawn(move || Watch::new(folder, cases).work());
}

/// A file whose case was accepted.
struct Accepted {
    case: u64,
    mark: Mark,
}

/// One folder.
struct Watch {
    folder: Watched,
    cases: &'static Cases,
    settler: Settler,
    accepted: BTreeMap<OsString, Accepted>,
    hint: Option<Hint>,
    /// What was complained of last: it is said once.
    complaint: Option<String>,
}

/// Why a file stays for now.
enum Stays {
    /// There is no room for another case, or the device cannot write: nor for the next one.
    Refused(Fault),
    /// It cannot be read, or changes.
    Unread(std::io::Error),
}

impl From<std::io::Error> for Stays {
    fn from(error: std::io::Error) -> Self {
        Self::Unread(error)
    }
}

impl Watch {
    fn new(folder: Watched, cases: &'static Cases) -> Self {
        Self {
            settler: Settler::new(Duration::from_secs(folder.settle_s.into())),
            folder,
            cases,
            accepted: BTreeMap::new(),
            hint: None,
            complaint: None,
        }
    }

    fn work(mut self) -> ! {
        loop {
            let looked = self.look();
            self.complain(looked.err().map(|error| error.to_string()));
            self.wait();
            // Where many files come at once, they are one look's work.
            std::thread::sleep(SHORTEST);
        }
    }

    /// Until the next look: a file may settle before it is due.
    fn wait(&mut self) {
        let most = Duration::from_secs(self.folder.poll_s.into());
        let patience = self.settler.next(Instant::now()).unwrap_or(most).min(most);
        if self.hint.is_none() {
            self.hint = Hint::of(&self.folder.path);
        }
        match &mut self.hint {
            None => std::thread::sleep(patience),
            Some(hint) => {
                if !hint.wait(patience) {
                    self.hint = None;
                }
            }
        }
    }

    /// One look: puts away what has ended, takes what has settled.
    fn look(&mut self) -> std::io::Result<()> {
        let put_away = self.put_away();
        let found = files(&self.folder.path).inspect_err(|_| {
            // Another folder may come back under this name.
            self.hint = None;
        })?;
        // What was written over is another image.
        let is_same = |name: &OsString, file: &mut Accepted| found.get(name) == Some(&file.mark);
        self.accepted.retain(is_same);
        let hint = self.hint.as_ref();
        let is_written = |name: &OsStr| hint.is_some_and(|hint| hint.is_written(name));
        let settled = self.settler.look(&found, is_written, Instant::now());
        let mut unread = Ok(());
        for (name, mark) in settled {
            if self.accepted.contains_key(&name) {
                continue;
            }
            match self.accept(&name, mark) {
                Ok(Some(case)) => {
                    self.accepted.insert(name, Accepted { case, mark });
                }
                Ok(None) => self.settler.forget(&name),
                // Another source sends the same one: the others need not wait for it.
                Err(Stays::Refused(Fault::ImageBusy)) => {}
                // The file waits here; so do those after it.
                Err(Stays::Refused(Fault::TooManyWaiting)) => break,
                Err(Stays::Refused(fault)) => {
                    unread = Err(std::io::Error::other(fault.text()));
                    break;
                }
                // It was taken away meanwhile.
                Err(Stays::Unread(error)) if error.kind() == ErrorKind::NotFound => {}
                Err(Stays::Unread(error)) => unread = Err(error),
            }
        }
        put_away.and(unread)
    }

    /// The case of a file; `None` where it changed while it was read.
    fn accept(&self, name: &OsStr, mark: Mark) -> Result<Option<u64>, Stays> {
        if !self.cases.may_wait(self.folder.priority) {
            return Err(Stays::Refused(Fault::TooManyWaiting));
        }
        let path = self.folder.path.join(name);
        let mut file = open(&path).map_err(NoFile::into_io)?;
        let (digest, size) = digest(&mut file)?;
        if Mark::of(&file.metadata()?) != mark {
            return Ok(None);
        }
        let request = request_of(&digest, self.folder.exam.as_deref());
        if let Some(case) = self.cases.requested(request) {
            return Ok(Some(case));
        }
        // One that is too large for the store is too large to be read: its case says so.
        let is_stored = size <= u64::from(LARGEST);
        if is_stored && !self.store(&mut file, digest, size as u32)? {
            return Ok(None);
        }
        let source = if is_stored {
            self.cases.images().path(&digest)
        } else {
            path
        };
        let order = Order {
            source: source.display().to_string(),
            exam: self.folder.exam.clone(),
            region: None,
            request: Some(request),
            priority: self.folder.priority,
        };
        let accepted = if is_stored {
            self.cases.run_stored(order, &digest)
        } else {
            self.cases.accept(order)
        };
        match accepted {
            // Another case had it, and has ended meanwhile.
            Err(Fault::NoSuchImage) => Ok(None),
            accepted => accepted.map(Some).map_err(Stays::Refused),
        }
    }

    /// Copies a file into the device's own store; false where it is another one by now.
    fn store(&self, file: &mut File, digest: Digest, size: u32) -> Result<bool, Stays> {
        let begun = self.cases.begin_image(digest, size);
        match begun.map_err(Stays::Refused)? {
            Begun::Stored => Ok(true),
            Begun::Wanted(mut upload) => {
                file.seek(SeekFrom::Start(upload.have().into()))?;
                match copy(file, &mut upload)? {
                    Ok(is_whole) => Ok(is_whole),
                    Err(Fault::ImageDamaged | Fault::Message) => Ok(false),
                    Err(fault) => Err(Stays::Refused(fault)),
                }
            }
        }
    }

    /// Moves or deletes the files whose case has ended.
    fn put_away(&mut self) -> std::io::Result<()> {
        let mut moved = Ok(());
        let cases = self.cases;
        let ended = |(name, file): (&OsString, &Accepted)| {
            let state = cases.state(file.case).ok()?;
            let has_answer = matches!(state, State::Finding | State::Refusal);
            has_answer.then(|| (name.clone(), file.case, file.mark, state))
        };
        let ended: Vec<_> = self.accepted.iter().filter_map(ended).collect();
        for (name, case, mark, state) in ended {
            let place = match (state, self.folder.after) {
                (State::Refusal, _) => Some(REJECTED),
                (_, After::Move) => Some(TAKEN),
                (_, After::Delete) => None,
            };
            let path = self.folder.path.join(&name);
            let is_same = |about: std::fs::Metadata| Mark::of(&about) == mark;
            if !path.symlink_metadata().is_ok_and(is_same) {
                self.accepted.remove(&name);
                continue;
            }
            let done = match place {
                None => std::fs::remove_file(&path),
                Some(place) => self.move_to(place, &path, case, &name),
            };
            match done {
                Ok(()) => drop(self.accepted.remove(&name)),
                Err(error) => moved = Err(error),
            }
        }
        moved
    }

    /// Case and name make a name of its own: the same two are the same image.
    fn move_to(&self, place: &str, path: &Path, case: u64, name: &OsStr) -> std::io::Result<()> {
        let folder = self.folder.path.join(place);
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mut new = OsString::from(format!("{case}-"));
        new.push(name);
        std::fs::rename(path, folder.join(new))
    }

    /// Says once what is wrong, and once that it is over.
    fn complain(&mut self, complaint: Option<String>) {
        if complaint == self.complaint {
            return;
        }
        let path = self.folder.path.display();
        match &complaint {
            Some(what) => log::warn!("{path}: {what}; tried again"),
            None => log::info!("{path}: works again"),
        }
        self.complaint = complaint;
    }
}

/// Hash and size of a file; of one that is too large for the store, of as much as fits and
/// of its size.
fn digest(file: &mut File) -> std::io::Result<(Digest, u64)> {
    let size = file.metadata()?.len();
    let mut hash = Sha256::new();
    let (mut file, mut bytes) = (file.take(LARGEST.into()), vec![0; PIECE]);
    loop {
        match piece(&mut file, &mut bytes)? {
            [] => break,
            piece => hash.update(piece),
        }
    }
    if size > u64::from(LARGEST) {
        hash.update(size.to_le_bytes());
    }
    Ok((hash.finalize().into(), size))
}

/// The number by which an image is asked for in this exam: the same image is the same case.
fn request_of(image: &Digest, exam: Option<&str>) -> u64 {
    let mut hash = Sha256::new_with_prefix(image);
    hash.update(exam.unwrap_or_default());
    let digest: Digest = hash.finalize().into();
    digest
        .iter()
        .take(8)
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// Sends a file's bytes to the store; the outer error is the file's, the inner the store's.
fn copy(file: &mut File, upload: &mut Upload) -> std::io::Result<Result<bool, Fault>> {
    let mut bytes = vec![0; PIECE];
    loop {
        let taken = match piece(file, &mut bytes)? {
            [] => return Ok(Ok(false)),
            piece => upload.take(upload.have(), piece),
        };
        if taken != Ok(false) {
            return Ok(taken);
        }
    }
}

/// The next bytes; none at the end.
fn piece<'b>(file: &mut impl Read, bytes: &'b mut [u8]) -> std::io::Result<&'b [u8]> {
    loop {
        match file.read(bytes) {
            Ok(count) => return Ok(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_image_in_the_same_exam_has_the_same_number() {
        let (one, other) = ([1; 32], [2; 32]);
        let number = request_of(&one, Some("brain4"));
        assert_eq!(number, request_of(&one, Some("brain4")));
        assert_ne!(number, request_of(&other, Some("brain4")));
        assert_ne!(number, request_of(&one, None));
    }
}
