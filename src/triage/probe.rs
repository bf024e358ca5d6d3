//! The text-initialised linear probe: a classifier `C`, `c` on top of a head, trained on the
//! device from a few labelled cases.
//!
//! Minimises, over all `C` and `c`, the mean over the classes of the mean cross-entropy of
//! `offset + C u + c`, plus `penalty / 2 |C|^2`. The offsets are the head's own logits (of a
//! zero-shot head, those of the text prototypes), and so the penalty pulls the answer to
//! what the head said before. The problem is convex: Newton's method, its steps by conjugate
//! gradients, ends in the same classifier on every machine, with nothing drawn by lot.

/// Labelled cases, as a probe sees them. Rows lie one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Examples<'a> {
    /// What the classifier reads: `[N, D]`.
    pub features: &'a [f64],
    /// The logits that it adds to: `[N, K]`.
    pub offsets: &'a [f64],
    /// The class of each.
    pub labels: &'a [usize],
    /// `K`.
    pub classes: usize,
}

/// A trained classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// `C`, `[K, D]`.
    pub weight: Vec<f64>,
    /// `c`, `[K]`.
    pub bias: Vec<f64>,
}

/// Steps of Newton's method, of which some ten are taken.
const STEPS: usize = 100;
/// Steps of conjugate gradients within one of these.
const INNER_STEPS: usize = 400;
/// Halvings of a step that does not lead down.
const HALVINGS: usize = 40;

impl Probe {
    /// The probe that changes nothing.
    pub fn nothing(classes: usize, dimension: usize) -> Self {
        Self {
            weight: vec![0.0; classes * dimension],
            bias: vec![0.0; classes],
        }
    }

    /// Trains on these cases until the gradient is no longer than `within`, from `start`.
    /// Classes without a case are left as they are.
    pub fn fit(examples: &Examples<'_>, penalty: f64, start: &Self, within: f64) -> Self {
        let problem = Problem::new(examples, penalty);
        let mut at = [start.weight.as_slice(), &start.bias].concat();
        let (mut loss, mut state) = problem.loss(&at);
        for _ in 0..STEPS {
            let gradient = problem.gradient(&at, &state);
            let length = dot(&gradient, &gradient).sqrt();
            if length <= within {
                break;
            }
            let step = problem.newton_step(&state, &gradient, length);
            let slope = dot(&gradient, &step);
            let mut by = 1.0;
            let next = (0..HALVINGS).find_map(|_| {
                let there: Vec<f64> = at.iter().zip(&step).map(|(a, s)| a + by * s).collect();
                let (lower, state) = problem.loss(&there);
                // Rounding of the loss itself is no way up.
                let allowed = loss + 1e-4 * by * slope + 1e-14 * loss.abs();
                by *= 0.5;
                (lower <= allowed).then_some((there, lower, state))
            });
            let Some(next) = next else {
                break;
            };
            (at, loss, state) = next;
        }
        let bias = at.split_off(start.weight.len());
        Self { weight: at, bias }
    }

    /// What is added to the logits of a case.
    pub fn logits(&self, features: &[f64]) -> Vec<f64> {
        let rows = self.weight.chunks_exact(features.len());
        let logits = rows
            .zip(&self.bias)
            .map(|(row, bias)| dot(row, features) + bias);
        logits.collect()
    }
}

/// The loss and its derivatives. Parameters are `C` row by row, then `c`.
struct Problem<'a> {
    examples: &'a Examples<'a>,
    dimension: usize,
    penalty: f64,
    /// What each case counts, so that each class counts alike.
    weights: Vec<f64>,
}

/// The probabilities of each case at some place.
struct State(Vec<f64>);

impl<'a> Problem<'a> {
    fn new(examples: &'a Examples<'a>, penalty: f64) -> Self {
        let mut counts = vec![0.0; examples.classes];
        for label in examples.labels {
            counts[*label] += 1.0;
        }
        let present = counts.iter().filter(|count| **count > 0.0).count() as f64;
        let weight = |label: &usize| 1.0 / (present * counts[*label]);
        Self {
            examples,
            dimension: examples.features.len() / examples.labels.len().max(1),
            penalty,
            weights: examples.labels.iter().map(weight).collect(),
        }
    }

