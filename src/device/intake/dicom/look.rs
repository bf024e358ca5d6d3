//! A look into an instance before its sender is told Success: what cannot be read is refused there
//! and then, since nobody at the unit would hear of it later.
//!
//! A child process decodes it, once; how much it hurries comes along, so that the feeding need not look
//! again. The look is bounded, as whoever sends waits for it, and so do others: one at a time, a
//! turn is waited for [`TURN`], a child for [`PATIENCE`], and a sender that needed [`COSTLY`] is not
//! looked at for a while. An instance that was not looked at is stored; its case says what it is, and
//! the feeding tells that.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::complaints::{Kind, say};
use crate::case::{Refusal, RefusalCode};
use crate::device::dicom::message::Status;
use crate::device::lock::lock;
use crate::image::{self, Contradiction};

/// For one's turn.
const TURN: Duration = Duration::from_secs(1);
/// For the child that decodes.
const PATIENCE: Duration = Duration::from_secs(5);
/// What takes more of a processor is costly.
const COSTLY: Duration = Duration::from_secs(3);
/// After a costly one, a sender's instances are stored without a look for so long.
const NOT_LOOKED: Duration = Duration::from_secs(60);
/// Results that nobody has fetched, at most.
const MOST_KEPT: usize = 16_384;

/// The looks, and what came of them until the feeding fetches it.
#[derive(Debug, Default)]
pub(super) struct Looks {
    is_busy: Mutex<bool>,
    free: Condvar,
    found: Mutex<Found>,
}

/// What was found, and is not fetched yet.
#[derive(Debug, Default)]
struct Found {
    /// Of instances that were stored.
    known: BTreeMap<PathBuf, Known>,
    /// Of those that were not.
    refused: Vec<Refused>,
    /// Senders of costly ones, and when.
    costly: BTreeMap<String, Instant>,
}

/// What is known of an instance that can be read.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// How much it says that it hurries.
    pub priority: Option<String>,
    /// What the look took.
    pub processor: Duration,
}

/// An instance that was refused.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    /// Who sent it.
    pub giver: String,
    /// Why, as a stable word.
    pub code: &'static str,
    /// What the look took.
    pub processor: Duration,
}

/// What a sender is told of an instance that cannot be stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub status: Status,
    pub comment: String,
}

impl Looks {
    /// Looks into the file of an instance; `None` where it was not looked at.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn look(&self, file: &Path, giver: &str) -> Result<Option<Known>, Unfit> {
        if self.is_costly(giver) || !self.take_turn() {
            return Ok(None);
        }
        let checked = image::check(file, PATIENCE);
        *lock(&self.is_busy) = false;
        self.free.notify_one();
        let processor = checked.processor;
        let mut found = lock(&self.found);
        if processor > COSTLY {
            found.costly.insert(giver.to_owned(), Instant::now());
        }
        let Some(checked) = checked.said else {
            return Ok(None);
        };
        let contradiction = checked.claims.contradiction.map(contradicted);
        let Some((code, unfit)) = contradiction.or(checked.refusal.and_then(unfit)) else {
            let priority = checked.claims.priority;
            return Ok(Some(Known {
                priority,
                processor,
            }));
        };
        if found.refused.len() < MOST_KEPT {
            let giver = giver.to_owned();
            found.refused.push(Refused {
                giver,
                code,
                processor,
            });
        }
        drop(found);
        let what = format!("an image of {giver} is refused before it is stored: {code}");
        say(Kind::Unfit, &what);
        Err(unfit)
    }

    /// An instance was stored under this path.
    pub fn stored(&self, path: PathBuf, known: Known) {
        let known_ones = &mut lock(&self.found).known;
        if known_ones.len() < MOST_KEPT {
            known_ones.insert(path, known);
        }
    }

    /// What is known of an instance, once.
    pub fn fetch(&self, path: &Path) -> Option<Known> {
        lock(&self.found).known.remove(path)
    }

    /// Those that were refused since this was asked last.
    pub fn refused(&self) -> Vec<Refused> {
        std::mem::take(&mut lock(&self.found).refused)
    }

    fn is_costly(&self, giver: &str) -> bool {
        let costly = &mut lock(&self.found).costly;
        costly.retain(|_, at| at.elapsed() < NOT_LOOKED);
        costly.contains_key(giver)
    }

    /// Waits until nobody else looks; false where that takes too long.
    fn take_turn(&self) -> bool {
        let busy = lock(&self.is_busy);
        let waited = self.free.wait_timeout_while(busy, TURN, |busy| *busy);
        let (mut busy, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return false;
        }
        *busy = true;
        true
    }
}

/// Whether a case's refusal by this code says that its image cannot be read.
pub(super) fn is_unfit(code: RefusalCode) -> bool {
    matches!(
        code,
        RefusalCode::Unreadable
            | RefusalCode::UnsupportedFormat
            | RefusalCode::TooLarge
            | RefusalCode::TooSmall
            | RefusalCode::OneBit
    )
}

/// A refusal of what cannot be read; others are the case's own to tell.
fn unfit(refusal: Refusal) -> Option<(&'static str, Unfit)> {
    let code = refusal.code.word();
    is_unfit(refusal.code).then(|| {
        let unfit = Unfit {
            status: Status::CannotUnderstand,
            comment: format!("{code}: {}", refusal.message),
        };
        (code, unfit)
    })
}

fn contradicted(contradiction: Contradiction) -> (&'static str, Unfit) {
    let what = match contradiction {
        Contradiction::Class => "SOP Class UID",
        Contradiction::Instance => "SOP Instance UID",
    };
    let unfit = Unfit {
        status: Status::DataSetMismatch,
        comment: format!("{what} differs in command and data set"),
    };
    ("contradicted", unfit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_long_for_a_look_and_a_costly_sender_has_none() {
        let looks = Looks::default();
        let file = Path::new("/nowhere");
        lock(&looks.found)
            .costly
            .insert("COSTLY@10.0.0.7".to_owned(), Instant::now());
        *lock(&looks.is_busy) = true;
        let begun = Instant::now();
        assert!(matches!(looks.look(file, "COSTLY@10.0.0.7"), Ok(None)));
        assert!(begun.elapsed() < TURN / 2, "it does not wait for a turn");
        assert!(matches!(looks.look(file, "OTHER@10.0.0.8"), Ok(None)));
        let waited = begun.elapsed();
        assert!(waited >= TURN && waited < 5 * TURN, "{waited:?}");
        // The turn of whoever looks is not taken away by who gave up.
        assert!(*lock(&looks.is_busy));
        *lock(&looks.is_busy) = false;
        assert!(looks.take_turn());
        assert!(*lock(&looks.is_busy));
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_what_is_the_cases_to_tell_is_not() {
        for (code, is_refused) in [
            (RefusalCode::Unreadable, true),
            (RefusalCode::UnsupportedFormat, true),
            (RefusalCode::TooLarge, true),
            (RefusalCode::TooSmall, true),
            (RefusalCode::OneBit, true),
            (RefusalCode::Blank, false),
            (RefusalCode::SeveralFrames, false),
            (RefusalCode::WrongBodyPart, false),
            (RefusalCode::DeviceFault, false),
        ] {
            let refused = unfit(Refusal::new(code, "why", "help"));
            assert_eq!(refused.is_some(), is_refused, "{code:?}");
            if let Some((word, unfit)) = refused {
                assert_eq!(unfit.status, Status::CannotUnderstand);
                assert_eq!(unfit.comment, format!("{word}: why"));
            }
        }
        let (_, unfit) = contradicted(Contradiction::Instance);
        assert_eq!(unfit.status, Status::DataSetMismatch);
    }
}
