//! What a journal proves: whether it is whole by its chain, up to where the device's key
//! signed it, whether it stands where the mark beside it says, and whether it goes through a
//! point that somebody wrote down. Reads, keeps nothing of the lines, and changes nothing.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::Path;

use serde::Serialize;

use super::chain::Link;
use super::history::{self, History, POINTS, Step, walk_with};
use super::{
    Checkpoint, Entry, How, JournalError, Known, Line, Origin, Place, failed, integrity, mark,
};
use crate::device_key::PublicKey;
use crate::files::{FileError, Folder};
use crate::storage::Disk;

/// What a journal proves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Entries that are whole.
    pub entries: u64,
    /// The numbers of those that are not, first and last.
    pub damaged: Vec<[u64; 2]>,
    /// Where the chain ends.
    pub end: Place,
    /// Whose it says it is; `None` for one of before journals said so.
    pub origin: Option<Origin>,
    /// The key that signatures were compared with; `None` where none was given or found.
    pub key: Option<PublicKey>,
    /// Stretches that the device's key signed, first and last entry.
    pub signed: Vec<[u64; 2]>,
    /// Stretches that the device found at a start, without a signature of when they were
    /// written.
    pub found_unsigned: Vec<[u64; 2]>,
    /// What the device itself found to be otherwise than it had left it, by the entry that
    /// says so.
    pub not_as_left: Vec<(u64, How)>,
    /// Where a person took the journal on, the last time.
    pub adopted: Option<u64>,
    /// Where the mark beside it says that it stands; `None` where there is none to be read.
    pub mark: Option<Place>,
    /// Whether it was compared with the mark; not where whoever asks may not read that.
    pub is_mark_compared: bool,
    /// How it compares with a point that was written down.
    pub against: Option<Against>,
    /// What is wrong with it, by stable codes.
    pub faults: Vec<&'static str>,
    /// What the device found and no person has taken on yet, by stable codes.
    pub open: Vec<&'static str>,
}

/// How a journal compares with a point that somebody wrote down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Against {
    /// The entry that it is; `None` where the chain does not go through it.
    pub entry: Option<u64>,
    /// Whether the key signed it; `None` where there is no signature or no key.
    pub is_signed: Option<bool>,
}

/// What a journal comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// Nothing contradicts it.
    Yes,
    /// The device found it changed before, and goes on; no person has taken that on.
    Open,
    /// Something is wrong with it.
    No,
}

impl Report {
    /// What it comes to.
    pub fn whole(&self) -> Whole {
        match (self.faults.is_empty(), self.open.is_empty()) {
            (false, _) => Whole::No,
            (true, false) => Whole::Open,
            (true, true) => Whole::Yes,
        }
    }

    /// What it comes to, in one line.
    pub fn words(&self) -> String {
        let mut words = vec![format!("{} entries", self.entries)];
        if self.damaged.is_empty() {
            words.push("all whole by their chain".to_owned());
        } else {
            words.push(format!("damaged: {}", stretches(&self.damaged)));
        }
        match self.signed.as_slice() {
            [] => words.push("none signed by this device".to_owned()),
            signed => words.push(format!("signed: {}", stretches(signed))),
        }
        let codes = self.faults.iter().chain(&self.open);
        words.extend(codes.map(|code| (*code).to_owned()));
        words.join(", ")
    }

    /// The last entry that the device's key signed.
    pub fn signed_to(&self) -> Option<u64> {
        self.signed.last().map(|[_, last]| *last)
    }
}

/// Follows the journal in `folder` from its first line to its last. `key` is what signatures
/// must be of; where none is given, the state folder's own. The device may write meanwhile.
///
/// # Errors
/// [`JournalError`], where there is no such folder or it cannot be read.
pub fn verify(
    folder: &Path,
    key: Option<PublicKey>,
    against: Option<Known>,
) -> Result<Report, JournalError> {
    let held = Disk::of(Folder::open(folder)?);
    let own = PublicKey::of(&held)?;
    // Read before the journal, which may go on meanwhile.
    let may_read = |error: &FileError| error.kind() != ErrorKind::PermissionDenied;
    let read = key.or(own).map(|key| mark::read(&held, &key)).transpose();
    let (marked, is_mark_compared) = match read {
        Ok(marked) => (marked.unwrap_or(mark::Found::Nothing), marked.is_some()),
        Err(error) if !may_read(&error) => (mark::Found::Nothing, false),
        Err(error) => return Err(error.into()),
    };
    let mut follower = Follower::new(key.or(own), &marked, against);
    let history = match history::open(folder) {
        Ok((file, path)) => {
            walk_with(&file, &mut |step| follower.take(step)).map_err(failed(&path))?
        }
        Err(JournalError::File(error)) if error.is_missing() => History::default(),
        Err(error) => return Err(error),
    };
    // A device that has started meanwhile goes on behind where it had ended.
    if let (mark::Found::Mark(mark), Some(key)) = (&mut follower.marked, key.or(own)) {
        mark.ended = mark.ended && mark::read(&held, &key)? == marked;
    }
    follower.is_mark_compared = is_mark_compared;
    Ok(follower.report(history, key.is_some()))
}

