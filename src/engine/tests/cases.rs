//! Small graphs as exporters and quantisers write them, with onnxruntime's answers: each comes
//! out right, or is refused by node and reason; never another number. `scripts/onnx_cases` makes
//! those in `tests/cases`; `MEDFOCUS_CASES=FOLDER` adds another folder of the same form.

use std::path::{Path, PathBuf};

use medfocus_engine::{Arithmetic, Engine, EngineError, Graph, Tensor};
use serde_json::Value;

/// What became of a case.
#[derive(Debug)]
enum Found {
    Right,
    Refused,
    Wrong(String),
}

fn tensors(values: &Value) -> Option<Vec<Tensor>> {
    let tensor = |value: &Value| {
        let shape: Option<Vec<usize>> = value["shape"]
            .as_array()?
            .iter()
            .map(|side| Some(side.as_u64()? as usize))
            .collect();
        let number = |v: &Value| match v {
            Value::Bool(truth) => Some(f32::from(u8::from(*truth))),
            Value::String(word) => word.parse().ok(),
            other => Some(other.as_f64()? as f32),
        };
        let data: Option<Vec<f32>> = flat(&value["values"]).into_iter().map(number).collect();
        Some(Tensor::new(&shape?, data?))
    };
    values.as_array()?.iter().map(tensor).collect()
}

/// Nested lists as one.
fn flat(values: &Value) -> Vec<&Value> {
    match values.as_array() {
        Some(values) => values.iter().flat_map(flat).collect(),
        None => vec![values],
    }
}

fn run(path: &Path, reference: &Value) -> Result<Vec<Tensor>, EngineError> {
    let bytes = std::fs::read(path).unwrap();
    let graph = Graph::read_mixed(&Engine::default(), path, &bytes, Arithmetic::AsWritten)?;
    // In the graph's own order, by name.
    let inputs = reference["inputs"].as_array().unwrap();
    let all = tensors(&reference["inputs"]).unwrap();
    let of = |name: &str| inputs.iter().position(|input| input["name"] == name);
    let inputs: Vec<Tensor> = graph
        .inputs(1)
        .iter()
        .map(|(name, _)| all[of(name).unwrap()].clone())
        .collect();
    graph.run(&inputs)
}

/// Whether a graph rounds to 8 bits: then two steps of a range are no other answer.
fn has_codes(path: &Path) -> bool {
    let bytes = std::fs::read(path).unwrap();
    let names: [&[u8]; 5] = [
        b"DynamicQuantize",
        b"QuantizeLinear",
        b"DequantizeLinear",
        b"QLinear",
        b"Integer",
    ];
    names
        .iter()
        .any(|name| bytes.windows(name.len()).any(|part| part == *name))
}

fn judge(path: &Path) -> Found {
    let reference = std::fs::read(path.with_extension("json")).unwrap();
    let reference: Value = serde_json::from_slice(&reference).unwrap();
    let found = match run(path, &reference) {
        Ok(found) => found,
        // By node or by value, which stands between these; or as an infinity, by its output.
        Err(EngineError::Load { why, .. } | EngineError::Run { why, .. })
            if why.matches('`').count() >= 2 || why.starts_with("is of opset") =>
        {
            println!("  {why}");
            return Found::Refused;
        }
        Err(EngineError::NotFinite { .. }) => return Found::Refused,
        Err(error) => return Found::Wrong(error.to_string()),
    };
    let expected = tensors(&reference["outputs"]).unwrap();
    let within = if has_codes(path) { 0.02 } else { 1e-4 };
    if found.len() != expected.len() {
        return Found::Wrong(format!("{} outputs", found.len()));
    }
    for (found, expected) in found.iter().zip(&expected) {
        if found.shape != expected.shape {
            let shapes = (&found.shape, &expected.shape);
            return Found::Wrong(format!("shapes {shapes:?}"));
        }
        let largest = expected
            .data
            .iter()
            .fold(1e-2_f32, |most, v| most.max(v.abs()));
        let pairs = found.data.iter().zip(&expected.data);
        let apart = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if apart.is_nan() || apart > within * largest {
            return Found::Wrong(format!("{apart} apart of {largest}"));
        }
    }
    Found::Right
}

#[test]
fn every_case_is_right_or_refused_by_node() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let others = std::env::var_os("MEDFOCUS_CASES").map(PathBuf::from);
    let (mut right, mut refused, mut wrong) = (0, 0, Vec::new());
    for folder in std::iter::once(own).chain(others) {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "onnx"))
            .collect();
        paths.sort();
        for path in paths {
            let found = judge(&path);
            println!("{}: {found:?}", path.file_stem().unwrap().display());
            match found {
                Found::Right => right += 1,
                Found::Refused => refused += 1,
                Found::Wrong(why) => wrong.push(format!("{}: {why}", path.display())),
            }
        }
    }
    println!("{right} right, {refused} refused, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(right >= 1);
}
