//! `medfocus engine run`: any ONNX graph on inputs from a file, right or refused by node.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::root;

fn case(file: &str) -> PathBuf {
    root().join("src/engine/tests/cases").join(file)
}

fn run(model: &str, inputs: &std::path::Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_medfocus"))
        .args(["engine", "run"])
        .arg(case(model))
        .arg("--inputs")
        .arg(inputs)
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn outputs_are_onnxruntimes() {
    let inputs = case("gelu_tanh.json");
    let output = run("gelu_tanh.onnx", &inputs, &["--json"]);
    assert!(output.status.success(), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected: Value = serde_json::from_slice(&std::fs::read(&inputs).unwrap()).unwrap();
    let (found, expected) = (&found["outputs"][0], &expected["outputs"][0]);
    for key in ["name", "type", "shape"] {
        assert_eq!(found[key], expected[key], "{key}");
    }
    let values = |of: &Value| -> Vec<f64> {
        let values = of["values"].as_array().unwrap().iter();
        values.map(|v| v.as_f64().unwrap()).collect()
    };
    let pairs = values(found).into_iter().zip(values(expected));
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-5));

    let text = run("gelu_tanh.onnx", &inputs, &[]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("[3, 9]") && text.contains("largest magnitude"),
        "{text}"
    );
}

#[test]
fn what_is_not_understood_is_refused_by_node_and_reason() {
    struct Case {
        model: &'static str,
        /// In place of the case's own.
        inputs: Option<&'static str>,
        exit: i32,
        told: &'static str,
    }
    let cases = [
        Case {
            model: "resize_antialias.onnx",
            inputs: None,
            exit: 3,
            told: "Resize `v0_0`: has antialias 1; only 0 is known here",
        },
        Case {
            model: "slice_steps.onnx",
            inputs: None,
            exit: 3,
            told: "Slice `v0_0`: slices in steps",
        },
        Case {
            model: "clip_attributes.onnx",
            inputs: Some("{\"inputs\": []}"),
            exit: 2,
            told: "has no input x",
        },
        Case {
            model: "clip_attributes.onnx",
            inputs: Some(
                "{\"inputs\": [{\"name\": \"x\", \"type\": \"int64\", \"shape\": [1], \"values\": [1]}]}",
            ),
            exit: 2,
            told: "input x is not as many float32 as its shape says",
        },
        Case {
            model: "clip_attributes.onnx",
            inputs: Some(
                "{\"inputs\": [{\"name\": \"x\", \"type\": \"float32\", \"shape\": [1], \"values\": [1]},
                  {\"name\": \"y\", \"type\": \"float32\", \"shape\": [1], \"values\": [1]}]}",
            ),
            exit: 2,
            told: "names y, which is no open input of the graph",
        },
        Case {
            model: "clip_attributes.onnx",
            inputs: Some("no JSON"),
            exit: 2,
            told: "expected",
        },
        Case {
            model: "no_such_graph.onnx",
            inputs: Some("{\"inputs\": []}"),
            exit: 2,
            told: "cannot be read",
        },
    ];
    let folder = tempfile::tempdir().unwrap();
    for Case {
        model,
        inputs,
        exit,
        told,
    } in cases
    {
        let own = case(model).with_extension("json");
        let path = match inputs {
            None => own,
            Some(text) => {
                let path = folder.path().join("in.json");
                std::fs::write(&path, text).unwrap();
                path
            }
        };
        let output = run(model, &path, &["--json"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains(told), "{model}: {error}");
        assert_eq!(output.status.code(), Some(exit), "{model}: {error}");
        assert!(output.stdout.is_empty(), "{model}");
    }
}