/// A stretch of lines that all follow each other.
#[derive(Debug)]
struct Stretch {
    first: u64,
    /// Its last signed points, and the entries that they stand in.
    points: VecDeque<(u64, Checkpoint)>,
}

impl Stretch {
    fn from(first: u64) -> Self {
        Self {
            first,
            points: VecDeque::new(),
        }
    }
}

/// Takes note of what matters on the walk.
struct Follower {
    key: Option<PublicKey>,
    marked: mark::Found,
    is_mark_compared: bool,
    /// It is of one stretch alone, and that one has ended.
    is_mark_passed: bool,
    against: Option<Known>,
    entries: u64,
    /// The line before, where it is whole.
    before: Option<(u64, Link)>,
    stretch: Stretch,
    at_mark: Option<[Link; 2]>,
    at_known: Option<u64>,
    signed: Vec<[u64; 2]>,
    found_unsigned: Vec<[u64; 2]>,
    not_as_left: Vec<(u64, How)>,
    /// Where a person took the journal on, and what was damaged then.
    adopted: Vec<(u64, Vec<[u64; 2]>)>,
    /// Those of all devices that the journal says it was of.
    keys: Vec<PublicKey>,
    /// The last point that is not what it says.
    forged: Option<u64>,
}

impl Follower {
    fn new(key: Option<PublicKey>, marked: &mark::Found, against: Option<Known>) -> Self {
        Self {
            key,
            marked: *marked,
            is_mark_compared: false,
            is_mark_passed: false,
            against,
            entries: 0,
            before: None,
            stretch: Stretch::from(1),
            at_mark: None,
            at_known: None,
            signed: Vec::new(),
            found_unsigned: Vec::new(),
            not_as_left: Vec::new(),
            adopted: Vec::new(),
            keys: Vec::new(),
            forged: None,
        }
    }

    fn take(&mut self, step: Step) {
        let Step {
            number,
            line,
            links,
            ..
        } = step;
        if self.mark().is_some_and(|mark| mark.seq == number) {
            self.at_mark = Some(links);
        }
        let Some(line) = line else {
            // What follows holds on to what this line says is its hash, and to no more.
            self.close();
            self.stretch = Stretch::from(number.saturating_add(1));
            self.before = None;
            return;
        };
        self.entries += 1;
        let [link, _] = links;
        if let Some(known) = self.against
            && known.head.0 == link
            && known.seq.is_none_or(|seq| seq == number)
        {
            self.at_known = Some(number);
        }
        self.note(&line);
        self.before = Some((number, link));
    }

    fn mark(&self) -> Option<Place> {
        self.marked.left().0
    }

    fn note(&mut self, line: &Line) {
        match &line.entry {
            Entry::Checkpoint { point } => {
                let is_it = self.before == Some((point.seq, point.head.0));
                if !is_it && self.before.is_some() {
                    self.forged = Some(line.seq);
                }
                if is_it {
                    if self.stretch.points.len() == POINTS {
                        self.stretch.points.pop_front();
                    }
                    self.stretch.points.push_back((line.seq, *point));
                }
            }
            Entry::FoundUnsigned { first, last, .. } => self.found_unsigned.push([*first, *last]),
            Entry::NotAsLeft { how, .. } => self.not_as_left.push((line.seq, *how)),
            Entry::Begun(origin) => self.keys.push(origin.key),
            Entry::Adopted { by, damaged, .. } => {
                self.adopted.push((line.seq, damaged.clone()));
                self.keys.push(by.key);
            }
            _ => {}
        }
    }

