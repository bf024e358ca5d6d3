//! The gate before the model: an image that an exam was never meant for is refused by a
//! code, a sentence and help, before anything is read from it.
//!
//! [`measure`](Measures::of) knows pixels, [`Kinds`] what the gate's small graph makes of
//! them, [`judge`] compares both with the bundle's thresholds. Nothing here runs a graph,
//! and nothing here ever lets an image pass because it could not be measured.

mod film;
pub mod layout;
mod measures;
mod patient;
mod spec;

pub use film::film;
pub use layout::{Layout, Layouts};
pub use measures::{Measures, square};
pub use patient::{suits, unknown};
pub use spec::{ExamGate, FilmSpec, GateSpec, KindSpec, Unsaid};

use crate::finding::{Help, Refusal, RefusalCode};
use crate::image::ImageMetadata;

/// Poses in the order of the gate graph's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pose {
    /// As it should be.
    Upright,
    /// Turned to the left by 90 degrees.
    Left,
    /// Turned by 180 degrees.
    UpsideDown,
    /// Turned to the right by 90 degrees.
    Right,
    /// Black for white.
    Inverted,
}

impl Pose {
    /// All poses in order.
    pub const ALL: [Self; 5] = [
        Self::Upright,
        Self::Left,
        Self::UpsideDown,
        Self::Right,
        Self::Inverted,
    ];
}

/// The gate graph's probabilities: each kind in each pose, and at the end `other`.
#[derive(Debug, Clone, PartialEq)]
pub struct Kinds(Vec<f64>);

impl Kinds {
    /// From the graph's logits.
    pub fn from_logits(logits: &[f32]) -> Self {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = logits.iter().map(|l| f64::from(l - top).exp()).collect();
        let sum: f64 = powers.iter().sum();
        Self(powers.into_iter().map(|power| power / sum).collect())
    }

    /// Logits that a gate of so many kinds has.
    pub fn classes(kinds: usize) -> usize {
        kinds * Pose::ALL.len() + 1
    }

    fn upright(&self, kind: usize) -> f64 {
        self.0.get(kind * Pose::ALL.len()).copied().unwrap_or(0.0)
    }

    /// The likeliest kind and pose other than `kind` upright; `None` for `other`.
    fn instead_of(&self, kind: usize) -> Option<(usize, Pose)> {
        let poses = Pose::ALL.len();
        let likeliest = (0..self.0.len())
            .filter(|&class| class != kind * poses)
            .max_by(|&a, &b| self.0[a].total_cmp(&self.0[b]))?;
        let pose = Pose::ALL[likeliest % poses];
        (likeliest + 1 < self.0.len()).then_some((likeliest / poses, pose))
    }
}

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

/// One thing that an exam asks of what an image says of itself.
struct Rule<'a> {
    what: &'static str,
    /// By word and by code.
    says: [Option<&'a String>; 2],
    allowed: &'a [String],
    code: RefusalCode,
}

/// The rules that the exam has; an empty one asks nothing.
fn rules<'a>(exam: &ExamGate<'a>, said: &'a ImageMetadata) -> impl Iterator<Item = Rule<'a>> {
    use RefusalCode::{WrongBodyPart, WrongModality, WrongSide, WrongView};
    let rule = |what, word: &'a Option<String>, by_code: &'a Option<String>, allowed, code| Rule {
        what,
        says: [word.as_ref(), by_code.as_ref()],
        allowed,
        code,
    };
    let (modality, part, coded) = (&said.modality, &said.body_part, &said.coded);
    let (parts, sides) = (exam.body_parts, exam.lateralities);
    let (side, coded_side) = (&said.laterality, &coded.laterality);
    let rules = [
        rule("modality", modality, &None, exam.modalities, WrongModality),
        rule("body part", part, &coded.body_part, parts, WrongBodyPart),
        rule("view", &said.view, &coded.view, exam.views, WrongView),
        rule("side", side, coded_side, sides, WrongSide),
    ];
    rules.into_iter().filter(|rule| !rule.allowed.is_empty())
}

/// Whether what the image says of itself fits the exam; silence does.
///
/// # Errors
/// `wrong_modality`, `wrong_body_part`, `wrong_view` or `wrong_side`.
pub fn fits(exam: &ExamGate<'_>, said: &ImageMetadata) -> Result<(), Refusal> {
    for rule in rules(exam, said) {
        let unfit = |says: &&&String| !rule.allowed.contains(**says);
        if let Some(says) = rule.says.iter().flatten().find(unfit) {
            return Err(Refusal::new(
                rule.code,
                format!(
                    "the image's {} is {says}; exam {} is for {}",
                    rule.what,
                    exam.name,
                    rule.allowed.join(", ")
                ),
                Help::OtherExam,
            ));
        }
    }
    Ok(())
}

