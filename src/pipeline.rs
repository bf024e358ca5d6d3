//! The whole method on one page: an [`Image`] and an exam become a [`Finding`].
//!
//! `Image -> segmenter (encode once, decode per prompt) -> mask -> focus -> image
//! encoder (whole + focused as one batch) -> fusion head -> calibration -> Finding`.
//!
//! Never prints, never writes, and never answers with another prompt, style or exam
//! than it was asked for.

use std::time::Instant;

use crate::bundle::{Bundle, Exam};
use crate::engine::{EngineError, Tensor};
use crate::finding::{ClassProbability, Finding, MaskReport, Refusal, RefusalCode};
use crate::focus::{
    DecodedMask, Logits, Mask, PointLabel, Prompt, Question, Style, choose, single_mask,
};
use crate::gate::{self, Kinds, Look, Measures};
use crate::image::{Image, UnitBox};
use crate::triage::{level, unit};

/// What the user asks for instead of the bundle's own choice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides {
    /// Prompts in the image's own pixels; empty for the bundle's strategy.
    pub prompts: Vec<Prompt>,
    /// Focus style.
    pub focus: Option<Style>,
}

/// A step of a case, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The file becomes an [`Image`].
    Decode,
    /// The segmenter's encoder.
    SegmenterEncode,
    /// The prompts and the mask decoder.
    SegmenterDecode,
    /// The region-guided input.
    Focus,
    /// The image encoder, whole and focused image.
    ImageEncode,
    /// Fusion head, calibration and level.
    Head,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 6] = [
        Self::Decode,
        Self::SegmenterEncode,
        Self::SegmenterDecode,
        Self::Focus,
        Self::ImageEncode,
        Self::Head,
    ];

    /// The word in JSON's `timings_ms`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::SegmenterEncode => "segmenter_encode",
            Self::SegmenterDecode => "segmenter_decode",
            Self::Focus => "focus",
            Self::ImageEncode => "image_encode",
            Self::Head => "head",
        }
    }
}

/// Milliseconds spent in each stage, in order.
pub type Timings = Vec<(&'static str, f64)>;

/// Is told of each stage while a case runs.
pub trait Observer {
    /// A stage begins.
    fn begun(&mut self, stage: Stage);
    /// A stage ended, well or not, after so many milliseconds.
    fn ended(&mut self, stage: Stage, ms: f64);
}

/// Timings alone: whoever waits anyway needs no progress.
impl Observer for Timings {
    fn begun(&mut self, _: Stage) {}

    fn ended(&mut self, stage: Stage, ms: f64) {
        self.push((stage.word(), ms));
    }
}

/// Does the work of a stage and tells the observer.
pub fn observe<T>(observer: &mut dyn Observer, stage: Stage, work: impl FnOnce() -> T) -> T {
    observer.begun(stage);
    let since = Instant::now();
    let made = work();
    observer.ended(stage, since.elapsed().as_secs_f64() * 1e3);
    made
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

impl From<EngineError> for Stopped {
    /// A want of memory is this image's affair; anything else is the device's.
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Budget { .. } => Self::Refused(Refusal::new(
                RefusalCode::Budget,
                error.to_string(),
                "allow more memory, end other programs, or use a smaller bundle",
            )),
            error => Self::Engine(error),
        }
    }
}

impl Stopped {
    /// The same, and a refusal names the file: the pipeline knows images only.
    #[must_use]
    pub fn about(self, file: &str) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(Refusal {
                message: format!("{file}: {}", refusal.message),
                ..refusal
            }),
            engine => engine,
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
    Ok(Some(Look {
        measures: Measures::of(image),
        kinds: Kinds::from_logits(logits),
    }))
}

/// Whether an exam may be shown this image.
///
/// # Errors
/// The gate's refusals; they name the image's fault and not its file.
pub fn admit(
    bundle: &Bundle,
    exam: &Exam,
    image: &Image,
    look: Option<&Look>,
) -> Result<(), Refusal> {
    let asks = exam.spec.gate();
    gate::fits(&asks, &image.said)?;
    match (&bundle.manifest.gate, look) {
        (Some(spec), Some(look)) => gate::judge(spec, &asks, look),
        _ => Ok(()),
    }
}

/// Whether the image is like those that the exam was trained on.
///
/// # Errors
/// `out_of_distribution`.
pub fn guard(exam: &Exam, reading: &Reading) -> Result<(), Refusal> {
    let Some(guard) = &exam.guard else {
        return Ok(());
    };
    let distance = guard.distance(&reading.whole);
    if distance <= guard.up_to() {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::OutOfDistribution,
        format!(
            "the image is unlike all that exam {} was trained on: distance {distance:.0}, at most \
             {:.0}",
            exam.spec.name,
            guard.up_to()
        ),
        "have a person read it, or answer all the same with --force",
    ))
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
    let maps = observe(observer, Stage::SegmenterEncode, || {
        encode_for_segmenter(bundle, image)
    })?;
    let decoded = observe(observer, Stage::SegmenterDecode, || {
        decode_mask(bundle, image, overrides, &maps)
    })?;
    let style = overrides.focus.unwrap_or(bundle.manifest.focus.style);
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

