//! The segmenter's part: the image encoded once, the decoder asked with each prompt, one
//! mask kept. Never chooses another prompt than the user's or the bundle's own.

use crate::bundle::Bundle;
use crate::case::{Help, Refusal, RefusalCode};
use crate::engine::{EngineError, Tensor};
use crate::focus::{DecodedMask, Logits, PointLabel, Prompt, Question, choose, single_mask};
use crate::image::{Image, UnitBox};

use super::{Overrides, Stopped};

/// Pixels to the embedding and the two finer maps.
pub(super) fn encode(bundle: &Bundle, image: &Image) -> Result<Vec<Tensor>, EngineError> {
    let spec = &bundle.manifest.segmenter;
    let pixels = image
        .canvas(UnitBox::WHOLE, spec.input_size)
        .normalised(spec.mean, spec.std);
    let shape = [1, 3, spec.input_size, spec.input_size];
    bundle.segmenter_encoder.run(&[Tensor::new(&shape, pixels)])
}

/// Asks the decoder and keeps the best mask, cleaned.
pub(super) fn decode_mask(
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
    let said = image
        .metadata
        .region
        .map(|[x, y, width, height]| Prompt::Box {
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
                Help::MovePrompt,
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
