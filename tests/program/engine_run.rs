//! `medfocus engine run`: any ONNX graph on inputs from a file, right or refused by node.

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::{copy_of_starter, root, seal, starter};
use medfocus::bundle::Bundle;
use medfocus::engine::{Arithmetic, Engine, Graph};

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
fn a_graph_of_whole_numbers_runs_as_its_file_says() {
    let output = run(
        "beside_indices.onnx",
        &case("beside_indices.json"),
        &["--json"],
    );
    assert!(output.status.success(), "{output:?}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["outputs"][0]["shape"], serde_json::json!([3, 3]));
}

#[test]
fn the_audit_lists_what_is_not_ours_and_why() {
    let audit = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_medfocus"))
            .args(["engine", "audit"])
            .arg(case("beside_elu.onnx"))
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = audit(&[]);
    assert!(text.contains("1 nodes by tract, in float"), "{text}");
    assert!(
        text.contains("Elu") && text.contains("v1_0: is an operator"),
        "{text}"
    );
    let json: Value = serde_json::from_str(&audit(&["--json"])).unwrap();
    let tract = &json[0]["tract"];
    assert_eq!(tract["nodes"][0]["operator"], "Elu");
    assert!(tract["run_bytes"]["estimated"].as_u64().unwrap() > 0);
    assert_eq!(json[0]["products"].as_array().unwrap().len(), 2);
}

#[test]
fn a_bundle_is_ours_alone_unless_its_manifest_says_that_it_is_mixed() {
    let bundle = copy_of_starter();
    let graph = std::fs::read(case("beside_elu.onnx")).unwrap();
    std::fs::write(bundle.path().join("image_encoder.onnx"), graph).unwrap();
    seal(bundle.path(), "image_encoder.onnx");
    let manifest = bundle.path().join("bundle.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    for (mixed, told) in [
        ("", "Elu `v1_0`: is an operator that is not known here"),
        // It is read then; its inputs are another question.
        ("mixed = true\n", "inputs are x [4, 5]"),
    ] {
        std::fs::write(&manifest, format!("{mixed}{text}")).unwrap();
        let loaded = Bundle::load(bundle.path(), &Engine::default());
        let error = loaded.unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn the_starters_graphs_are_ours_alone() {
    for file in ["segmenter_encoder", "segmenter_decoder", "image_encoder"] {
        let path = starter().join(format!("{file}.onnx"));
        let bytes = std::fs::read(&path).unwrap();
        let engine = Engine::default();
        let graph = Graph::read_mixed(&engine, &path, &bytes, Arithmetic::AsWritten).unwrap();
        let shapes = graph
            .inputs(2)
            .into_iter()
            .map(|(_, shape)| shape)
            .collect();
        assert_eq!(graph.tract_nodes(shapes).unwrap(), [], "{file}");
    }
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
            model: "beside_average_pool_ceil.onnx",
            inputs: None,
            exit: 3,
            told: "AveragePool `v0_0`: is an operator that is not known here; has ceil_mode 1",
        },
        Case {
            model: "beside_cast_of_large.onnx",
            inputs: None,
            exit: 3,
            told: "`v1_0` casts floats to whole numbers while it runs",
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