    fn weight_length(&self) -> usize {
        self.examples.classes * self.dimension
    }

    /// `C u + c` of each case.
    fn linear(&self, parameters: &[f64]) -> Vec<f64> {
        let (weight, bias) = parameters.split_at(self.weight_length());
        let cases = self.examples.features.chunks_exact(self.dimension);
        let logits = cases.flat_map(|case| {
            let rows = weight.chunks_exact(self.dimension).zip(bias);
            rows.map(move |(row, bias)| dot(row, case) + bias)
        });
        logits.collect()
    }

    fn loss(&self, parameters: &[f64]) -> (f64, State) {
        let classes = self.examples.classes;
        let mut rows = self.linear(parameters);
        let mut loss = 0.0;
        for (i, row) in rows.chunks_exact_mut(classes).enumerate() {
            let offsets = &self.examples.offsets[i * classes..][..classes];
            for (logit, offset) in row.iter_mut().zip(offsets) {
                *logit += offset;
            }
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let own = row[self.examples.labels[i]] - top;
            let mut sum = 0.0;
            for logit in row.iter_mut() {
                *logit = (*logit - top).exp();
                sum += *logit;
            }
            row.iter_mut().for_each(|p| *p /= sum);
            loss += self.weights[i] * (sum.ln() - own);
        }
        let weight = &parameters[..self.weight_length()];
        (loss + 0.5 * self.penalty * dot(weight, weight), State(rows))
    }

    fn gradient(&self, parameters: &[f64], state: &State) -> Vec<f64> {
        let mut residuals = state.0.clone();
        let classes = self.examples.classes;
        for (i, row) in residuals.chunks_exact_mut(classes).enumerate() {
            row[self.examples.labels[i]] -= 1.0;
            row.iter_mut().for_each(|r| *r *= self.weights[i]);
        }
        self.gathered(&residuals, parameters)
    }

    /// The Hessian times a direction.
    fn curvature(&self, state: &State, direction: &[f64]) -> Vec<f64> {
        let classes = self.examples.classes;
        let mut rows = self.linear(direction);
        let cases = rows
            .chunks_exact_mut(classes)
            .zip(state.0.chunks_exact(classes));
        for ((row, p), weight) in cases.zip(&self.weights) {
            let mean = dot(row, p);
            for (value, p) in row.iter_mut().zip(p) {
                *value = weight * p * (*value - mean);
            }
        }
        self.gathered(&rows, direction)
    }

    /// Rows `[N, K]` times the cases' features, plus the penalty's own part.
    fn gathered(&self, rows: &[f64], parameters: &[f64]) -> Vec<f64> {
        let (classes, dimension) = (self.examples.classes, self.dimension);
        let mut sums = vec![0.0; parameters.len()];
        let (weight, bias) = sums.split_at_mut(self.weight_length());
        for (i, row) in rows.chunks_exact(classes).enumerate() {
            let case = &self.examples.features[i * dimension..][..dimension];
            for (class, value) in row.iter().enumerate() {
                bias[class] += value;
                let sums = &mut weight[class * dimension..][..dimension];
                sums.iter_mut()
                    .zip(case)
                    .for_each(|(sum, x)| *sum += value * x);
            }
        }
        for (sum, parameter) in weight.iter_mut().zip(parameters) {
            *sum += self.penalty * parameter;
        }
        sums
    }

    /// The step down of Newton's method, as far as conjugate gradients need go here.
    fn newton_step(&self, state: &State, gradient: &[f64], length: f64) -> Vec<f64> {
        let near_enough = length * length.sqrt().min(0.1);
        let mut step = vec![0.0; gradient.len()];
        let mut residual: Vec<f64> = gradient.iter().map(|g| -g).collect();
        let mut direction = residual.clone();
        let mut square = dot(&residual, &residual);
        for _ in 0..INNER_STEPS {
            let curved = self.curvature(state, &direction);
            let bend = dot(&direction, &curved);
            // Along a shift of all classes alike there is nothing to gain.
            if bend <= f64::MIN_POSITIVE {
                break;
            }
            let by = square / bend;
            add(&mut step, by, &direction);
            add(&mut residual, -by, &curved);
            let next = dot(&residual, &residual);
            if next.sqrt() <= near_enough {
                break;
            }
            let keep = next / square;
            square = next;
            for (d, r) in direction.iter_mut().zip(&residual) {
                *d = r + keep * *d;
            }
        }
        if step.iter().all(|s| *s == 0.0) {
            // Straight down, where nothing is known of the curvature.
            return gradient.iter().map(|g| -g).collect();
        }
        step
    }
}

