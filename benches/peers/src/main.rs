//! One process of one other runtime: loads an ONNX graph, runs it, tells what that took, as
//! JSON in the form of `scripts/peers/worker.py`:
//!
//!     peers tract|rten GRAPH THREADS RUNS WARM_UP

mod rten;
mod tract;

use std::time::Instant;

use anyhow::{Context, Result, bail};

/// A graph that is loaded.
trait Loaded {
    /// Each input's name and sides; `None` for a side that the graph leaves open, with its
    /// name.
    fn inputs(&self) -> Result<Vec<(String, Vec<Side>)>>;
    /// Settles the inputs' shapes; part of what loading takes.
    fn prepare(&mut self, inputs: &[Input]) -> Result<()>;
    /// Runs once.
    fn run(&self, inputs: &[Input]) -> Result<()>;
}

/// A side of an input.
enum Side {
    Fixed(usize),
    Open(String),
}

/// An input's values.
struct Input {
    shape: Vec<usize>,
    values: Vec<f32>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [runtime, graph, numbers @ ..] = arguments.as_slice() else {
        bail!("peers tract|rten GRAPH THREADS RUNS WARM_UP");
    };
    let numbers: Vec<usize> = numbers
        .iter()
        .map(|n| n.parse())
        .collect::<Result<_, _>>()?;
    let [threads, runs, warm_up] = numbers[..] else {
        bail!("THREADS RUNS WARM_UP are three numbers");
    };
    let since = Instant::now();
    let mut loaded: Box<dyn Loaded> = match runtime.as_str() {
        "tract" => Box::new(tract::load(graph, threads)?),
        "rten" => Box::new(rten::load(graph, threads)?),
        other => bail!("{other} is neither tract nor rten"),
    };
    let mut load_ms = milliseconds(since);
    let inputs = loaded.inputs()?.into_iter().map(made_up);
    let inputs: Vec<Input> = inputs.collect();
    let since = Instant::now();
    loaded.prepare(&inputs)?;
    load_ms += milliseconds(since);
    let mut runs_ms = Vec::new();
    for i in 0..warm_up + runs {
        let since = Instant::now();
        loaded.run(&inputs)?;
        if i >= warm_up {
            runs_ms.push(milliseconds(since));
        }
    }
    let told = serde_json::json!({
        "load_ms": load_ms, "runs_ms": runs_ms, "peak_bytes": peak_bytes()?,
    });
    println!("{told}");
    Ok(())
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// What `worker.py` feeds: two prompts, one image, values without a pattern.
fn made_up((name, sides): (String, Vec<Side>)) -> Input {
    let side = |side: Side| match side {
        Side::Fixed(side) => side,
        Side::Open(name) if name == "count" => 2,
        Side::Open(_) => 1,
    };
    let shape: Vec<usize> = sides.into_iter().map(side).collect();
    let mut state = 1_u32;
    let value = |i: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let value = (state >> 8) as f32 / (1 << 24) as f32;
        match name.as_str() {
            "labels" => 2.0 + (i % 2) as f32,
            "points" => value * 128.0,
            _ => value * 2.0 - 1.0,
        }
    };
    let values = (0..shape.iter().product()).map(value).collect();
    Input { shape, values }
}

/// The most memory that this process has held.
fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .context("no VmHWM")?
        .trim()
        .trim_end_matches("kB")
        .trim()
        .parse()?;
    Ok(kib << 10)
}
