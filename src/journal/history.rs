//! What stands in a journal: read from its file, whole lines told from damaged ones, and
//! folded to what became of each case. Changes nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::RangeInclusive;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::chain::{self, Chain, Link};
use super::clock;
use super::{Checkpoint, Entry, FILE, How, JournalError, Line, Origin, Recorded, Span, failed};
use crate::case::{BundleId, Order};
use crate::device_key::PublicKey;
use crate::files::Folder;
use crate::sha256::Sha256;
use crate::storage::{Reading, StoredFile};

/// No journal ever lost more entries at once: a number that is higher than that is none of ours.
const MOST_LOST: u64 = 1 << 32;

/// So many of the last signed points are kept: each may be one that somebody made up.
pub(super) const POINTS: usize = 64;

/// All that stands in a journal.
#[derive(Debug, Default)]
pub struct History {
    /// Every whole line and its place, in order.
    pub lines: Vec<(Line, Span)>,
    /// The numbers of the entries that are not whole.
    pub damaged: Vec<RangeInclusive<u64>>,
    /// The hash of the last line: who keeps it elsewhere can tell whether lines were taken
    /// off the end.
    pub chain: String,
    /// Whose it is, by its last entry that says so.
    pub origin: Option<Origin>,
    /// In what way it was not as the device had left it, where no person has taken it on since.
    pub doubt: Option<How>,
    /// Stretches whose ends of cases and deliveries count for nothing, first and last entry.
    pub(super) unsigned: Vec<[u64; 2]>,
    /// The last signed points that are of this chain, and the entries that they stand in;
    /// nobody has looked at their signatures.
    pub(super) points: VecDeque<(u64, Checkpoint)>,
    /// What entries say of the journal itself, and their numbers.
    notes: Vec<(u64, Note)>,
    /// No case has a higher number.
    highest: u64,
    pub(super) last: u64,
    pub(super) link: Link,
    pub(super) end: u64,
    /// Whether the last line has its newline.
    pub(super) ends: bool,
}

/// What an entry says of the journal itself.
#[derive(Debug, Clone, Copy)]
enum Note {
    Begun(Origin),
    Adopted(Origin),
    NotAsLeft(How),
    Unsigned { stretch: [u64; 2], counts: bool },
}

/// Reads a journal without holding it: the device may write to it meanwhile.
///
/// # Errors
/// [`JournalError::Io`].
pub fn history(folder: &Path) -> Result<History, JournalError> {
    let (file, path) = open(folder)?;
    walk(&file).map_err(failed(&path))
}

/// A journal's file, open to read.
pub(super) fn open(folder: &Path) -> Result<(File, std::path::PathBuf), JournalError> {
    let path = folder.join(FILE);
    let file = Folder::open(folder).and_then(|folder| folder.open_file(FILE));
    Ok((file?, path))
}

/// What became of one case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CaseHistory {
    /// How it was taken on; `None` where that entry is damaged.
    pub accepted: Option<Acceptance>,
    /// How often it began to run and was not put back.
    pub starts: usize,
    /// How it ended; `None` where it has not.
    pub end: Option<End>,
    /// The sinks that have the answer safe.
    pub delivered: BTreeSet<String>,
    /// What is to be known of a delivery, by sink: parts that it goes without, or remarked on.
    pub notes: BTreeMap<String, Vec<String>>,
    /// The sinks that will never have it, and why.
    pub declined: BTreeMap<String, String>,
    /// The sinks that still owe it; the link, which owes every case, is not among them.
    pub owed: BTreeSet<String>,
    /// Whether its image is kept no longer.
    pub is_purged: bool,
}

/// How a case was taken on.
#[derive(Debug, Clone, PartialEq)]
pub struct Acceptance {
    /// What it is asked.
    pub order: Order,
    /// When.
    pub time: Timestamp,
    /// Where the entry lies.
    pub span: Span,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// In a finding or a refusal.
    Answered {
        /// When.
        time: Timestamp,
        /// When, by a clock that was never set.
        steady: Timestamp,
        /// Where the entry lies.
        span: Span,
        /// SHA-256 of the image's file.
        image: Option<Sha256>,
        /// What was loaded.
        bundle: Option<BundleId>,
        /// The answer.
        record: Recorded,
    },
    /// It was dropped before it ran.
    Aborted {
        /// When.
        time: Timestamp,
    },
}

