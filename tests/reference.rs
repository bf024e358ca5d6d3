//! The pipeline against Python: Pillow's resize, PyTorch's upsampling and focus styles,
//! onnxruntime's graphs and the fusion head's formula, from
//! `scripts/starter/vectors.py` on the shipped phantoms.

mod common;

use common::{phantom, root, starter};
use medfocus::bundle::Bundle;
use medfocus::focus::Style;
use medfocus::image::{UnitBox, read};
use medfocus::pipeline::{Overrides, Timings, read as read_image};
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

#[test]
fn every_stage_equals_the_python_reference() {
    let text = std::fs::read_to_string(root().join("tests/vectors/reference.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let bundle = Bundle::load(&starter()).unwrap();
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
            let overrides = Overrides {
                focus: Some(style),
                ..Overrides::default()
            };
            let reading = read_image(&bundle, &image, &overrides, &mut Timings::new()).unwrap();
            let what = format!("{name}, {}", style.word());
            let area = reading.mask.bits().iter().filter(|b| **b).count() as i64;
            let expected = case["mask_area"].as_i64().unwrap();
            assert!(
                (area - expected).abs() <= 4,
                "{what}: area {area}, reference {expected}"
            );
            let iou = case["predicted_iou"].as_f64().unwrap();
            assert!(
                (f64::from(reading.predicted_iou) - iou).abs() < 1e-4,
                "{what}: IoU"
            );
            let apart = difference(&case["embeddings"][style.word()], &reading.focused);
            assert!(apart < 1e-4, "{what}: embedding differs by {apart}");
            for exam in &bundle.exams {
                let logits = exam.head.logits(&reading.whole, &reading.focused);
                let expected = case["logits"][&exam.spec.name][style.word()]
                    .as_array()
                    .unwrap();
                for (a, b) in expected.iter().zip(&logits) {
                    let apart = (a.as_f64().unwrap() - f64::from(*b)).abs();
                    assert!(
                        apart < 1e-3,
                        "{what}, {}: logit differs by {apart}",
                        exam.spec.name
                    );
                }
            }
        }
    }
}
