//! One case through the pipeline: a question and its decoded image come in, a finding or a refusal
//! comes out ([`answer`], called by the worker). Of that and the order the cases make the record
//! ([`Conclusion`]). Nothing here waits, writes or tells: that is the cases', once the record is
//! durable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Instant;

use crate::bundle::{Bundle, Exam};
use crate::case::{Help, Order, Question, Record, Refusal, RefusalCode, Timings};
use crate::device::cases::{Answered, Conclusion};
use crate::device::events::Preview;
use crate::device::work::in_hand;
use crate::focus::Prompt;
use crate::image::{self, FrameChoice, Image};
use crate::pipeline::{self, Observer, Overrides, Stage};

/// Answers one question about one image. A panic in the engine ends the case and not the program.
pub(crate) fn answer(
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
                image: Some(image.sha256),
                outcome: answer(bundle, case, &order.question(), image, &mut timings),
            },
            Err(refusal) => Conclusion::refused(refusal),
        }
    });
    let answer = conclusion.answer(case, order, bundle.provenance(), timings);
    answer.record
}
