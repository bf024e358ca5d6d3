//! The text forms: a line for lists, a card for a single image. Called by the command line. Names
//! that others gave, of files and in bundles, add no line and no field to them.

use std::fmt::Write;

use crate::case::{Finding, Outcome, Record};
use crate::shown::{self, name};

const BAR: usize = 24;

/// One answer on one line, fields parted by two spaces.
pub fn line(record: &Record) -> String {
    let source = name(&record.source);
    let intended_use = record.provenance.intended_use.word();
    match &record.outcome {
        Outcome::Finding(f) => format!(
            "{source}  {}  {} {:.3}{}  {}  region {:.1} %  [{}]{}",
            name(&f.exam),
            name(&f.class().class),
            f.class().probability,
            match &f.prediction_set {
                Some(set) => format!("  {} %: {}", set.percent(), name(&set.words())),
                None => String::new(),
            },
            f.triage_level.word(),
            f.mask.area_fraction * 100.0,
            intended_use,
            match f.unchecked() {
                "" => String::new(),
                absent => format!("  {absent}"),
            },
        ),
        Outcome::Refusal(refused) => format!(
            "{source}  refused  {}: {}; {}  [{intended_use}]",
            refused.refusal.code.word(),
            name(&refused.refusal.message),
            name(&refused.words),
        ),
    }
}

/// One answer on several lines, with a bar for each class.
pub fn card(record: &Record, title: Option<&str>, with_timings: bool) -> String {
    let mut text = String::new();
    match &record.outcome {
        Outcome::Finding(finding) => write_finding(&mut text, record, finding, title),
        Outcome::Refusal(refused) => {
            // The file's name stands before it anyway.
            let why = shown::line(&refused.refusal.message);
            let _ = writeln!(text, "{}", name(&record.source));
            let _ = writeln!(text, "  refused   {}", refused.refusal.code.word());
            let _ = writeln!(text, "  because   {why}");
            let _ = writeln!(text, "  cure      {}", shown::line(&refused.words));
        }
    }
    if with_timings {
        for (stage, ms) in record.timings.iter() {
            let _ = writeln!(text, "  {stage:<18}{ms:>8.1} ms");
        }
    }
    if let Some(image) = record.image {
        let _ = writeln!(text, "  image     SHA-256 {image}");
    }
    for (key, said) in record.labels.iter() {
        let _ = writeln!(
            text,
            "  {:<9} {}",
            key.split('_').next().unwrap_or(key),
            name(said)
        );
    }
    if let Some(case) = record.rerun_of {
        let _ = writeln!(text, "  again     the image of case {case}, answered again");
    }
    let by = &record.provenance;
    let _ = writeln!(
        text,
        "  bundle    {} {}: for {} only, not for care",
        name(&by.bundle.name),
        name(&by.bundle.version),
        by.intended_use.word()
    );
    text
}

/// Age and sex for people, as far as they are known.
pub(super) fn patient(finding: &Finding) -> Option<String> {
    let age = finding.patient.age.map(|age| format!("age {age}"));
    let sex = finding.patient.sex.map(|sex| format!("sex {sex}"));
    let known: Vec<String> = [age, sex].into_iter().flatten().collect();
    (!known.is_empty()).then(|| known.join(", "))
}

fn write_finding(text: &mut String, record: &Record, f: &Finding, title: Option<&str>) {
    let _ = writeln!(text, "{}", name(&record.source));
    let _ = writeln!(
        text,
        "  exam      {}  {}",
        name(&f.exam),
        name(title.unwrap_or_default())
    );
    if let Some(patient) = patient(f) {
        let _ = writeln!(text, "  patient   {patient}");
    }
    if let Some(anatomy) = f.anatomy.words() {
        let _ = writeln!(text, "  shows     {}", shown::line(&anatomy));
    }
    let _ = writeln!(
        text,
        "  answer    {}  ({})",
        name(&f.class().label),
        f.triage_level.word()
    );
    let width = f
        .probabilities
        .iter()
        .map(|p| p.class.len())
        .max()
        .unwrap_or(0);
    for p in &f.probabilities {
        let filled = (p.probability * BAR as f64).round() as usize;
        let bar: String = "#".repeat(filled) + &".".repeat(BAR - filled.min(BAR));
        let _ = writeln!(
            text,
            "            {:<width$}  {bar}  {:.3}",
            shown::line(&p.class),
            p.probability
        );
    }
    if let Some(set) = &f.prediction_set {
        let (percent, each) = (
            set.percent(),
            if set.by_class { " of each class" } else { "" },
        );
        let words = set.words();
        let words = name(&words);
        let _ = writeln!(
            text,
            "  set       {words}  (holds the true class in {percent} % of cases{each})"
        );
    }
    let [x, y, w, h] = f.mask.bbox;
    let _ = writeln!(
        text,
        "  region    {:.1} % of the image, box {x},{y},{w},{h}, predicted IoU {:.2}, focus {}",
        f.mask.area_fraction * 100.0,
        f.mask.predicted_iou,
        f.focus
    );
    for reason in &f.reasons {
        let _ = writeln!(text, "  note      {}", shown::line(reason));
    }
}
