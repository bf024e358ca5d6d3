//! What stands in a journal: read from its file, whole lines told from damaged ones, and
//! folded to what became of each case. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::ops::RangeInclusive;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::chain::{self, Chain, Link};
use super::clock;
use super::{Checkpoint, Entry, FILE, How, JournalError, Line, Order, Origin, Span, failed};
use crate::files::Folder;
use crate::finding::BundleId;

/// No journal ever lost more entries at once: a number that is higher than that is none of ours.
const MOST_LOST: u64 = 1 << 32;

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
    /// The last signed point that is one of this chain, and the entry that it stands in; nobody
    /// has looked at its signature.
    pub(super) signed: Option<(u64, Checkpoint)>,
    pub(super) last: u64,
    pub(super) link: Link,
    pub(super) end: u64,
    /// Whether the last line has its newline.
    pub(super) ends: bool,
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
        image: Option<String>,
        /// What was loaded.
        bundle: Option<BundleId>,
        /// The answer as `--format json` writes it.
        record: Value,
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
        for (Line { time, entry, .. }, span) in self.lines {
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
                | Entry::NotAsLeft { .. }
                | Entry::Booted { .. }
                | Entry::Configured { .. }
                | Entry::BundleChanged { .. }
                | Entry::BundleRefused { .. }
                | Entry::WentBack { .. }
                | Entry::SelfTested { .. }
                | Entry::ClockSet { .. }
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
                Entry::Delivered { sink, .. } => {
                    case.owed.remove(&sink);
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
        let last = self
            .lines
            .iter()
            .rev()
            .find_map(|(line, _)| match &line.entry {
                Entry::Sinks { sinks } => Some(sinks.iter().cloned().collect()),
                _ => None,
            });
        last.unwrap_or_default()
    }

    /// A number that no case can have been given, as far as this journal tells: each damaged
    /// entry after that of number `since` may have given one.
    pub(super) fn next_case(&self, since: u64) -> u64 {
        let cases = self.lines.iter().filter_map(|(line, _)| line.entry.case());
        let damaged = self.damaged.iter().map(|range| {
            let first = since.saturating_add(1).max(*range.start());
            (range.end() + 1).saturating_sub(first)
        });
        let known = cases.max().unwrap_or(0);
        damaged.fold(known, u64::saturating_add).saturating_add(1)
    }

    /// What an entry says of the journal itself; `before` is the line's before it.
    fn note(&mut self, line: &Line, before: Link) {
        match &line.entry {
            Entry::Begun(origin) => self.origin = Some(*origin),
            Entry::Adopted { by, .. } => (self.origin, self.doubt) = (Some(*by), None),
            Entry::NotAsLeft { how, .. } => self.doubt = Some(*how),
            Entry::Checkpoint { point, .. } => {
                let is_it = (point.seq, point.head.0) == (self.last, before);
                self.signed = is_it.then_some((line.seq, *point)).or(self.signed);
            }
            _ => {}
        }
    }

    /// What comes after the last whole entry, up to this one, is damaged.
    fn note_damage(&mut self, last: u64) {
        if last > self.last {
            self.damaged.push(self.last + 1..=last);
        }
    }
}

/// Reads all lines that end, and a last one that does but for a damaged newline.
fn walk(file: &File) -> std::io::Result<History> {
    let mut lines = Vec::new();
    let history = walk_with(file, &mut |step| {
        lines.extend(step.line.map(|line| (line, step.span)));
    })?;
    Ok(History { lines, ..history })
}

/// The same, but of each answer only what a device that starts must know of it, and of signed
/// points none: the answers of years fit no memory. `look` sees each step before that.
pub(super) fn outline(file: &File, look: &mut dyn FnMut(&Step)) -> std::io::Result<History> {
    let mut lines = Vec::new();
    let history = walk_with(file, &mut |step| {
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
}

/// The same; the lines are given away, one by one.
pub(super) fn walk_with(mut file: &File, take: &mut dyn FnMut(Step)) -> std::io::Result<History> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
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
            is_whole && skipped.is_some_and(|skipped| (1..=MOST_LOST).contains(&skipped))
        };
        let line = line.ok().filter(follows);
        let number = match &line {
            Some(line) => {
                history.note(line, before);
                // A newline is no part of the chain, and the only byte that can be mended.
                history.note_damage(if ends { line.seq - 1 } else { line.seq });
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
        });
        history.end += length;
    }
    let last = history.last.saturating_add(unknown);
    history.note_damage(last);
    history.last = last;
    history.link = chain.end();
    history.chain = chain::hex(&history.link);
    Ok(history)
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
            let place = Span::at(0);
            (serde_json::from_str(&text).unwrap(), place)
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
