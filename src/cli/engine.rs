//! `medfocus engine audit`: what each matrix product really runs in.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use medfocus::bundle;
use medfocus::engine::{EngineError, Graph, Product};

use super::{Failure, put};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List every MatMul, Gemm and Conv with its shape, arithmetic, kernel and work
    Audit(Audit),
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
}

/// One graph of a target: its file name and itself.
pub type Named = (String, Graph);

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let Action::Audit(audit) = &arguments.action;
    let mut text = String::new();
    let mut json = Vec::new();
    for (name, graph) in graphs(audit.target.clone(), audit.int8)? {
        let shapes = graph.inputs(audit.open).into_iter().map(|(_, shape)| shape);
        let products = graph.audit(shapes.collect())?;
        if audit.json {
            json.push(serde_json::json!({ "graph": name, "products": products }));
        } else {
            text += &table(&name, &products);
        }
    }
    if audit.json {
        text = format!("{:#}\n", serde_json::Value::Array(json));
    }
    put(text.as_bytes())
}

/// The graphs of a bundle's folder, or the one of a file.
pub fn graphs(target: Option<PathBuf>, int8: bool) -> Result<Vec<Named>, Failure> {
    let target = target.map_or_else(bundle::find, Ok)?;
    let read = |path: PathBuf, bytes: &[u8]| -> Result<Named, EngineError> {
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok((
            name.to_string_lossy().into_owned(),
            Graph::read(&path, bytes, int8)?,
        ))
    };
    if target.is_file() {
        let bytes = std::fs::read(&target).map_err(|error| {
            Failure::Usage(format!("{}: cannot be read: {error}", target.display()))
        })?;
        return Ok(vec![read(target, &bytes)?]);
    }
    let checked = bundle::verify(&target)?;
    let segmenter = &checked.manifest.segmenter;
    let files = [
        &segmenter.encoder,
        &segmenter.decoder,
        &checked.manifest.image_encoder.graph,
    ];
    let graphs = files
        .into_iter()
        .map(|file| read(target.join(file), &checked.files[file]));
    Ok(graphs.collect::<Result<_, _>>()?)
}

fn table(name: &str, products: &[Product]) -> String {
    let int8 = |product: &&Product| product.arithmetic == "int8";
    let all: u64 = products.iter().map(|p| p.macs).sum();
    let integer: u64 = products.iter().filter(int8).map(|p| p.macs).sum();
    let mut lines = vec![format!(
        "{name}: {} products, {} of them int8; {:.1} MMAC, {:.1} % of them int8",
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
            product.node,
        )
    }));
    lines.join("\n") + "\n"
}
