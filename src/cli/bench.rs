//! `medfocus bench`: how long a graph takes, operator by operator.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use clap::Args;
use medfocus::engine::{Engine, Profile, Settings, median};
use medfocus::shown;
use serde::Serialize;

use super::bounded::{self, BoundArguments, Place};
use super::{Failure, engine as engine_cli, put, put_pretty};

#[derive(Debug, Args)]
#[command(after_help = "\
Inputs are made up, the same at every run. Times depend on the machine and on what else
runs on it: compare only what was measured in the same minute.

Examples:
  medfocus bench
  medfocus bench image_encoder.onnx --threads 1 --open 2 --json")]
pub struct BenchArguments {
    /// Folder of a bundle, or one ONNX graph; the starter bundle where none is given
    target: Option<PathBuf>,
    /// Only the graph of this file
    #[arg(long, value_name = "FILE")]
    graph: Option<String>,
    /// Runs that count
    #[arg(long, value_name = "N", default_value_t = 20)]
    runs: usize,
    /// Runs before them that do not
    #[arg(long, value_name = "N", default_value_t = 3)]
    warm_up: usize,
    /// Threads to use; 0 means the physical cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Length of the axes that a graph leaves open
    #[arg(long, value_name = "N", default_value_t = 2)]
    open: usize,
    /// Quantise float weights too
    #[arg(long)]
    int8: bool,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    bounds: BoundArguments,
}

/// Steps in the table of the slowest.
const SLOWEST: usize = 12;

/// What programs are told.
#[derive(Serialize)]
struct AllMeasured {
    threads: usize,
    peak_bytes: Option<u64>,
    graphs: Vec<Measured>,
}

#[derive(Serialize)]
struct Measured {
    graph: String,
    load_ms: f64,
    median_ms: f64,
    profile: Profile,
}

pub fn run(arguments: &BenchArguments, place: Place) -> Result<(), Failure> {
    let is_file = arguments.target.as_ref().is_some_and(|path| path.is_file());
    if place.hands_on(&arguments.bounds, is_file) {
        return bounded::in_child(&arguments.bounds);
    }
    let engine = Engine::new(&Settings {
        threads: arguments.threads,
        ..Settings::default()
    });
    let threads = engine.threads();
    // A confined process opens nothing later.
    let status = File::open("/proc/self/status").ok();
    let only = arguments.graph.as_deref();
    let graphs = engine_cli::graphs(
        &engine,
        arguments.target.clone(),
        only,
        engine_cli::arithmetic(arguments.int8),
        place,
    )?;
    let mut text = format!("{threads} threads\n");
    let mut profiles = Vec::new();
    for engine_cli::Loaded {
        name,
        graph,
        load_ms,
    } in graphs
    {
        let inputs = engine_cli::made_up_inputs(&graph, arguments.open);
        let profile = graph.profile(&inputs, arguments.warm_up, arguments.runs.max(1))?;
        if arguments.json {
            profiles.push(Measured {
                graph: name,
                load_ms,
                median_ms: median(profile.runs_ms.clone()),
                profile,
            });
        } else {
            text += &table(&name, load_ms, &profile);
        }
    }
    let peak = status.as_ref().and_then(peak_bytes);
    if arguments.json {
        return put_pretty(&AllMeasured {
            threads,
            peak_bytes: peak,
            graphs: profiles,
        });
    }
    if let Some(peak) = peak {
        text += &format!("peak memory of the process {:.1} MiB\n", mib(peak as usize));
    }
    put(&text)
}

fn table(name: &str, load_ms: f64, profile: &Profile) -> String {
    let fastest = profile
        .runs_ms
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min);
    let mut lines = vec![format!(
        "{}: median {:.2} ms, fastest {fastest:.2} ms of {} runs; loaded in {load_ms:.1} ms, planned in {:.1} ms; \
         {:.1} MiB beside {:.1} MiB of weights",
        shown::name(name),
        median(profile.runs_ms.clone()),
        profile.runs_ms.len(),
        profile.plan_ms,
        mib(profile.arena_bytes),
        mib(profile.weight_bytes),
    )];
    let mut operators: BTreeMap<&str, (usize, f64, u64)> = BTreeMap::new();
    for step in &profile.steps {
        let (count, ms, macs) = operators.entry(step.operator).or_default();
        *count += 1;
        *ms += step.median_ms;
        *macs += step.macs;
    }
    let mut operators: Vec<_> = operators.into_iter().collect();
    operators.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    lines.extend(operators.iter().map(|(name, (count, ms, macs))| {
        format!(
            "  {name:<12} {count:>4} steps  {ms:>9.3} ms  {}",
            rate(*macs, *ms)
        )
    }));
    let mut slowest: Vec<_> = profile.steps.iter().collect();
    slowest.sort_by(|a, b| b.median_ms.total_cmp(&a.median_ms));
    lines.extend(slowest.iter().take(SLOWEST).map(|step| {
        let rate = rate(step.macs, step.median_ms);
        format!(
            "    {:<12} {:>9.3} ms  {rate:>14}  {}",
            step.operator,
            step.median_ms,
            shown::name(&step.node)
        )
    }));
    lines.join("\n") + "\n"
}

fn rate(macs: u64, ms: f64) -> String {
    if macs == 0 {
        return String::new();
    }
    format!("{:.1} GMAC/s", macs as f64 / ms / 1e6)
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The most memory that this process has held, where the system tells.
fn peak_bytes(status: &File) -> Option<u64> {
    let mut text = [0; 1 << 13];
    let length = status.read_at(&mut text, 0).ok()?;
    let text = String::from_utf8_lossy(&text[..length]);
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}
