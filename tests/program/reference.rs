//! The pipeline against Python: Pillow's resize, PyTorch's upsampling and focus styles,
//! onnxruntime's graphs in float and the fusion head's formula, from
//! `scripts/starter/vectors.py` on the shipped phantoms. Once in float, where nothing but
//! rounding may differ, and once in int8, as a device runs.

use crate::common::{phantom, root, starter};
use medfocus::bundle::Bundle;
use medfocus::case::Timings;
use medfocus::engine::{Arithmetic, Engine, Graph, Tensor};
use medfocus::focus::Style;
use medfocus::image::{Image, UnitBox, read};
use medfocus::pipeline::{Overrides, read as read_image};
use medfocus::triage::unit;
use serde_json::Value;

/// Largest difference from a sampled array of the reference.
fn difference(reference: &Value, found: &[f32]) -> f64 {
    let step = reference["step"].as_u64().unwrap() as usize;
    let values = reference["values"].as_array().unwrap();
    assert_eq!(
        values.len(),
        found.len().div_ceil(step),
        "length of the array"
    );
    values
        .iter()
        .zip(found.iter().step_by(step))
        .map(|(a, b)| (a.as_f64().unwrap() - f64::from(*b)).abs())
        .fold(0.0, f64::max)
}

/// A mask from alternating runs of outside and inside, row by row.
fn mask_of(runs: &Value) -> Vec<bool> {
    let runs = runs.as_array().unwrap().iter().enumerate();
    runs.flat_map(|(i, run)| std::iter::repeat_n(i % 2 == 1, run.as_u64().unwrap() as usize))
        .collect()
}

/// The embedding of the picture that `style` makes with this mask.
fn painted(bundle: &Bundle, image: &Image, style: Style, inside: &[bool]) -> (Vec<f32>, Vec<f32>) {
    let encoder = &bundle.manifest.image_encoder;
    let side = encoder.input_size;
    let mut canvas = image.canvas(UnitBox::WHOLE, side);
    let focus = &bundle.manifest.focus;
    focus.paint(style, &mut canvas.planes, inside, side);
    let batch = Tensor::new(
        &[1, 3, side, side],
        canvas.normalised(encoder.mean, encoder.std),
    );
    let embedding = bundle.image_encoder.run(&[batch]).unwrap().remove(0);
    (canvas.planes, unit(&embedding.data))
}

/// The largest differences from the reference that are no fault.
struct Bounds {
    /// Share of the mask's pixels, and pixels.
    area: (f64, i64),
    predicted_iou: f64,
    embedding: f64,
    logit: f64,
}

const FLOAT: Bounds = Bounds {
    area: (0.0, 0),
    predicted_iou: 1e-5,
    embedding: 1e-5,
    logit: 1e-4,
};
/// Seen over all kernels: 33 pixels of 17,338, 0.0006, 0.0031 and 0.088.
const INT8: Bounds = Bounds {
    area: (0.0025, 4),
    predicted_iou: 0.002,
    embedding: 0.004,
    logit: 0.12,
};

#[test]
fn every_stage_equals_the_python_reference_in_float() {
    let mut bundle = Bundle::load(&starter(), &Engine::default()).unwrap();
    let float = |file: &str| {
        let path = starter().join(file);
        Graph::read(
            &Engine::default(),
            &path,
            &std::fs::read(&path).unwrap(),
            Arithmetic::Float,
        )
        .unwrap()
    };
    bundle.segmenter_encoder = float("segmenter_encoder.onnx");
    bundle.segmenter_decoder = float("segmenter_decoder.onnx");
    bundle.image_encoder = float("image_encoder.onnx");
    check(&bundle, &FLOAT);
}

#[test]
fn every_stage_comes_near_the_python_reference_in_int8() {
    check(
        &Bundle::load(&starter(), &Engine::default()).unwrap(),
        &INT8,
    );
}

fn check(bundle: &Bundle, bounds: &Bounds) {
    let text = std::fs::read_to_string(root().join("tests/vectors/reference.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    for (name, case) in reference.as_object().unwrap() {
        let image = read(&phantom(&format!("{name}.png"))).unwrap();
        let side = bundle.manifest.segmenter.input_size;
        let pixels = image.canvas(UnitBox::WHOLE, side).planes;
        let apart = difference(&case["segmenter_input"], &pixels);
        assert!(
            apart < 1e-6,
            "{name}: resize differs from Pillow by {apart}"
        );
        for style in Style::ALL {
            check_style(bundle, bounds, (name, case), &image, style);
        }
    }
}

fn check_style(
    bundle: &Bundle,
    bounds: &Bounds,
    (name, case): (&str, &Value),
    image: &Image,
    style: Style,
) {
    let what = format!("{name}, {}", style.word());
    let overrides = Overrides {
        focus: Some(style),
        ..Overrides::default()
    };
    let reading = read_image(bundle, image, &overrides, &mut Timings::new()).unwrap();
    let area = reading.mask.bits().iter().filter(|b| **b).count() as i64;
    let expected = case["mask_area"].as_i64().unwrap();
    // A logit near zero falls to its other side here and there.
    let edge = (expected as f64 * bounds.area.0) as i64 + bounds.area.1;
    assert!(
        (area - expected).abs() <= edge,
        "{what}: area {area}, reference {expected}"
    );
    let iou = case["predicted_iou"].as_f64().unwrap();
    let apart = (f64::from(reading.predicted_iou) - iou).abs();
    assert!(
        apart < bounds.predicted_iou,
        "{what}: predicted IoU differs by {apart}"
    );

    // A pixel on the mask's edge may fall to either side by the last bit of a float, and
    // a painted picture shows it: such a style is checked on the reference's own mask.
    let repaints = !matches!(style, Style::Crop | Style::None);
    let focused = if repaints {
        let (planes, embedding) = painted(bundle, image, style, &mask_of(&case["focus_mask"]));
        let apart = difference(&case["pictures"][style.word()], &planes);
        assert!(apart < 1e-5, "{what}: picture differs by {apart}");
        embedding
    } else {
        reading.focused
    };
    let apart = difference(&case["embeddings"][style.word()], &focused);
    assert!(
        apart < bounds.embedding,
        "{what}: embedding differs by {apart}"
    );
    for exam in &bundle.exams {
        let logits = exam.head.logits(&reading.whole, &focused);
        let expected = &case["logits"][&exam.spec.name][style.word()];
        for (a, b) in expected.as_array().unwrap().iter().zip(&logits) {
            let apart = (a.as_f64().unwrap() - f64::from(*b)).abs();
            assert!(
                apart < bounds.logit,
                "{what}, {}: logit differs by {apart}",
                exam.spec.name
            );
        }
    }
}
