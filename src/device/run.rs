//! One case through the pipeline: an order becomes what came of it, and that the record that
//! goes to the journal and the event that is told. Nothing here waits, writes or tells:
//! that is [`Cases`](super::Cases)'s, once the record is durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use super::events::{Event, Found};
use super::in_hand;
use super::worker::Lost;
use crate::bundle::{Bundle, Exam, Outline};
use crate::finding::{Answer, Refusal, RefusalCode};
use crate::focus::Prompt;
use crate::image::{self, Image};
use crate::journal::Order;
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

/// Runs one case on its image at this path. A panic in a decoder or in the engine ends the
/// case and not the program.
pub fn case(
    bundle: &Bundle,
    case: u64,
    order: &Order,
    path: &Path,
    observer: &mut dyn Observer,
) -> Ran {
    let _in_hand = in_hand::take(case);
    let started = Instant::now();
    let mut image = None;
    let work = AssertUnwindSafe(|| answer(bundle, (case, order), path, &mut image, observer));
    let outcome = catch_unwind(work)
        .unwrap_or_else(|_| Err(fault(&order.source, "the program failed on this image")));
    log::info!(
        "case {case}: {:.0} ms",
        started.elapsed().as_secs_f64() * 1e3
    );
    Ran { image, outcome }
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
        Self::refused(fault(&order.source, why))
    }

    fn refused(refusal: Refusal) -> Self {
        Self {
            image: None,
            outcome: Err(refusal),
        }
    }

    /// The answer as `--format json` writes it.
    pub fn record(&self, bundle: &Outline, case: u64, order: &Order, timings: &Timings) -> Value {
        let answer = match &self.outcome {
            Ok(found) => Answer::Finding(Box::new(found.finding.clone())),
            Err(refusal) => Answer::Refusal {
                case: Some(case.to_string()),
                exam: order.exam.clone(),
                refusal: refusal.clone(),
            },
        };
        report::json(&Record {
            source: &order.source,
            answer: &answer,
            intended_use: bundle.intended_use,
            bundle: &bundle.id,
            timings,
        })
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
    path: &Path,
    sha256: &mut Option<String>,
    observer: &mut dyn Observer,
) -> Result<Found, Refusal> {
    let image = pipeline::observe(observer, Stage::Decode, || image::read(path))?;
    *sha256 = Some(image.sha256.clone());
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
    let title = exam.spec.title.clone();
    Ok(Found::new(finding, title, &image, &region))
}

/// The exam that was ordered, or the one that the image asks for.
fn exam<'a>(bundle: &'a Bundle, order: &Order, image: &Image) -> Result<&'a Exam, Refusal> {
    let Some(name) = &order.exam else {
        return pipeline::exam_of(bundle, image, &order.source);
    };
    bundle.exam(name).ok_or_else(|| {
        // Only after the bundle was changed between acceptance and answer.
        Refusal::new(
            RefusalCode::ExamNeeded,
            format!("{}: this bundle has no exam {name}", order.source),
            "choose one of EXAM:LIST? and run the case again",
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

fn fault(source: &str, why: &str) -> Refusal {
    Refusal::new(
        RefusalCode::DeviceFault,
        format!("{source}: {why}"),
        "run the self-test (*TST?); if it passes, keep the image and report this",
    )
}
