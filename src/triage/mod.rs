//! From embeddings to a calibrated answer: guard, fusion head, temperature, prediction set,
//! triage level; and how a head is fitted to labelled cases and measured on them.
//!
//! Works on plain numbers; knows neither images nor graphs nor files.

mod cache;
mod calibrate;
mod folds;
mod gain;
mod guard;
mod head;
mod measure;
mod probe;
mod rates;
mod reference;
mod select;
mod sets;
mod tensors;
mod vectors;

pub use calibrate::{Calibration, SetFigures, calibrate, calibration_needs};
pub use folds::folds;
pub use gain::Gain;
pub use guard::Guard;
pub use head::{FusionHead, HeadError, Steps, prototypes};
pub use measure::{Figures, Step, answered, figures, reliability, temperature};
pub use probe::{Examples, Probe};
pub use rates::{OneClass, OperatingPoint, Rate};
pub use reference::{Glance, Moved, Reference};
pub use select::{CASES_NEEDED, Choice, FOLDS, LabelledCase, Selected, Start, select};
pub use sets::{COVERAGE, Members, PredictionSets, cases_needed, threshold};
pub use vectors::unit;

use crate::case::TriageLevel;

/// The level of an answer: the class's own, or `Review` where the probability of the
/// answered class is under the exam's threshold.
pub fn level(class_level: TriageLevel, probability: f64, review_below: f64) -> TriageLevel {
    if probability < review_below {
        TriageLevel::Review
    } else {
        class_level
    }
}

/// Whether one level hurries more than another: to be unsure hurries more than to have found
/// nothing, and less than to have found what must be looked at today.
pub fn hurries_more(level: TriageLevel, than: TriageLevel) -> bool {
    let haste = |level| match level {
        TriageLevel::Routine => 0,
        TriageLevel::Review => 1,
        TriageLevel::Priority => 2,
        TriageLevel::Urgent => 3,
    };
    haste(level) > haste(than)
}

/// The one of two levels that hurries more: a flag or an unsettled prediction set only ever
/// hurries.
pub fn sooner(level: TriageLevel, other: TriageLevel) -> TriageLevel {
    if hurries_more(other, level) {
        other
    } else {
        level
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsure_answers_go_to_a_person() {
        assert_eq!(level(TriageLevel::Routine, 0.49, 0.5), TriageLevel::Review);
        assert_eq!(level(TriageLevel::Urgent, 0.5, 0.5), TriageLevel::Urgent);
    }

    #[test]
    fn a_flag_only_ever_hurries() {
        use TriageLevel::{Priority, Review, Routine, Urgent};
        assert_eq!(sooner(Review, Urgent), Urgent);
        assert_eq!(sooner(Review, Routine), Review);
        assert_eq!(sooner(Routine, Review), Review);
        assert_eq!(sooner(Urgent, Priority), Urgent);
    }
}