    /// A stretch ends: up to where is it signed?
    fn close(&mut self) {
        let Some(key) = self.key else {
            return;
        };
        let mut last = None;
        for (entry, point) in self.stretch.points.iter().rev() {
            if point.is_signed_by(&key) {
                last = Some(*entry);
                break;
            }
            let is_of_before = |key: &PublicKey| point.is_signed_by(key);
            if !self.keys.iter().any(is_of_before) {
                self.forged = self.forged.max(Some(*entry));
            }
        }
        let marked = self.mark().filter(|_| !self.is_mark_passed);
        let marked = marked.filter(|mark| {
            let is_it = |links: &[Link; 2]| links.contains(&mark.head.0);
            mark.seq >= self.stretch.first && self.at_mark.as_ref().is_some_and(is_it)
        });
        let last = last.max(marked.map(|mark| mark.seq));
        self.signed
            .extend(last.map(|last| [self.stretch.first, last]));
        self.is_mark_passed |= marked.is_some();
    }

    fn report(mut self, mut history: History, is_copy: bool) -> Report {
        let (marked, mark) = (self.marked, self.mark());
        self.close();
        // Behind the last signature, anybody may have written whose it is.
        let signed_to = self.signed.last().map(|[_, last]| *last);
        let is_at_mark = mark.is_some_and(|mark| {
            let is_it = |links: &[Link; 2]| links.contains(&mark.head.0);
            self.at_mark.as_ref().is_some_and(is_it)
        });
        if let Some(signed_to) = signed_to.filter(|_| is_at_mark) {
            history.fold_notes(signed_to);
        }
        let is_foreign = |key| history.origin.is_some_and(|origin| origin.key != key);
        let is_foreign = self.key.is_some_and(is_foreign);
        let how = integrity::compare(&history, &marked, self.at_mark, signed_to);
        // A copy may be of the journal alone, and whoever has no key cannot read the mark.
        let has_mark = marked != mark::Found::Nothing || !is_copy;
        let how = how.filter(|_| self.is_mark_compared && !is_foreign && has_mark);
        let against = self.against.map(|known| Against {
            entry: self.at_known,
            is_signed: self.key.and_then(|key| known.is_signed_by(&key)),
        });
        let is_empty = history.last == 0 && how != Some(How::Missing);
        let damaged: Vec<[u64; 2]> = history.damaged.iter().map(ends).collect();
        // What anybody could have written takes nothing on.
        let is_in = |stretches: &[[u64; 2]], entry: u64| {
            let mut stretches = stretches.iter();
            stretches.any(|[first, last]| (*first..=*last).contains(&entry))
        };
        let is_signed = |(entry, _): &&(u64, Vec<[u64; 2]>)| {
            is_in(&self.signed, *entry) && !is_in(&self.found_unsigned, *entry)
        };
        let adopted = self.adopted.iter().rev().find(is_signed);
        let (at, taken_on) = adopted.cloned().unwrap_or_default();
        let is_new = |stretch: &[u64; 2]| !taken_on.contains(stretch);
        let faults = [
            (is_empty, "journal_empty"),
            (damaged.iter().any(is_new), "journal"),
            (is_foreign, "journal_foreign"),
            (how.is_some(), how.map_or("", How::code)),
            (self.forged > Some(at), "journal_forged"),
            (
                against.is_some_and(|against| against.entry.is_none()),
                "point_not_found",
            ),
            (
                against.is_some_and(|against| against.is_signed == Some(false)),
                "point_not_signed",
            ),
        ];
        let is_open = |(entry, _): &&(u64, How)| *entry > at;
        Report {
            entries: self.entries,
            damaged,
            end: integrity::end_of(&history),
            origin: history.origin,
            key: self.key,
            signed: self.signed,
            found_unsigned: self.found_unsigned,
            adopted: (at > 0).then_some(at),
            mark,
            is_mark_compared: self.is_mark_compared && has_mark,
            against,
            faults: faults
                .into_iter()
                .filter_map(|(is_so, code)| is_so.then_some(code))
                .collect(),
            open: self
                .not_as_left
                .iter()
                .filter(is_open)
                .map(|(_, how)| how.code())
                .collect(),
            not_as_left: self.not_as_left,
        }
    }
}

/// Stretches of entries, for people.
pub fn stretches(all: &[[u64; 2]]) -> String {
    let word = |[first, last]: &[u64; 2]| match last {
        last if first == last => format!("entry {first}"),
        last => format!("entries {first} to {last}"),
    };
    all.iter().map(word).collect::<Vec<_>>().join(", ")
}

pub(super) fn ends(range: &RangeInclusive<u64>) -> [u64; 2] {
    [*range.start(), *range.end()]
}
