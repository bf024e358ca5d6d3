//! Whether a journal is as the device left it: what its file holds, against the mark outside
//! of it ([`mark`](super::mark)). Looks, and changes nothing.

use serde::{Deserialize, Serialize};

use super::history::{History, outline};
use super::{Checkpoint, Entry, Line, Place, Span, chain, mark};
use crate::device_key::PublicKey;
use crate::storage::StoredFile;

/// In what way a journal was not as the device had left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Entries are missing from its end.
    Cut,
    /// The file is gone, or empty.
    Missing,
    /// Its lines are not those that the device wrote.
    Changed,
    /// Somebody wrote behind its end.
    Added,
    /// Another file lay in its place.
    Replaced,
    /// The mark beside it is gone, or none that the device made.
    Unmarked,
}

impl How {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Cut,
        Self::Missing,
        Self::Changed,
        Self::Added,
        Self::Replaced,
        Self::Unmarked,
    ];

    /// The stable code of a device that found it so.
    pub fn code(self) -> &'static str {
        match self {
            Self::Cut => "journal_cut",
            Self::Missing => "journal_missing",
            Self::Changed => "journal_changed",
            Self::Added => "journal_added",
            Self::Replaced => "journal_replaced",
            Self::Unmarked => "journal_unmarked",
        }
    }

    /// What was found.
    pub fn what(self) -> &'static str {
        match self {
            Self::Cut => "entries are missing from its end",
            Self::Missing => "it was gone or empty",
            Self::Changed => "its lines are not those that the device wrote",
            Self::Added => "somebody wrote behind its end",
            Self::Replaced => "another file lay in its place",
            Self::Unmarked => "the device's mark beside it is gone, or is none of this device",
        }
    }
}

/// What can be done about a journal that was not as the device had left it.
pub const CURE: &str = "keep a copy of the state folder for whoever looks into it; when that \
    is done, stop the device and run medfocus journal adopt";

/// A journal's file, against what the device knows of it.
#[derive(Debug)]
pub(super) struct Integrity {
    pub history: History,
    /// How it is not as it was left.
    pub how: Option<How>,
    /// Up to this entry the device signed what stands there when it wrote it; 0 where nothing
    /// says so.
    pub signed_to: u64,
}

/// Reads a journal's file and compares; of answers, only as much as a start needs.
pub(super) fn of(
    file: &dyn StoredFile,
    marked: &mark::Found,
    key: &PublicKey,
) -> std::io::Result<Integrity> {
    let place = match marked {
        mark::Found::Mark(mark) => Some(mark.place),
        _ => None,
    };
    let (mut at_mark, mut behind, mut torn) = (None, None, None);
    let mut history = outline(file, u64::MAX, &mut |step| match place {
        Some(place) if place.seq == step.number => at_mark = Some(step.links),
        Some(place) if place.seq < step.number => {
            behind = behind.or(Some(step.span));
            torn = torn.or(step.is_torn.then_some((step.number, step.span)));
        }
        _ => {}
    })?;
    let by_point = history.signed_by(key);
    if let Some((number, span)) = torn
        && by_point.is_none_or(|signed| signed < number)
    {
        // It was written at once with the signed point behind it, and power failed meanwhile:
        // nobody was told of either.
        history = outline(file, span.offset(), &mut |_| {})?;
    }
    let mut how = compare(&history, marked, at_mark, by_point);
    let length = file.about()?.bytes;
    if how == Some(How::Added) {
        let end = behind.map_or(history.end, Span::offset);
        history = outline(file, end, &mut |_| {})?;
    } else if how.is_none()
        && marked.has_ended()
        && length > history.end
        && by_point <= place.map(|place| place.seq)
    {
        how = Some(How::Added);
    }
    let holds = matches!(how, None | Some(How::Added));
    let by_mark = place.filter(|_| holds).map(|place| place.seq);
    let signed_to = by_point.max(by_mark).unwrap_or(0);
    if by_mark.is_some() {
        history.fold_notes(signed_to);
    }
    Ok(Integrity {
        how,
        signed_to,
        history,
    })
}

/// `at_mark` are the hashes of the line that the mark is of; `signed_to` is the last entry that
/// the device signed.
pub(super) fn compare(
    history: &History,
    marked: &mark::Found,
    at_mark: Option<[chain::Link; 2]>,
    signed_to: Option<u64>,
) -> Option<How> {
    match marked {
        // A new journal, or one of before there were marks.
        mark::Found::Nothing if history.origin.is_none() => None,
        mark::Found::Nothing | mark::Found::Unreadable => Some(How::Unmarked),
        // The first entry of all was not written.
        mark::Found::Mark(mark) if mark.place.seq == 0 && history.origin.is_none() => None,
        mark::Found::Mark(_) if history.last == 0 => Some(How::Missing),
        mark::Found::Mark(mark) if mark.place.seq > history.last => Some(How::Cut),
        mark::Found::Mark(mark) => match at_mark {
            Some(links) if links.contains(&mark.place.head.0) => {
                // Where it signed something behind, this mark is an old one that was put back.
                let is_last = mark.ended && signed_to.is_none_or(|seq| seq <= mark.place.seq);
                (is_last && history.last > mark.place.seq).then_some(How::Added)
            }
            _ => Some(How::Changed),
        },
    }
}

/// A line whose signed point is that of the line before it.
pub(super) fn point_of(line: &Line) -> Option<Checkpoint> {
    match line.entry {
        Entry::Checkpoint { point, .. } => Some(point),
        _ => None,
    }
}

/// Where a history ends.
pub(super) fn end_of(history: &History) -> Place {
    Place {
        seq: history.last,
        head: crate::sha256::Sha256(history.link),
    }
}
