//! The gate before the models: an image that an exam was never meant for is refused by a code, a
//! sentence and help. Called by the pipeline, before a model reads the image.
//!
//! [`measure`](Measures::of) knows pixels, [`Kinds`] what the gate's small graph makes of them,
//! [`judge`] compares both with the bundle's thresholds; [`fits`] compares what the image says of
//! itself with what the exam asks. Nothing here runs a graph, and nothing here lets an image pass
//! because it could not be measured.

mod film;
mod kinds;
pub mod layout;
mod measures;
mod metadata;
mod patient;
mod spec;

pub use film::film;
pub use kinds::{Kinds, Pose};
pub use layout::{Layout, Layouts};
pub use measures::{Measures, square};
pub use metadata::{fits, unsaid};
pub use patient::{suits, unknown};
pub use spec::{ExamGate, FilmSpec, GateSpec, KindSpec, Unsaid};

use crate::case::{Help, Refusal, RefusalCode};

/// What the gate saw of one image; every exam is judged from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// Width and height of the film.
    pub size: [u32; 2],
    /// Of the pixels.
    pub measures: Measures,
    /// Whether it is one whole film, by kind; none where the bundle cannot tell.
    pub layouts: Vec<Layout>,
    /// Of the gate's graph.
    pub kinds: Kinds,
}

/// Whether the pixels are what the exam expects.
///
/// # Errors
/// The first of: `coloured`, `badly_exposed`, `low_contrast`, `border`, `too_small`,
/// `several_images`, `partial_image`, `rotated`, `inverted`, `wrong_kind`, `blurred`.
pub fn judge(spec: &GateSpec, exam: &ExamGate<'_>, look: &Look) -> Result<(), Refusal> {
    judge_pixels(spec, &look.measures)?;
    let Some((index, kind)) = exam.kind.and_then(|name| spec.kind(name)) else {
        return Ok(());
    };
    let layout = look.layouts.get(index);
    judge_size(kind, look.size)?;
    one_film(kind, layout)?;
    whole_film(kind, look.size, layout)?;
    if look.kinds.upright(index) < kind.accept_from {
        return Err(not_as_expected(spec, index, look));
    }
    let sharpness = look.measures.sharpness;
    if sharpness < kind.sharpness_from {
        return Err(Refusal::new(
            RefusalCode::Blurred,
            format!(
                "the image is blurred: sharpness {sharpness:.3}, at least {} needed",
                kind.sharpness_from
            ),
            "take the image again without movement, or export it at its full size",
        ));
    }
    Ok(())
}

fn judge_pixels(spec: &GateSpec, measures: &Measures) -> Result<(), Refusal> {
    let percent = |share: f64| (share * 100.0).round();
    if measures.coloured > spec.coloured_up_to {
        return Err(Refusal::new(
            RefusalCode::Coloured,
            format!(
                "{} % of the image is coloured: a photograph or a screenshot, no radiograph or scan",
                percent(measures.coloured)
            ),
            "export the image itself, not a picture of a screen",
        ));
    }
    let [dark, bright] = spec.brightness;
    if !(dark..=bright).contains(&measures.brightness) {
        return Err(Refusal::new(
            RefusalCode::BadlyExposed,
            format!(
                "the image is {} % bright on average; {} to {} % are expected",
                percent(measures.brightness),
                percent(dark),
                percent(bright)
            ),
            "check exposure and window, and export the image again",
        ));
    }
    if measures.contrast < spec.contrast_from {
        return Err(Refusal::new(
            RefusalCode::LowContrast,
            format!(
                "the image has hardly any contrast: {:.3}, at least {} needed",
                measures.contrast, spec.contrast_from
            ),
            "check exposure and window, and export the image again",
        ));
    }
    if measures.content < spec.content_from {
        return Err(Refusal::new(
            RefusalCode::Border,
            format!(
                "only {} % of the image lies inside its border",
                percent(measures.content)
            ),
            "cut the image to the collimated field and export it again",
        ));
    }
    Ok(())
}