impl History {
    /// What became of every case, by number.
    pub fn cases(self) -> BTreeMap<u64, CaseHistory> {
        let (mut cases, mut loaded) = (BTreeMap::new(), None);
        let (mut chosen, mut shift) = (BTreeSet::new(), SignedDuration::ZERO);
        let is_unsigned = |seq| is_within(&self.unsigned, seq);
        for (Line { seq, time, entry }, span) in self.lines {
            if entry.is_an_end() && is_unsigned(seq) {
                continue;
            }
            let Some(number) = entry.case() else {
                match entry {
                    Entry::Booted { bundle, .. } | Entry::BundleChanged { bundle } => {
                        loaded = Some(bundle);
                    }
                    Entry::Sinks { sinks } => chosen = sinks.into_iter().collect(),
                    Entry::ClockSet { from, to } => shift = clock::further(shift, from, to),
                    _ => {}
                }
                continue;
            };
            let case: &mut CaseHistory = cases.entry(number).or_default();
            match entry {
                // Of no case.
                Entry::Begun(_)
                | Entry::Adopted { .. }
                | Entry::Checkpoint { .. }
                | Entry::FoundUnsigned { .. }
                | Entry::NotAsLeft { .. }
                | Entry::Booted { .. }
                | Entry::Configured { .. }
                | Entry::BundleChanged { .. }
                | Entry::BundleRefused { .. }
                | Entry::WentBack { .. }
                | Entry::ClockBelieved { .. }
                | Entry::SelfTested { .. }
                | Entry::ClockSet { .. }
                | Entry::TimeGiven { .. }
                | Entry::Sinks { .. } => {}
                Entry::Accepted { order, .. } => {
                    case.accepted = Some(Acceptance { order, time, span });
                }
                Entry::Started { .. } => case.starts += 1,
                Entry::Returned { .. } => case.starts = case.starts.saturating_sub(1),
                Entry::Answered { image, record, .. } => {
                    let bundle = loaded.clone();
                    let steady = clock::steady(time, shift);
                    case.owed.clone_from(&chosen);
                    case.end = Some(End::Answered {
                        time,
                        steady,
                        span,
                        image,
                        bundle,
                        record,
                    });
                }
                Entry::Aborted { .. } => case.end = Some(End::Aborted { time }),
                Entry::Delivered { sink, notes, .. } => {
                    case.owed.remove(&sink);
                    case.declined.remove(&sink);
                    case.notes.insert(sink.clone(), notes);
                    case.delivered.insert(sink);
                }
                Entry::Declined { sink, code, .. } => {
                    case.owed.remove(&sink);
                    case.declined.insert(sink, code);
                }
                Entry::Purged { .. } => case.is_purged = true,
                Entry::CameAgain { .. } => {
                    case.owed.extend(chosen.iter().cloned());
                    case.is_purged = false;
                    // The image is as old as its last coming.
                    if let Some(End::Answered { steady, .. }) = &mut case.end {
                        *steady = clock::steady(time, shift);
                    }
                }
            }
        }
        cases
    }

    /// By how much the clock was set, all together.
    pub(super) fn shift(&self) -> SignedDuration {
        let sets = self.lines.iter().filter_map(|(line, _)| match line.entry {
            Entry::ClockSet { from, to } => Some((from, to)),
            _ => None,
        });
        sets.fold(SignedDuration::ZERO, |shift, (from, to)| {
            clock::further(shift, from, to)
        })
    }

    /// The sinks that were chosen last.
    pub fn sinks(&self) -> BTreeSet<String> {
        let mut lines = self.lines.iter().rev();
        let last = lines.find_map(|(line, _)| match &line.entry {
            Entry::Sinks { sinks } => Some(sinks.iter().cloned().collect()),
            _ => None,
        });
        last.unwrap_or_default()
    }

    /// A number that no case can have been given, as far as this journal tells: each damaged
    /// entry after that of number `since` may have given one.
    pub(super) fn next_case(&self, since: u64) -> u64 {
        let damaged = self.damaged.iter().map(|range| {
            let first = since.saturating_add(1).max(*range.start());
            (range.end() + 1).saturating_sub(first)
        });
        damaged
            .fold(self.highest, u64::saturating_add)
            .saturating_add(1)
    }

