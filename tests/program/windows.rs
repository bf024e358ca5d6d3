//! Windows that reach over the edge of their map: what fills them up takes part in the
//! attention, and nothing is computed for it that nobody reads.

use std::path::Path;

use medfocus::engine::{Arithmetic, Engine, Graph, Tensor};
use serde_json::Value;

/// The largest difference from onnxruntime's answer, and that answer's largest value.
fn differences(arithmetic: Arithmetic) -> (f32, f32) {
    let folder = Path::new("tests/vectors/windows");
    let reference = std::fs::read(folder.join("reference.json")).unwrap();
    let reference: Value = serde_json::from_slice(&reference).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let values = reference[name].as_array().unwrap();
        values.iter().map(|v| v.as_f64().unwrap() as f32).collect()
    };
    let path = folder.join("blocks.onnx");
    let graph = Graph::read(
        &Engine::default(),
        &path,
        &std::fs::read(&path).unwrap(),
        arithmetic,
    )
    .unwrap();
    let tokens = Tensor::new(&[1, 10, 10, 16], floats("tokens"));
    let (found, wanted) = (graph.run(&[tokens]).unwrap(), floats("y"));
    assert_eq!(found[0].shape, [1, 5, 5, 32]);
    let pairs = found[0].data.iter().zip(&wanted);
    let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let spread = wanted.iter().map(|v| v.abs()).fold(0.0, f32::max);
    (apart, spread)
}

#[test]
fn padded_windows_are_as_onnxruntime_computes_them() {
    let (apart, spread) = differences(Arithmetic::AsWritten);
    assert!(apart < 1e-4 * spread, "{apart} of {spread}");
    let (apart, spread) = differences(Arithmetic::Int8);
    assert!(apart < 0.05 * spread, "{apart} of {spread}");
}
