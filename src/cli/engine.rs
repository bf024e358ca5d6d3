//! `medfocus engine audit|compare|digest|run`: what each matrix product really runs in, what that
//! costs in accuracy, whether this processor comes to what others do, and any graph by itself.

mod made_up;
mod run;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use medfocus::bundle;
use medfocus::engine::{Arithmetic, Engine, Graph, Product, ProductDigest, TractNode};
use medfocus::shown;
use serde::Serialize;

use super::bounded::{self, BoundArguments, Place};
use super::{Failure, put, put_pretty, state};
pub use made_up::made_up_inputs;

#[derive(Debug, Args)]
pub struct EngineArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List every MatMul, Gemm and Conv with its shape, arithmetic, kernel and work
    Audit(Audit),
    /// Run a graph in int8 and in float on the same made-up input; say how far apart they are
    Compare(Compare),
    /// Print a digest of each int8 product, on made-up rows: the same on every processor
    Digest(Digest),
    /// Run one ONNX graph on inputs from a file, and print its outputs
    Run(run::Arguments),
}

#[derive(Debug, Args)]
pub struct Compare {
    /// The ONNX graph that is run in float; an int8 one by the floats that its codes stand for
    float: PathBuf,
    /// The same graph in int8; where none is given, the first one, quantised where it is not
    int8: Option<PathBuf>,
    /// Length of the axes that a graph leaves open
    #[arg(long, value_name = "N", default_value_t = 2)]
    open: usize,
    #[command(flatten)]
    bounds: BoundArguments,
}

