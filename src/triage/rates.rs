//! How well one class is told from all others at each threshold on its probability, with
//! intervals that say how little a few cases can tell.

use serde::Serialize;

/// Of the normal distribution, for intervals of 95 %.
const Z: f64 = 1.959_963_984_540_054;

/// A share of cases, with its interval of 95 % (Wilson 1927).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// The share.
    pub share: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Of how many cases.
    pub cases: usize,
}

impl Rate {
    /// So many of so many; of none, anything may be.
    pub fn of(hits: usize, cases: usize) -> Self {
        if cases == 0 {
            let (share, low, high) = (0.0, 0.0, 1.0);
            return Self {
                share,
                low,
                high,
                cases,
            };
        }
        let n = cases as f64;
        let share = hits as f64 / n;
        let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let spread = (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
        let reach = Z * spread / (1.0 + Z * Z / n);
        Self {
            share,
            low: if hits == 0 { 0.0 } else { middle - reach },
            high: if hits == cases { 1.0 } else { middle + reach },
            cases,
        }
    }
}

/// What one threshold does: a case is flagged from this probability on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct OperatingPoint {
    /// The probability.
    pub threshold: f64,
    /// The share of the class's cases that are flagged.
    pub sensitivity: Rate,
    /// The share of all other cases that are not.
    pub specificity: Rate,
}

/// A class's probability in each case, and whether the case is of the class.
#[derive(Debug, Clone)]
pub struct OneClass {
    /// Of the class's own cases, falling.
    own: Vec<f64>,
    /// Of all others, falling.
    others: Vec<f64>,
}

impl OneClass {
    /// Of these cases.
    pub fn of(probabilities: &[Vec<f64>], labels: &[usize], class: usize) -> Self {
        let cases = || probabilities.iter().zip(labels);
        let falling = |is_own: bool| {
            let mine = cases().filter(|(_, label)| (**label == class) == is_own);
            let mut values: Vec<f64> = mine.map(|(p, _)| p[class]).collect();
            values.sort_by(|a, b| b.total_cmp(a));
            values
        };
        Self {
            own: falling(true),
            others: falling(false),
        }
    }

    /// The probabilities of the class's own cases.
    pub fn own(&self) -> &[f64] {
        &self.own
    }

    /// What this threshold does.
    pub fn at(&self, threshold: f64) -> OperatingPoint {
        let flagged = |values: &[f64]| values.partition_point(|p| *p >= threshold);
        let others = self.others.len();
        OperatingPoint {
            threshold,
            sensitivity: Rate::of(flagged(&self.own), self.own.len()),
            specificity: Rate::of(others - flagged(&self.others), others),
        }
    }

    /// Every threshold that makes a difference, falling.
    pub fn points(&self) -> Vec<OperatingPoint> {
        let mut thresholds = [self.own.as_slice(), &self.others].concat();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        thresholds.into_iter().map(|t| self.at(t)).collect()
    }

    /// The area under the curve: how often a case of the class has the higher probability of
    /// two, a tie counting half. Of no pair, half.
    pub fn area(&self) -> f64 {
        let pairs = self.own.len() * self.others.len();
        if pairs == 0 {
            return 0.5;
        }
        let wins = |p: &f64| {
            let above = self.others.partition_point(|other| other > p);
            let not_below = self.others.partition_point(|other| other >= p);
            let ties = not_below - above;
            (self.others.len() - not_below) as f64 + 0.5 * ties as f64
        };
        self.own.iter().map(wins).sum::<f64>() / pairs as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_wilsons() {
        // By hand from the formula; 8 of 10 as in Newcombe 1998.
        let rate = Rate::of(8, 10);
        assert!((rate.low - 0.4902).abs() < 1e-4 && (rate.high - 0.9433).abs() < 1e-4);
        let (none, all) = (Rate::of(0, 10), Rate::of(10, 10));
        assert!(none.low == 0.0 && (none.high - 0.2775).abs() < 1e-4);
        assert!(all.high == 1.0 && (all.low - 0.7225).abs() < 1e-4);
        assert_eq!((Rate::of(0, 0).low, Rate::of(0, 0).high), (0.0, 1.0));
    }

    #[test]
    fn a_threshold_flags_from_its_own_value_on() {
        let p: Vec<Vec<f64>> = [0.9, 0.6, 0.4, 0.6, 0.2, 0.1]
            .map(|p| vec![1.0 - p, p])
            .to_vec();
        let class = OneClass::of(&p, &[1, 1, 1, 0, 0, 0], 1);
        let at = class.at(0.6);
        assert_eq!(
            (at.sensitivity.share, at.specificity.share),
            (2.0 / 3.0, 2.0 / 3.0)
        );
        assert_eq!(class.points().len(), 5);
        // Of nine pairs 7.5 are the right way round.
        assert!((class.area() - 7.5 / 9.0).abs() < 1e-12);
    }
}
