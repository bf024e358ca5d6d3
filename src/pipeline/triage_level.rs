//! How soon a person should look at an answer, and why: the one place where a triage level is
//! decided. Every output and screen takes it as it is.
//!
//! The answered class's level is where it begins. An answer below the exam's threshold, a
//! flagged class and a prediction set that does not settle the answer each change it; the last
//! two only ever hurry.

use crate::bundle::{Class, ExamSpec};
use crate::case::{PredictionSet, TriageLevel};
use crate::triage::{hurries_more, level, sooner};

/// A level, and what a reader must know of it as `code: sentence`.
#[derive(Debug, PartialEq)]
pub(super) struct Weighed {
    pub level: TriageLevel,
    pub reasons: Vec<String>,
}

/// Weighs the answer of one exam by the probabilities of its classes and its prediction set.
pub(super) fn weigh(
    exam: &ExamSpec,
    answer: usize,
    values: &[f64],
    set: Option<&PredictionSet>,
) -> Weighed {
    let classes = &exam.classes;
    let answered = classes[answer].triage_level;
    let mut weighed = Weighed {
        level: level(answered, values[answer], exam.review_below),
        reasons: Vec::new(),
    };
    if weighed.level == TriageLevel::Review {
        let why = "the answer is below the exam's threshold; a person decides";
        weighed.reasons.push(format!("unsure: {why}"));
    }
    for (class, why) in flagged(classes, values) {
        weighed.level = sooner(weighed.level, class.triage_level);
        weighed.reasons.push(why);
    }
    if let Some(why) = set.and_then(|set| unsettled(classes, answered, set)) {
        weighed.level = sooner(weighed.level, TriageLevel::Review);
        weighed.reasons.push(why);
    }
    weighed
}

/// The classes that are likely enough to be flagged, and why.
fn flagged<'a>(classes: &'a [Class], values: &[f64]) -> impl Iterator<Item = (&'a Class, String)> {
    let flag = |(class, value): (&'a Class, &f64)| {
        let from = class.flag_from.filter(|from| value >= from)?;
        let name = &class.name;
        let why = format!("flagged: {name} {value:.3} is at or above {from:.3}");
        Some((class, why))
    };
    classes.iter().zip(values).filter_map(flag)
}

/// Why the prediction set does not settle the answer, where it does not: it holds a class that
/// hurries more than the answered one, or no class at all.
fn unsettled(classes: &[Class], answered: TriageLevel, set: &PredictionSet) -> Option<String> {
    if set.classes.is_empty() {
        let why = "no class is likely enough for the coverage of the prediction set";
        return Some(format!("no_class_fits: {why}"));
    }
    let hurries = |class: &&Class| {
        set.classes.contains(&class.name) && hurries_more(class.triage_level, answered)
    };
    let held: Vec<String> = classes
        .iter()
        .filter(hurries)
        .map(|class| format!("{} ({})", class.name, class.triage_level.word()))
        .collect();
    let why = "the prediction set still holds what hurries more than the answer";
    (!held.is_empty()).then(|| format!("set_not_settled: {why}: {}", held.join(", ")))
}

#[cfg(test)]
mod tests {
    use TriageLevel::{Priority, Review, Routine, Urgent};

    use super::*;

