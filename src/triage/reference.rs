//! How an exam's answers were spread over the cases that it was last fitted to or calibrated
//! on, and how far later answers have moved away: the population stability index. Holds
//! shares of many cases; nothing of any one of them.

use super::HeadError;
use super::tensors::{File, Writer};

/// Shares of the answered probability in equal steps from 0 to 1.
const STEPS: usize = 10;

/// What later answers are compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The share of cases whose answered probability lies in each tenth.
    top: Vec<f32>,
    /// The share of cases that were answered with each class.
    classes: Vec<f32>,
    /// How many cases that were.
    cases: f32,
}

/// How far later answers have moved: two indices, each 0 where nothing has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// Of the answered probability.
    pub top: f64,
    /// Of the classes that are answered.
    pub classes: f64,
}

impl Reference {
    const TOP: &str = "reference.top";
    const CLASSES: &str = "reference.classes";
    const CASES: &str = "reference.cases";

    /// Of these answers: the answered class and its probability; `None` of none.
    pub fn of(answers: &[(usize, f64)], classes: usize) -> Option<Self> {
        let share = |counts: Vec<usize>| -> Vec<f32> {
            let all = answers.len() as f32;
            counts.into_iter().map(|n| n as f32 / all).collect()
        };
        let (top, by_class) = counts(answers, classes);
        (!answers.is_empty()).then(|| Self {
            top: share(top),
            classes: share(by_class),
            cases: answers.len() as f32,
        })
    }

    /// How many cases it was made from.
    pub fn cases(&self) -> usize {
        self.cases as usize
    }

    /// The share of cases that were answered with each class.
    pub fn classes(&self) -> impl Iterator<Item = f64> {
        self.classes.iter().map(|share| f64::from(*share))
    }

    /// How far these answers have moved away from it.
    pub fn moved(&self, answers: &[(usize, f64)]) -> Moved {
        let (top, classes) = counts(answers, self.classes.len());
        Moved {
            top: stability(&self.top, self.cases(), &top),
            classes: stability(&self.classes, self.cases(), &classes),
        }
    }

    pub(super) fn read(file: &File<'_>, classes: usize) -> Result<Option<Self>, HeadError> {
        let names = [Self::TOP, Self::CLASSES, Self::CASES];
        if !names.iter().any(|name| file.has(name)) {
            return Ok(None);
        }
        let shares = |name, count| {
            let values = file.values(name, &[count])?;
            let sum: f32 = values.iter().sum();
            if values.iter().all(|share| *share >= 0.0) && (sum - 1.0).abs() < 1e-3 {
                Ok(values)
            } else {
                Err(HeadError::Value(name))
            }
        };
        Ok(Some(Self {
            top: shares(Self::TOP, STEPS)?,
            classes: shares(Self::CLASSES, classes)?,
            cases: file.number(Self::CASES, 1.0..)?,
        }))
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.put(Self::TOP, &[STEPS], &self.top);
        to.put(Self::CLASSES, &[self.classes.len()], &self.classes);
        to.put(Self::CASES, &[1], &[self.cases]);
    }
}

/// How many answers lie in each tenth of the probability, and how many name each class.
fn counts(answers: &[(usize, f64)], classes: usize) -> (Vec<usize>, Vec<usize>) {
    let (mut top, mut by_class) = (vec![0; STEPS], vec![0; classes]);
    for (class, probability) in answers {
        let step = (probability * STEPS as f64) as usize;
        top[step.min(STEPS - 1)] += 1;
        if let Some(count) = by_class.get_mut(*class) {
            *count += 1;
        }
    }
    (top, by_class)
}

/// The population stability index `sum (a - e) ln(a / e)` of what is counted against what was
/// expected; half a case is added everywhere, so that an empty step is no infinity.
fn stability(expected: &[f32], cases: usize, found: &[usize]) -> f64 {
    let steps = expected.len() as f64;
    let share = |count: f64, all: usize| (count + 0.5) / (all as f64 + 0.5 * steps);
    let all = found.iter().sum();
    let pairs = expected.iter().zip(found);
    let terms = pairs.map(|(expected, found)| {
        let expected = share(f64::from(*expected) * cases as f64, cases);
        let found = share(*found as f64, all);
        (found - expected) * (found / expected).ln()
    });
    terms.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(sure: f64, count: usize) -> Vec<(usize, f64)> {
        let answer = |i| (i % 2, (sure + 0.1 * (i % 3) as f64).min(1.0));
        (0..count).map(answer).collect()
    }

    #[test]
    fn the_same_answers_have_not_moved_and_others_have() {
        let reference = Reference::of(&answers(0.6, 300), 2).unwrap();
        let same = reference.moved(&answers(0.6, 300));
        assert!(same.top < 1e-9 && same.classes < 1e-9, "{same:?}");
        let surer = reference.moved(&answers(0.9, 300));
        assert!(surer.top > 0.25 && surer.classes < 1e-9, "{surer:?}");
        let one_class: Vec<_> = answers(0.6, 300).iter().map(|(_, p)| (0, *p)).collect();
        let moved = reference.moved(&one_class);
        assert!(moved.classes > 0.25 && moved.top < 1e-9, "{moved:?}");
        assert_eq!(Reference::of(&[], 2), None);
    }
}
