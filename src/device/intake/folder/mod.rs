//! A watched folder: every image that is put into it becomes a case.
//!
//! A file stays where it is until its case has ended; then it goes to `taken` (or is
//! deleted) where it ended in a finding, and to `rejected` where it ended in a refusal,
//! with the case's number before its name. Nothing else is remembered: its case is asked
//! for by a number made from its content, so that a file which is met again, after whatever
//! happened, is the same case. A file that was put there again has its result written again;
//! where the device was to blame that there is none, it is answered now. What runs is a copy
//! in the device's own store, so that a stick may be pulled.
//!
//! Others write the folder, at any moment. Each look holds it open, and what the look saw is
//! what is read, moved and deleted: a file that was swapped meanwhile is left, or put back. No
//! link is followed, neither in place of a file nor of `taken` and `rejected`; and the state
//! folder is never watched, whatever leads there.
//!
//! Looking is what counts; what the system tells of changes only says when to look. A name
//! may tell whose image it is: none goes to a log.

mod answered;
mod done;
mod found;
mod hint;
mod mounts;
mod settle;

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::Digest as _;

use crate::case::{Asker, Bound, FileId, FileName, Giver, Order, RequestId};
use crate::device::case_error::CaseError;
use crate::device::cases::{Cases, State};
use crate::device::config::{After, Watched};
use crate::device::status::Warning;
use crate::files::{self, FileError};
use crate::sha256::Sha256;
use answered::Answered;
use done::Markers;
use found::{Found, Wanted};
use hint::Hint;
use mounts::Mounts;
use settle::{Mark, Settler};

/// Between two looks, however much is told.
const SHORTEST: Duration = Duration::from_millis(100);

/// Where files go that were answered.
const TAKEN: &str = "taken";
/// Where files go that were refused.
const REJECTED: &str = "rejected";

/// Watches a folder until the device has ended. To be called on a thread of its own.
pub(crate) fn watch(folder: Watched, cases: Arc<Cases>) {
    Watch::new(folder, cases).work();
}

/// A file whose case was accepted.
struct Accepted {
    case: u64,
    mark: Mark,
}

/// One folder.
struct Watch {
    folder: Watched,
    cases: Arc<Cases>,
    settler: Settler,
    accepted: BTreeMap<PathBuf, Accepted>,
    /// The markers that the last look found.
    markers: Markers,
    /// The folders that it looked into.
    folders: Vec<PathBuf>,
    hint: Option<Hint>,
    mounts: Mounts,
    /// The folder was looked at since the start.
    has_looked: bool,
    /// What was complained of last: it is said once.
    complaint: Option<String>,
    /// What lay there at the last look and is no file.
    no_files: usize,
    /// There were more files than are looked at.
    has_more: bool,
}

/// What is wrong with a folder.
enum Wrong {
    /// It is not there, or what it lies on does not answer.
    Away(std::io::Error),
    /// It, or a file in it, cannot be read.
    Unreadable(std::io::Error),
    /// What was answered cannot be moved.
    Unwritable(std::io::Error),
    /// The device's own state folder is gone: it tells so itself.
    StateAway(std::io::Error),
    /// The device takes no case now; the folder is well.
    Refused(CaseError),
}

impl Wrong {
    /// Why a folder or a file in it is not read: shares that are gone say so in many ways.
    fn reading(error: std::io::Error) -> Self {
        if mounts::is_away(&error) {
            Self::Away(error)
        } else {
            Self::Unreadable(error)
        }
    }

    fn warning(&self, folder: &str) -> Option<Warning> {
        Some(match self {
            Self::Away(error) => Warning::folder_away(folder, &error.to_string()),
            Self::Unreadable(error) => Warning::folder_unreadable(folder, &error.to_string()),
            Self::Unwritable(error) => Warning::folder_unwritable(folder, &error.to_string()),
            Self::StateAway(_) | Self::Refused(_) => return None,
        })
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(error) | Self::Unreadable(error) | Self::Unwritable(error) => error.fmt(f),
            Self::StateAway(error) => write!(f, "the state folder: {error}"),
            Self::Refused(error) => write!(f, "{error}; {}", error.help()),
        }
    }
}

