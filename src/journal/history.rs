//! What stands in a journal: read from its file, whole lines told from damaged ones, and
//! folded to what became of each case. Changes nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::RangeInclusive;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::chain::{self, Chain, Link};
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

/// What became of one case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CaseHistory {
    /// What it is asked, and when it was taken on; `None` where that entry is damaged.
    pub accepted: Option<(Order, Timestamp)>,
    /// How often it began to run.
    pub starts: usize,
    /// How it ended; `None` where it has not.
    pub end: Option<End>,
    /// Whether a host has the answer safe.
    pub is_delivered: bool,
}

/// How a case ended.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// In a finding or a refusal.
    Answered {
        /// When.
        time: Timestamp,
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
        for (Line { time, entry, .. }, span) in self.lines {
            let Some(number) = entry.case() else {
                if let Entry::Booted { bundle, .. } = entry {
                    loaded = Some(bundle);
                }
                continue;
            };
            let case: &mut CaseHistory = cases.entry(number).or_default();
            match entry {
                Entry::Booted { .. } | Entry::Configured { .. } | Entry::ClockSet { .. } => {}
                Entry::Accepted { order, .. } => case.accepted = Some((order, time)),
                Entry::Started { .. } => case.starts += 1,
                Entry::Answered { image, record, .. } => {
                    let bundle = loaded.clone();
                    case.end = Some(End::Answered {
                        time,
                        span,
                        image,
                        bundle,
                        record,
                    });
                }
                Entry::Aborted { .. } => case.end = Some(End::Aborted { time }),
                Entry::Delivered { .. } => case.is_delivered = true,
            }
        }
        cases
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
pub(super) fn walk(file: &File) -> std::io::Result<History> {
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
                let start = history.end;
                history.lines.push((line, Span { start, length }));
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