fn add(to: &mut [f64], by: f64, of: &[f64]) {
    to.iter_mut().zip(of).for_each(|(t, o)| *t += by * o);
}

/// In eight sums side by side, which every CPU has the lanes for, in an order that is the
/// same everywhere.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (left, right) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: f64 = rest.map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const D: usize = 19;
    const K: usize = 3;

    /// Cases drawn by a fixed rule: features of unit length, offsets that are often wrong.
    fn cases(count: usize) -> (Vec<f64>, Vec<f64>, Vec<usize>) {
        let mut state: u64 = 5;
        let mut draw = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64 - 0.5
        };
        let (mut features, mut offsets, mut labels) = (vec![], vec![], vec![]);
        for i in 0..count {
            let label = [0, 0, 1, 2][i % 4];
            let mut row: Vec<f64> = (0..D).map(|_| draw()).collect();
            row[label] += 0.6;
            let length = dot(&row, &row).sqrt();
            features.extend(row.iter().map(|x| x / length));
            offsets.extend((0..K).map(|_| 6.0 * draw()));
            labels.push(label);
        }
        (features, offsets, labels)
    }

    fn loss_of(parts: &(Vec<f64>, Vec<f64>, Vec<usize>), penalty: f64, probe: &Probe) -> f64 {
        let examples = examples(parts);
        let at = [probe.weight.as_slice(), &probe.bias].concat();
        Problem::new(&examples, penalty).loss(&at).0
    }

    fn examples(parts: &(Vec<f64>, Vec<f64>, Vec<usize>)) -> Examples<'_> {
        Examples {
            features: &parts.0,
            offsets: &parts.1,
            labels: &parts.2,
            classes: K,
        }
    }

    #[test]
    fn it_ends_where_no_small_step_leads_down() {
        let parts = cases(60);
        for penalty in [1.0, 1e-2, 1e-4] {
            let start = Probe::nothing(K, D);
            let probe = Probe::fit(&examples(&parts), penalty, &start, 1e-10);
            let least = loss_of(&parts, penalty, &probe);
            assert!(least < loss_of(&parts, penalty, &start));
            for i in 0..K * D + K {
                for by in [1e-3, -1e-3] {
                    let mut moved = probe.clone();
                    match i.checked_sub(K * D) {
                        None => moved.weight[i] += by,
                        Some(class) => moved.bias[class] += by,
                    }
                    assert!(loss_of(&parts, penalty, &moved) > least, "{penalty} {i}");
                }
            }
        }
    }

    #[test]
    fn from_anywhere_it_ends_in_the_same_classifier() {
        let parts = cases(60);
        let near = Probe::fit(&examples(&parts), 1e-2, &Probe::nothing(K, D), 1e-10);
        let far = Probe {
            weight: (0..K * D).map(|i| (i as f64).sin()).collect(),
            bias: vec![1.0, -2.0, 1.0],
        };
        let far = Probe::fit(&examples(&parts), 1e-2, &far, 1e-10);
        for (a, b) in near.weight.iter().zip(&far.weight) {
            assert!((a - b).abs() < 1e-7);
        }
    }

    #[test]
    fn a_strong_penalty_leaves_the_head_as_it_was() {
        let parts = cases(60);
        let probe = Probe::fit(&examples(&parts), 1e9, &Probe::nothing(K, D), 1e-10);
        assert!(probe.weight.iter().all(|w| w.abs() < 1e-8));
    }

    #[test]
    fn a_class_without_cases_harms_nothing() {
        let (features, offsets, mut labels) = cases(20);
        labels.iter_mut().for_each(|label| *label = 0);
        let parts = (features, offsets, labels);
        let probe = Probe::fit(&examples(&parts), 1e-2, &Probe::nothing(K, D), 1e-8);
        assert!(
            probe
                .weight
                .iter()
                .chain(&probe.bias)
                .all(|w| w.is_finite())
        );
    }
}
