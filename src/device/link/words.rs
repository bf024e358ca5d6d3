//! What the link's messages say, and what that is here: records, events and words of the device
//! become the protocol's, its words become the device's. Called by the link, which decides when.
//! Says nothing that a record does not say.

use firmware_host::message::{self, CLASSES, Finding, Report, Step};
use serde_json::Value;

use crate::device::cases::State;
use crate::device::events::{Event, Health};
use crate::journal::Priority;
use crate::patient::Sex;
use crate::pipeline::Stage;

/// The longest name that is sent whole.
pub(super) const NAME: usize = 64;

pub(super) fn progress(event: &Event) -> Option<Report<'static>> {
    let (case, step) = match event {
        Event::Accepted { case } => (*case, Step::Waiting),
        Event::Started { case } => (*case, Step::Started),
        Event::Stage { case, stage } => {
            let index = Stage::ALL.iter().position(|other| other == stage)?;
            let (index, of) = (index as u8, Stage::ALL.len() as u8);
            (*case, Step::Stage { index, of })
        }
        Event::Health(Health::StorageFault(failed)) => {
            return Some(Report::StorageFault(*failed));
        }
        // Answers go their own, safe way; the rest is for displays.
        _ => return None,
    };
    Some(Report::Progress { case, step })
}

/// The codes of a finding's reasons.
pub(in crate::device) fn notes(record: &Value) -> Vec<&str> {
    let reasons = record["reasons"].as_array().into_iter().flatten();
    let sentences = reasons.filter_map(Value::as_str);
    sentences
        .filter_map(|sentence| sentence.split_once(": "))
        .map(|(code, _)| code)
        .collect()
}

pub(super) fn priority_of(priority: message::Priority) -> Priority {
    match priority {
        message::Priority::Routine => Priority::Routine,
        message::Priority::Urgent => Priority::Urgent,
        message::Priority::Stat => Priority::Stat,
    }
}

pub(super) fn sex_of(sex: message::Sex) -> Sex {
    match sex {
        message::Sex::Female => Sex::F,
        message::Sex::Male => Sex::M,
        message::Sex::Other => Sex::O,
    }
}

pub(super) fn word<'r>(record: &'r Value, key: &str) -> &'r str {
    record[key].as_str().unwrap_or("")
}

pub(super) fn finding(record: &Value) -> Option<Finding<'_>> {
    if word(record, "status") != State::Finding.word() {
        return None;
    }
    let probabilities = record["probabilities"].as_object()?;
    let mut classes: Vec<(&str, f64)> = probabilities
        .iter()
        .map(|(class, p)| (short(class, NAME), p.as_f64().unwrap_or(f64::NAN)))
        .collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut region = [0; 4];
    for (side, value) in region.iter_mut().zip(record["mask"]["bbox"].as_array()?) {
        *side = value.as_u64().and_then(|v| u32::try_from(v).ok())?;
    }
    Some(Finding {
        exam: short(word(record, "exam"), NAME),
        class: short(word(record, "class"), NAME),
        level: word(record, "triage_level"),
        probabilities: classes.into_iter().take(CLASSES).collect(),
        region,
        area_fraction: record["mask"]["area_fraction"].as_f64()?,
        intended_use: word(record, "intended_use"),
    })
}

/// The beginning of a text, at most so many bytes of it.
pub(super) fn short(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}
