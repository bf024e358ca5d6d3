use super::*;
use crate::image::{Coded, ImageMetadata};

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