    #[derive(Debug)]
    struct Case {
        /// Level and `flag_from` of each class.
        classes: &'static [(TriageLevel, Option<f64>)],
        values: &'static [f64],
        /// Numbers of the classes in the prediction set, where there is one.
        set: Option<&'static [usize]>,
        level: TriageLevel,
        codes: &'static [&'static str],
    }

    const NORMAL_OR_TB: &[(TriageLevel, Option<f64>)] = &[(Routine, None), (Urgent, None)];
    const FLAGGED: &[(TriageLevel, Option<f64>)] = &[(Routine, None), (Urgent, Some(0.2))];
    const THREE: &[(TriageLevel, Option<f64>)] =
        &[(Routine, None), (Priority, None), (Urgent, None)];
    const REVIEWED: &[(TriageLevel, Option<f64>)] = &[(Routine, None), (Review, None)];

    const CASES: &[Case] = &[
        // Nothing is claimed, or the answer is all that it may be.
        Case {
            classes: NORMAL_OR_TB,
            values: &[0.8, 0.2],
            set: None,
            level: Routine,
            codes: &[],
        },
        Case {
            classes: NORMAL_OR_TB,
            values: &[0.8, 0.2],
            set: Some(&[0]),
            level: Routine,
            codes: &[],
        },
        // It may be what hurries.
        Case {
            classes: NORMAL_OR_TB,
            values: &[0.8, 0.2],
            set: Some(&[0, 1]),
            level: Review,
            codes: &["set_not_settled"],
        },
        // By thresholds for each class, a set may hold another class than the answer.
        Case {
            classes: NORMAL_OR_TB,
            values: &[0.8, 0.2],
            set: Some(&[1]),
            level: Review,
            codes: &["set_not_settled"],
        },
        Case {
            classes: NORMAL_OR_TB,
            values: &[0.8, 0.2],
            set: Some(&[]),
            level: Review,
            codes: &["no_class_fits"],
        },
        // What hurries already does not hurry less.
        Case {
            classes: NORMAL_OR_TB,
            values: &[0.2, 0.8],
            set: Some(&[0, 1]),
            level: Urgent,
            codes: &[],
        },
        Case {
            classes: NORMAL_OR_TB,
            values: &[0.2, 0.8],
            set: Some(&[]),
            level: Urgent,
            codes: &["no_class_fits"],
        },
        Case {
            classes: NORMAL_OR_TB,
            values: &[0.5, 0.4],
            set: Some(&[0, 1]),
            level: Review,
            codes: &["unsure", "set_not_settled"],
        },
        // A flag hurries more than an unsettled set.
        Case {
            classes: FLAGGED,
            values: &[0.8, 0.2],
            set: Some(&[0, 1]),
            level: Urgent,
            codes: &["flagged", "set_not_settled"],
        },
        // To be looked at today, with the reason why that may be too late.
        Case {
            classes: THREE,
            values: &[0.1, 0.7, 0.2],
            set: Some(&[1, 2]),
            level: Priority,
            codes: &["set_not_settled"],
        },
        Case {
            classes: THREE,
            values: &[0.2, 0.7, 0.1],
            set: Some(&[0, 1]),
            level: Priority,
            codes: &[],
        },
        Case {
            classes: THREE,
            values: &[0.7, 0.2, 0.1],
            set: Some(&[0, 1]),
            level: Review,
            codes: &["set_not_settled"],
        },
        // A class that a person decides of hurries more than routine.
        Case {
            classes: REVIEWED,
            values: &[0.8, 0.2],
            set: Some(&[0, 1]),
            level: Review,
            codes: &["set_not_settled"],
        },
    ];

    fn name(class: usize) -> String {
        format!("class{class}")
    }

    fn exam(classes: &[(TriageLevel, Option<f64>)]) -> ExamSpec {
        let text = "name = \"x\"\ntitle = \"X\"\nmodalities = []\nbody_parts = []\n\
                    head = \"h\"\nreview_below = 0.6\nclasses = []";
        let mut exam: ExamSpec = toml::from_str(text).unwrap();
        let class = |(index, &(triage_level, flag_from))| Class {
            name: name(index),
            label: String::new(),
            triage_level,
            flag_from,
            text_prompts: Vec::new(),
        };
        exam.classes = classes.iter().enumerate().map(class).collect();
        exam
    }

    #[test]
    fn what_is_not_settled_is_never_routine() {
        for case in CASES {
            let answer = crate::triage::answered(case.values);
            let set = case.set.map(|classes| PredictionSet {
                coverage: 0.9,
                by_class: true,
                classes: classes.iter().copied().map(name).collect(),
            });
            let weighed = weigh(&exam(case.classes), answer, case.values, set.as_ref());
            assert_eq!(weighed.level, case.level, "{case:?}");
            let codes = weighed.reasons.iter().filter_map(|r| r.split(':').next());
            assert_eq!(codes.collect::<Vec<_>>(), case.codes, "{case:?}");
        }
    }
}