/// What the exam asks and the image does not say, if anything.
pub fn unsaid(exam: &ExamGate<'_>, said: &ImageMetadata) -> Option<&'static str> {
    let mut rules = rules(exam, said);
    rules
        .find(|rule| rule.says == [None, None])
        .map(|rule| rule.what)
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
mod tests {
    use super::*;
    use crate::image::Coded;

    fn spec() -> GateSpec {
        let kind = |name: &str| KindSpec {
            name: name.to_owned(),
            label: format!("{name} picture"),
            accept_from: 0.5,
            sharpness_from: 0.1,
            shortest_side: Some(96),
            aspect: Some([0.5, 2.0]),
            whole_from: Some(0.5),
            unusual_whole_from: Some(0.95),
        };
        GateSpec {
            graph: "gate.onnx".to_owned(),
            input_size: 48,
            mean: 0.5,
            std: 0.25,
            coloured_up_to: 0.1,
            brightness: [0.05, 0.85],
            contrast_from: 0.07,
            content_from: 0.25,
            film: None,
            layouts: None,
            kinds: vec![kind("chest"), kind("brain")],
        }
    }

    fn exam<'a>(words: &'a [Vec<String>; 4]) -> ExamGate<'a> {
        ExamGate {
            name: "exam",
            kind: Some("chest"),
            modalities: &words[0],
            body_parts: &words[1],
            views: &words[2],
            lateralities: &words[3],
            ages: None,
            age_unsaid: Unsaid::Note,
            sexes: &[],
            sex_unsaid: Unsaid::Note,
        }
    }

    fn good() -> Look {
        let mut logits = vec![0.0; Kinds::classes(2)];
        logits[0] = 9.0;
        let layout = Layout {
            several: 0.1,
            partial: 0.2,
        };
        Look {
            size: [300, 200],
            layouts: vec![layout; 2],
            measures: Measures {
                coloured: 0.0,
                brightness: 0.4,
                contrast: 0.2,
                content: 0.9,
                sharpness: 0.2,
            },
            kinds: Kinds::from_logits(&logits),
        }
    }

    type Spoil = fn(&mut Look);

    #[test]
    fn each_fault_has_its_own_code() {
        fn likeliest(look: &mut Look, class: usize) {
            let mut logits = vec![0.0; Kinds::classes(2)];
            logits[class] = 9.0;
            look.kinds = Kinds::from_logits(&logits);
        }
        let cases: [(Spoil, &str); 21] = [
            (|_| {}, ""),
            (|look| look.measures.coloured = 0.2, "coloured"),
            (|look| look.measures.brightness = 0.01, "badly_exposed"),
            (|look| look.measures.brightness = 0.9, "badly_exposed"),
            (|look| look.measures.contrast = 0.01, "low_contrast"),
            (|look| look.measures.content = 0.1, "border"),
            (|look| look.measures.sharpness = 0.01, "blurred"),
            (|look| look.size = [300, 95], "too_small"),
            (|look| look.size = [300, 149], "partial_image"),
            (|look| look.size = [149, 300], "partial_image"),
            (
                |look| {
                    look.size = [149, 300];
                    look.layouts[0] = Layout {
                        several: 0.01,
                        partial: 0.01,
                    };
                },
                "",
            ),
            (|look| look.layouts[0].several = 0.6, "several_images"),
            (|look| look.layouts[0].several = f64::NAN, "several_images"),
            (|look| look.layouts[0].partial = 0.7, "partial_image"),
            (|look| look.layouts[1].partial = 0.7, ""),
            (|look| look.layouts.clear(), ""),
            (|look| likeliest(look, 1), "rotated"),
            (|look| likeliest(look, 2), "rotated"),
            (|look| likeliest(look, 4), "inverted"),
            (|look| likeliest(look, 5), "wrong_kind"),
            (|look| likeliest(look, 10), "wrong_kind"),
        ];
        let (words, spec) = (Default::default(), spec());
        for (number, (spoil, expected)) in cases.into_iter().enumerate() {
            let mut look = good();
            spoil(&mut look);
            let found = judge(&spec, &exam(&words), &look).map_or_else(|r| r.code.word(), |()| "");
            assert_eq!(found, expected, "case {number}");
        }
        // A measure that is no number is no measure.
        let mut look = good();
        look.measures.brightness = f64::NAN;
        assert!(judge(&spec, &exam(&words), &look).is_err());
    }

    #[test]
    fn what_the_image_says_must_fit_and_silence_is_no_conflict() {
        let word = |text: &str| vec![text.to_owned()];
        let words = [word("DX"), word("CHEST"), word("PA"), vec![]];
        let said = |modality: &str, view: Option<&str>| ImageMetadata {
            modality: Some(modality.to_owned()),
            view: view.map(str::to_owned),
            laterality: Some("L".to_owned()),
            ..ImageMetadata::default()
        };
        assert!(fits(&exam(&words), &ImageMetadata::default()).is_ok());
        assert!(fits(&exam(&words), &said("DX", Some("PA"))).is_ok());
        let code = |said: &ImageMetadata| fits(&exam(&words), said).unwrap_err().code.word();
        assert_eq!(
            unsaid(&exam(&words), &said("DX", Some("PA"))),
            Some("body part")
        );
        assert_eq!(
            unsaid(&exam(&words), &ImageMetadata::default()),
            Some("modality")
        );
        assert_eq!(
            unsaid(&exam(&Default::default()), &ImageMetadata::default()),
            None
        );
        assert_eq!(code(&said("MR", None)), "wrong_modality");
        assert_eq!(code(&said("DX", Some("LL"))), "wrong_view");
        // A code counts as much as a word, and where they differ neither is taken.
        let coded = |body_part: &str| ImageMetadata {
            coded: Coded {
                body_part: Some(body_part.to_owned()),
                ..Coded::default()
            },
            ..said("DX", Some("PA"))
        };
        assert!(fits(&exam(&words), &coded("CHEST")).is_ok());
        assert_eq!(unsaid(&exam(&words), &coded("CHEST")), None);
        assert_eq!(code(&coded("KNEE")), "wrong_body_part");
        let both = ImageMetadata {
            body_part: Some("CHEST".to_owned()),
            ..coded("KNEE")
        };
        assert_eq!(code(&both), "wrong_body_part");
    }
}
