//! `medfocus enroll`: a clinic's own labelled cases into an exam, on the device.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use medfocus::bundle::{Enrolled, ExamSpec};
use medfocus::enroll::{Change, EnrollError, Gathered, Register, new_exam};
use medfocus::triage::{
    CASES_NEEDED, FOLDS, Figures, FusionHead, Gain, LabelledCase, Selected, Start, prototypes,
    select,
};
use serde::Serialize;

use super::local::{self, Base, Settled, cases_text, counted, table, today};
use super::{Failure, exam, put};

#[derive(Debug, Args)]
#[command(
    group(clap::ArgGroup::new("which").required(true).args(["exam", "new"])),
    after_help = "\
The images are embedded (kept for the next time), the head of the exam is trained on them in
seconds, and five-fold cross-validation says what it would be worth. Nothing is changed without
--accept. Of the cases, the device keeps embeddings, classes and the hashes of the images.

Examples:
  medfocus enroll labelled/ --exam lung_tb2
  medfocus enroll labelled/ --exam lung_tb2 --accept --by \"A. Radiologist\"
  medfocus enroll reviewed.csv --exam lung_tb2 --json
  medfocus enroll scans/ --new hip.toml --accept --by \"A. Radiologist\"
  medfocus bundle rollback

Exit codes: 0 done, 1 refused (too few cases, no gain, a signed bundle), 2 wrong usage,
3 the device cannot work."
)]
pub struct EnrollArguments {
    /// Exam that the cases are added to
    #[arg(long, value_name = "NAME")]
    exam: Option<String>,
    /// File that describes a new exam: an entry of a manifest's exams, without head
    #[arg(long, value_name = "FILE.toml")]
    new: Option<PathBuf>,
    /// Prototypes of the new exam's classes: safetensors with `prototypes` [classes, length];
    /// where absent, the mean embeddings of the cases
    #[arg(long, value_name = "FILE", requires = "new")]
    prototypes: Option<PathBuf>,
    /// Train on these cases alone; those that were enrolled before are forgotten
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    local: local::LocalArguments,
}