/// Why a file stays for now.
enum Stays {
    /// There is no room for another case, or the device cannot write: nor for the next one.
    Refused(CaseError),
    /// It cannot be read, or changes.
    Unread(std::io::Error),
}

impl From<std::io::Error> for Stays {
    fn from(error: std::io::Error) -> Self {
        Self::Unread(error)
    }
}

impl Watch {
    fn new(folder: Watched, cases: Arc<Cases>) -> Self {
        Self {
            settler: Settler::new(Duration::from_secs(folder.settle_s.into())),
            mounts: Mounts::new(folder.mounted.clone()),
            folder,
            cases,
            accepted: BTreeMap::new(),
            markers: Markers::default(),
            folders: Vec::new(),
            hint: None,
            has_looked: false,
            complaint: None,
            no_files: 0,
            has_more: false,
        }
    }

    fn work(mut self) {
        while !self.cases.lifecycle().has_ended() {
            let began = Instant::now();
            let name = self.folder.path.display().to_string();
            self.cases.looks_into(&name);
            let wrong = self.look().err();
            let took = began.elapsed();
            let warning = wrong.as_ref().and_then(|wrong| wrong.warning(&name));
            self.cases.looked_into(&name, warning.into_iter().collect());
            self.complain(wrong.map(|wrong| wrong.to_string()));
            self.wait();
            // Where many files come at once, they are one look's work; where very many lie
            // there, looking takes no more than half of the time.
            self.cases.rest(SHORTEST.max(took));
        }
    }

    /// Until the next look, or until the device has ended: a file may settle before it is due.
    fn wait(&mut self) {
        let most = Duration::from_secs(self.folder.poll_s.into());
        let patience = self.settler.next(Instant::now()).unwrap_or(most).min(most);
        if self.hint.is_none() {
            self.hint = Hint::of(&self.folder.path);
            if let Some(hint) = &mut self.hint {
                hint.also(&self.folders);
            }
        }
        match &mut self.hint {
            None => self.cases.rest(patience),
            Some(hint) => {
                let lifecycle = self.cases.lifecycle();
                if !hint.wait(patience, || lifecycle.has_ended()) {
                    self.hint = None;
                }
            }
        }
    }

    /// One look: puts away what has ended, takes what has settled.
    fn look(&mut self) -> Result<(), Wrong> {
        let here = self.open().inspect_err(|_| {
            // Another folder may come back under this name.
            self.hint = None;
        })?;
        // An empty place where a share was is read like any other folder.
        let mounted = self.mounts.look(&self.folder.path).map_err(Wrong::Away);
        let put_away = self.put_away(&here).map_err(Wrong::Unwritable);
        let state = files::Folder::open(self.cases.state_folder()).ok();
        let wanted = Wanted {
            subfolders: self.folder.subfolders,
            marker: self.folder.done.as_ref().map(|marker| marker.0.as_str()),
            never: state.as_ref(),
        };
        let found = found::look(&here, &wanted).map_err(Wrong::reading)?;
        self.note(&found);
        if let Some(hint) = &mut self.hint {
            hint.also(&found.folders);
        }
        (self.markers, self.folders) = (found.markers, found.folders);
        let found = found.files;
        // What was written over is another image.
        let is_same = |path: &PathBuf, file: &mut Accepted| found.get(path) == Some(&file.mark);
        self.accepted.retain(is_same);
        let (hint, now) = (self.hint.as_ref(), Instant::now());
        let is_written = |path: &Path| hint.is_some_and(|hint| hint.is_written(path, now));
        let settled = self.settler.look(&found, is_written, now);
        let mut unread = Ok(());
        for (name, mark) in settled {
            if self.accepted.contains_key(&name) || !self.is_said_to_be_whole(&name, &mark) {
                continue;
            }
            match self.accept(&here, &name, mark) {
                Ok(Some(case)) => {
                    self.accepted.insert(name, Accepted { case, mark });
                }
                Ok(None) => self.settler.was_wrong(&name, Instant::now()),
                // Another source sends the same one: the others need not wait for it.
                Err(Stays::Refused(CaseError::ImageBusy)) => {}
                // The file waits here; so do those after it.
                Err(Stays::Refused(CaseError::TooManyWaiting | CaseError::StoreFull)) => break,
                Err(Stays::Refused(fault)) => {
                    unread = Err(Wrong::Refused(fault));
                    break;
                }
                // It was taken away meanwhile.
                Err(Stays::Unread(error)) if error.kind() == ErrorKind::NotFound => {}
                Err(Stays::Unread(error)) => unread = Err(Wrong::reading(error)),
            }
        }
        self.has_looked = true;
        mounted.and(put_away).and(unread)
    }

