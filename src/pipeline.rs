//! The whole method on one page: an [`Image`] and an exam become a [`Finding`].
//!
//! `Image -> gate -> segmenter (encode once, decode per prompt) -> mask -> focus -> image
//! encoder (whole + focused as one batch) -> fusion head -> calibration -> guard ->
//! Finding`. [`run`] is all of it; `admission.rs` has gate and guard, `segment.rs` the
//! segmenter, `triage_level.rs` the triage level, `progress.rs` the stages that an observer is told of.
//!
//! Never prints, never writes, and never answers with another prompt, style or exam
//! than it was asked for.

mod admission;
mod film;
mod progress;
mod segment;
mod triage_level;

use std::sync::Arc;

use crate::bundle::{Bundle, Exam};
use crate::case::{
    Check, ClassProbability, Finding, MaskReport, PredictionSet, Refusal, RefusalCode,
};
use crate::engine::{EngineError, Tensor};
use crate::focus::{DecodedMask, Logits, Mask, Prompt, Style};
use crate::gate;
use crate::image::{Image, UnitBox};
use crate::triage::{COVERAGE, answered, unit};

use admission::Checked;
pub use admission::{admit, exam_of, look};
pub use film::Film;
pub use progress::{Observer, Stage, observe};
use triage_level::weigh;

/// What the user asks for instead of the bundle's own choice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Prompts in the image's own pixels; empty for the bundle's strategy.
    pub prompts: Vec<Prompt>,
    /// Focus style.
    pub focus: Option<Style>,
    /// Answer even where the gate or the guard refuses; the finding says so.
    pub force: bool,
}

/// Why an image has no finding.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// This image is refused; others may be answered.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The engine failed: the device cannot work.
    #[error(transparent)]
    Engine(EngineError),
}

impl Stopped {
    /// The refusal, where it is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::Engine(_) => None,
        }
    }
}

impl From<EngineError> for Stopped {
    /// A want of memory is this image's affair; anything else is the device's.
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Budget { .. } => Self::Refused(Refusal::new(
                RefusalCode::Budget,
                error.to_string(),
                error.help(),
            )),
            error => Self::Engine(error),
        }
    }
}

/// What the segmenter and the image encoder made of one image: every exam answers
/// from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The region in the image's own pixels.
    pub mask: Mask,
    /// The decoder's estimate of the mask's IoU.
    pub predicted_iou: f32,
    /// The focus style that was used.
    pub style: Style,
    /// Unit embedding of the whole image.
    pub whole: Vec<f32>,
    /// Unit embedding of the focused image.
    pub focused: Vec<f32>,
}

/// What an exam came to: the finding and the region it rests on, which all exams of an
/// image share, or why there is none.
pub type Outcome = Result<(Finding, Arc<Mask>), Refusal>;

/// The whole way of one image, for every exam that it is asked, in their order. Refusals
/// name the image's fault and not its file.
///
/// # Errors
/// The engine failed: the device cannot work.
pub fn run<'a>(
    bundle: &Bundle,
    image: &Image,
    exams: &[&'a Exam],
    overrides: &Overrides,
    observer: &mut dyn Observer,
) -> Result<Vec<(&'a Exam, Outcome)>, EngineError> {
    let film = Film::of(bundle, image);
    let look = refused(look(bundle, film.image()))?;
    let admit = |exam: &Exam| {
        let look = look.as_ref().map_err(Clone::clone)?.as_ref();
        let admitted = admit(bundle, &exam.spec, film.image(), look);
        Checked::of(look.is_some(), admitted, overrides)
    };
    let admitted: Vec<_> = exams.iter().map(|exam| (*exam, admit(exam))).collect();
    if admitted.iter().all(|(_, admitted)| admitted.is_err()) {
        // No model reads an image that no exam may be shown.
        let refusals = admitted.into_iter();
        let refusals = refusals.filter_map(|(exam, admitted)| Some((exam, Err(admitted.err()?))));
        return Ok(refusals.collect());
    }
    let read = refused(read_film(bundle, &film, overrides, observer))?
        .map(|reading| (Arc::new(reading.mask.clone()), reading));
    let outcome = |exam: &Exam, admitted: Result<Checked, Refusal>| {
        let gate = admitted?;
        let (region, reading) = read.as_ref().map_err(Clone::clone)?;
        let mut finding = answer(exam, image, reading);
        finding.film = film.place();
        finding.reasons.extend(film.note());
        finding.reasons.extend(admission::unseen(bundle));
        let guarded = admission::guard(exam, &finding);
        let guard = Checked::of(exam.guard.is_some(), guarded, overrides)?;
        Ok((admission::with_checks(finding, gate, guard), region.clone()))
    };
    let outcomes = admitted.into_iter();
    let outcomes = outcomes.map(|(exam, admitted)| (exam, outcome(exam, admitted)));
    Ok(observe(observer, Stage::Head, || outcomes.collect()))
}

