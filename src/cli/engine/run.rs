//! `medfocus engine run`: one ONNX graph on inputs from a JSON file.
//!
//! The graph may be anybody's: once both files are read, the child that does it ([`Place`]) gives up
//! what it does not need to compute, and only then looks at what is in them.

use std::path::{Path, PathBuf};

use clap::Args;
use medfocus::engine::{ElementType, Engine, Graph, Tensor};
use medfocus::shown;
use serde::{Deserialize, Deserializer, Serialize};

use super::super::bounded::{BoundArguments, Place};
use super::super::{Failure, put, put_json};
use super::{arithmetic, read};

#[derive(Debug, Args)]
#[command(after_help = "\
What is not ours of the graph runs in float by tract; `engine audit` lists it. What neither runs rightly
is refused by node.

The inputs are as `{\"inputs\": [{\"name\": \"x\", \"type\": \"float32\", \"shape\": [1, 3],
\"values\": [0, 1, 2]}]}`, the outputs the same under `outputs`.

Example:
  medfocus engine run model.onnx --inputs in.json --json")]
pub struct Arguments {
    /// The ONNX graph
    model: PathBuf,
    /// JSON file of the graph's inputs
    #[arg(long, value_name = "FILE")]
    inputs: PathBuf,
    /// Quantise float weights too
    #[arg(long)]
    int8: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub bounds: BoundArguments,
}

/// What the file of inputs holds; anything else in it is passed over.
#[derive(Deserialize)]
struct Inputs {
    inputs: Vec<Named>,
}

#[derive(Serialize)]
struct Outputs {
    outputs: Vec<Named>,
}

#[derive(Serialize, Deserialize)]
struct Named {
    name: String,
    r#type: String,
    shape: Vec<usize>,
    #[serde(deserialize_with = "numbers")]
    values: Vec<f32>,
}

/// Truths count as 1 and 0.
fn numbers<'de, D: Deserializer<'de>>(values: D) -> Result<Vec<f32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Truth(bool),
        Float(f32),
    }
    let values = Vec::<Number>::deserialize(values)?.into_iter();
    let values = values.map(|value| match value {
        Number::Truth(truth) => f32::from(u8::from(truth)),
        Number::Float(value) => value,
    });
    Ok(values.collect())
}

pub fn run(arguments: &Arguments, place: Place) -> Result<(), Failure> {
    let model = read(&arguments.model)?;
    let inputs = read(&arguments.inputs)?;
    let engine = Engine::default();
    place.confine();
    let graph = Graph::read_mixed(
        &engine,
        &arguments.model,
        &model,
        arithmetic(arguments.int8),
    )?;
    let given: Inputs = serde_json::from_slice(&inputs)
        .map_err(|error| wrong(&arguments.inputs, &error.to_string()))?;
    let inputs = in_order(&graph, given.inputs).map_err(|why| wrong(&arguments.inputs, &why))?;
    let outputs = graph.outputs().iter().zip(graph.run(&inputs)?);
    let outputs = outputs.zip(graph.element_types().1);
    let outputs: Vec<Named> = outputs.map(named).collect();
    if arguments.json {
        let text = serde_json::to_string(&Outputs { outputs });
        return put_json(&format!("{}\n", text.unwrap_or_default()));
    }
    put(&outputs.iter().map(line).collect::<String>())
}

fn wrong(path: &Path, why: &str) -> Failure {
    Failure::Usage(format!("{}: {why}", shown::name(path)))
}

/// The inputs in the graph's own order, by their names.
fn in_order(graph: &Graph, mut given: Vec<Named>) -> Result<Vec<Tensor>, String> {
    let inputs = graph.inputs(1).into_iter().zip(graph.element_types().0);
    let tensors = inputs.map(|((name, _), kind)| {
        let at = given.iter().position(|input| input.name == name);
        let at = at.ok_or_else(|| format!("has no input {}", shown::name(&name)))?;
        let input = given.swap_remove(at);
        let count = input
            .shape
            .iter()
            .try_fold(1_usize, |n, s| n.checked_mul(*s));
        let kind = kind.name();
        if input.r#type != kind || count != Some(input.values.len()) {
            let name = shown::name(&name);
            return Err(format!(
                "input {name} is not as many {kind} as its shape says"
            ));
        }
        Ok(Tensor::new(&input.shape, input.values))
    });
    let tensors = tensors.collect::<Result<_, _>>()?;
    // An input with a default in the graph is a constant here: another value would go unread.
    match given.first() {
        None => Ok(tensors),
        Some(Named { name, .. }) => Err(format!(
            "names {}, which is no open input of the graph",
            shown::name(name)
        )),
    }
}

fn named(((name, tensor), kind): ((&String, Tensor), ElementType)) -> Named {
    Named {
        name: name.clone(),
        r#type: kind.name().to_owned(),
        shape: tensor.shape,
        values: tensor.data,
    }
}

/// An output for people: its shape, its first values, its largest.
fn line(output: &Named) -> String {
    const FIRST: usize = 4;
    let first: Vec<String> = output
        .values
        .iter()
        .take(FIRST)
        .map(f32::to_string)
        .collect();
    let more = if output.values.len() > FIRST {
        ", ..."
    } else {
        ""
    };
    let largest = output
        .values
        .iter()
        .fold(0.0_f32, |most, v| most.max(v.abs()));
    format!(
        "{} {:?}: {}{more}; largest magnitude {largest}\n",
        shown::name(&output.name),
        output.shape,
        first.join(", ")
    )
}