#[derive(Debug, Args)]
pub struct Audit {
    /// Folder of a bundle, or one ONNX graph; the starter bundle where none is given
    target: Option<PathBuf>,
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

#[derive(Debug, Args)]
pub struct Digest {
    /// Folder of a bundle, or one ONNX graph; the starter bundle where none is given
    target: Option<PathBuf>,
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

/// Bytes of the largest file that is read: protobuf allows no more.
const MOST: u64 = 2 << 30;

/// One graph of a target: its file name, itself, and the milliseconds it took to load.
pub struct Loaded {
    pub name: String,
    pub graph: Graph,
    pub load_ms: f64,
}

pub fn run(arguments: &EngineArguments, place: Place) -> Result<(), Failure> {
    let is_file = |target: &Option<PathBuf>| target.as_ref().is_some_and(|path| path.is_file());
    let (bounds, is_file) = match &arguments.action {
        Action::Audit(audit) => (&audit.bounds, is_file(&audit.target)),
        Action::Compare(compare) => (&compare.bounds, true),
        Action::Digest(digest) => (&digest.bounds, is_file(&digest.target)),
        Action::Run(run) => (&run.bounds, true),
    };
    if place.hands_on(bounds, is_file) {
        return bounded::in_child(bounds);
    }
    match &arguments.action {
        Action::Audit(arguments) => audit(arguments, place),
        Action::Compare(arguments) => compare(arguments, place),
        Action::Digest(arguments) => digest(arguments, place),
        Action::Run(arguments) => run::run(arguments, place),
    }
}

/// What `--int8` asks for.
pub fn arithmetic(int8: bool) -> Arithmetic {
    if int8 {
        Arithmetic::Int8
    } else {
        Arithmetic::AsWritten
    }
}

/// What programs are told of one graph.
#[derive(Serialize)]
struct OfGraph<T> {
    graph: String,
    products: Vec<T>,
    /// What is not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    tract: Option<Tracts>,
}

/// The part of a graph that tract runs.
#[derive(Serialize)]
struct Tracts {
    nodes: Vec<TractNode>,
    run_bytes: RunBytes,
}

/// What a run takes beside the weights.
#[derive(Serialize)]
struct RunBytes {
    /// Of our nodes.
    exact: usize,
    /// Of tract's.
    estimated: usize,
}

fn tracts(graph: &Graph, shapes: &[Vec<usize>]) -> Result<Option<Tracts>, Failure> {
    let nodes = graph.tract_nodes(shapes.to_vec())?;
    if nodes.is_empty() {
        return Ok(None);
    }
    let (exact, estimated) = graph.run_bytes(shapes.to_vec())?;
    Ok(Some(Tracts {
        nodes,
        run_bytes: RunBytes { exact, estimated },
    }))
}

fn tract_table(tracts: &Tracts) -> String {
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let macs: u64 = tracts.nodes.iter().map(|node| node.macs).sum();
    let mut lines = vec![format!(
        "  {} nodes by tract, in float; {:.1} MMAC; a run takes {:.1} MiB and an estimated {:.1} MiB for these",
        tracts.nodes.len(),
        macs as f64 / 1e6,
        mib(tracts.run_bytes.exact),
        mib(tracts.run_bytes.estimated),
    )];
    lines.extend(tracts.nodes.iter().map(|node| {
        format!(
            "  {:<22} {:>9.2} MMAC  {}: {}",
            shown::name(&node.operator),
            node.macs as f64 / 1e6,
            shown::name(&node.node),
            shown::name(&node.why),
        )
    }));
    lines.join("\n") + "\n"
}

fn audit(audit: &Audit, place: Place) -> Result<(), Failure> {
    let mut text = String::new();
    let mut json = Vec::new();
    for Loaded { name, graph, .. } in graphs(
        &Engine::default(),
        audit.target.clone(),
        None,
        arithmetic(audit.int8),
        place,
    )? {
        let shapes = graph.inputs(audit.open).into_iter().map(|(_, shape)| shape);
        let shapes: Vec<Vec<usize>> = shapes.collect();
        let products = graph.audit(shapes.clone())?;
        let tract = tracts(&graph, &shapes)?;
        if audit.json {
            json.push(OfGraph {
                graph: name,
                products,
                tract,
            });
        } else {
            text += &table(&name, &products);
            text += &tract.as_ref().map_or_else(String::new, tract_table);
        }
    }
    if audit.json {
        return put_pretty(&json);
    }
    put(&text)
}

/// The kernel stands nowhere in it, so that what two of them write can be compared as it is.
fn digest(digest: &Digest, place: Place) -> Result<(), Failure> {
    let mut text = String::new();
    let mut json = Vec::new();
    for Loaded { name, graph, .. } in graphs(
        &Engine::default(),
        digest.target.clone(),
        None,
        arithmetic(digest.int8),
        place,
    )? {
        let shapes = graph
            .inputs(digest.open)
            .into_iter()
            .map(|(_, shape)| shape);
        let digests = graph.digests(shapes.collect())?;
        if digest.json {
            json.push(OfGraph {
                graph: name,
                products: digests,
                tract: None,
            });
            continue;
        }
        text += &format!("{}: {} int8 products\n", shown::name(&name), digests.len());
        for ProductDigest {
            node,
            shape,
            digest,
        } in digests
        {
            let [rows, inputs, outputs] = shape;
            let node = shown::name(&node);
            text += &format!("  {digest}  {rows} x {inputs} x {outputs}  {node}\n");
        }
    }
    if digest.json {
        return put_pretty(&json);
    }
    put(&text)
}

/// The graphs of a bundle's folder, prepared where they are, or the one of a file.
pub fn graphs(
    engine: &Engine,
    target: Option<PathBuf>,
    only: Option<&str>,
    arithmetic: Arithmetic,
    place: Place,
) -> Result<Vec<Loaded>, Failure> {
    let target = target.map_or_else(bundle::find, Ok)?;
    if target.is_file() {
        let bytes = read(&target)?;
        place.confine();
        return Ok(vec![of_file(engine, &target, &bytes, arithmetic)?]);
    }
    let key = state::folder(None).ok();
    let key = key.and_then(|state| bundle::prepared_key(&state));
    let graph = |file: String| {
        let since = Instant::now();
        let graph = bundle::graph(&target, &file, key.as_ref(), engine)?;
        Ok(loaded(file, graph, since))
    };
    let files = bundle::graph_files(&target)?.into_iter();
    let wanted = files.filter(|file| only.is_none_or(|only| only == file));
    wanted.map(graph).collect()
}

/// The bytes of a file that may be a graph.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("{}: {why}", shown::name(path)));
    match std::fs::metadata(path).map(|about| about.len()) {
        Ok(length) if length > MOST => Err(wrong("is larger than any graph")),
        _ => std::fs::read(path).map_err(|error| wrong(&format!("cannot be read: {error}"))),
    }
}

/// The graph of a file of anybody's.
fn of_file(
    engine: &Engine,
    path: &Path,
    bytes: &[u8],
    arithmetic: Arithmetic,
) -> Result<Loaded, Failure> {
    let since = Instant::now();
    let graph = Graph::read_mixed(engine, path, bytes, arithmetic)?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    Ok(loaded(name.to_string_lossy().into_owned(), graph, since))
}

fn loaded(name: String, graph: Graph, since: Instant) -> Loaded {
    let load_ms = since.elapsed().as_secs_f64() * 1e3;
    Loaded {
        name,
        graph,
        load_ms,
    }
}

/// The cosine between both graphs' outputs, and their distance over the float one's length.
fn compare(compare: &Compare, place: Place) -> Result<(), Failure> {
    let engine = Engine::default();
    let float = &compare.float;
    let int8 = compare.int8.as_ref().unwrap_or(float);
    let bytes = [read(float)?, read(int8)?];
    place.confine();
    let float = of_file(&engine, float, &bytes[0], Arithmetic::Float)?.graph;
    let int8 = of_file(&engine, int8, &bytes[1], Arithmetic::Int8)?.graph;
    let inputs = made_up_inputs(&float, compare.open);
    let (float, int8) = (float.run(&inputs)?, int8.run(&inputs)?);
    let mut text = String::new();
    for (i, (float, int8)) in float.iter().zip(&int8).enumerate() {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
            products.sum()
        };
        let (a, b) = (&float.data, &int8.data);
        let lengths = (dot(a, a) * dot(b, b)).sqrt();
        let apart = (dot(a, a) - 2.0 * dot(a, b) + dot(b, b)).max(0.0).sqrt();
        text += &format!(
            "output {i} {:?}: cosine {:.5}, relative distance {:.4}\n",
            float.shape,
            dot(a, b) / lengths,
            apart / dot(a, a).sqrt(),
        );
    }
    put(&text)
}

fn table(name: &str, products: &[Product]) -> String {
    let int8 = |product: &&Product| product.arithmetic == "int8";
    let all: u64 = products.iter().map(|p| p.macs).sum();
    let integer: u64 = products.iter().filter(int8).map(|p| p.macs).sum();
    let mut lines = vec![format!(
        "{}: {} products, {} of them int8; {:.1} MMAC, {:.1} % of them int8",
        shown::name(name),
        products.len(),
        products.iter().filter(int8).count(),
        all as f64 / 1e6,
        100.0 * integer as f64 / all.max(1) as f64,
    )];
    lines.extend(products.iter().map(|product| {
        let shape: Vec<String> = product.shape.iter().map(ToString::to_string).collect();
        format!(
            "  {:<12} {:>22}  {:<5}  {:<12} {:>9.2} MMAC  {}",
            product.operator,
            shape.join(" x "),
            product.arithmetic,
            product.kernel,
            product.macs as f64 / 1e6,
            shown::name(&product.node),
        )
    }));
    lines.join("\n") + "\n"
}
