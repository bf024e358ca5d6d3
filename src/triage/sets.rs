//! Prediction sets: the classes that a case may be of, so that the true one is among them as
//! often as is stated.
//!
//! Split conformal prediction on the score `1 - p` of the true class (least ambiguous sets:
//! Sadinle et al. 2019; Angelopoulos & Bates 2021): with the scores of `n` labelled cases that
//! nothing was fitted to, a class is in the set where `1 - p <= threshold`, the
//! `ceil((n + 1) coverage)`-th least score. Then the true class is in the set with at least the
//! stated probability, whatever the model, as long as new cases are like the labelled ones.
//! With a threshold for each class this holds for the cases of each class.
//!
//! Never states a coverage that the number of cases does not allow.

use super::HeadError;
use super::tensors::{File, Writer};

/// The coverage where an exam names none.
pub const COVERAGE: f64 = 0.9;

/// Thresholds for each stated coverage.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictionSets {
    /// Stated coverages, rising.
    levels: Vec<f32>,
    /// One for each level.
    thresholds: Vec<f32>,
    /// One for each level and class, where it is to hold for each class.
    by_class: Option<Vec<f32>>,
}

/// The classes that a case may be of.
#[derive(Debug, Clone, PartialEq)]
pub struct Members {
    /// How often the true class is among them.
    pub coverage: f64,
    /// Whether that holds for each class, and not only for all cases together.
    pub by_class: bool,
    /// Class numbers, rising.
    pub classes: Vec<usize>,
}

/// The least number of labelled cases that allow a coverage: with fewer, only the set of all
/// classes keeps it.
pub fn cases_needed(coverage: f64) -> usize {
    // What rounding adds to 1 / (1 - 0.9) must not cost a case.
    ((1.0 / (1.0 - coverage) - 1e-9).ceil() as usize).saturating_sub(1)
}

/// The threshold for a coverage from the scores of labelled cases; `None` where there are
/// fewer than [`cases_needed`].
pub fn threshold(scores: &[f64], coverage: f64) -> Option<f64> {
    let mut scores = scores.to_vec();
    scores.sort_by(f64::total_cmp);
    let rank = ((scores.len() + 1) as f64 * coverage - 1e-9).ceil() as usize;
    scores.get(rank.max(1) - 1).copied()
}

impl PredictionSets {
    const LEVELS: &str = "conformal.levels";
    const THRESHOLDS: &str = "conformal.thresholds";
    const BY_CLASS: &str = "conformal.class_thresholds";

    /// Thresholds for these coverages from labelled cases that nothing was fitted to: their
    /// probabilities and classes. Coverages that so few cases do not allow are left out, so
    /// `None` where no coverage is left. With `by_class` there is a threshold for each class;
    /// a class with too few cases for a coverage is then in every set of that coverage.
    pub fn fit(
        probabilities: &[Vec<f64>],
        labels: &[usize],
        coverages: &[f64],
        by_class: bool,
    ) -> Option<Self> {
        let classes = probabilities.first()?.len();
        let scores: Vec<f64> = probabilities
            .iter()
            .zip(labels)
            .map(|(p, label)| 1.0 - p[*label])
            .collect();
        let of = |class: usize| -> Vec<f64> {
            let mine = scores.iter().zip(labels);
            let mine = mine.filter(|(_, label)| **label == class);
            mine.map(|(score, _)| *score).collect()
        };
        let (mut levels, mut thresholds) = (Vec::new(), Vec::new());
        for coverage in coverages {
            if let Some(threshold) = threshold(&scores, *coverage) {
                levels.push(*coverage as f32);
                thresholds.push(rounded_up(threshold));
            }
        }
        let of_class = |level: f32, class| {
            let threshold = threshold(&of(class), f64::from(level));
            threshold.map_or(1.0, rounded_up)
        };
        let each = |level: &f32| (0..classes).map(|class| of_class(*level, class)).collect();
        let by_class = by_class.then(|| levels.iter().flat_map::<Vec<f32>, _>(each).collect());
        (!levels.is_empty()).then_some(Self {
            levels,
            thresholds,
            by_class,
        })
    }

    /// The coverages that can be stated.
    pub fn coverages(&self) -> impl Iterator<Item = f64> {
        self.levels.iter().map(|level| stated(*level))
    }

    /// Whether thresholds are there for each class.
    pub fn has_each_class(&self) -> bool {
        self.by_class.is_some()
    }

    /// The set of a case with these probabilities; `None` where this coverage cannot be
    /// stated.
    pub fn members(&self, probabilities: &[f64], coverage: f64) -> Option<Members> {
        let at = self
            .coverages()
            .position(|level| (level - coverage).abs() < 1e-6)?;
        let threshold = |class: usize| match &self.by_class {
            Some(thresholds) => thresholds[at * probabilities.len() + class],
            None => self.thresholds[at],
        };
        let is_in = |class: &usize| 1.0 - probabilities[*class] <= f64::from(threshold(*class));
        Some(Members {
            coverage: stated(self.levels[at]),
            by_class: self.by_class.is_some(),
            classes: (0..probabilities.len()).filter(is_in).collect(),
        })
    }

