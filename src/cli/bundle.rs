//! `medfocus bundle verify|prepare|install|rollback|inspect|sign|make-key`.

mod install;
mod signing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use medfocus::bundle::{self, Bundle, ExamSpec};
use medfocus::engine::Engine;
use medfocus::gate::{GateSpec, Unsaid};
use medfocus::{self_test, shown};

use super::state::StateFolder;
pub use install::{Terms, put_in_use};

use super::{Failure, owner, put, trust};

#[derive(Debug, Args)]
pub struct BundleArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Hash every file, load every graph and head, reproduce the known answers
    Verify {
        /// Folder of the bundle; the starter bundle where none is given
        folder: Option<PathBuf>,
        #[command(flatten)]
        trust: trust::TrustArguments,
    },
    /// Pack the graphs for this CPU, in a folder beside the bundle: starts are quicker
    Prepare {
        /// Folder of the bundle; the starter bundle where none is given
        folder: Option<PathBuf>,
        #[command(flatten)]
        state: StateFolder,
    },
    /// Copy a bundle to a device, verify the copy by what the device demands, and put it in
    /// use; the one before is kept
    Install(install::Install),
    /// Put the bundle in use that was before the last installation; done twice, the last one
    Rollback(install::Rollback),
    /// Show what a bundle holds: exams, classes, graphs, sizes, hashes
    Inspect {
        /// Folder of the bundle; the starter bundle where none is given
        folder: Option<PathBuf>,
        #[command(flatten)]
        trust: trust::TrustArguments,
    },
    /// Verify a bundle and sign it, for whoever trusts the key (minisign's format)
    Sign(signing::Sign),
    /// Make a pair of keys to sign bundles with
    MakeKey(signing::MakeKey),
}

pub fn run(arguments: &BundleArguments) -> Result<(), Failure> {
    let or_starter = |folder: &Option<PathBuf>| folder.clone().map_or_else(bundle::find, Ok);
    let text = match &arguments.action {
        Action::Prepare { folder, state } => prepare(&or_starter(folder)?, &state.stay_outside()?)?,
        Action::Inspect { folder, trust } => inspect(&bundle::verify_trusted(
            &or_starter(folder)?,
            &trust.trust()?,
        )?),
        Action::Verify { folder, trust } => {
            let (folder, trust) = (or_starter(folder)?, trust.trust()?);
            let files = bundle::verify_trusted(&folder, &trust)?.files.len() + 1;
            verify(
                &folder,
                files,
                &Bundle::load_trusted(&folder, &trust, None, &Engine::default())?,
            )?
        }
        Action::Install(install) => install.run()?,
        Action::Rollback(rollback) => rollback.run()?,
        Action::Sign(sign) => signing::sign(sign)?,
        Action::MakeKey(make) => signing::make_key(make)?,
    };
    put(&text)
}

fn prepare(folder: &Path, state: &Path) -> Result<String, Failure> {
    let key = match owner::is_anothers(state)? {
        // The device could not read a key that root makes.
        true => bundle::prepared_key(state).ok_or_else(|| Failure::Device {
            code: "state",
            message: format!("{}: the device has no key yet", shown::name(state)),
            help: "start the device once, or prepare as the user that owns its state folder",
        })?,
        false => bundle::make_prepared_key(state)?,
    };
    // What lies beside the bundle may be another's as well: root writes there as its owner.
    let bundle = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    owner::become_owner_of(bundle.parent().unwrap_or(&bundle))?;
    let files = bundle::prepare(folder, &key, &Engine::default())?.into_iter();
    let line = |(file, bytes): (PathBuf, u64)| {
        format!("{}: {:.1} MB\n", shown::name(&file), bytes as f64 / 1e6)
    };
    Ok(files.map(line).collect())
}