/// Whether the film has the pixels that the exams were measured with.
fn judge_size(kind: &KindSpec, [width, height]: [u32; 2]) -> Result<(), Refusal> {
    let Some(least) = kind
        .shortest_side
        .filter(|least| width.min(height) < *least)
    else {
        return Ok(());
    };
    Err(Refusal::new(
        RefusalCode::TooSmall,
        format!(
            "the film has {width} x {height} pixels; on a {} with fewer than {least} on the \
             shorter side the exam is measurably worse",
            kind.label
        ),
        "export the image at its full size, not a preview of it",
    ))
}

/// Whether the picture holds several films.
fn one_film(kind: &KindSpec, layout: Option<&Layout>) -> Result<(), Refusal> {
    if is_whole(kind, layout) || layout.is_some_and(|l| l.partial > l.several) {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::SeveralImages,
        "the picture seems to hold several films; a finding is about one",
        Help::OneWholeFilm,
    ))
}

/// Whether the film is whole, as far as its shape and its layout tell.
fn whole_film(
    kind: &KindSpec,
    [width, height]: [u32; 2],
    layout: Option<&Layout>,
) -> Result<(), Refusal> {
    let refuse = |code, why| Err(Refusal::new(code, why, Help::OneWholeFilm));
    let aspect = f64::from(width) / f64::from(height);
    let odd = kind
        .aspect
        .filter(|[narrowest, widest]| !(*narrowest..=*widest).contains(&aspect));
    let is_sure = layout
        .zip(kind.unusual_whole_from)
        .is_some_and(|(layout, from)| layout.whole() >= from);
    if let Some([narrowest, widest]) = odd.filter(|_| !is_sure) {
        let code = match layout {
            Some(layout) if layout.several > layout.partial => RefusalCode::SeveralImages,
            _ => RefusalCode::PartialImage,
        };
        let why = format!(
            "the film has {width} x {height} pixels, {aspect:.2} times as wide as high; a whole {} \
             usually is {narrowest} to {widest} times",
            kind.label
        );
        return refuse(code, why);
    }
    if is_whole(kind, layout) {
        return Ok(());
    }
    let why = format!("the picture seems to be a part of a {}", kind.label);
    refuse(RefusalCode::PartialImage, why)
}

/// Whether the layout is likely enough that of one whole film, where there is a model and a
/// threshold; a chance that is no number is not.
fn is_whole(kind: &KindSpec, layout: Option<&Layout>) -> bool {
    let pair = layout.zip(kind.whole_from);
    pair.is_none_or(|(layout, from)| layout.whole() >= from)
}

/// The kind or the pose is another: the sentence says which.
fn not_as_expected(spec: &GateSpec, expected: usize, look: &Look) -> Refusal {
    let label = |kind: usize| spec.kinds[kind].label.as_str();
    let wanted = label(expected);
    match look.kinds.instead_of(expected) {
        Some((kind, Pose::Left | Pose::Right)) if kind == expected => Refusal::new(
            RefusalCode::Rotated,
            format!("the {wanted} seems to be turned by 90 degrees"),
            "turn the image upright and try again",
        ),
        Some((kind, Pose::UpsideDown)) if kind == expected => Refusal::new(
            RefusalCode::Rotated,
            format!("the {wanted} seems to be upside down"),
            "turn the image upright and try again",
        ),
        Some((kind, Pose::Inverted)) if kind == expected => Refusal::new(
            RefusalCode::Inverted,
            format!("the {wanted} seems to be inverted: black for white"),
            "export the image with bone and tissue bright",
        ),
        Some((kind, _)) if kind != expected && kind < spec.kinds.len() => Refusal::new(
            RefusalCode::WrongKind,
            format!(
                "the image looks like a {}, not like a {wanted}",
                label(kind)
            ),
            Help::OtherExam,
        ),
        _ => Refusal::new(
            RefusalCode::WrongKind,
            format!("the image does not look like a {wanted}"),
            Help::OtherExam,
        ),
    }
}

#[cfg(test)]
mod tests;