/// One exam's answer from a reading.
pub fn answer(exam: &Exam, image: &Image, reading: &Reading) -> Finding {
    let spec = &exam.spec;
    let values = exam
        .head
        .probabilities(&exam.head.logits(&reading.whole, &reading.focused));
    let answer = (0..values.len())
        .max_by(|&a, &b| values[a].total_cmp(&values[b]))
        .unwrap_or(0);
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
    let triage_level = level(
        spec.classes[answer].triage_level,
        values[answer],
        spec.review_below,
    );
    Finding {
        case: case_id(image, &spec.name),
        exam: spec.name.clone(),
        answer,
        probabilities,
        triage_level,
        mask: MaskReport {
            bbox: reading.mask.bbox().unwrap_or_default(),
            area_fraction: reading.mask.area_fraction(),
            rle: reading.mask.rle(),
            predicted_iou: reading.predicted_iou,
        },
        focus: reading.style.word().to_owned(),
        reasons: reasons(
            image,
            reading,
            triage_level == crate::finding::TriageLevel::Review,
        ),
    }
}

/// The id of a case without a journal: the same bytes, frame and exam give the same id.
pub fn case_id(image: &Image, exam: &str) -> String {
    let frame = match image.said.frame {
        Some((frame, 2..)) => format!("f{frame}-"),
        _ => String::new(),
    };
    format!("{}-{frame}{exam}", &image.sha256[..16])
}

