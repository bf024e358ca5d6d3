//! Every int8 form of ONNX against onnxruntime, on the graph of `scripts/int8_forms.py`;
//! and graphs that must be refused by node.

use std::path::PathBuf;

use crate::common::root;
use medfocus::engine::{Arithmetic, Engine, EngineError, Graph, Tensor};
use serde_json::Value;

const FORMS: [&str; 7] = [
    "weight_only",
    "dynamic",
    "dynamic_u8",
    "dynamic_conv",
    "qdq_u8",
    "qdq_s8",
    "qlinear",
];

fn vectors(file: &str) -> PathBuf {
    root().join("tests/vectors/int8").join(file)
}

fn reference() -> Value {
    let text = std::fs::read_to_string(vectors("reference.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn floats(value: &Value) -> Vec<f32> {
    let values = value.as_array().unwrap().iter();
    values.map(|v| v.as_f64().unwrap() as f32).collect()
}

fn read(name: &str, arithmetic: Arithmetic) -> Graph {
    let path = vectors(&format!("{name}.onnx"));
    Graph::read(
        &Engine::default(),
        &path,
        &std::fs::read(&path).unwrap(),
        arithmetic,
    )
    .unwrap_or_else(|e| panic!("{e}"))
}

/// `|a - b| / |b|`, in the Euclidean norm.
fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    norm(&mut a.iter().zip(b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

fn outputs(graph: &Graph, pixels: &Value) -> Vec<Tensor> {
    let pixels = Tensor::new(&[2, 3, 16, 16], floats(pixels));
    graph.run(&[pixels]).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn every_form_runs_in_int8_and_as_onnxruntime_runs_it() {
    let reference = reference();
    let mut wrong = Vec::new();
    for form in FORMS {
        let graph = read(form, Arithmetic::AsWritten);
        for (i, output) in outputs(&graph, &reference["pixels"]).iter().enumerate() {
            let to_float = apart(&output.data, &floats(&reference["float"][i]));
            let to_form = apart(&output.data, &floats(&reference[form][i]));
            let their_own = apart(
                &floats(&reference[form][i]),
                &floats(&reference["float"][i]),
            );
            // No further from the float graph than the form itself, give or take the
            // rounding of activations; and both errors together bound the third side.
            if to_float > their_own + 0.015 || to_form > 2.0 * their_own + 0.015 {
                wrong.push(format!(
                    "{form}, output {i}: {to_float} from float, {to_form} from onnxruntime, \
                     which is {their_own} from float"
                ));
            }
        }
        let products = graph.audit(vec![vec![2, 3, 16, 16]]).unwrap();
        // Products of two activations have no weights. In forms that bound the scores by codes
        // they stand apart from the softmax between them.
        let of_activations = ["attention", "matmul"];
        let weighted = products.iter();
        let weighted = weighted.filter(|p| !of_activations.contains(&p.operator));
        let in_float: Vec<&str> = weighted
            .filter(|p| p.arithmetic != "int8")
            .map(|p| p.node.as_str())
            .collect();
        let expected: &[&str] = match form {
            // These two forms leave the others in float: the file says so.
            "dynamic" | "dynamic_u8" => &["patch"],
            "dynamic_conv" => &["qkv.mm", "out.mm", "up.mm", "down.mm", "logits_MatMul"],
            _ => &[],
        };
        let mut expected: Vec<&str> = expected.to_vec();
        let mut in_float = in_float;
        expected.sort_unstable();
        in_float.sort_unstable();
        if in_float != expected {
            wrong.push(format!(
                "{form}: {in_float:?} run in float; expected {expected:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn float_is_exact_and_turns_int8_on_request() {
    let reference = reference();
    for (arithmetic, within) in [(Arithmetic::AsWritten, 1e-4), (Arithmetic::Int8, 0.05)] {
        let graph = read("float", arithmetic);
        for (i, output) in outputs(&graph, &reference["pixels"]).iter().enumerate() {
            let found = apart(&output.data, &floats(&reference["float"][i]));
            assert!(found < within, "{arithmetic:?}, output {i}: {found}");
        }
    }
}

#[test]
fn each_image_of_a_batch_is_answered_by_itself() {
    let reference = reference();
    let graph = read("weight_only", Arithmetic::AsWritten);
    let both = outputs(&graph, &reference["pixels"]);
    let pixels = floats(&reference["pixels"]);
    for (i, one) in pixels.chunks(3 * 16 * 16).enumerate() {
        let alone = graph
            .run(&[Tensor::new(&[1, 3, 16, 16], one.to_vec())])
            .unwrap();
        for (alone, both) in alone.iter().zip(&both) {
            let length = alone.data.len();
            assert_eq!(alone.data, both.data[i * length..][..length]);
        }
    }
}

#[test]
fn wrong_inputs_are_refused_before_anything_runs() {
    let graph = read("weight_only", Arithmetic::AsWritten);
    let cases: [&[usize]; 4] = [
        &[1, 3, 16],
        &[1, 4, 16, 16],
        &[1, 3, 16, 15],
        &[1, 3, 32, 16],
    ];
    for shape in cases {
        let input = Tensor::new(shape, vec![0.0; shape.iter().product()]);
        let error = graph.run(&[input]).unwrap_err();
        assert!(
            matches!(error, EngineError::Run { .. }),
            "{shape:?}: {error}"
        );
        assert!(
            error.to_string().contains("pixels [?, 3, 16, 16]"),
            "{error}"
        );
    }
    assert!(graph.run(&[]).is_err());
}

#[test]
fn a_value_that_is_no_number_is_told() {
    let graph = read("weight_only", Arithmetic::AsWritten);
    let mut data = vec![0.0; 3 * 16 * 16];
    data[5] = f32::NAN;
    let error = graph
        .run(&[Tensor::new(&[1, 3, 16, 16], data)])
        .unwrap_err();
    assert!(
        matches!(error, EngineError::NotFinite { output: 0, .. }),
        "{error}"
    );
}

/// Every cut of a file, and bytes changed here and there, give an error or a graph; never
/// a panic.
#[test]
fn damaged_graphs_never_panic() {
    let path = vectors("qlinear.onnx");
    let bytes = std::fs::read(&path).unwrap();
    for cut in (0..bytes.len()).step_by(997) {
        let _ = Graph::read(
            &Engine::default(),
            &path,
            &bytes[..cut],
            Arithmetic::AsWritten,
        );
    }
    let mut spoilt = bytes.clone();
    for at in (0..bytes.len()).step_by(61) {
        spoilt[at] ^= 0x55;
        if let Ok(graph) = Graph::read(&Engine::default(), &path, &spoilt, Arithmetic::AsWritten) {
            let shapes = graph
                .inputs(1)
                .into_iter()
                .map(|(_, shape)| shape)
                .collect();
            let _ = graph.audit(shapes);
        }
        spoilt[at] = bytes[at];
    }
}
