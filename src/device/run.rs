//! One case through the pipeline: an order and its decoded image come in, a finding or a refusal
//! comes out, about that image and no other. Called by the worker, and by `journal replay`. Nothing
//! here waits, writes or tells: that is [`Cases`](super::Cases)'s, once the record is durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::events::{Event, Found};
use super::in_hand;
use super::worker::Lost;
use crate::bundle::{Bundle, Exam, Outline};
use crate::finding::{Answer, Channel, Finding, Help, Refusal, RefusalCode};
use crate::focus::Prompt;
use crate::image::{self, FrameChoice, Image};
use crate::journal::{Bound, Giver, Order};
use crate::pipeline::{self, Observer, Overrides, Stage, Timings};
use crate::report::{self, Record};

/// What came of a case.
#[derive(Debug)]
pub struct Ran {
    /// SHA-256 of the image's file; `None` where it could not be read.
    pub image: Option<String>,
    /// The finding, or why there is none.
    pub outcome: Result<Found, Refusal>,
}

/// Runs one case on the image at this path.
pub fn of_file(
    bundle: &Bundle,
    case: u64,
    order: &Order,
    path: &Path,
    observer: &mut dyn Observer,
) -> Ran {
    if let Some(ran) = Ran::unreadable(order) {
        return ran;
    }
    let image = pipeline::observe(observer, Stage::Decode, || {
        image::read_frame_as(path, &order.source, FrameChoice::default())
    });
    match image {
        Ok(image) => self::case(bundle, case, order, image, observer),
        Err(refusal) => Ran::refused(refusal).held_to(order),
    }
}

/// Runs one case on its image. A panic in the engine ends the case and not the program.
pub fn case(
    bundle: &Bundle,
    case: u64,
    order: &Order,
    image: Image,
    observer: &mut dyn Observer,
) -> Ran {
    let _in_hand = in_hand::take(case);
    let started = Instant::now();
    let sha256 = Some(image.sha256.clone());
    let work = AssertUnwindSafe(|| answer(bundle, (case, order), image, observer));
    let outcome = catch_unwind(work)
        .unwrap_or_else(|_| Err(fault(&order.source, "the program failed on this image")));
    log::info!(
        "case {case}: {:.0} ms",
        started.elapsed().as_secs_f64() * 1e3
    );
    let ran = Ran {
        image: sha256,
        outcome,
    };
    ran.held_to(order)
}

impl Ran {
    /// A case that took the worker with it.
    pub(super) fn lost(order: &Order, lost: &Lost) -> Self {
        let mut refusal = fault(&order.source, &lost.to_string());
        if matches!(lost, Lost::Deadline(_)) {
            refusal.code = RefusalCode::Deadline;
        }
        Self::refused(refusal)
    }

    /// A case that is not run again, since it ended the device before.
    pub(super) fn given_up(order: &Order) -> Self {
        let why = "the device ended each time it ran this case";
        Self::refused(fault(&order.source, why)).held_to(order)
    }

    /// A case that was dropped before it ran, by another than whoever gave it.
    pub(super) fn dropped(case: u64, order: &Order, by: &Giver) -> Self {
        let what = format!("{}: dropped by {by} before it ran", order.source);
        let help = Help::RunAgain(case);
        Self::refused(Refusal::new(RefusalCode::Aborted, what, help))
    }

    /// A case of whose image nothing could be read when it was accepted; `None` where there
    /// is something to run.
    pub(super) fn unreadable(order: &Order) -> Option<Self> {
        match &order.image {
            Some(Bound::Unreadable(refusal)) => Some(Self::refused((**refusal).clone())),
            _ => None,
        }
    }

    /// The same, as an answer about the image that was accepted, and about no other.
    #[must_use]
    pub(super) fn held_to(self, order: &Order) -> Self {
        let accepted = match &order.image {
            Some(Bound::Stored(sha256)) => sha256.to_string(),
            // What is too large to be answered and was answered was another image.
            Some(Bound::TooLarge(_)) if self.image.is_some() => return Self::changed(order, None),
            _ => return self,
        };
        match &self.image {
            Some(read) if *read != accepted => Self::changed(order, Some(accepted)),
            // A finding is about an image that was read.
            None if self.outcome.is_ok() => Self::changed(order, Some(accepted)),
            _ => Self {
                image: Some(accepted),
                ..self
            },
        }
    }