/// The exam that the image itself asks for.
///
/// # Errors
/// `exam_needed`, with the exams to choose from, where the image is silent, fits none,
/// or fits several.
pub fn exam_of<'a>(bundle: &'a Bundle, image: &Image, name: &str) -> Result<&'a Exam, Refusal> {
    let names = |exams: &[&Exam]| {
        exams
            .iter()
            .map(|e| e.spec.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let all: Vec<&Exam> = bundle.exams.iter().collect();
    let refuse = |why: String, exams: &[&Exam]| {
        Err(Refusal::new(
            RefusalCode::ExamNeeded,
            format!("{name}: {why}"),
            format!("name one with --exam: {}, or all", names(exams)),
        ))
    };
    let Some(modality) = &image.said.modality else {
        return refuse(
            "the image does not say which exam it is for".to_owned(),
            &all,
        );
    };
    let fits = |exam: &&Exam| gate::fits(&exam.spec.gate(), &image.said).is_ok();
    let fitting: Vec<&Exam> = all.iter().copied().filter(fits).collect();
    let words = [
        &image.said.body_part,
        &image.said.view,
        &image.said.laterality,
    ];
    let said = words
        .into_iter()
        .flatten()
        .fold(modality.clone(), |said, word| format!("{said} {word}"));
    match fitting.as_slice() {
        [one] => Ok(one),
        [] => refuse(format!("no exam of the bundle is for {said}"), &all),
        several => refuse(format!("several exams are for {said}"), several),
    }
}

fn encode_for_segmenter(bundle: &Bundle, image: &Image) -> Result<Vec<Tensor>, EngineError> {
    let spec = &bundle.manifest.segmenter;
    let pixels = image
        .canvas(UnitBox::WHOLE, spec.input_size)
        .normalised(spec.mean, spec.std);
    let shape = [1, 3, spec.input_size, spec.input_size];
    bundle.segmenter_encoder.run(&[Tensor::new(&shape, pixels)])
}

/// Asks the decoder and keeps the best mask, cleaned.
fn decode_mask(
    bundle: &Bundle,
    image: &Image,
    overrides: &Overrides,
    maps: &[Tensor],
) -> Result<DecodedMask, Stopped> {
    let questions = questions(bundle, image, overrides)?;
    let mut candidates = Vec::new();
    for (index, question) in questions.iter().enumerate() {
        candidates.extend(ask(bundle, maps, question, index)?);
    }
    let mut best = choose(candidates).ok_or_else(|| no_mask(bundle))?;
    for _ in 0..bundle.manifest.segmenter.refinements {
        best = refined(bundle, maps, &questions[best.question], best)?;
    }
    best.logits = best.logits.cleaned();
    Ok(best)
}

/// What the decoder is asked: the user's prompts as one question, or the bundle's own.
fn questions(
    bundle: &Bundle,
    image: &Image,
    overrides: &Overrides,
) -> Result<Vec<Question>, Refusal> {
    let spec = &bundle.manifest.segmenter;
    let side = spec.input_size as f32;
    // An ultrasound unit says where its picture lies among its own words.
    let said = image.said.region.map(|[x, y, width, height]| Prompt::Box {
        x: x as f32,
        y: y as f32,
        width: width as f32,
        height: height as f32,
    });
    let prompts = match said {
        Some(region) if overrides.prompts.is_empty() => &[region][..],
        _ => &overrides.prompts,
    };
    if prompts.is_empty() {
        return Ok(spec.prompt.questions(side, spec.pads_boxes));
    }
    let (width, height) = (image.width, image.height);
    Prompt::question(prompts, width, height, side, spec.pads_boxes)
        .map(|question| vec![question])
        .ok_or_else(|| {
            Refusal::new(
                RefusalCode::PromptOutside,
                format!("the prompt lies outside the {width} x {height} image"),
                "give coordinates in the image's own pixels",
            )
        })
}

/// The masks that may answer one question: a box has one, points have three.
fn ask(
    bundle: &Bundle,
    maps: &[Tensor],
    question: &Question,
    index: usize,
) -> Result<Vec<DecodedMask>, EngineError> {
    let mut masks = decode(bundle, maps, question, index)?;
    if question.iter().any(|(_, l)| *l == PointLabel::TopLeft) {
        let steady_from = bundle.manifest.segmenter.single_mask_from;
        return Ok(single_mask(masks, steady_from).into_iter().collect());
    }
    Ok(masks.split_off(masks.len().min(1)))
}

/// The same question once more, with the mask that it gave as a further prompt; a mask
/// leaves no doubt what is meant, so the single mask answers.
fn refined(
    bundle: &Bundle,
    maps: &[Tensor],
    question: &Question,
    mask: DecodedMask,
) -> Result<DecodedMask, EngineError> {
    let Some(mask_prompt) = &bundle.segmenter_mask_prompt else {
        return Ok(mask);
    };
    let (width, height) = mask.logits.size();
    let logits = Tensor::new(&[1, 1, height, width], mask.logits.values().to_vec());
    let dense = mask_prompt.run(&[logits])?.remove(0);
    let mut maps = maps.to_vec();
    if dense.shape != maps[0].shape {
        return Err(EngineError::Run {
            graph: bundle
                .manifest
                .segmenter
                .mask_prompt
                .clone()
                .unwrap_or_default(),
            why: format!("it gave {:?}; expected {:?}", dense.shape, maps[0].shape),
        });
    }
    for (cell, more) in maps[0].data.iter_mut().zip(&dense.data) {
        *cell += more;
    }
    let masks = decode(bundle, &maps, question, mask.question)?;
    single_mask(masks, bundle.manifest.segmenter.single_mask_from).ok_or_else(|| no_mask(bundle))
}

/// The decoder's masks for one question: the single mask, then the three alternatives.
fn decode(
    bundle: &Bundle,
    maps: &[Tensor],
    question: &Question,
    index: usize,
) -> Result<Vec<DecodedMask>, EngineError> {
    let count = question.len();
    let points = question.iter().flat_map(|(at, _)| *at).collect();
    let labels = question
        .iter()
        .map(|(_, label)| *label as i8 as f32)
        .collect();
    let mut inputs = maps.to_vec();
    inputs.push(Tensor::new(&[1, count, 2], points));
    inputs.push(Tensor::new(&[1, count], labels));
    let outputs = bundle.segmenter_decoder.run(&inputs)?;
    Ok(masks_of(&outputs, index))
}

fn no_mask(bundle: &Bundle) -> EngineError {
    EngineError::Run {
        graph: bundle.manifest.segmenter.decoder.clone(),
        why: "it gave no mask".to_owned(),
    }
}

fn masks_of(outputs: &[Tensor], question: usize) -> Vec<DecodedMask> {
    let [masks, iou, score] = outputs else {
        return Vec::new();
    };
    let (&[_, _, height, width], Some(&object_score)) = (&masks.shape[..], score.data.first())
    else {
        return Vec::new();
    };
    masks
        .data
        .chunks_exact((width * height).max(1))
        .zip(&iou.data)
        .map(|(logits, &predicted_iou)| DecodedMask {
            logits: Logits::new(width, height, logits.to_vec()),
            predicted_iou,
            object_score,
            question,
        })
        .collect()
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

fn reasons(image: &Image, reading: &Reading, review: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some((frame, count @ 2..)) = image.said.frame {
        reasons.push(format!("frame: {frame} of {count} was read"));
    }
    if let Some(window) = &image.said.window {
        reasons.push(format!("window: {window}"));
    }
    if reading.mask.bbox().is_none() {
        reasons
            .push("no_region: the segmenter found no region; the whole image was read".to_owned());
    }
    if review {
        reasons
            .push("unsure: the answer is below the exam's threshold; a person decides".to_owned());
    }
    reasons
}