fn verify(folder: &Path, files: usize, bundle: &Bundle) -> Result<String, Failure> {
    let passed = self_test::run(bundle)?;
    let signed = match &bundle.signed {
        Some(signed) => format!(
            "signed with key {}: {}\n",
            signed.key,
            shown::name(&signed.comment)
        ),
        None => String::new(),
    };
    let recomputed = bundle.known_answers.recomputed.iter();
    let recomputed: String = recomputed
        .map(|(exam, by)| {
            let (exam, by) = (shown::name(exam), shown::name(by));
            format!("known answers of {exam} were made by {by}\n")
        })
        .collect();
    Ok(format!(
        "{}: {} {} is whole: {files} files, {} exams, SHA-256 {}\n{signed}\
         known answers: {} images reproduced; probabilities within {:.0e}, areas within {:.0e}\n\
         {recomputed}",
        shown::name(folder),
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
    let word = |found: bool| if found { "" } else { "not " };
    let (film, layouts) = (word(gate.film.is_some()), word(gate.layouts.is_some()));
    lines.push(format!(
        "                 - borders are {film}left out, layouts are {layouts}looked at"
    ));
    lines.extend(gate.kinds.iter().map(|kind| {
        let mut line = format!(
            "                 - {} upright from {}, sharpness from {}",
            kind.name, kind.accept_from, kind.sharpness_from
        );
        if let Some(least) = kind.shortest_side {
            line += &format!(", from {least} px");
        }
        if let Some(from) = kind.whole_from {
            line += &format!(", whole from {from}");
        }
        line
    }));
    lines
}

/// What a clinic did to an exam.
fn local(exam: &ExamSpec) -> Vec<String> {
    let cases = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
    let mut lines = Vec::new();
    if let Some(enrolled) = &exam.enrolled {
        let (count, by, date) = (cases(&enrolled.cases), &enrolled.by, &enrolled.date);
        lines.push(format!(
            "                 enrolled {count} cases, {date}, signed off by {by}"
        ));
    }
    if let Some(made) = &exam.calibrated {
        let (count, by, date) = (cases(&made.cases), &made.by, &made.date);
        lines.push(format!(
            "                 calibrated on {count} cases, {date}, signed off by {by}"
        ));
    }
    let flags = exam.classes.iter();
    lines.extend(flags.filter_map(|class| {
        let from = class.flag_from?;
        Some(format!("                 flags {} from {from}", class.name))
    }));
    lines
}

fn inspect(checked: &bundle::Checked) -> String {
    let m = &checked.manifest;
    let mut lines = vec![
        format!(
            "{} {}  ({})",
            m.name,
            m.version,
            shown::name(&checked.folder)
        ),
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
        lines.extend(patients(exam));
        lines.push(match &exam.guard {
            Some(guard) => format!(
                "                 guard up to {}, {}",
                guard.up_to, guard.file
            ),
            None => "                 guard none: answers whatever it is shown".to_owned(),
        });
        lines.extend(local(exam));
    }
    if let Some(signed) = &checked.signed {
        let comment = shown::name(&signed.comment);
        let line = format!("  signed with    {}: {comment}", signed.key);
        lines.push(line);
    }
    lines.push(format!("  release        {}", m.release));
    lines.push(format!("  sha256         {}", checked.sha256));
    lines.extend(m.files.iter().map(|(name, hash)| {
        let bytes = checked.files[name].len();
        format!("  {bytes:>9} B  {}  {name}", &hash[..16])
    }));
    lines.join("\n") + "\n"
}

/// Whom an exam is for, and what becomes of an image where nobody says it.
fn patients(exam: &ExamSpec) -> impl Iterator<Item = String> {
    let unsaid = |unsaid| match unsaid {
        Unsaid::Note => "noted",
        Unsaid::Refuse => "refused",
    };
    let ages = exam
        .ages
        .map(|ages| (ages.to_string(), unsaid(exam.age_unsaid)));
    let sexes: Vec<&str> = exam.sexes.iter().map(|sex| sex.word()).collect();
    let sexes = (!sexes.is_empty()).then(|| {
        (
            format!("of sex {}", sexes.join(", ")),
            unsaid(exam.sex_unsaid),
        )
    });
    let line = |(whom, unsaid): (String, &str)| {
        format!("                 for patients {whom}; where nobody says it: {unsaid}")
    };
    [ages, sexes].into_iter().flatten().map(line)
}
