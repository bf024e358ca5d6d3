//! One case through the pipeline: a question and its decoded image come in, a finding or a refusal
//! comes out ([`answer`], called by the worker). Of that and the order becomes the record
//! ([`Conclusion::answer`], called by whoever ends the case, and by `journal replay`), about the image
//! that was accepted and no other. Nothing here waits, writes or tells: that is
//! [`Cases`](super::Cases)'s, once the record is durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use super::events::{Answer, Preview};
use super::in_hand;
use super::worker::Lost;
use crate::bundle::{Bundle, Exam};
use crate::case::{
    Bound, Channel, Finding, Giver, Help, Order, Outcome, Provenance, Question, Record, Refusal,
    RefusalCode, Refused, Timings,
};
use crate::focus::Prompt;
use crate::image::{self, FrameChoice, Image};
use crate::pipeline::{self, Observer, Overrides, Stage};
use crate::sha256::Sha256;

/// A finding and what a display shows beside it, or why there is none. The refusal does not name
/// the file: whoever answers is not told what it is called.
pub(super) type Answered = Result<(Finding, Preview), Refusal>;

/// Answers one question about one image. A panic in the engine ends the case and not the program.
pub(super) fn answer(
    bundle: &Bundle,
    case: u64,
    question: &Question,
    image: Image,
    observer: &mut dyn Observer,
) -> Answered {
    let _in_hand = in_hand::take(case);
    let started = Instant::now();
    let work = AssertUnwindSafe(|| unguarded(bundle, question, image, observer));
    let answered = catch_unwind(work)
        .unwrap_or_else(|_| Err(fault("the program failed on this image".to_owned())));
    log::info!(
        "case {case}: {:.0} ms",
        started.elapsed().as_secs_f64() * 1e3
    );
    answered
}

fn unguarded(
    bundle: &Bundle,
    question: &Question,
    image: Image,
    observer: &mut dyn Observer,
) -> Answered {
    let image = image.told(question.patient)?;
    let exam = exam(bundle, question, &image)?;
    let overrides = Overrides {
        prompts: question.region.map(prompt).into_iter().collect(),
        ..Overrides::default()
    };
    let outcomes = pipeline::run(bundle, &image, &[exam], &overrides, observer)
        .map_err(|error| fault(error.to_string()))?;
    let outcome = outcomes.into_iter().next().map(|(_, outcome)| outcome);
    let unanswered = || Err(fault("the exam was not answered".to_owned()));
    let (finding, region) = outcome.unwrap_or_else(unanswered)?;
    let preview = Preview::new(&exam.spec, &image, &region);
    Ok((finding, preview))
}

/// The exam that was ordered, or the one that the image asks for.
fn exam<'a>(bundle: &'a Bundle, question: &Question, image: &Image) -> Result<&'a Exam, Refusal> {
    let Some(name) = &question.exam else {
        return pipeline::exam_of(bundle, image);
    };
    bundle.exam(name).ok_or_else(|| {
        // Only after the bundle was changed between acceptance and answer.
        let exams = bundle.exams.iter().map(|exam| exam.spec.name.clone());
        Refusal::new(
            RefusalCode::ExamNeeded,
            format!("this bundle has no exam {name}"),
            Help::ChooseExam(exams.collect()),
        )
    })
}

fn prompt([x, y, width, height]: [u32; 4]) -> Prompt {
    Prompt::Box {
        x: x as f32,
        y: y as f32,
        width: width as f32,
        height: height as f32,
    }
}

fn fault(why: String) -> Refusal {
    Refusal::new(RefusalCode::DeviceFault, why, Help::SelfTest)
}

/// Runs one case on the image at this path, and makes its record.
pub fn case_of_file(bundle: &Bundle, case: u64, order: &Order, path: &Path) -> Record {
    let mut timings = Timings::new();
    let conclusion = Conclusion::unreadable(order).unwrap_or_else(|| {
        let image = pipeline::observe(&mut timings, Stage::Decode, || {
            image::read_frame(path, FrameChoice::default())
        });
        match image {
            Ok(image) => Conclusion {
                image: image.sha256.parse().ok(),
                outcome: answer(bundle, case, &order.question(), image, &mut timings),
            },
            Err(refusal) => Conclusion::refused(refusal),
        }
    });
    let answer = conclusion.answer(case, order, bundle.provenance(), timings);
    answer.record
}

/// What a case came to, and about which image.
#[derive(Debug)]
pub(super) struct Conclusion {
    /// SHA-256 of the image that was read; `None` where none could be.
    pub image: Option<Sha256>,
    /// The finding, or why there is none.
    pub outcome: Answered,
}

impl Conclusion {
    /// A case that took the worker with it.
    pub fn lost(lost: &Lost) -> Self {
        let mut refusal = fault(lost.to_string());
        if matches!(lost, Lost::Deadline(_)) {
            refusal.code = RefusalCode::Deadline;
        }
        Self::refused(refusal)
    }

    /// A case that is not run again, since it ended the device before.
    pub fn given_up() -> Self {
        Self::refused(fault(
            "the device ended each time it ran this case".to_owned(),
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
            image,
            rerun_of: order.rerun_of,
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
