//! A head's probabilities made honest on labelled cases that it was not trained on.
//!
//! The cases are parted by their hashes: on a third of them the temperature is fitted, on the
//! others everything else is measured, so that no figure is of cases that a number was fitted
//! to, and split conformal prediction keeps what it promises.

use serde::Serialize;

use super::folds::folds;
use super::head::softmax;
use super::measure::{Figures, Step, answered, figures, loss, reliability, temperature};
use super::rates::Rate;
use super::select::LabelledCase;
use super::sets::{PredictionSets, cases_needed};
use super::{FusionHead, Glance, Guard, Reference};

/// Of so many parts, the temperature is fitted on the first.
const PARTS: usize = 3;
/// Coverages that are looked at in any case.
const COVERAGES: [f64; 4] = [0.8, 0.9, 0.95, 0.99];
/// Parts of the cross-validation that says whether another temperature is better.
const FOLDS: usize = 5;
/// Parts of the one that says how often sets hold the true class. Many, since with fewer cases
/// than there are at last a class may be in every set.
const SET_FOLDS: usize = 20;

/// A calibrated head, and how it did.
#[derive(Debug)]
pub struct Calibration {
    /// The head with temperature, prediction sets and reference.
    pub head: FusionHead,
    /// How many cases the temperature was fitted on.
    pub fitted_on: usize,
    /// How good the answers to the other cases were before.
    pub before: Figures,
    /// The same, after.
    pub after: Figures,
    /// What the prediction sets are like.
    pub sets: Vec<SetFigures>,
    /// How often answers of each probability are right.
    pub steps: Vec<Step>,
    /// The probabilities of the cases that were measured on.
    pub probabilities: Vec<Vec<f64>>,
    /// Their classes.
    pub labels: Vec<usize>,
}

/// What the prediction sets of one coverage are like, cross-validated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetFigures {
    /// The stated coverage.
    pub coverage: f64,
    /// Whether it holds for each class.
    pub by_class: bool,
    /// How often the set held the true class.
    pub covered: Rate,
    /// How many classes it held on average.
    pub classes: f64,
}

/// Labelled cases that a calibration with this coverage needs.
pub fn calibration_needs(coverage: f64) -> usize {
    // Measured on are all but every third of each class, rounded for the worst.
    (cases_needed(coverage) * PARTS).div_ceil(PARTS - 1)
}

/// Calibrates a head on these cases, which it was not trained on; `None` where they are too
/// few for the coverage that is asked for.
pub fn calibrate(
    head: &FusionHead,
    guard: Option<&Guard>,
    cases: &[LabelledCase],
    coverage: f64,
) -> Option<Calibration> {
    let mut cases: Vec<&LabelledCase> = cases.iter().collect();
    cases.sort_by(|a, b| a.key.cmp(&b.key));
    let part = parts(&cases, PARTS);
    let of = |is_fitted: bool| -> (Vec<&LabelledCase>, Vec<Vec<f64>>, Vec<usize>) {
        let mine = cases.iter().zip(&part);
        let mine = mine.filter(|(_, part)| (**part == 0) == is_fitted);
        let mine: Vec<&LabelledCase> = mine.map(|(case, _)| *case).collect();
        let wide = |logits: Vec<f32>| logits.into_iter().map(f64::from).collect();
        let logits = mine
            .iter()
            .map(|case| wide(head.logits(&case.whole, &case.focused)));
        let (logits, labels) = (logits.collect(), mine.iter().map(|case| case.label));
        let labels = labels.collect();
        (mine, logits, labels)
    };
    let (fitted_cases, fitted, fitted_labels) = of(true);
    let (measured, logits, labels) = of(false);
    let fitted_part = parts(&fitted_cases, FOLDS);
    let warm = warmer(head, &fitted, &fitted_labels, &fitted_part);
    let answers = |head: &FusionHead| -> Vec<Vec<f64>> {
        let narrow = |row: &Vec<f64>| -> Vec<f32> { row.iter().map(|l| *l as f32).collect() };
        logits
            .iter()
            .map(|row| head.probabilities(&narrow(row)))
            .collect()
    };
    let (before, p) = (answers(head), answers(&warm));
    let mut coverages = COVERAGES.to_vec();
    if coverages
        .iter()
        .all(|known| (known - coverage).abs() > 1e-6)
    {
        coverages.push(coverage);
        coverages.sort_by(f64::total_cmp);
    }
    let needed = cases_needed(coverage);
    let has_enough = |class| labels.iter().filter(|label| **label == class).count() >= needed;
    let by_class = (0..head.classes()).all(has_enough);
    let sets = PredictionSets::fit(&p, &labels, &coverages, by_class)?;
    sets.members(&p[0], coverage)?;
    let reference = Reference::of(&glances(guard, &measured, &p), head.classes());
    Some(Calibration {
        fitted_on: fitted_labels.len(),
        before: figures(&before, &labels)?,
        after: figures(&p, &labels)?,
        sets: covered(&sets, &measured, &p, &labels),
        steps: reliability(&p, &labels),
        head: warm.with_sets(Some(sets)).with_reference(reference),
        probabilities: p,
        labels,
    })
}

/// As much of the answers as later ones are compared by; of the images that the guard lets
/// pass, since no other is answered.
fn glances(guard: Option<&Guard>, cases: &[&LabelledCase], p: &[Vec<f64>]) -> Vec<Glance> {
    let glance = |(case, p): (&&LabelledCase, &Vec<f64>)| Glance {
        class: answered(p),
        probability: p[answered(p)],
        guard_distance: guard.map(|guard| guard.share(&case.whole)),
    };
    let all = cases.iter().zip(p).map(glance);
    all.filter(|glance| glance.guard_distance.is_none_or(|share| share <= 1.0))
        .collect()
}