/// What the head is trained from.
enum Origin {
    /// A head, and its file in the bundle to be.
    Head(Box<FusionHead>, String),
    /// The cases alone.
    Cases(Start<'static>),
}

pub fn run(arguments: &EnrollArguments) -> Result<(), Failure> {
    let base = arguments.local.base()?;
    let (spec, origin) = plan(arguments, &base)?;
    let register = match arguments.forget {
        true => Register::default(),
        false => Register::read(&base.state, &spec.name)?,
    };
    let began = Instant::now();
    let gathered = arguments.local.gather(&base, &spec, &register)?;
    let gathered_in = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let made = make(&spec, &origin, &gathered.cases, arguments.new.is_some())?;
    let seconds = [gathered_in, began.elapsed().as_secs_f64()];
    let gain = match arguments.new {
        None => gain(made.selected.as_ref()),
        Some(_) => Ok(()),
    };
    let settled = match gain {
        Ok(()) => {
            let change = change(arguments, &spec, &origin, &made, &gathered)?;
            arguments.local.settle(&base, change)?
        }
        Err(_) => Settled::NoGain,
    };
    if settled.is_written() {
        let class = |case: &LabelledCase| spec.classes[case.label].name.clone();
        let cases = gathered
            .cases
            .iter()
            .map(|case| (case.key.clone(), class(case)));
        let cases = cases.collect();
        Register { cases }.write(&base.state, &spec.name)?;
    }
    match arguments.local.json {
        true => {
            let said = said(&gathered, &made, seconds);
            local::put_said(&spec, &gathered, said, &settled)
        }
        false => put(&(in_text(&spec, &gathered, &made, seconds, &settled) + &base.limits())),
    }?;
    Ok(gain?)
}

/// The exam and what its head is trained from.
fn plan(arguments: &EnrollArguments, base: &Base) -> Result<(ExamSpec, Origin), Failure> {
    if let Some(file) = &arguments.new {
        return plan_new(arguments, base, file);
    }
    let name = arguments.exam.as_deref().unwrap_or_default();
    let exam = exam(&base.bundle, name)?;
    let spec = exam.spec.clone();
    let (classes, logit_scale) = (spec.classes.len(), exam.head.logit_scale());
    let origin = match &spec.enrolled {
        // A head that saw the cases before would answer them too well.
        Some(enrolled) => match &enrolled.start {
            Some(file) => Origin::Head(Box::new(head_in(base, file, classes)?), file.clone()),
            None => Origin::Cases(Start::Means {
                classes,
                logit_scale,
            }),
        },
        None => {
            let file = start_file(&spec.name);
            Origin::Head(Box::new(exam.head.clone()), file)
        }
    };
    Ok((spec, origin))
}

fn start_file(exam: &str) -> String {
    format!("heads/{exam}.start.safetensors")
}

fn head_in(base: &Base, file: &str, classes: usize) -> Result<FusionHead, Failure> {
    let path = base.folder.join(file);
    let dimension = base.bundle.manifest.image_encoder.embedding;
    let bytes = std::fs::read(&path).map_err(|error| EnrollError::Io {
        path: path.clone(),
        error,
    })?;
    Ok(FusionHead::read(&bytes, classes, dimension).map_err(EnrollError::Head)?)
}

fn plan_new(
    arguments: &EnrollArguments,
    base: &Base,
    file: &Path,
) -> Result<(ExamSpec, Origin), Failure> {
    let spec = new_exam(file)?;
    let wrong = |path: &Path, why: String| {
        let path = path.to_owned();
        Failure::from(EnrollError::NewExam { path, why })
    };
    if base.bundle.exam(&spec.name).is_some() {
        let why = format!(
            "there is an exam {} already; name it with --exam",
            spec.name
        );
        return Err(wrong(file, why));
    }
    base.bundle
        .manifest
        .admits(&spec)
        .map_err(|why| wrong(file, why))?;
    // Of one encoder, all exams have the same.
    let logit_scale = base.bundle.exams[0].head.logit_scale();
    let classes = spec.classes.len();
    let origin = match &arguments.prototypes {
        None => Origin::Cases(Start::Means {
            classes,
            logit_scale,
        }),
        Some(path) => {
            let dimension = base.bundle.manifest.image_encoder.embedding;
            let head = std::fs::read(path)
                .map_err(|error| error.to_string())
                .and_then(|bytes| {
                    let rows = prototypes(&bytes, classes, dimension);
                    rows.and_then(|rows| FusionHead::zero_shot(&rows, logit_scale))
                        .map_err(|error| error.to_string())
                })
                .map_err(|why| wrong(path, why))?;
            Origin::Head(Box::new(head), start_file(&spec.name))
        }
    };
    Ok((spec, origin))
}

/// A head, and what cross-validation says of it where there were cases.
struct Made {
    head: FusionHead,
    selected: Option<Selected>,
}

fn make(
    spec: &ExamSpec,
    origin: &Origin,
    cases: &[LabelledCase],
    is_new: bool,
) -> Result<Made, Failure> {
    let start = match origin {
        // Prototypes alone answer, uncalibrated.
        Origin::Head(head, _) if is_new && cases.is_empty() => {
            let head = FusionHead::clone(head);
            let selected = None;
            return Ok(Made { head, selected });
        }
        Origin::Head(head, _) => Start::Head(head),
        Origin::Cases(start) => *start,
    };
    let counts = counted(spec, cases);
    let lacking = counts
        .into_iter()
        .filter(|(_, count)| *count < CASES_NEEDED);
    let lacking: Vec<_> = lacking.map(|(class, n)| (class, n, CASES_NEEDED)).collect();
    if !lacking.is_empty() {
        return Err(EnrollError::TooFew { lacking }.into());
    }
    let selected = select(cases, start).map_err(EnrollError::Head)?;
    Ok(Made {
        head: selected.head.clone(),
        selected: Some(selected),
    })
}

/// A head that is not better is not worth a new version.
fn gain(selected: Option<&Selected>) -> Result<(), EnrollError> {
    let Some(selected) = selected else {
        return Ok(());
    };
    let (before, after) = (selected.before, selected.after);
    if selected.choice.penalty.is_none() {
        let why = "no training betters the head as it is".to_owned();
        return Err(EnrollError::NoGain { why });
    }
    if after.balanced_accuracy < before.balanced_accuracy {
        let (before, after) = (before.balanced_accuracy, after.balanced_accuracy);
        let why = format!("cross-validated, balanced accuracy goes from {before:.4} to {after:.4}");
        return Err(EnrollError::NoGain { why });
    }
    let gain = selected.gain;
    if !gain.is_beyond_chance() {
        let (falls, error) = (gain.log_loss, gain.standard_error);
        let why = format!(
            "cross-validated, log loss falls by {falls:.3} beyond calibration; chance alone may do \
             {error:.3}"
        );
        return Err(EnrollError::NoGain { why });
    }
    Ok(())
}

fn change(
    arguments: &EnrollArguments,
    spec: &ExamSpec,
    origin: &Origin,
    made: &Made,
    gathered: &Gathered,
) -> Result<Change, Failure> {
    let mut files = BTreeMap::new();
    let start = match origin {
        Origin::Head(head, file) => {
            files.insert(file.clone(), head.write().map_err(EnrollError::Head)?);
            Some(file.clone())
        }
        Origin::Cases(_) => None,
    };
    let choice = made.selected.as_ref().map(|selected| selected.choice);
    let counts = counted(spec, &gathered.cases);
    let enrolled = Enrolled {
        by: arguments.local.by.clone().unwrap_or_default(),
        date: today(),
        start,
        penalty: choice.and_then(|choice| choice.penalty),
        blend: made.head.blend(),
        cases: counts.into_iter().collect(),
        before: made.selected.as_ref().map(|selected| selected.before),
        after: made.selected.as_ref().map(|selected| selected.after),
    };
    let mut exam = ExamSpec {
        enrolled: Some(enrolled),
        // These were made for the head before.
        calibrated: None,
        coverage: None,
        ..spec.clone()
    };
    for class in &mut exam.classes {
        class.flag_from = None;
    }
    Ok(Change {
        exam,
        head: made.head.clone(),
        files,
    })
}

fn figures(made: &Made) -> [Option<Figures>; 3] {
    let selected = made.selected.as_ref();
    [
        selected.map(|selected| selected.before),
        selected.map(|selected| selected.calibrated),
        selected.map(|selected| selected.after),
    ]
}

fn in_text(
    spec: &ExamSpec,
    gathered: &Gathered,
    made: &Made,
    [gathering, training]: [f64; 2],
    settled: &Settled,
) -> String {
    let mut text = cases_text(spec, gathered);
    let (embedded, known) = (gathered.embedded, gathered.known);
    text += &format!("embedded: {embedded} now, {known} before, in {gathering:.1} s\n");
    if let Some(selected) = &made.selected {
        let [before, calibrated, after] = figures(made);
        text += &format!("\n{FOLDS}-fold cross-validated\n");
        text += &table(&[
            ("before", before),
            ("calibrated", calibrated),
            ("after", after),
        ]);
        text += &format!(
            "  log loss falls by {:.3} beyond calibration, standard error {:.3}\n",
            selected.gain.log_loss, selected.gain.standard_error
        );
        let penalty = match selected.choice.penalty {
            Some(penalty) => format!("penalty {penalty}"),
            None => "as it is".to_owned(),
        };
        text += &format!(
            "  head: {penalty}, blend {}, temperature {:.3}; chosen and trained in {training:.1} s\n",
            selected.choice.blend,
            made.head.temperature()
        );
    } else {
        text += "no cases: the prototypes alone answer, and nothing is known of how well\n";
    }
    if spec.calibrated.is_some() {
        text += "its calibration was the head's before: medfocus calibrate, with other cases\n";
    }
    text + &settled.text()
}

/// What programs are told.
#[derive(Serialize)]
struct Said {
    embedded: Embedded,
    folds: usize,
    before: Option<Figures>,
    calibrated: Option<Figures>,
    after: Option<Figures>,
    gain: Option<Gain>,
    head: Head,
    seconds: Seconds,
}

/// Cases that were embedded.
#[derive(Serialize)]
struct Embedded {
    now: usize,
    before: usize,
}

#[derive(Serialize)]
struct Head {
    penalty: Option<f64>,
    blend: f64,
    temperature: f64,
}

#[derive(Serialize)]
struct Seconds {
    embedding: f64,
    training: f64,
}

fn said(gathered: &Gathered, made: &Made, [embedding, training]: [f64; 2]) -> Said {
    let [before, calibrated, after] = figures(made);
    let selected = made.selected.as_ref();
    Said {
        embedded: Embedded {
            now: gathered.embedded,
            before: gathered.known,
        },
        folds: FOLDS,
        before,
        calibrated,
        after,
        gain: selected.map(|selected| selected.gain),
        head: Head {
            penalty: selected.and_then(|selected| selected.choice.penalty),
            blend: made.head.blend(),
            temperature: made.head.temperature(),
        },
        seconds: Seconds {
            embedding,
            training,
        },
    }
}