    /// The folder that lies there now.
    fn open(&self) -> Result<files::Folder, Wrong> {
        let reading = |error: FileError| Wrong::reading(error.into());
        let here = files::Folder::open(&self.folder.path).map_err(reading)?;
        let state = files::Folder::open(self.cases.state_folder());
        let state = state.map_err(|error| Wrong::StateAway(error.into()))?;
        if here.is_within(&state).map_err(reading)? {
            // Its files would be answered and moved away.
            let leads = std::io::Error::other("it leads into the state folder");
            return Err(Wrong::reading(leads));
        }
        Ok(here)
    }

    /// The case of a file; `None` where it changed while it was read.
    fn accept(&self, root: &files::Folder, path: &Path, mark: Mark) -> Result<Option<u64>, Stays> {
        let giver = self.giver();
        let waits = self.cases.may_wait(self.folder.priority, Some(&giver));
        waits.map_err(Stays::Refused)?;
        let (here, name) = within(root, path).map_err(nameless)?;
        let mut file = here.open_file(name).map_err(nameless)?;
        // A large file may take its time, as long as something of it comes.
        let folder = self.folder.path.display().to_string();
        let came = || self.cases.looks_into(&folder);
        came();
        let copied = match self.cases.copy_image(&mut file, Some(&giver), &came)? {
            Ok(copied) => copied,
            Err(CaseError::ImageUnsteady) => return Ok(None),
            Err(fault) => return Err(Stays::Refused(fault)),
        };
        let about = file.metadata()?;
        let case = if Mark::of(&about) == mark {
            self.case_of(path, &about, &copied.image).map(Some)
        } else {
            Ok(None)
        };
        let image = copied.image.clone();
        drop(copied);
        if let Bound::Stored(sha256) = image {
            // Where the case has ended already, or there is none.
            self.cases.forget_unwanted(&sha256);
        }
        case.map_err(Stays::Refused)
    }

    /// Whether there is the marker of a file, where one is waited for.
    fn is_said_to_be_whole(&self, path: &Path, mark: &Mark) -> bool {
        let ending = self.folder.done.as_ref();
        ending.is_none_or(|ending| self.markers.tell_of(path, mark, &ending.0))
    }

    fn giver(&self) -> Giver {
        Giver::Folder(self.folder.path.display().to_string())
    }

    /// The case of a file whose bytes are in the store.
    fn case_of(&self, way: &Path, about: &Metadata, image: &Bound) -> Result<u64, CaseError> {
        let path = self.folder.path.join(way);
        let (source, sha256) = match image {
            // The file's name may tell whose image it is.
            Bound::Stored(sha256) => (self.cases.images().path(&sha256.0), Some(sha256)),
            // It is too large to be read as well: its case says so.
            Bound::TooLarge(sha256) => (path, Some(sha256)),
            Bound::Unreadable(_) => (path, None),
        };
        let exam = self.folder.exam.clone();
        let request = sha256.map(|sha256| RequestId {
            asker: Asker::Folder,
            number: number_of(sha256, exam.as_deref()),
        });
        let order = Order {
            source: source.display().to_string(),
            image: Some(image.clone()),
            exam,
            request,
            giver: Some(self.giver()),
            file: Some(id_of(about)),
            file_name: FileName::of(way),
            priority: self.folder.priority,
            ..Order::default()
        };
        match self.cases.requested(&order)? {
            None => self.cases.accept(order),
            Some(known) if self.is_still_there(known, &order)? => Ok(known),
            Some(known) => self.cases.came_again(known, order),
        }
    }

    /// Whether a file is the very one that its case was accepted for, and did not come again.
    fn is_still_there(&self, case: u64, order: &Order) -> Result<bool, CaseError> {
        let before = self.cases.order(case)?;
        Ok(match before.file {
            Some(_) => before.file == order.file,
            // Entries of before say nothing of the file: what was there at the start was left.
            None => !self.has_looked,
        })
    }

