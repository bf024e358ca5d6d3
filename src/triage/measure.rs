//! How good answers are: accuracy, balanced accuracy, log loss, calibration; and the
//! temperature that calibrates them.

use serde::{Deserialize, Serialize};

use super::head::softmax;

/// Equal steps of the answered probability over which calibration is looked at.
const STEPS: usize = 10;
/// No single case costs more than this probability would.
const LEAST: f64 = 1e-12;

/// How good the answers to some cases are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Share of cases that are answered with their class.
    pub accuracy: f64,
    /// The mean over the classes of that share.
    pub balanced_accuracy: f64,
    /// Mean of `-ln p` of the true class.
    pub log_loss: f64,
    /// Expected calibration error of the answered class, over ten equal steps.
    pub ece: f64,
}

/// One step of the answered probability.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Step {
    /// Cases in it.
    pub cases: usize,
    /// Their mean answered probability.
    pub probability: f64,
    /// The share that is right.
    pub right: f64,
}

/// The class that is answered: the likeliest, the first of several.
pub fn answered(probabilities: &[f64]) -> usize {
    let mut best = 0;
    for (class, p) in probabilities.iter().enumerate() {
        if *p > probabilities[best] {
            best = class;
        }
    }
    best
}

/// What a case costs whose own class has this probability.
pub(super) fn loss(probability: f64) -> f64 {
    -probability.max(LEAST).ln()
}

/// How good these answers are; `None` of no case.
pub fn figures(probabilities: &[Vec<f64>], labels: &[usize]) -> Option<Figures> {
    let classes = probabilities.first()?.len();
    let (mut right, mut counts) = (vec![0.0; classes], vec![0.0; classes]);
    let mut losses = 0.0;
    for (p, label) in probabilities.iter().zip(labels) {
        counts[*label] += 1.0;
        if answered(p) == *label {
            right[*label] += 1.0;
        }
        losses += loss(p[*label]);
    }
    let cases = labels.len() as f64;
    let shares = right.iter().zip(&counts).filter(|(_, count)| **count > 0.0);
    let shares: Vec<f64> = shares.map(|(right, count)| right / count).collect();
    let gap = |step: &Step| step.cases as f64 / cases * (step.probability - step.right).abs();
    Some(Figures {
        accuracy: right.iter().sum::<f64>() / cases,
        balanced_accuracy: shares.iter().sum::<f64>() / shares.len() as f64,
        log_loss: losses / cases,
        ece: reliability(probabilities, labels).iter().map(gap).sum(),
    })
}

/// How often answers of each probability are right.
pub fn reliability(probabilities: &[Vec<f64>], labels: &[usize]) -> Vec<Step> {
    let mut steps = vec![Step::default(); STEPS];
    for (p, label) in probabilities.iter().zip(labels) {
        let class = answered(p);
        let at = ((p[class] * STEPS as f64) as usize).min(STEPS - 1);
        steps[at].cases += 1;
        steps[at].probability += p[class];
        steps[at].right += f64::from(u8::from(class == *label));
    }
    for step in steps.iter_mut().filter(|step| step.cases > 0) {
        step.probability /= step.cases as f64;
        step.right /= step.cases as f64;
    }
    steps
}

/// The temperature of the least log loss (Guo et al. 2017), between a twentieth and fifty.
/// The true class is asked for with a little less than certainty, by the number of cases
/// (Platt 1999): a few cases that are all right make nobody certain.
pub fn temperature(logits: &[Vec<f64>], labels: &[usize]) -> f64 {
    let classes = logits.first().map_or(2, Vec::len);
    let slack = 1.0 / (labels.len() + classes) as f64;
    let cost = |log: f64| -> f64 {
        let cases = logits.iter().zip(labels);
        let losses = cases.map(|(row, label)| {
            let p = softmax(row, log.exp());
            let sum: f64 = p.iter().map(|p| p.max(LEAST).ln()).sum();
            -(1.0 - slack) * p[*label].max(LEAST).ln() - slack / classes as f64 * sum
        });
        losses.sum()
    };
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (0.05f64.ln(), 50f64.ln());
    let (mut left, mut right) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_left, mut at_right) = (cost(left), cost(right));
    for _ in 0..48 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - golden * (high - low);
            at_left = cost(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + golden * (high - low);
            at_right = cost(right);
        }
    }
    ((low + high) / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_of_a_few_cases() {
        let p = [
            vec![0.8, 0.2],
            vec![0.8, 0.2],
            vec![0.8, 0.2],
            vec![0.4, 0.6],
        ];
        let found = figures(&p, &[0, 0, 1, 1]).unwrap();
        assert_eq!(found.accuracy, 0.75);
        assert_eq!(found.balanced_accuracy, 0.75);
        let loss = -(2.0 * 0.8f64.ln() + 0.2f64.ln() + 0.6f64.ln()) / 4.0;
        assert!((found.log_loss - loss).abs() < 1e-12);
        // Three quarters at 0.8 of which two thirds are right, a quarter at 0.6 that is.
        let ece = 0.75 * (0.8 - 2.0 / 3.0) + 0.25 * 0.4;
        assert!((found.ece - ece).abs() < 1e-12);
        assert_eq!(figures(&[], &[]), None);
    }

    #[test]
    fn rare_classes_count_as_much_as_common_ones() {
        let p = vec![vec![0.9, 0.1]; 10];
        let mut labels = vec![0; 9];
        labels.push(1);
        let found = figures(&p, &labels).unwrap();
        assert_eq!((found.accuracy, found.balanced_accuracy), (0.9, 0.5));
    }

    /// Logits that are twice as far apart as they should be need the temperature 2.
    #[test]
    fn the_temperature_takes_back_what_is_too_sure() {
        let cases = 3000;
        let sure = 2f64;
        let share = 1.0 / (1.0 + (-sure).exp());
        let logits = vec![vec![2.0 * sure, 0.0]; cases];
        let labels = (0..cases).map(|i| usize::from(i as f64 / cases as f64 > share));
        let labels: Vec<usize> = labels.collect();
        assert!((temperature(&logits, &labels) - 2.0).abs() < 0.01);
    }

    #[test]
    fn a_few_right_answers_make_nobody_certain() {
        let logits = vec![vec![4.0, 0.0]; 10];
        let p = softmax(&logits[0], temperature(&logits, &[0; 10]));
        assert!((0.9..0.99).contains(&p[0]), "{p:?}");
    }
}