    fn changed(order: &Order, image: Option<String>) -> Self {
        let refusal = Refusal::new(
            RefusalCode::ImageChanged,
            format!("{}: it is another image than was accepted", order.source),
            "give the image to the device again",
        );
        Self {
            image,
            outcome: Err(refusal),
        }
    }

    /// A case that ends before any graph runs.
    pub(super) fn refused(refusal: Refusal) -> Self {
        Self {
            image: None,
            outcome: Err(refusal),
        }
    }

    /// The answer as `--format json` writes it.
    pub fn record(&self, bundle: &Outline, case: u64, order: &Order, timings: &Timings) -> Value {
        let answer = match &self.outcome {
            Ok(found) => Answer::Finding(Box::new(with_notes(&found.finding, order))),
            Err(refusal) => Answer::Refusal {
                case: Some(case.to_string()),
                exam: order.exam.clone(),
                refusal: refusal.clone(),
            },
        };
        let record = Record {
            source: &order.source,
            image: self.image.as_deref(),
            rerun_of: order.rerun_of,
            answer: &answer,
            intended_use: bundle.intended_use,
            bundle: &bundle.id,
            timings,
        };
        report::json(&record, Channel::Record)
    }

    /// The answer as it is told.
    pub(super) fn event(self, case: u64) -> Event {
        match self.outcome {
            Ok(found) => Event::Finding {
                case,
                found: Arc::new(found),
            },
            Err(refusal) => Event::Refusal {
                case,
                refusal: Arc::new(refusal),
            },
        }
    }
}

fn answer(
    bundle: &Bundle,
    (case, order): (u64, &Order),
    image: Image,
    observer: &mut dyn Observer,
) -> Result<Found, Refusal> {
    let told = image.told(order.patient);
    let image = told.map_err(|refusal| refusal.about(&order.source))?;
    let exam = exam(bundle, order, &image)?;
    let overrides = Overrides {
        prompts: order.region.map(prompt).into_iter().collect(),
        ..Overrides::default()
    };
    let outcomes = pipeline::run(bundle, &image, &[exam], &overrides, observer)
        .map_err(|error| fault(&order.source, &error.to_string()))?;
    let outcome = outcomes.into_iter().next().map(|(_, outcome)| outcome);
    let (mut finding, region) = outcome
        .unwrap_or_else(|| Err(fault(&order.source, "the exam was not answered")))
        .map_err(|refusal| refusal.about(&order.source))?;
    finding.case = case.to_string();
    Ok(Found::new(finding, &exam.spec, &image, &region))
}

/// The exam that was ordered, or the one that the image asks for.
fn exam<'a>(bundle: &'a Bundle, order: &Order, image: &Image) -> Result<&'a Exam, Refusal> {
    let Some(name) = &order.exam else {
        return pipeline::exam_of(bundle, image, &order.source);
    };
    bundle.exam(name).ok_or_else(|| {
        // Only after the bundle was changed between acceptance and answer.
        let exams = bundle.exams.iter().map(|exam| exam.spec.name.clone());
        Refusal::new(
            RefusalCode::ExamNeeded,
            format!("{}: this bundle has no exam {name}", order.source),
            Help::ChooseExam(exams.collect()),
        )
    })
}

/// The finding, with what there is to know of its sender: one that called other content by the
/// same UID, or that said more of a hurry than it may.
fn with_notes(finding: &Finding, order: &Order) -> Finding {
    let mut finding = finding.clone();
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

fn prompt([x, y, width, height]: [u32; 4]) -> Prompt {
    Prompt::Box {
        x: x as f32,
        y: y as f32,
        width: width as f32,
        height: height as f32,
    }
}

fn fault(source: &str, why: &str) -> Refusal {
    Refusal::new(
        RefusalCode::DeviceFault,
        format!("{source}: {why}"),
        Help::SelfTest,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256::Sha256;

    fn order(image: Bound) -> Order {
        Order {
            source: "a.png".to_owned(),
            image: Some(image),
            ..Order::default()
        }
    }

    fn ran(image: Option<Sha256>) -> Ran {
        Ran {
            image: image.map(|sha256| sha256.to_string()),
            outcome: Err(Refusal::new(
                RefusalCode::Blurred,
                "a.png: not sharp",
                "again",
            )),
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
            let held = ran(read).held_to(order);
            assert_eq!(held.outcome.unwrap_err().code, code, "{order:?} {read:?}");
            assert_eq!(held.image, image.map(|sha256| sha256.to_string()));
        }
    }
}
