//! What stands in a journal: read from its file, whole lines told from damaged ones, and
//! folded to what became of each case. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::chain::{self, Chain, Link};
use super::clock;
use super::{Entry, FILE, JournalError, Line, Order, Span, failed};
use crate::finding::BundleId;

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
    let path = folder.join(FILE);
    let file = File::open(&path).map_err(failed(&path))?;
    walk(&file).map_err(failed(&path))
}

/// What stands in a journal, without what it says.
#[derive(Debug)]
pub struct Verified {
    /// Entries that are whole.
    pub entries: u64,
    /// The numbers of those that are not.
    pub damaged: Vec<RangeInclusive<u64>>,
}

/// Follows a journal's chain from its first line to its last, and keeps nothing: the
/// journal of years fits no memory. The device may write to it meanwhile.
///
/// # Errors
/// [`JournalError::Io`].
pub fn verify(folder: &Path) -> Result<Verified, JournalError> {
    let path = folder.join(FILE);
    let file = File::open(&path).map_err(failed(&path))?;
    let mut entries = 0;
    let history = walk_with(&file, &mut |_, _| entries += 1).map_err(failed(&path))?;
    let damaged = history.damaged;
    Ok(Verified { entries, damaged })
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
                Entry::Booted { .. }
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

    /// A number that no case can have been given: each damaged entry may have given one.
    pub fn next_case(&self) -> u64 {
        let cases = self.lines.iter().filter_map(|(line, _)| line.entry.case());
        let damaged = self
            .damaged
            .iter()
            .map(|range| range.end() - range.start() + 1);
        let known = cases.max().unwrap_or(0);
        damaged.fold(known, u64::saturating_add).saturating_add(1)
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
    let history = walk_with(file, &mut |line, span| lines.push((line, span)))?;
    Ok(History { lines, ..history })
}

/// The same, but of each answer only what a device that starts must know of it: the answers of
/// years fit no memory.
pub(super) fn outline(file: &File) -> std::io::Result<History> {
    let mut lines = Vec::new();
    let history = walk_with(file, &mut |mut line, span| {
        line.entry.shorten();
        lines.push((line, span));
    })?;
    Ok(History { lines, ..history })
}

/// The same; the lines are given away, one by one.
fn walk_with(file: &File, take: &mut dyn FnMut(Line, Span)) -> std::io::Result<History> {
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
        let mut next = chain;
        let is_whole = next.follow(&bytes);
        if !ends && !is_whole {
            break;
        }
        chain = next;
        history.ends = ends;
        let line = serde_json::from_slice::<Line>(&bytes);
        match line.ok().filter(|line| is_whole && line.seq > history.last) {
            Some(line) => {
                // A newline is no part of the chain, and the only byte that can be mended.
                history.note_damage(if ends { line.seq - 1 } else { line.seq });
                (history.last, unknown) = (line.seq, 0);
                take(line, Span::at(history.end));
            }
            None => unknown += chain::lines_in(&bytes),
        }
        history.end += length;
    }
    history.note_damage(history.last + unknown);
    history.last += unknown;
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
