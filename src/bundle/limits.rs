//! What no bundle may ask of a device, whoever signed it: numbers with which a check that looks
//! like one lets everything pass, and sizes that no graph has.
//!
//! These are ceilings, not advice: every bundle that was ever made keeps far away from them.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::{Manifest, Tolerance};
use crate::focus::{FocusSettings, Strategy};
use crate::gate::GateSpec;

/// How far a known answer may lie off, at most: what the full-size bundles need, whose known
/// answers come from float arithmetic.
pub(super) const MOST_TOLERANCE: Tolerance = Tolerance {
    probability: 0.05,
    area_fraction: 0.01,
    predicted_iou: 0.02,
};

/// Pixels a side of any graph's input.
const SIDE: RangeInclusive<usize> = 1..=4096;
/// Channels, and lengths of embeddings.
const WIDTH: RangeInclusive<usize> = 1..=16_384;
/// Exams of a bundle, and classes of an exam.
const EXAMS: usize = 64;
const CLASSES: usize = 256;
/// Points of a grid on a side, and times that a mask is refined.
const GRID: u8 = 32;
const REFINEMENTS: usize = 8;
/// Least chance of its kind from which on an image is taken for one: below, a guess passes.
const ACCEPT: RangeInclusive<f64> = 0.05..=1.0;
/// Share of coloured pixels: a photograph has more.
const COLOURED: RangeInclusive<f64> = 0.0..=0.5;
const SHARE: RangeInclusive<f64> = 0.0..=1.0;
/// A guard's largest distance: measured in standard deviations, squared and summed.
const GUARD: RangeInclusive<f64> = f64::MIN_POSITIVE..=1e6;

/// A number, by what it is called, and what it may be.
struct Bound<'a>(&'a str, f64, &'a RangeInclusive<f64>);

/// What is wrong with a manifest's numbers.
///
/// # Errors
/// A sentence that names the first that lies outside of what it may be.
pub(super) fn check(manifest: &Manifest) -> Result<(), String> {
    sizes(manifest)?;
    manifest.gate.as_ref().map_or(Ok(()), gate)?;
    focus(&manifest.focus)?;
    for exam in &manifest.exams {
        let name = &exam.name;
        if let Some(guard) = &exam.guard {
            within(&[Bound("guard.up_to", guard.up_to, &GUARD)])
                .map_err(|why| format!("exam {name}: {why}"))?;
        }
        if exam.classes.len() > CLASSES {
            return Err(format!("exam {name} has more than {CLASSES} classes"));
        }
        let names: BTreeSet<&str> = exam.classes.iter().map(|c| c.name.as_str()).collect();
        if names.len() < exam.classes.len() {
            return Err(format!("exam {name} has two classes of one name"));
        }
    }
    Ok(())
}

fn sizes(manifest: &Manifest) -> Result<(), String> {
    let (segmenter, encoder) = (&manifest.segmenter, &manifest.image_encoder);
    let side = |size: &usize| SIDE.contains(size);
    let gate = manifest.gate.as_ref().map(|gate| gate.input_size);
    let sides = [segmenter.input_size, encoder.input_size];
    if !sides.iter().chain(&gate).all(side) {
        return Err(format!("input_size lies outside of {SIDE:?}"));
    }
    if ![segmenter.width, encoder.embedding]
        .iter()
        .all(|width| WIDTH.contains(width))
    {
        return Err(format!("width and embedding lie outside of {WIDTH:?}"));
    }
    if manifest.exams.len() > EXAMS {
        return Err(format!("there are more than {EXAMS} exams"));
    }
    if segmenter.refinements > REFINEMENTS {
        return Err(format!("segmenter.refinements is above {REFINEMENTS}"));
    }
    if matches!(segmenter.prompt, Strategy::Grid(points) if points > GRID) {
        return Err(format!(
            "segmenter.prompt: a grid has at most {GRID} points a side"
        ));
    }
    let steady = segmenter.single_mask_from.unwrap_or_default();
    within(&[Bound("segmenter.single_mask_from", steady.into(), &SHARE)])?;
    for (name, mean, std) in [
        ("segmenter", segmenter.mean, segmenter.std),
        ("image_encoder", encoder.mean, encoder.std),
    ] {
        for (mean, std) in mean.into_iter().zip(std) {
            within(&[
                Bound("mean", mean.into(), &(-1.0..=2.0)),
                Bound("std", std.into(), &(1e-3..=1e3)),
            ])
            .map_err(|why| format!("{name}.{why}"))?;
        }
    }
    Ok(())
}

fn gate(gate: &GateSpec) -> Result<(), String> {
    let [dark, bright] = gate.brightness;
    let named = |why: String| format!("gate.{why}");
    within(&[
        Bound("mean", gate.mean.into(), &(-1.0..=2.0)),
        Bound("std", gate.std.into(), &(1e-3..=1e3)),
        Bound("coloured_up_to", gate.coloured_up_to, &COLOURED),
        Bound("brightness", dark, &SHARE),
        Bound("brightness", bright, &(dark..=1.0)),
        Bound("contrast_from", gate.contrast_from, &SHARE),
        Bound("content_from", gate.content_from, &SHARE),
    ])
    .map_err(named)?;
    for kind in &gate.kinds {
        let [narrow, wide] = kind.aspect.unwrap_or([1.0, 1.0]);
        within(&[
            Bound("accept_from", kind.accept_from, &ACCEPT),
            Bound("sharpness_from", kind.sharpness_from, &SHARE),
            Bound("aspect", narrow, &(0.02..=50.0)),
            Bound("aspect", wide, &(narrow..=50.0)),
            Bound("whole_from", kind.whole_from.unwrap_or_default(), &SHARE),
            Bound(
                "unusual_whole_from",
                kind.unusual_whole_from.unwrap_or_default(),
                &SHARE,
            ),
        ])
        .map_err(|why| named(format!("kinds: {}: {why}", kind.name)))?;
    }
    Ok(())
}

fn focus(focus: &FocusSettings) -> Result<(), String> {
    let tint = focus.tint.map(|share| Bound("tint", share.into(), &SHARE));
    let rest = [
        Bound("crop_margin", focus.crop_margin, &(0.0..=4.0)),
        Bound("crop_minimum", focus.crop_minimum, &SHARE),
        Bound("tint_alpha", focus.tint_alpha.into(), &SHARE),
        Bound("blur_sigma", focus.blur_sigma.into(), &SHARE),
    ];
    let all = within(&tint).and_then(|()| within(&rest));
    all.map_err(|why| format!("focus.{why}"))
}

/// Refuses the first number that lies outside; one that is no number does.
fn within(bounds: &[Bound<'_>]) -> Result<(), String> {
    match bounds
        .iter()
        .find(|Bound(_, value, range)| !range.contains(value))
    {
        None => Ok(()),
        Some(Bound(name, value, range)) => {
            let (least, most) = (range.start(), range.end());
            Err(format!(
                "{name} is {value}; from {least} to {most} is allowed"
            ))
        }
    }
}

/// Refuses tolerances with which everything is reproduced.
pub(super) fn tolerance(of: Tolerance) -> Result<(), String> {
    let most = MOST_TOLERANCE;
    within(&[
        Bound(
            "tolerance.probability",
            of.probability,
            &(0.0..=most.probability),
        ),
        Bound(
            "tolerance.area_fraction",
            of.area_fraction,
            &(0.0..=most.area_fraction),
        ),
        Bound(
            "tolerance.predicted_iou",
            of.predicted_iou.into(),
            &(0.0..=most.predicted_iou.into()),
        ),
    ])
}