/// What this image is refused for, apart from what stops the device.
fn refused<T>(made: Result<T, impl Into<Stopped>>) -> Result<Result<T, Refusal>, EngineError> {
    match made.map_err(Into::into) {
        Ok(made) => Ok(Ok(made)),
        Err(Stopped::Refused(refusal)) => Ok(Err(refusal)),
        Err(Stopped::Engine(error)) => Err(error),
    }
}

/// Segments, focuses and embeds the film of a picture; prompts and region are in the
/// picture's pixels.
///
/// # Errors
/// [`Stopped`].
pub fn read_film(
    bundle: &Bundle,
    film: &Film<'_>,
    overrides: &Overrides,
    observer: &mut dyn Observer,
) -> Result<Reading, Stopped> {
    let overrides = Overrides {
        prompts: film.prompts(&overrides.prompts)?,
        ..overrides.clone()
    };
    let reading = read(bundle, film.image(), &overrides, observer)?;
    Ok(film.placed(reading))
}

/// Segments, focuses and embeds one image.
///
/// # Errors
/// [`Stopped`].
pub fn read(
    bundle: &Bundle,
    image: &Image,
    overrides: &Overrides,
    observer: &mut dyn Observer,
) -> Result<Reading, Stopped> {
    let decoded = region(bundle, image, overrides, observer)?;
    let style = overrides.focus.unwrap_or(bundle.manifest.focus.style);
    read_region(bundle, image, style, &decoded, observer)
}

/// Segments one image.
///
/// # Errors
/// [`Stopped`].
pub fn region(
    bundle: &Bundle,
    image: &Image,
    overrides: &Overrides,
    observer: &mut dyn Observer,
) -> Result<DecodedMask, Stopped> {
    let maps = observe(observer, Stage::SegmenterEncode, || {
        segment::encode(bundle, image)
    })?;
    observe(observer, Stage::SegmenterDecode, || {
        segment::decode_mask(bundle, image, overrides, &maps)
    })
}

/// Focuses and embeds one image whose region is known.
///
/// # Errors
/// [`Stopped`].
pub fn read_region(
    bundle: &Bundle,
    image: &Image,
    style: Style,
    decoded: &DecodedMask,
    observer: &mut dyn Observer,
) -> Result<Reading, Stopped> {
    let (mask, batch) = observe(observer, Stage::Focus, || {
        let mask = decoded.logits.mask(image.width, image.height);
        let batch = whole_and_focused(bundle, image, style, &mask, &decoded.logits);
        (mask, batch)
    });
    let embeddings = observe(observer, Stage::ImageEncode, || {
        bundle.image_encoder.run(&[batch])
    })?
    .remove(0);
    let mut rows = embeddings
        .data
        .chunks_exact(bundle.manifest.image_encoder.embedding);
    let whole = rows.next().map(unit).unwrap_or_default();
    let focused = rows.next().map_or_else(|| whole.clone(), unit);
    Ok(Reading {
        mask,
        predicted_iou: decoded.predicted_iou,
        style,
        whole,
        focused,
    })
}

