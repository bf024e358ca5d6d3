//! Which head is the best for some labelled cases, by cross-validation, and how good it is on
//! cases that it has not seen.
//!
//! The choice is between penalties of the [`probe`](super::probe) and blends with the
//! prototypes' own answer; the head as it is stands among them, so that a head is never
//! worse than that on the cases that chose it. The figures are of another cross-validation
//! around the choice (nested: Varma & Simon 2006): no case had a part in the head that
//! answers it, nor in the choice of that head. Nothing is drawn by lot.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::folds::folds;
use super::gain::Gain;
use super::head::{blended, softmax};
use super::measure::{Figures, figures, loss, temperature};
use super::probe::{Examples, Probe};
use super::{FusionHead, HeadError};

/// Folds of the cross-validation.
pub const FOLDS: usize = 5;
/// The fewest cases of each class that can be parted so.
pub const CASES_NEEDED: usize = FOLDS;
/// Penalties to choose from, the strongest first: each fit starts from the one before.
const PENALTIES: [f64; 6] = [1.0, 0.1, 0.01, 0.001, 0.0001, 0.00001];
/// Blends to choose from.
const BLENDS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Lengths of the gradient that training ends at: to choose by, and to keep.
const ROUGH: f64 = 1e-6;
const FINE: f64 = 1e-11;

/// A labelled case.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledCase {
    /// Tells it apart: the hash of its image.
    pub key: String,
    /// Unit embedding of the whole image.
    pub whole: Vec<f32>,
    /// Unit embedding of the focused image.
    pub focused: Vec<f32>,
    /// Its class.
    pub label: usize,
}

/// What training starts from.
#[derive(Debug, Clone, Copy)]
pub enum Start<'a> {
    /// A head that saw none of the cases.
    Head(&'a FusionHead),
    /// Nothing but the cases: prototypes are the classes' mean embeddings.
    Means {
        /// How many classes there are.
        classes: usize,
        /// Scale of the prototypes' logits.
        logit_scale: f32,
    },
}

/// What was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// The penalty; `None` for the head as it is.
    pub penalty: Option<f64>,
    /// How much of the trained logits is in the answer.
    pub blend: f64,
}

/// A head and how good it is.
#[derive(Debug)]
pub struct Selected {
    /// The head, trained on all cases, with its temperature.
    pub head: FusionHead,
    /// How it was chosen.
    pub choice: Choice,
    /// How good what training started from is on the same cases.
    pub before: Figures,
    /// The same with its temperature fitted to these cases, cross-validated: what needs no
    /// training.
    pub calibrated: Figures,
    /// How good heads that are chosen and trained so are, cross-validated.
    pub after: Figures,
    /// What training gains beyond that calibration.
    pub gain: Gain,
}

/// Chooses, trains and measures a head. There are at least [`CASES_NEEDED`] cases of each
/// class.
///
/// # Errors
/// [`HeadError`]: the mean of a class's embeddings has no direction.
pub fn select(cases: &[LabelledCase], start: Start<'_>) -> Result<Selected, HeadError> {
    let mut cases: Vec<&LabelledCase> = cases.iter().collect();
    // Sums come out the same whatever order the cases came in.
    cases.sort_by(|a, b| a.key.cmp(&b.key));
    let keys: Vec<&str> = cases.iter().map(|case| case.key.as_str()).collect();
    let labels: Vec<usize> = cases.iter().map(|case| case.label).collect();
    let bench = Bench {
        fold: folds(&keys, &labels, FOLDS),
        cases,
        labels,
        start,
    };
    let held_out = bench.held_out()?;
    let all: Vec<usize> = (0..bench.cases.len()).collect();
    let own = |fold: usize| (fold, fold);
    let choice = bench.choose(&all, &held_out, own, &PENALTIES);
    let head = bench.start_of(&all)?;
    let trained = match choice.penalty {
        Some(penalty) => bench.fit(&head, &all, penalty),
        None => Probe::nothing(head.classes(), head.dimension()),
    };
    let (_, logits) = bench.logits(&all, &held_out, choice, own);
    let temperature = temperature(&logits, &bench.labels);
    let (calibrated, after) = (
        bench.nested(&held_out, &[]),
        bench.nested(&held_out, &PENALTIES),
    );
    Ok(Selected {
        gain: Gain::of(&calibrated.losses(), &after.losses()),
        head: head
            .with_probe(&trained, choice.blend)
            .with_temperature(temperature),
        choice,
        before: bench.before(&held_out),
        calibrated: calibrated.figures(),
        after: after.figures(),
    })
}

