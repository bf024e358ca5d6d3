//! What a case came to, and the record of it: what the worker answered and the order come in, a
//! record about the image that was accepted, and no other, comes out. Called by whoever ends a
//! case, and by `journal replay`. Writes and tells nothing.

use crate::case::{
    Bound, Channel, Finding, Giver, Help, Order, Outcome, Provenance, Record, Refusal, RefusalCode,
    Refused, Timings,
};
use crate::device::events::{Answer, Preview};
use crate::sha256::Sha256;

/// A finding and what a display shows beside it, or why there is none. The refusal does not name
/// the file: whoever answers is not told what it is called.
pub(crate) type Answered = Result<(Finding, Preview), Refusal>;

/// What a case came to, and about which image.
#[derive(Debug)]
pub(crate) struct Conclusion {
    /// SHA-256 of the image that was read; `None` where none could be.
    pub image: Option<Sha256>,
    /// The finding, or why there is none.
    pub outcome: Answered,
}

impl Conclusion {
    /// A case that is not run again, since it ended the device before.
    pub fn given_up() -> Self {
        Self::refused(Refusal::new(
            RefusalCode::DeviceFault,
            "the device ended each time it ran this case",
            Help::SelfTest,
        ))
    }

    /// A case that was dropped before it ran, by another than whoever gave it.
    pub fn dropped(case: u64, by: &Giver) -> Self {
        let what = format!("dropped by {by} before it ran");
        let help = Help::RunAgain(case);
        Self::refused(Refusal::new(RefusalCode::Aborted, what, help))
    }

    /// A case of whose image nothing could be read when it was accepted; `None` where there
    /// is something to run.
    pub fn unreadable(order: &Order) -> Option<Self> {
        match &order.image {
            Some(Bound::Unreadable(refusal)) => Some(Self::refused((**refusal).clone())),
            _ => None,
        }
    }

    /// A case that ends before any graph runs.
    pub fn refused(refusal: Refusal) -> Self {
        Self {
            image: None,
            outcome: Err(refusal),
        }
    }

    /// The answer of the case that was accepted by this order.
    pub fn answer(self, case: u64, order: &Order, by: Provenance, timings: Timings) -> Answer {
        let Self { image, outcome } = self.held_to(order);
        let (outcome, preview) = match outcome {
            Ok((finding, preview)) => {
                let finding = Box::new(with_notes(finding, order));
                (Outcome::Finding(finding), Some(preview))
            }
            Err(refusal) => {
                let refusal = named(refusal, &order.source);
                let refused = Refused::new(order.exam.clone(), refusal, Channel::Record);
                (Outcome::Refusal(refused), None)
            }
        };
        let record = Record {
            file_name: order.file_name.clone(),
            image,
            rerun_of: order.rerun_of,
            labels: order.labels.clone(),
            timings,
            ..Record::new(Some(case.to_string()), &order.source, outcome, by)
        };
        Answer { record, preview }
    }

    /// The same, as an answer about the image that was accepted, and about no other.
    fn held_to(self, order: &Order) -> Self {
        let accepted = match &order.image {
            Some(Bound::Stored(sha256)) => *sha256,
            // What is too large to be answered and was answered was another image.
            Some(Bound::TooLarge(_)) if self.image.is_some() => return Self::changed(None),
            _ => return self,
        };
        match self.image {
            Some(read) if read != accepted => Self::changed(Some(accepted)),
            // A finding is about an image that was read.
            None if self.outcome.is_ok() => Self::changed(Some(accepted)),
            _ => Self {
                image: Some(accepted),
                ..self
            },
        }
    }

    fn changed(image: Option<Sha256>) -> Self {
        let refusal = Refusal::new(
            RefusalCode::ImageChanged,
            "it is another image than was accepted",
            "give the image to the device again",
        );
        Self {
            image,
            outcome: Err(refusal),
        }
    }
}

/// The refusal of a file that is called so. In an order of an older program it names the file
/// already.
fn named(refusal: Refusal, source: &str) -> Refusal {
    refusal.taken_apart(source).about(source)
}

/// The finding, with what there is to know of its sender: one that called other content by the
/// same UID, or that said more of a hurry than it may.
fn with_notes(mut finding: Finding, order: &Order) -> Finding {
    finding.reasons.extend(order.priority_said.map(|said| {
        format!(
            "priority_not_granted: its sender said {}, and may not hurry; answered as {}",
            said.word(),
            order.priority.word()
        )
    }));
    finding.reasons.extend(order.same_claim_as.map(|case| {
        format!(
            "uid_reused: case {case} has other content under the same SOP Instance UID; look at both"
        )
    }));
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(image: Bound) -> Order {
        Order {
            source: "a.png".to_owned(),
            image: Some(image),
            ..Order::default()
        }
    }

    fn ended(image: Option<Sha256>) -> Conclusion {
        let blurred = Refusal::new(RefusalCode::Blurred, "not sharp", "again");
        Conclusion {
            image,
            outcome: Err(blurred),
        }
    }

    #[test]
    fn an_answer_is_about_the_image_that_was_accepted_or_is_none() {
        let (mine, other) = (Sha256::of(b"mine"), Sha256::of(b"other"));
        let stored = order(Bound::Stored(mine));
        let large = order(Bound::TooLarge(mine));
        for (order, read, code, image) in [
            (&stored, Some(mine), RefusalCode::Blurred, Some(mine)),
            (&stored, None, RefusalCode::Blurred, Some(mine)),
            (&stored, Some(other), RefusalCode::ImageChanged, Some(mine)),
            (&large, None, RefusalCode::Blurred, None),
            (&large, Some(other), RefusalCode::ImageChanged, None),
            (
                &Order::default(),
                Some(other),
                RefusalCode::Blurred,
                Some(other),
            ),
        ] {
            let held = ended(read).held_to(order);
            assert_eq!(held.outcome.unwrap_err().code, code, "{order:?} {read:?}");
            assert_eq!(held.image, image);
        }
    }

    #[test]
    fn a_refusal_names_the_file_once_whatever_version_wrote_its_order() {
        for message in ["cannot be read", "a.png: cannot be read"] {
            let refusal = Refusal::new(RefusalCode::NotFound, message, "look");
            let named = named(refusal, "a.png");
            assert_eq!(named.sentence(), "a.png: cannot be read");
            assert_eq!(named.file.as_deref(), Some("a.png"));
        }
    }
}