    /// What an entry says of the journal itself; `before` is the line's before it.
    fn note(&mut self, line: &Line, before: Link) {
        let note = match &line.entry {
            Entry::Begun(origin) => Note::Begun(*origin),
            Entry::Adopted { by, .. } => Note::Adopted(*by),
            Entry::NotAsLeft { how, .. } => Note::NotAsLeft(*how),
            Entry::FoundUnsigned {
                first,
                last,
                counts,
            } => Note::Unsigned {
                stretch: [*first, *last],
                counts: *counts,
            },
            Entry::Checkpoint { point } => {
                if (point.seq, point.head.0) == (self.last, before) {
                    if self.points.len() == POINTS {
                        self.points.pop_front();
                    }
                    self.points.push_back((line.seq, *point));
                }
                return;
            }
            _ => return,
        };
        self.notes.push((line.seq, note));
    }

    /// Folds what entries say of the journal itself. What lies in a stretch that was found
    /// unsigned, or behind `signed_to`, takes nothing on and vouches for nothing: anybody
    /// could have written it.
    pub(super) fn fold_notes(&mut self, signed_to: u64) {
        let (mut found, mut unsigned) = (Vec::new(), Vec::new());
        for (seq, note) in self.notes.iter().rev() {
            if let Note::Unsigned { stretch, counts } = note
                && *seq <= signed_to
                && !is_within(&found, *seq)
            {
                found.push(*stretch);
                unsigned.extend((!counts).then_some(*stretch));
            }
        }
        (self.origin, self.doubt) = (None, None);
        for (seq, note) in &self.notes {
            match note {
                Note::Begun(origin) => self.origin = Some(*origin),
                Note::Adopted(by) if *seq <= signed_to && !is_within(&found, *seq) => {
                    (self.origin, self.doubt) = (Some(*by), None);
                }
                Note::NotAsLeft(how) => self.doubt = Some(*how),
                Note::Adopted(_) | Note::Unsigned { .. } => {}
            }
        }
        self.unsigned = unsigned;
    }

    /// The last entry that stands with a point of this key. The entry that a point stands in
    /// says nothing else.
    pub(super) fn signed_by(&self, key: &PublicKey) -> Option<u64> {
        let mut points = self.points.iter().rev();
        let last = points.find(|(_, point)| point.is_signed_by(key));
        last.map(|(seq, _)| *seq)
    }

    /// From now on, ends of cases and deliveries in this stretch count for nothing; how many
    /// there are.
    pub(super) fn distrust(&mut self, stretch: [u64; 2]) -> usize {
        self.unsigned.push(stretch);
        let lines = self.lines.iter().map(|(line, _)| line);
        let ends = lines.filter(|line| line.entry.is_an_end());
        ends.filter(|line| is_within(&[stretch], line.seq)).count()
    }

    /// What comes after the last whole entry, up to this one, is damaged.
    fn note_damage(&mut self, last: u64) {
        if last > self.last {
            self.damaged.push(self.last + 1..=last);
        }
    }
}

/// Reads all lines that end, and a last one that does but for a damaged newline.
fn walk(file: &dyn StoredFile) -> std::io::Result<History> {
    let mut lines = Vec::new();
    let history = walk_with(file, &mut |step| {
        lines.extend(step.line.map(|line| (line, step.span)));
    })?;
    Ok(History { lines, ..history })
}

/// The same, but of each answer only what a device that starts must know of it, and of signed
/// points none: the answers of years fit no memory. `look` sees each step before that.
/// Nothing is read from byte `end` on.
pub(super) fn outline(
    file: &dyn StoredFile,
    end: u64,
    look: &mut dyn FnMut(&Step),
) -> std::io::Result<History> {
    let mut lines = Vec::new();
    let history = walk_to(file, end, &mut |step| {
        look(&step);
        let line = step.line.filter(|line| !line.entry.is_checkpoint());
        lines.extend(line.map(|mut line| {
            line.entry.shorten();
            (line, step.span)
        }));
    })?;
    Ok(History { lines, ..history })
}

/// One line on the walk along a file.
#[derive(Debug)]
pub(super) struct Step {
    /// Its number; where it is not whole, as its place gives it.
    pub number: u64,
    /// What it says, where it is whole and follows the line before.
    pub line: Option<Line>,
    pub span: Span,
    /// Its hash as it is written, and as its bytes give it.
    pub links: [Link; 2],
    /// A part of it was never written.
    pub is_torn: bool,
}

/// Takes steps.
type Take<'a> = &'a mut dyn FnMut(Step);

