//! `medfocus bundle verify|prepare|inspect`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use medfocus::bundle::{self, Bundle};
use medfocus::gate::GateSpec;
use medfocus::self_test;

use super::{Failure, put};

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hash every file, load every graph and head, reproduce the known answers
    Verify {
        /// Folder of the bundle; the starter bundle where none is given
        folder: Option<PathBuf>,
    },
    /// Pack the graphs for this CPU, in a folder beside the bundle: starts are quicker
    Prepare {
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
    let (Action::Verify { folder } | Action::Prepare { folder } | Action::Inspect { folder }) =
        &arguments.action;
    let folder = folder.clone().map_or_else(bundle::find, Ok)?;
    if matches!(arguments.action, Action::Prepare { .. }) {
        return put(prepare(&folder)?.as_bytes());
    }
    let checked = bundle::verify(&folder)?;
    let text = if matches!(arguments.action, Action::Inspect { .. }) {
        inspect(&checked)
    } else {
        let files = checked.files.len() + 1;
        verify(&folder, files, &Bundle::load(&folder)?)?
    };
    put(text.as_bytes())
}

fn prepare(folder: &Path) -> Result<String, Failure> {
    let files = bundle::prepare(folder)?.into_iter();
    let line = |(file, bytes): (PathBuf, u64)| {
        format!("{}: {:.1} MB\n", file.display(), bytes as f64 / 1e6)
    };
    Ok(files.map(line).collect())
}

fn verify(folder: &Path, files: usize, bundle: &Bundle) -> Result<String, Failure> {
    let passed = self_test::run(bundle)?;
    Ok(format!(
        "{}: {} {} is whole: {files} files, {} exams, SHA-256 {}\n\
         known answers: {} images reproduced; probabilities within {:.0e}, areas within {:.0e}\n",
        folder.display(),
        bundle.id.name,
        bundle.id.version,
        bundle.exams.len(),
        bundle.id.sha256,
        passed.images,
        passed.probability,
        passed.area_fraction
    ))
}

/// What the gate lets pass.
fn gate(gate: Option<&GateSpec>) -> Vec<String> {
    let Some(gate) = gate else {
        return vec!["  gate           none: every image is shown to the models".to_owned()];
    };
    let [dark, bright] = gate.brightness;
    let mut lines = vec![
        format!("  gate           {} px, {}", gate.input_size, gate.graph),
        format!("                 - coloured up to {}", gate.coloured_up_to),
        format!("                 - brightness from {dark} to {bright}"),
        format!("                 - contrast from {}", gate.contrast_from),
        format!("                 - content from {}", gate.content_from),
    ];
    lines.extend(gate.kinds.iter().map(|kind| {
        format!(
            "                 - {} upright from {}, sharpness from {}",
            kind.name, kind.accept_from, kind.sharpness_from
        )
    }));
    lines
}

fn inspect(checked: &bundle::Checked) -> String {
    let m = &checked.manifest;
    let mut lines = vec![
        format!("{} {}  ({})", m.name, m.version, checked.folder.display()),
        format!("  intended use   {}: not for care", m.intended_use.word()),
        format!(
            "  segmenter      {} px, prompt {}, {} + {}",
            m.segmenter.input_size, m.segmenter.prompt, m.segmenter.encoder, m.segmenter.decoder
        ),
        format!(
            "  image encoder  {} px, embedding {}, {}",
            m.image_encoder.input_size, m.image_encoder.embedding, m.image_encoder.graph
        ),
        format!("  focus          {}", m.focus.style.word()),
    ];
    lines.extend(gate(m.gate.as_ref()));
    let floats = m.segmenter.float_layers.iter();
    let floats: Vec<&str> = floats
        .chain(&m.image_encoder.float_layers)
        .map(String::as_str)
        .collect();
    if !floats.is_empty() {
        lines.push(format!("  in float       {}", floats.join(", ")));
    }
    for exam in &m.exams {
        let (modalities, parts) = (exam.modalities.join("/"), exam.body_parts.join("/"));
        lines.push(format!(
            "  exam           {}: {} ({modalities} {parts})",
            exam.name, exam.title
        ));
        lines.extend(exam.classes.iter().map(|class| {
            let level = class.triage_level.word();
            format!(
                "                 - {}: {} ({level})",
                class.name, class.label
            )
        }));
        lines.push(match &exam.guard {
            Some(guard) => format!(
                "                 guard up to {}, {}",
                guard.up_to, guard.file
            ),
            None => "                 guard none: answers whatever it is shown".to_owned(),
        });
    }
    lines.push(format!("  sha256         {}", checked.sha256));
    lines.extend(m.files.iter().map(|(name, hash)| {
        let bytes = checked.files[name].len();
        format!("  {bytes:>9} B  {}  {name}", &hash[..16])
    }));
    lines.join("\n") + "\n"
}
