//! `medfocus drift`: whether an exam's answers are still spread as they were when it was last
//! calibrated. Reads classes, probabilities and the guard's distance in the journal, and nothing
//! else.

use std::path::PathBuf;

use clap::Args;
use medfocus::bundle::{self, Bundle, Store};
use medfocus::device::DeviceFault;
use medfocus::engine::Engine;
use medfocus::journal::{self, End};
use medfocus::triage::{Glance, Moved, answered};
use serde::Serialize;

use super::state::StateFolder;
use super::{Failure, exam, put, put_pretty};
use medfocus::case::Record;

/// Under this index nothing has moved; above the other, much has (as the index is read since
/// Siddiqi 2006).
const MOVED: [f64; 2] = [0.1, 0.25];
/// Fewer answers say nothing.
const LEAST: usize = 50;

#[derive(Debug, Args)]
#[command(after_help = "\
Population stability index: under 0.1 steady, up to 0.25 worth a look, above it moved: other
patients, another machine, another protocol. Calibrate again, or enroll.

Exit codes: 0 steady or worth a look, 1 moved, or too few answers to say, 2 wrong usage, 3 the
device cannot work.")]
pub struct DriftArguments {
    /// Exam that is looked at
    #[arg(long, value_name = "NAME")]
    exam: String,
    /// How many of the last findings are looked at
    #[arg(long, value_name = "N", default_value_t = 500)]
    last: usize,
    /// Folder of the model bundle; where absent, the installed one, else the starter bundle
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    state: StateFolder,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &DriftArguments) -> Result<(), Failure> {
    let state = arguments.state.enter()?;
    let installed = || Store::of(&state).current();
    let folder = arguments.bundle.clone().or_else(installed);
    let bundle = Bundle::load(&folder.map_or_else(bundle::find, Ok)?, &Engine::default())?;
    let exam = exam(&bundle, &arguments.exam)?;
    let declined = |code, what: String, help| Failure::Declined {
        device_fault: DeviceFault::new(code, what, help),
        exit: 1,
    };
    let reference = exam.head.reference().ok_or_else(|| {
        let what = format!("exam {}: there is nothing to compare with", exam.spec.name);
        declined(
            "no_reference",
            what,
            "calibrate it first: medfocus calibrate",
        )
    })?;
    let mut answers = Vec::new();
    let mut left_out = 0;
    for case in journal::history(&state)?.cases().into_values() {
        let Some(End::Answered { record, .. }) = case.end else {
            continue;
        };
        let of_bundle = |record: &&Record| record.provenance.bundle.sha256 == bundle.id.sha256;
        left_out += usize::from(record.record().is_none());
        // Another head's answers are spread in another way.
        let record = record.record().filter(of_bundle);
        answers.extend(record.and_then(|record| answer(record, &exam.spec.name)));
    }
    let last = answers.split_off(answers.len().saturating_sub(arguments.last));
    if last.len() < LEAST {
        let (has, name) = (last.len(), &exam.spec.name);
        let mut what = format!("exam {name} has {has} findings by this bundle of at least {LEAST}");
        if left_out > 0 {
            what += &format!("; left out: {left_out} that another version wrote");
        }
        return Err(declined("too_few_cases", what, "wait for more cases"));
    }
    let moved = reference.moved(&last);
    let verdict = match moved.most() {
        most if most < MOVED[0] => "steady",
        most if most <= MOVED[1] => "look",
        _ => "moved",
    };
    let counts = Counts {
        reference: reference.cases(),
        findings: last.len(),
        left_out,
    };
    match arguments.json {
        true => put_pretty(&said(&exam.spec.name, counts, moved, verdict)),
        false => put(&in_text(&exam.spec.name, counts, moved, verdict)),
    }?;
    match verdict {
        "moved" => Err(Failure::Refused),
        _ => Ok(()),
    }
}

/// How many cases were looked at.
struct Counts {
    /// Those of the calibration.
    reference: usize,
    /// Those of the journal.
    findings: usize,
    /// Answers of all exams that another version wrote, in a form that is not understood here.
    left_out: usize,
}

/// As much of a record as is counted, where it answers the exam.
fn answer(record: &Record, exam: &str) -> Option<Glance> {
    let finding = record.finding().filter(|finding| finding.exam == exam)?;
    let classes = finding.probabilities.iter();
    let values: Vec<f64> = classes.map(|class| class.probability).collect();
    let class = answered(&values);
    Some(Glance {
        class,
        probability: *values.get(class)?,
        guard_distance: finding.guard_distance,
    })
}

fn in_text(exam: &str, counts: Counts, moved: Moved, verdict: &str) -> String {
    let words = match verdict {
        "steady" => "steady",
        "look" => "worth a look",
        _ => "moved: calibrate again, or enroll",
    };
    let (top, classes) = (moved.top, moved.classes);
    let guard = match moved.guard {
        Some(guard) => format!("\n  distance of the guard  {guard:.3}"),
        None => String::new(),
    };
    let left_out = match counts.left_out {
        0 => String::new(),
        count => format!("\n  left out               {count} that another version wrote"),
    };
    let (then, now) = (counts.reference, counts.findings);
    format!(
        "{exam}: the last {now} findings against {then} cases of the calibration\n  answered \
         probability   {top:.3}\n  classes                {classes:.3}{guard}{left_out}\n{words}\n"
    )
}

/// What programs are told.
#[derive(Serialize)]
struct Said<'a> {
    exam: &'a str,
    reference_cases: usize,
    findings: usize,
    left_out: usize,
    stability_index: Indices,
    verdict: &'a str,
}

/// How far each spread moved.
#[derive(Serialize)]
struct Indices {
    probability: f64,
    classes: f64,
    guard_distance: Option<f64>,
}

fn said<'a>(exam: &'a str, counts: Counts, moved: Moved, verdict: &'a str) -> Said<'a> {
    Said {
        exam,
        reference_cases: counts.reference,
        findings: counts.findings,
        left_out: counts.left_out,
        stability_index: Indices {
            probability: moved.top,
            classes: moved.classes,
            guard_distance: moved.guard,
        },
        verdict,
    }
}