    /// Reads the thresholds, where the file has any.
    pub(super) fn read(file: &File<'_>, classes: usize) -> Result<Option<Self>, HeadError> {
        let names = [Self::LEVELS, Self::THRESHOLDS, Self::BY_CLASS];
        if !names.iter().any(|name| file.has(name)) {
            return Ok(None);
        }
        let count = file.rows(Self::LEVELS)?;
        let levels = file.values(Self::LEVELS, &[count])?;
        let within = levels.iter().all(|level| *level > 0.0 && *level < 1.0);
        if !within || !levels.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(HeadError::Value(Self::LEVELS));
        }
        let rising = |name, columns: usize, values: Vec<f32>| {
            let within = values.iter().all(|value| (0.0..=1.0).contains(value));
            let rises = values
                .iter()
                .zip(values.iter().skip(columns))
                .all(|(lower, higher)| lower <= higher);
            if within && rises {
                Ok(values)
            } else {
                Err(HeadError::Value(name))
            }
        };
        let thresholds = file.values(Self::THRESHOLDS, &[count])?;
        let by_class = file
            .has(Self::BY_CLASS)
            .then(|| {
                let values = file.values(Self::BY_CLASS, &[count, classes])?;
                rising(Self::BY_CLASS, classes, values)
            })
            .transpose()?;
        Ok(Some(Self {
            thresholds: rising(Self::THRESHOLDS, 1, thresholds)?,
            levels,
            by_class,
        }))
    }

    pub(super) fn write(&self, classes: usize, to: &mut Writer) {
        let count = self.levels.len();
        to.put(Self::LEVELS, &[count], &self.levels);
        to.put(Self::THRESHOLDS, &[count], &self.thresholds);
        if let Some(thresholds) = &self.by_class {
            to.put(Self::BY_CLASS, &[count, classes], thresholds);
        }
    }
}

/// The decimal number that was meant by one in single precision.
fn stated(level: f32) -> f64 {
    (f64::from(level) * 1e6).round() / 1e6
}

/// In single precision, never less: rounding must not take the case out of its own set.
fn rounded_up(value: f64) -> f32 {
    let near = value as f32;
    if f64::from(near) < value {
        near.next_up().min(1.0)
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coverage_needs_its_number_of_cases() {
        for (coverage, needed) in [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)] {
            assert_eq!(cases_needed(coverage), needed, "{coverage}");
            assert_eq!(threshold(&vec![0.5; needed - 1], coverage), None);
            assert!(threshold(&vec![0.5; needed], coverage).is_some());
        }
    }

    #[test]
    fn the_threshold_is_the_score_of_the_right_rank() {
        let scores: Vec<f64> = (1..=19).rev().map(|i| f64::from(i) / 100.0).collect();
        // The 18th of 19 by ceil(20 * 0.9).
        assert_eq!(threshold(&scores, 0.9), Some(0.18));
        assert_eq!(threshold(&scores, 0.95), Some(0.19));
        assert_eq!(threshold(&scores, 0.96), None);
    }

    /// Every case's own class is exactly as often in its set as the rank says.
    #[test]
    fn sets_cover_what_they_were_made_from() {
        let p = |i: usize| {
            let sure = 0.3 + 0.69 * (i * 37 % 100) as f64 / 100.0;
            vec![sure, (1.0 - sure) * 0.75, (1.0 - sure) * 0.25]
        };
        let cases: Vec<Vec<f64>> = (0..100).map(p).collect();
        let labels = vec![0; 100];
        let sets = PredictionSets::fit(&cases, &labels, &[0.8, 0.9, 0.995], false).unwrap();
        assert_eq!(sets.coverages().collect::<Vec<_>>(), [0.8, 0.9]);
        assert!(!sets.has_each_class());
        // The other classes had no case, and so are in every set.
        let each = PredictionSets::fit(&cases, &labels, &[0.9], true).unwrap();
        let members = each.members(&cases[0], 0.9).unwrap().classes;
        assert!(members.contains(&1) && members.contains(&2));
        let covered = |coverage| {
            let members = |case: &Vec<f64>| sets.members(case, coverage).unwrap().classes;
            cases.iter().filter(|c| members(c).contains(&0)).count()
        };
        assert_eq!((covered(0.8), covered(0.9)), (81, 91));
        assert_eq!(sets.members(&cases[0], 0.95), None);
        assert_eq!(
            PredictionSets::fit(&cases[..3], &labels, &[0.9], false),
            None
        );
    }

    #[test]
    fn with_cases_enough_each_class_has_its_own_threshold() {
        let case = |sure: f64| vec![sure, 1.0 - sure];
        let easy = (0..20).map(|i| case(0.9 + f64::from(i) / 400.0));
        let hard = (0..20).map(|i| case(1.0 - (0.3 + f64::from(i) / 200.0)));
        let cases: Vec<Vec<f64>> = easy.chain(hard).collect();
        let labels: Vec<usize> = (0..40).map(|i| i / 20).collect();
        let sets = PredictionSets::fit(&cases, &labels, &[0.9], true).unwrap();
        let members = sets.members(&case(0.65), 0.9).unwrap();
        assert!(members.by_class);
        // 0.65 is too little for the easy class and enough against the hard one.
        assert_eq!(members.classes, [1]);
    }
}
