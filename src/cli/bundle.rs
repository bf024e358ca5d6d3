//! `medfocus bundle verify|inspect`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use medfocus::bundle::{self, Bundle};

use super::Failure;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hash every file, load every graph and head; say which file is broken
    Verify {
        /// Folder of the bundle; the starter bundle where none is given
        folder: Option<PathBuf>,
    },
    /// Show what a bundle holds: exams, classes, graphs, sizes, hashes
    Inspect {
        /// Folder of the bundle; the starter bundle where none is given
        folder: Option<PathBuf>,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let (Action::Verify { folder } | Action::Inspect { folder }) = &arguments.action;
    let folder = folder.clone().map_or_else(bundle::find, Ok)?;
    let checked = bundle::verify(&folder)?;
    if matches!(arguments.action, Action::Inspect { .. }) {
        inspect(&checked);
        return Ok(());
    }
    let bundle = Bundle::load(&folder)?;
    println!(
        "{}: {} {} is whole: {} files, {} exams, SHA-256 {}",
        folder.display(),
        bundle.id.name,
        bundle.id.version,
        checked.files.len() + 1,
        bundle.exams.len(),
        bundle.id.sha256
    );
    Ok(())
}

fn inspect(checked: &bundle::Checked) {
    let m = &checked.manifest;
    println!("{} {}  ({})", m.name, m.version, checked.folder.display());
    println!("  intended use   {}: not for care", m.intended_use.word());
    println!(
        "  segmenter      {} px, prompt {:?}, {} + {}",
        m.segmenter.input_size, m.segmenter.prompt, m.segmenter.encoder, m.segmenter.decoder
    );
    println!(
        "  image encoder  {} px, embedding {}, {}",
        m.image_encoder.input_size, m.image_encoder.embedding, m.image_encoder.graph
    );
    println!("  focus          {}", m.focus.style.word());
    for exam in &m.exams {
        let (modalities, parts) = (exam.modalities.join("/"), exam.body_parts.join("/"));
        println!(
            "  exam           {}: {} ({modalities} {parts})",
            exam.name, exam.title
        );
        for class in &exam.classes {
            let level = class.triage_level.word();
            println!(
                "                 - {}: {} ({level})",
                class.name, class.label
            );
        }
    }
    println!("  sha256         {}", checked.sha256);
    for (name, hash) in &m.files {
        println!(
            "  {:>9} B  {}  {name}",
            checked.files[name].len(),
            &hash[..16]
        );
    }
}
