//! Which exam an image is for, and whether that exam may answer it: the gate before the
//! models, the guard after them. Never answers anything.

use crate::bundle::{Bundle, Exam, ExamSpec};
use crate::case::{Check, Finding, Help, Refusal, RefusalCode};
use crate::engine::{EngineError, Tensor};
use crate::gate::{self, Kinds, Look, Measures};
use crate::image::{Image, UnitBox};

use super::Overrides;

const NO_GATE: &str = "no_gate: nothing looked whether this is an image that the exam is for";
const NO_LAYOUT: &str =
    "no_layout: nothing looked whether the picture is one whole film and no border";
const NO_GUARD: &str = "no_guard: nothing looked whether the exam was trained on such images";

/// Looks at an image before any exam does; `None` where the bundle has no gate.
///
/// # Errors
/// [`EngineError`].
pub fn look(bundle: &Bundle, image: &Image) -> Result<Option<Look>, EngineError> {
    let (Some(spec), Some(graph)) = (&bundle.manifest.gate, &bundle.gate) else {
        return Ok(None);
    };
    let side = spec.input_size;
    let luma = image.canvas(UnitBox::WHOLE, side).luma();
    let pixels = luma.iter().map(|v| (v - spec.mean) / spec.std).collect();
    let outputs = graph.run(&[Tensor::new(&[1, 1, side, side], pixels)])?;
    let logits = &outputs[0].data;
    let classes = Kinds::classes(spec.kinds.len());
    if logits.len() != classes || !logits.iter().all(|logit| logit.is_finite()) {
        return Err(EngineError::Run {
            graph: spec.graph.clone(),
            why: format!("it gave no {classes} numbers"),
        });
    }
    let square = gate::square(image);
    Ok(Some(Look {
        size: [image.width, image.height],
        measures: Measures::of(&square),
        layouts: bundle.layouts_of(&square),
        kinds: Kinds::from_logits(logits),
    }))
}

/// What a gate that was made before borders and layouts were looked at does not see.
pub(super) fn unseen(bundle: &Bundle) -> Option<String> {
    let gate = bundle.manifest.gate.as_ref()?;
    let sees = gate.film.is_some() && gate.layouts.is_some();
    (!sees).then(|| NO_LAYOUT.to_owned())
}

/// Whether an exam may be shown this image.
///
/// # Errors
/// The gate's refusals; they name the image's fault and not its file.
pub fn admit(
    bundle: &Bundle,
    exam: &ExamSpec,
    image: &Image,
    look: Option<&Look>,
) -> Result<(), Refusal> {
    let asks = exam.gate();
    gate::fits(&asks, &image.metadata)?;
    gate::suits(&asks, &image.metadata.patient)?;
    match (&bundle.manifest.gate, look) {
        (Some(spec), Some(look)) => gate::judge(spec, &asks, look),
        _ => Ok(()),
    }
}

/// Whether the image is like those that the exam was trained on.
///
/// # Errors
/// `out_of_distribution`.
pub(super) fn guard(exam: &Exam, finding: &Finding) -> Result<(), Refusal> {
    let (Some(guard), Some(share)) = (&exam.guard, finding.guard_distance) else {
        return Ok(());
    };
    if share <= 1.0 {
        return Ok(());
    }
    let distance = share * guard.up_to();
    Err(Refusal::new(
        RefusalCode::OutOfDistribution,
        format!(
            "the image is unlike all that exam {} was trained on: distance {distance:.0}, at most \
             {:.0}",
            exam.spec.name,
            guard.up_to()
        ),
        Help::AskAPerson,
    ))
}

/// What gate or guard said, where the image goes on.
pub(super) struct Checked {
    check: Check,
    /// The refusal that was overruled.
    forced: Option<Refusal>,
}

impl Checked {
    /// Of what one of them said, if it looked at all.
    ///
    /// # Errors
    /// The refusal, unless it is overruled.
    pub(super) fn of(
        looked: bool,
        said: Result<(), Refusal>,
        overrides: &Overrides,
    ) -> Result<Self, Refusal> {
        let forced = match said {
            Ok(()) => None,
            Err(refusal) if overrides.force => Some(refusal),
            Err(refusal) => return Err(refusal),
        };
        let check = match (looked, &forced) {
            (false, _) => Check::Absent,
            (true, None) => Check::Passed,
            (true, Some(_)) => Check::Forced,
        };
        Ok(Self { check, forced })
    }
}

/// The finding with what gate and guard said; that nothing looked is said, too.
pub(super) fn with_checks(mut finding: Finding, gate: Checked, guard: Checked) -> Finding {
    (finding.gate, finding.guard) = (gate.check, guard.check);
    for forced in [gate.forced, guard.forced].into_iter().flatten() {
        // The finding goes on to where nothing may tell whose image it is.
        finding
            .reasons
            .push(format!("forced: {}", forced.deidentified()));
    }
    for (check, note) in [(gate.check, NO_GATE), (guard.check, NO_GUARD)] {
        if check == Check::Absent {
            finding.reasons.push(note.to_owned());
        }
    }
    finding
}

/// The exam that the image itself asks for.
///
/// # Errors
/// `exam_needed`, with the exams to choose from, where the image does not say all that the
/// exam asks for, fits none, or fits several.
pub fn exam_of<'a>(bundle: &'a Bundle, image: &Image) -> Result<&'a Exam, Refusal> {
    let all: Vec<&Exam> = bundle.exams.iter().collect();
    let refuse = |why: String, exams: &[&Exam]| {
        Err(Refusal::new(
            RefusalCode::ExamNeeded,
            why,
            Help::ChooseExam(exams.iter().map(|exam| exam.spec.name.clone()).collect()),
        ))
    };
    let Some(modality) = &image.metadata.modality else {
        return refuse(
            "the image does not say which exam it is for".to_owned(),
            &all,
        );
    };
    // Never by the patient: a child's image must not become another exam's.
    let fits = |exam: &&Exam| gate::fits(&exam.spec.gate(), &image.metadata).is_ok();
    let fitting: Vec<&Exam> = all.iter().copied().filter(fits).collect();
    let (said, coded) = (&image.metadata, &image.metadata.coded);
    let words = [
        said.body_part.as_ref().or(coded.body_part.as_ref()),
        said.view.as_ref().or(coded.view.as_ref()),
        said.laterality.as_ref().or(coded.laterality.as_ref()),
    ];
    let said = words
        .into_iter()
        .flatten()
        .fold(modality.clone(), |said, word| format!("{said} {word}"));
    match fitting.as_slice() {
        [one] => match gate::unsaid(&one.spec.gate(), &image.metadata) {
            None => Ok(one),
            // It might as well be another part of the body, which no exam is for.
            Some(what) => refuse(
                format!(
                    "the image says {said} and not its {what}, which exam {} asks for",
                    one.spec.name
                ),
                &fitting,
            ),
        },
        [] => refuse(format!("no exam of the bundle is for {said}"), &all),
        several => refuse(format!("several exams are for {said}"), several),
    }
}