/// One exam's answer from a reading, without any check.
pub fn answer(exam: &Exam, image: &Image, reading: &Reading) -> Finding {
    let spec = &exam.spec;
    let values = exam
        .head
        .probabilities(&exam.head.logits(&reading.whole, &reading.focused));
    let answer = answered(&values);
    let probabilities = spec
        .classes
        .iter()
        .zip(&values)
        .map(|(class, &probability)| ClassProbability {
            class: class.name.clone(),
            label: class.label.clone(),
            probability,
        })
        .collect();
    let prediction_set = prediction_set(exam, &values);
    let weighed = weigh(spec, answer, &values, prediction_set.as_ref());
    let mut reasons = reasons(image, reading);
    reasons.extend(gate::unknown(&spec.gate(), &image.metadata.patient));
    reasons.extend(weighed.reasons);
    Finding {
        exam: spec.name.clone(),
        answer,
        patient: image.metadata.patient.known(),
        anatomy: image.metadata.anatomy(),
        probabilities,
        prediction_set,
        triage_level: weighed.level,
        mask: MaskReport {
            bbox: reading.mask.bbox().unwrap_or_default(),
            area_fraction: reading.mask.area_fraction(),
            rle: reading.mask.rle(),
            predicted_iou: reading.predicted_iou,
        },
        film: None,
        focus: reading.style.word().to_owned(),
        gate: Check::Absent,
        guard: Check::Absent,
        guard_distance: exam.guard.as_ref().map(|guard| guard.share(&reading.whole)),
        reasons,
    }
}

/// What is claimed of the classes that it may be; nothing where the head was not calibrated
/// for it.
fn prediction_set(exam: &Exam, values: &[f64]) -> Option<PredictionSet> {
    let coverage = exam.spec.coverage.unwrap_or(COVERAGE);
    let members = exam.head.prediction_set(values, coverage)?;
    let name = |class: usize| exam.spec.classes[class].name.clone();
    Some(PredictionSet {
        coverage: members.coverage,
        by_class: members.by_class,
        classes: members.classes.into_iter().map(name).collect(),
    })
}

/// The id of a case without a journal: the same bytes, frame and exam give the same id.
pub fn case_id(image: &Image, exam: &str) -> String {
    let frame = match image.metadata.frame {
        Some((frame, 2..)) => format!("f{frame}-"),
        _ => String::new(),
    };
    format!("{}-{frame}{exam}", &image.sha256.to_string()[..16])
}

/// The encoder's batch `[B, 3, E, E]`: the whole image, and the focused one unless the
/// style is `none`.
fn whole_and_focused(
    bundle: &Bundle,
    image: &Image,
    style: Style,
    mask: &Mask,
    logits: &Logits,
) -> Tensor {
    let encoder = &bundle.manifest.image_encoder;
    let side = encoder.input_size;
    let whole = image.canvas(UnitBox::WHOLE, side);
    let mut batch = whole.normalised(encoder.mean, encoder.std);
    if style != Style::None {
        let focused = match (style, mask.bbox()) {
            // Without a region there is nothing to focus on; the finding says so.
            (_, None) => whole,
            (Style::Crop, Some([x, y, w, h])) => {
                let (width, height) = (f64::from(image.width), f64::from(image.height));
                let region = [
                    f64::from(x) / width,
                    f64::from(y) / height,
                    f64::from(x + w) / width,
                    f64::from(y + h) / height,
                ];
                let [x0, y0, x1, y1] = bundle.manifest.focus.crop_region(region);
                image.canvas(UnitBox { x0, y0, x1, y1 }, side)
            }
            (_, Some(_)) => {
                let inside = logits.mask(side as u32, side as u32);
                let mut painted = whole;
                let focus = &bundle.manifest.focus;
                focus.paint(style, &mut painted.planes, inside.bits(), side);
                painted
            }
        };
        batch.extend(focused.normalised(encoder.mean, encoder.std));
    }
    Tensor::new(&[batch.len() / (3 * side * side), 3, side, side], batch)
}

/// What a reader must know of the image and its region.
fn reasons(image: &Image, reading: &Reading) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some((frame, count @ 2..)) = image.metadata.frame {
        reasons.push(format!("frame: {frame} of {count} was read"));
    }
    if let Some(window) = &image.metadata.window {
        reasons.push(format!("window: {window}"));
    }
    reasons.extend(image.metadata.notes.iter().cloned());
    if reading.mask.bbox().is_none() {
        reasons
            .push("no_region: the segmenter found no region; the whole image was read".to_owned());
    }
    reasons
}