/// The same; the lines are given away, one by one.
pub(super) fn walk_with(file: &dyn StoredFile, take: Take<'_>) -> std::io::Result<History> {
    walk_to(file, u64::MAX, take)
}

fn walk_to(file: &dyn StoredFile, end: u64, take: Take<'_>) -> std::io::Result<History> {
    let mut reader = BufReader::new(Reading::of(file).take(end));
    let (mut history, mut chain, mut bytes) = (History::default(), Chain::new(), Vec::new());
    // Lines since the last whole one.
    let mut unknown = 0;
    loop {
        bytes.clear();
        let length = reader.read_until(b'\n', &mut bytes)? as u64;
        let Some(last) = bytes.last_mut() else {
            break;
        };
        let ends = std::mem::replace(last, b'\n') == b'\n';
        if is_torn(&bytes) && reader.fill_buf()?.is_empty() {
            break;
        }
        let (mut next, before) = (chain, chain.end());
        let is_whole = next.follow(&bytes);
        if !ends && !is_whole {
            break;
        }
        chain = next;
        history.ends = ends;
        let line = serde_json::from_slice::<Line>(&bytes);
        let follows = |line: &Line| {
            let skipped = line.seq.checked_sub(history.last);
            // Nor are numbers of cases given with such steps between them.
            let most = history.highest.saturating_add(MOST_LOST);
            is_whole
                && skipped.is_some_and(|skipped| (1..=MOST_LOST).contains(&skipped))
                && line.entry.case().is_none_or(|case| case <= most)
        };
        let line = line.ok().filter(follows);
        let number = match &line {
            Some(line) => {
                history.note(line, before);
                history.highest = history.highest.max(line.entry.case().unwrap_or(0));
                // A newline is no part of the chain, and the only byte that can be mended.
                history.note_damage(if ends { line.seq - 1 } else { line.seq });
                if unknown > 0 && line.seq == history.last + 1 {
                    // The chain goes on behind a line that is there twice.
                    let twice = history.last.max(1);
                    history.damaged.push(twice..=twice);
                }
                (history.last, unknown) = (line.seq, 0);
                line.seq
            }
            None => {
                unknown += chain::lines_in(&bytes);
                history.last.saturating_add(unknown)
            }
        };
        take(Step {
            number,
            line,
            span: Span::at(history.end),
            links: chain.links(),
            is_torn: is_torn(&bytes),
        });
        history.end += length;
    }
    let last = history.last.saturating_add(unknown);
    history.note_damage(last);
    history.last = last;
    history.link = chain.end();
    history.chain = chain::hex(&history.link);
    history.fold_notes(u64::MAX);
    Ok(history)
}

fn is_within(stretches: &[[u64; 2]], seq: u64) -> bool {
    let mut stretches = stretches.iter();
    stretches.any(|[first, last]| (first..=last).contains(&&seq))
}

/// Whether a power failure left out a part of this line: no line of ours holds a zero byte,
/// and blocks of a file that were never written read as zeros.
fn is_torn(line: &[u8]) -> bool {
    line.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case_of(lines: &[&str]) -> CaseHistory {
        let line = |(i, text): (usize, &&str)| {
            let text = format!(r#"{{"seq":{i},"time":"2026-01-01T00:00:00Z",{text}}}"#);
            (serde_json::from_str(&text).unwrap(), Span::at(0))
        };
        let history = History {
            lines: lines.iter().enumerate().map(line).collect(),
            ..History::default()
        };
        history.cases().remove(&1).unwrap()
    }

    #[test]
    fn a_case_is_owed_to_the_sinks_that_were_chosen_when_it_was_answered() {
        let answered = r#""event":"answered","case":1,"record":{}"#;
        let case = case_of(&[
            r#""event":"sinks","sinks":["results","hl7","pacs"]"#,
            answered,
            r#""event":"sinks","sinks":["other"]"#,
            r#""event":"delivered","case":1,"sink":"results""#,
            r#""event":"declined","case":1,"sink":"pacs","code":"not_dicom""#,
            r#""event":"delivered","case":1"#,
        ]);
        let words = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(words(&case.owed), "hl7");
        // Entries of before there were sinks are the link's.
        assert_eq!(words(&case.delivered), "link results");
        assert_eq!(case.declined["pacs"], "not_dicom");
        assert_eq!(words(&case_of(&[answered]).owed), "");
    }
}