/// The head with the temperature of these cases, or with its own where another is no better
/// by cross-validation: a few cases say little.
fn warmer(head: &FusionHead, logits: &[Vec<f64>], labels: &[usize], part: &[usize]) -> FusionHead {
    let (mut own, mut other) = (0.0, 0.0);
    for fold in 0..FOLDS {
        let cases = |is_out: bool| -> (Vec<Vec<f64>>, Vec<usize>) {
            let mine = (0..labels.len()).filter(|case| (part[*case] == fold) == is_out);
            mine.map(|case| (logits[case].clone(), labels[case]))
                .unzip()
        };
        let ((known, known_labels), (out, out_labels)) = (cases(false), cases(true));
        let found = temperature(&known, &known_labels);
        let cost = |temperature: f64| {
            let rows = out.iter().zip(&out_labels);
            let losses = rows.map(|(row, label)| loss(softmax(row, temperature)[*label]));
            losses.sum::<f64>()
        };
        own += cost(head.temperature());
        other += cost(found);
    }
    let found = temperature(logits, labels);
    let is_better = other < own;
    head.with_temperature(if is_better { found } else { head.temperature() })
}

fn parts(cases: &[&LabelledCase], count: usize) -> Vec<usize> {
    let keys: Vec<&str> = cases.iter().map(|case| case.key.as_str()).collect();
    let labels: Vec<usize> = cases.iter().map(|case| case.label).collect();
    folds(&keys, &labels, count)
}

/// How often sets hold the true class of cases that their thresholds were not made from.
fn covered(
    sets: &PredictionSets,
    cases: &[&LabelledCase],
    p: &[Vec<f64>],
    labels: &[usize],
) -> Vec<SetFigures> {
    let part = parts(cases, SET_FOLDS);
    let by_class = sets.has_each_class();
    let figures = |coverage: f64| {
        let (mut hits, mut tried, mut classes) = (0, 0, 0);
        for fold in 0..SET_FOLDS {
            let (out, rest): (Vec<usize>, Vec<usize>) =
                (0..cases.len()).partition(|case| part[*case] == fold);
            let others: Vec<Vec<f64>> = rest.iter().map(|case| p[*case].clone()).collect();
            let known: Vec<usize> = rest.iter().map(|case| labels[*case]).collect();
            let Some(fitted) = PredictionSets::fit(&others, &known, &[coverage], by_class) else {
                continue;
            };
            for case in out {
                let Some(members) = fitted.members(&p[case], coverage) else {
                    continue;
                };
                tried += 1;
                hits += usize::from(members.classes.contains(&labels[case]));
                classes += members.classes.len();
            }
        }
        SetFigures {
            coverage,
            by_class,
            covered: Rate::of(hits, tried),
            classes: classes as f64 / tried.max(1) as f64,
        }
    };
    sets.coverages().map(figures).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases whose head is three times as sure as it may be.
    fn cases(count: usize) -> Vec<LabelledCase> {
        let mut state: u64 = 6;
        let mut draw = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / (1u64 << 24) as f64
        };
        let case = |i: usize| {
            let angle = draw() * std::f64::consts::FRAC_PI_2;
            let z = vec![angle.cos() as f32, angle.sin() as f32];
            let sure = 4.0 * (angle.cos() - angle.sin());
            let p = 1.0 / (1.0 + (-sure).exp());
            LabelledCase {
                key: format!("{:06}", i * 7919 % 999_983),
                whole: z.clone(),
                focused: z,
                label: usize::from(draw() > p),
            }
        };
        (0..count).map(case).collect()
    }

    fn head() -> FusionHead {
        let prototypes = [vec![1.0, 0.0], vec![0.0, 1.0]];
        FusionHead::zero_shot(&prototypes, 12.0).unwrap()
    }

    #[test]
    fn probabilities_become_what_they_say() {
        let made = calibrate(&head(), None, &cases(900), 0.9).unwrap();
        assert!(
            (made.head.temperature() - 3.0).abs() < 0.4,
            "{}",
            made.head.temperature()
        );
        assert!(
            made.before.ece > 0.08 && made.after.ece < 0.05,
            "{:?}",
            made.after
        );
        assert_eq!(made.fitted_on + made.labels.len(), 900);
        for set in &made.sets {
            let Rate { low, high, .. } = set.covered;
            assert!(
                low - 0.01 <= set.coverage && set.coverage <= high + 0.01,
                "{set:?}"
            );
        }
        // Other cases of the same kind are covered as often.
        let others = cases(5000).split_off(900);
        let is_in = |case: &&LabelledCase| {
            let head = &made.head;
            let p = head.probabilities(&head.logits(&case.whole, &case.focused));
            let members = head.prediction_set(&p, 0.9).unwrap();
            members.classes.contains(&case.label)
        };
        let share = others.iter().filter(is_in).count() as f64 / others.len() as f64;
        assert!((share - 0.9).abs() < 0.03, "{share}");
    }

    #[test]
    fn too_few_cases_calibrate_nothing() {
        let needed = calibration_needs(0.9);
        assert_eq!(needed, 14);
        assert!(calibrate(&head(), None, &cases(needed - 4), 0.9).is_none());
        assert!(calibrate(&head(), None, &cases(needed + 2), 0.9).is_some());
        assert!(calibrate(&head(), None, &[], 0.9).is_none());
    }
}