/// A head's logits of one case that it was not trained on.
#[derive(Debug, Clone)]
struct Answered {
    zero: Vec<f64>,
    /// Of the head that training started from: its answer as it is.
    as_it_is: Vec<f64>,
    /// Its probabilities, at its own temperature.
    probabilities: Vec<f64>,
    /// By penalty.
    trained: Vec<Vec<f64>>,
}

/// The answers to case `i` by heads that saw none of two folds, by case and these folds.
type HeldOut = BTreeMap<(usize, usize), BTreeMap<usize, Answered>>;

struct Bench<'a> {
    cases: Vec<&'a LabelledCase>,
    labels: Vec<usize>,
    fold: Vec<usize>,
    start: Start<'a>,
}

impl Bench<'_> {
    /// What training on some cases starts from.
    fn start_of(&self, training: &[usize]) -> Result<Cow<'_, FusionHead>, HeadError> {
        let (classes, logit_scale) = match self.start {
            Start::Head(head) => return Ok(Cow::Borrowed(head)),
            Start::Means {
                classes,
                logit_scale,
            } => (classes, logit_scale),
        };
        let mut means = vec![vec![0.0; self.cases[0].whole.len()]; classes];
        for case in training.iter().map(|case| self.cases[*case]) {
            let both = case.whole.iter().zip(&case.focused);
            for (mean, (whole, focused)) in means[case.label].iter_mut().zip(both) {
                *mean += whole + focused;
            }
        }
        FusionHead::zero_shot(&means, logit_scale).map(Cow::Owned)
    }

    /// Answers of heads that were trained without one fold, and without two of them.
    fn held_out(&self) -> Result<HeldOut, HeadError> {
        let mut held_out = HeldOut::new();
        for first in 0..FOLDS {
            for second in first..FOLDS {
                let is_out = |case: &usize| [first, second].contains(&self.fold[*case]);
                let all = 0..self.cases.len();
                let (out, training): (Vec<usize>, Vec<usize>) = all.partition(is_out);
                let head = self.start_of(&training)?;
                held_out.insert((first, second), self.answers(&head, &training, &out));
            }
        }
        Ok(held_out)
    }

    fn answers(
        &self,
        head: &FusionHead,
        training: &[usize],
        out: &[usize],
    ) -> BTreeMap<usize, Answered> {
        let steps = |case: usize| head.steps(&self.cases[case].whole, &self.cases[case].focused);
        let answered = |case: &usize| {
            let steps = steps(*case);
            let as_it_is = blended(&steps.zero, &steps.trained, head.blend());
            let answered = Answered {
                probabilities: softmax(&as_it_is, head.temperature()),
                as_it_is,
                zero: steps.zero.clone(),
                trained: Vec::new(),
            };
            (*case, (steps, answered))
        };
        let mut answers: BTreeMap<_, _> = out.iter().map(answered).collect();
        let parts = self.parts(head, training);
        let mut probe = Probe::nothing(head.classes(), head.dimension());
        for penalty in PENALTIES {
            probe = Probe::fit(&parts.examples(head.classes()), penalty, &probe, ROUGH);
            for (steps, answered) in answers.values_mut() {
                let features: Vec<f64> = steps.fused.iter().map(|x| f64::from(*x)).collect();
                let added = probe.logits(&features);
                let trained = steps.trained.iter().zip(added).map(|(a, b)| a + b);
                answered.trained.push(trained.collect());
            }
        }
        let answers = answers.into_iter();
        answers
            .map(|(case, (_, answered))| (case, answered))
            .collect()
    }

    fn fit(&self, head: &FusionHead, training: &[usize], penalty: f64) -> Probe {
        let parts = self.parts(head, training);
        let nothing = Probe::nothing(head.classes(), head.dimension());
        Probe::fit(&parts.examples(head.classes()), penalty, &nothing, FINE)
    }

    fn parts(&self, head: &FusionHead, training: &[usize]) -> Parts {
        let mut parts = Parts::default();
        for case in training.iter().map(|case| self.cases[*case]) {
            let steps = head.steps(&case.whole, &case.focused);
            parts
                .features
                .extend(steps.fused.iter().map(|x| f64::from(*x)));
            parts.offsets.extend(steps.trained);
            parts.labels.push(case.label);
        }
        parts
    }

    /// The labels and held-out logits of some cases by one choice; `without` says which folds
    /// the head that answers a case of a fold must not have seen.
    fn logits(
        &self,
        cases: &[usize],
        held_out: &HeldOut,
        choice: Choice,
        without: impl Fn(usize) -> (usize, usize),
    ) -> (Vec<usize>, Vec<Vec<f64>>) {
        let at = choice.penalty.and_then(|penalty| {
            let mut penalties = PENALTIES.iter();
            penalties.position(|known| *known == penalty)
        });
        let logits = |case: &usize| {
            let answered = &held_out[&without(self.fold[*case])][case];
            match at {
                Some(at) => blended(&answered.zero, &answered.trained[at], choice.blend),
                None => answered.as_it_is.clone(),
            }
        };
        let labels = cases.iter().map(|case| self.labels[*case]).collect();
        (labels, cases.iter().map(logits).collect())
    }

    /// The choice of the least log loss among those whose balanced accuracy is not below that
    /// of the head as it is.
    fn choose(
        &self,
        cases: &[usize],
        held_out: &HeldOut,
        without: impl Fn(usize) -> (usize, usize) + Copy,
        penalties: &[f64],
    ) -> Choice {
        let measured = |choice| {
            let (labels, logits) = self.logits(cases, held_out, choice, without);
            let temperature = temperature(&logits, &labels);
            let p: Vec<Vec<f64>> = logits.iter().map(|row| softmax(row, temperature)).collect();
            figures(&p, &labels)
        };
        let mut best = Choice {
            penalty: None,
            blend: match self.start {
                Start::Head(head) => head.blend(),
                Start::Means { .. } => 0.0,
            },
        };
        let Some(as_it_is) = measured(best) else {
            return best;
        };
        let mut least = as_it_is.log_loss;
        for penalty in penalties.iter().copied() {
            for blend in BLENDS {
                let choice = Choice {
                    penalty: Some(penalty),
                    blend,
                };
                let Some(found) = measured(choice) else {
                    continue;
                };
                let keeps = found.balanced_accuracy >= as_it_is.balanced_accuracy - 1e-12;
                if keeps && found.log_loss < least - 1e-9 {
                    (best, least) = (choice, found.log_loss);
                }
            }
        }
        best
    }

    fn before(&self, held_out: &HeldOut) -> Figures {
        let answers = |case: usize| {
            let fold = self.fold[case];
            held_out[&(fold, fold)][&case].probabilities.clone()
        };
        let p: Vec<Vec<f64>> = (0..self.cases.len()).map(answers).collect();
        figures(&p, &self.labels).unwrap_or(NONE)
    }

    /// Each fold answered by what the others choose among these penalties, train and
    /// calibrate.
    fn nested(&self, held_out: &HeldOut, penalties: &[f64]) -> Nested {
        let mut nested = Nested::default();
        for fold in 0..FOLDS {
            let all = 0..self.cases.len();
            let (mine, others): (Vec<usize>, Vec<usize>) =
                all.partition(|case| self.fold[*case] == fold);
            let without = |other: usize| (other.min(fold), other.max(fold));
            let choice = self.choose(&others, held_out, without, penalties);
            let (known, logits) = self.logits(&others, held_out, choice, without);
            let temperature = temperature(&logits, &known);
            let (own, logits) = self.logits(&mine, held_out, choice, |fold| (fold, fold));
            nested.labels.extend(own);
            let p = logits.iter().map(|row| softmax(row, temperature));
            nested.probabilities.extend(p);
        }
        nested
    }
}

/// The answers of a cross-validation, fold by fold.
#[derive(Default)]
struct Nested {
    labels: Vec<usize>,
    probabilities: Vec<Vec<f64>>,
}

impl Nested {
    fn figures(&self) -> Figures {
        figures(&self.probabilities, &self.labels).unwrap_or(NONE)
    }

    fn losses(&self) -> Vec<f64> {
        let cases = self.probabilities.iter().zip(&self.labels);
        cases.map(|(p, label)| loss(p[*label])).collect()
    }
}

/// Of no case.
const NONE: Figures = Figures {
    accuracy: 0.0,
    balanced_accuracy: 0.0,
    log_loss: 0.0,
    ece: 0.0,
};

#[derive(Default)]
struct Parts {
    features: Vec<f64>,
    offsets: Vec<f64>,
    labels: Vec<usize>,
}

impl Parts {
    fn examples(&self, classes: usize) -> Examples<'_> {
        Examples {
            features: &self.features,
            offsets: &self.offsets,
            labels: &self.labels,
            classes,
        }
    }
}

#[cfg(test)]
mod tests;