    /// Moves or deletes the files whose case has ended.
    fn put_away(&mut self, root: &files::Folder) -> std::io::Result<()> {
        let mut moved = Ok(());
        let cases = &self.cases;
        let ended = |(path, file): (&PathBuf, &Accepted)| {
            let state = cases.state(file.case).ok()?;
            let has_answer = matches!(state, State::Finding | State::Refusal);
            has_answer.then(|| (path.clone(), file.case, file.mark, state))
        };
        let ended: Vec<_> = self.accepted.iter().filter_map(ended).collect();
        for (path, case, mark, state) in ended {
            let place = match (state, self.folder.after) {
                (State::Refusal, _) => Some(REJECTED),
                (_, After::Move) => Some(TAKEN),
                (_, After::Delete) => None,
            };
            let is_same = |about: Metadata| Mark::of(&about) == mark;
            let lies_there = within(root, &path).ok();
            let lies_there = lies_there.filter(|(here, name)| here.about(name).is_ok_and(is_same));
            let Some((here, name)) = lies_there else {
                self.accepted.remove(&path);
                continue;
            };
            let answered = Answered {
                root,
                here: &here,
                name,
                case,
                mark,
            };
            let done = match place {
                None => answered.remove(),
                Some(place) => answered.move_to(place, &self.folder.readers()),
            };
            match done {
                Ok(()) => {
                    self.accepted.remove(&path);
                    self.remove_markers(root, &path);
                }
                Err(error) => moved = Err(error),
            }
        }
        moved
    }

    /// Its marker told of this file, and must tell of no other that comes under its name. One that
    /// stays, or was renewed, is older than that file or about it.
    fn remove_markers(&self, root: &files::Folder, path: &Path) {
        let Some(ending) = &self.folder.done else {
            return;
        };
        for (marker, mark) in self.markers.of(path, &ending.0) {
            let Ok((here, name)) = within(root, &marker) else {
                continue;
            };
            if here.about(name).is_ok_and(|about| Mark::of(&about) == mark) {
                let _ = here.remove_if_there(name);
            }
        }
    }

    /// Says once that something lies there which is no file: nobody waits for it; and that
    /// there are more files than are looked at.
    fn note(&mut self, found: &Found) {
        let path = self.folder.path.display();
        if found.no_files > self.no_files {
            let no_files = found.no_files;
            log::warn!("{path}: {no_files} pipes, sockets or devices are no files and are left");
        }
        if found.has_more && !self.has_more {
            let most = found.files.len();
            log::warn!("{path}: there are more than {most} files; the others' turn comes later");
        }
        (self.no_files, self.has_more) = (found.no_files, found.has_more);
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

/// The folder that a file within the watched one lies in, one name after the other and through no
/// link, and the file's name.
fn within<'a>(
    root: &files::Folder,
    path: &'a Path,
) -> Result<(files::Folder, &'a std::ffi::OsStr), FileError> {
    let mut here = root.clone();
    for name in path.parent().into_iter().flatten() {
        here = here.folder(name)?;
    }
    Ok((here, path.file_name().unwrap_or_default()))
}

/// A file's name may tell whose image it is: an error goes to the log.
fn nameless(error: FileError) -> std::io::Error {
    error.into()
}

/// The number by which an image is asked for in this exam: the same image is the same case.
fn number_of(image: &Sha256, exam: Option<&str>) -> u64 {
    let mut hash = sha2::Sha256::new_with_prefix(image.0);
    hash.update(exam.unwrap_or_default());
    Sha256::from(hash).short()
}

fn id_of(about: &Metadata) -> FileId {
    let nanoseconds = about.ctime().saturating_mul(1_000_000_000);
    FileId {
        inode: about.ino(),
        changed_ns: nanoseconds.saturating_add(about.ctime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_image_in_the_same_exam_has_the_same_number() {
        let (one, other) = (Sha256([1; 32]), Sha256([2; 32]));
        let number = number_of(&one, Some("brain4"));
        assert_eq!(number, number_of(&one, Some("brain4")));
        assert_ne!(number, number_of(&other, Some("brain4")));
        assert_ne!(number, number_of(&one, None));
    }
}
