//! What a console says: the device's state, a case's answer and lists become the text of one line. Called by the console
//! alone. Changes nothing.

use firmware_host::console::Form;
use firmware_host::fault::Fault;
use firmware_host::wire::VERSION;

use crate::case::{BundleId, Channel, Outcome, PredictionSet, Refused, SOFTWARE};
use crate::device::case_error::CaseError;
use crate::device::cases::{Cases, State};
use crate::journal::Told;
use crate::shown;

/// Cases that `CASE:LIST?` names.
const LISTED: usize = 16;

/// Program, bundle and protocol.
pub(super) fn software(cases: &Cases) -> String {
    let id = &cases.bundle().id;
    format!(
        "{SOFTWARE}, bundle {} {} {}, protocol {VERSION}",
        id.name,
        id.version,
        &id.sha256[..16]
    )
}

/// What the device does, in words.
pub(super) fn status(cases: &Cases) -> String {
    let status = cases.status();
    let word = if status.storage_fault {
        "storage_fault"
    } else if status.fault.is_some() {
        "safe_state"
    } else if status.running.is_some() {
        "running"
    } else {
        "ready"
    };
    let running = status.running;
    let mut line = format!(
        "{word} case={} waiting={} answered={}",
        running.map_or_else(|| "-".to_owned(), |case| case.to_string()),
        status.waiting,
        status.answered,
    );
    if let Some(fault) = &status.fault {
        line += &format!(" code={}", fault.code);
    }
    let codes = status.warning_codes();
    if !codes.is_empty() {
        line += &format!(" warnings={}", codes.join(","));
    }
    line += &format!(" use={}", status.bundle.intended_use.word());
    // Why it does not answer comes before what needs a person before long.
    let fault = status.fault.iter().map(|fault| fault.help.as_str());
    let warned = status.warnings.iter().map(|warning| warning.help.as_str());
    if let Some(help) = fault.chain(warned).next() {
        line += &format!(" cure=\"{}\"", help.replace('"', "'"));
    }
    line
}

/// The exams there are.
pub(super) fn exams(cases: &Cases) -> Vec<String> {
    let bundle = cases.bundle();
    bundle.exams.iter().map(|exam| exam.name.clone()).collect()
}

/// The answer of a case; where there is none yet, its state.
pub(super) fn result(case: u64, form: Form, cases: &Cases) -> Result<String, Fault> {
    let without_answer = |state: State| match form {
        Form::Compact => format!("{case} {}", state.word()),
        Form::Json => format!(r#"{{"status":"{}","case":"{case}"}}"#, state.word()),
    };
    let told = match cases.answer(case) {
        Err(CaseError::NotFinished) => return Ok(without_answer(cases.state(case)?)),
        told => told?,
    };
    Ok(match (told, form) {
        (None, _) => without_answer(State::Aborted),
        (Some(told), Form::Compact) => compact(case, &told),
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        (Some(told), Form::Json) => {
            let json = serde_json::to_string(&told).unwrap_or_default();
            shown::json(&json).into_owned()
        }
    })
}

/// The answer in `key=value` words; text in double quotes comes last.
fn compact(case: u64, told: &Told) -> String {
    let use_ = told.record.provenance.intended_use.word();
    let whose = whose(told);
    match &told.record.outcome {
        Outcome::Refusal(Refused { refusal, .. }) => {
            let help = refusal.help.words(Channel::Console).replace('"', "'");
            let code = refusal.code.word();
            format!("{case} refusal code={code}{whose} use={use_} cure=\"{help}\"")
        }
        Outcome::Finding(finding) => {
            let class = finding.class();
            let [x, y, width, height] = finding.mask.bbox;
            format!(
                "{case} finding exam={} class={} p={:.3}{} level={} area={:.3} \
                 box={x},{y},{width},{height}{whose} use={use_}",
                finding.exam,
                class.class,
                class.probability,
                set(finding.prediction_set.as_ref()),
                finding.triage_level.word(),
                finding.mask.area_fraction,
            )
        }
    }
}

/// What else a reader must know, what the answer is about and by whom: the image, the case that was answered before, and
/// another bundle that is in use by now.
fn whose(told: &Told) -> String {
    let (mut words, record) = (String::new(), &told.record);
    let notes: Vec<&str> = record.notes().collect();
    if !notes.is_empty() {
        words += &format!(" notes={}", notes.join(","));
    }
    if let Some(image) = record.image {
        words += &format!(" image={image}");
    }
    for (key, text) in record.labels.iter() {
        words += &format!(" {key}=\"{}\"", text.replace('"', "'"));
    }
    if let Some(before) = record.rerun_of {
        words += &format!(" rerun_of={before}");
    }
    if let Some(BundleId { name, version, .. }) = &told.bundle_in_use {
        words += &format!(" bundle_in_use={name}/{version}");
    }
    words
}

/// The prediction set, where one is claimed.
fn set(set: Option<&PredictionSet>) -> String {
    let Some(PredictionSet {
        coverage, classes, ..
    }) = set
    else {
        return String::new();
    };
    let words = match classes.as_slice() {
        [] => "none".to_owned(),
        classes => classes.join(","),
    };
    format!(" set={words} coverage={coverage:?}")
}

/// The last cases and their states.
pub(super) fn list(cases: &Cases) -> String {
    let last = cases.last(LISTED);
    if last.is_empty() {
        return "none".to_owned();
    }
    let words: Vec<String> = last
        .iter()
        .map(|(case, state)| format!("{case}:{}", state.word()))
        .collect();
    words.join(" ")
}
