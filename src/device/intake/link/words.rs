//! What the link's messages say, and what that is here: records, events and words of the device
//! become the protocol's, its words become the device's. Called by the link, which decides when.
//! Says nothing that a record does not say.

use firmware_host::message::{self, CLASSES, Finding, Report, Step};

use crate::case::{self, Outcome, Priority, Record};
use crate::device::events::{Event, Health};
use crate::patient::Sex;
use crate::pipeline::Stage;

/// The longest name that is sent whole.
pub(super) const NAME: usize = 64;
/// The longest sentence that is sent whole.
pub(super) const SENTENCE: usize = 256;

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

/// The answer of a case; a refusal's help is worded for the line.
pub(super) fn answer<'r>(case: u64, record: &'r Record, help: &'r str) -> Report<'r> {
    let intended_use = record.provenance.intended_use.word();
    match &record.outcome {
        Outcome::Finding(found) => Report::Finding {
            case,
            finding: finding(found, intended_use),
        },
        Outcome::Refusal(refused) => Report::Refusal {
            case,
            code: refused.refusal.code.word(),
            help: short(help, SENTENCE),
            intended_use,
        },
    }
}

fn finding<'r>(found: &'r case::Finding, intended_use: &'r str) -> Finding<'r> {
    let classes = found.probabilities.iter();
    let mut classes: Vec<(&str, f64)> = classes
        .map(|of| (short(&of.class, NAME), of.probability))
        .collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1));
    Finding {
        exam: short(&found.exam, NAME),
        class: short(&found.class().class, NAME),
        level: found.triage_level.word(),
        probabilities: classes.into_iter().take(CLASSES).collect(),
        region: found.mask.bbox,
        area_fraction: found.mask.area_fraction,
        intended_use,
    }
}

/// The beginning of a text, at most so many bytes of it.
pub(super) fn short(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}
