//! How an exam's answers were spread over the cases that it was last fitted to or calibrated
//! on, and how far later answers have moved away: the population stability index. Holds
//! shares of many cases; nothing of any one of them.

use super::HeadError;
use super::tensors::{File, Writer};

/// Equal steps from 0 to 1: of the answered probability, and of the guard's distance.
const STEPS: usize = 10;

/// As much of an answer as is counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glance {
    /// The class that is answered.
    pub class: usize,
    /// Its probability.
    pub probability: f64,
    /// The guard's distance as a share of the largest that is answered, where there is a
    /// guard.
    pub guard_distance: Option<f64>,
}

/// What later answers are compared with.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The share of cases whose answered probability lies in each tenth.
    top: Vec<f32>,
    /// The share of cases that were answered with each class.
    classes: Vec<f32>,
    /// The share of cases in each tenth of the guard's distance, where there is a guard.
    guard: Option<Vec<f32>>,
    /// How many cases that were.
    cases: f32,
}

/// How far later answers have moved: indices, each 0 where nothing has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moved {
    /// Of the answered probability.
    pub top: f64,
    /// Of the classes that are answered.
    pub classes: f64,
    /// Of the guard's distance; `None` where one side has none.
    pub guard: Option<f64>,
}

impl Moved {
    /// The largest of them.
    pub fn most(&self) -> f64 {
        self.top.max(self.classes).max(self.guard.unwrap_or(0.0))
    }
}

impl Reference {
    const TOP: &str = "reference.top";
    const CLASSES: &str = "reference.classes";
    const GUARD: &str = "reference.guard";
    const CASES: &str = "reference.cases";

    /// Of these answers; `None` of none.
    pub fn of(answers: &[Glance], classes: usize) -> Option<Self> {
        let share = |counts: Vec<usize>| -> Vec<f32> {
            let all = answers.len() as f32;
            counts.into_iter().map(|n| n as f32 / all).collect()
        };
        let counts = Counts::of(answers, classes);
        (!answers.is_empty()).then(|| Self {
            top: share(counts.top),
            classes: share(counts.classes),
            guard: counts.guard.map(share),
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
    pub fn moved(&self, answers: &[Glance]) -> Moved {
        let counts = Counts::of(answers, self.classes.len());
        let moved = |then: &[f32], now: &[usize]| stability(then, self.cases(), now);
        let guard = self.guard.as_ref().zip(counts.guard);
        Moved {
            top: moved(&self.top, &counts.top),
            classes: moved(&self.classes, &counts.classes),
            guard: guard.map(|(then, now)| moved(then, &now)),
        }
    }

    pub(super) fn read(file: &File<'_>, classes: usize) -> Result<Option<Self>, HeadError> {
        let names = [Self::TOP, Self::CLASSES, Self::GUARD, Self::CASES];
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
            guard: file
                .has(Self::GUARD)
                .then(|| shares(Self::GUARD, STEPS))
                .transpose()?,
            cases: file.number(Self::CASES, 1.0..)?,
        }))
    }

    pub(super) fn write(&self, to: &mut Writer) {
        to.put(Self::TOP, &[STEPS], &self.top);
        to.put(Self::CLASSES, &[self.classes.len()], &self.classes);
        if let Some(guard) = &self.guard {
            to.put(Self::GUARD, &[STEPS], guard);
        }
        to.put(Self::CASES, &[1], &[self.cases]);
    }
}

/// How many answers lie in each tenth, and how many name each class.
struct Counts {
    top: Vec<usize>,
    classes: Vec<usize>,
    guard: Option<Vec<usize>>,
}

impl Counts {
    fn of(answers: &[Glance], classes: usize) -> Self {
        let tenths = |values: &mut dyn Iterator<Item = f64>| {
            let mut counts = vec![0; STEPS];
            for value in values {
                counts[((value * STEPS as f64) as usize).min(STEPS - 1)] += 1;
            }
            counts
        };
        let mut by_class = vec![0; classes];
        for answer in answers.iter().filter(|answer| answer.class < classes) {
            by_class[answer.class] += 1;
        }
        let distances = answers.iter().map(|answer| answer.guard_distance);
        let distances: Option<Vec<f64>> = distances.collect();
        Self {
            top: tenths(&mut answers.iter().map(|answer| answer.probability)),
            classes: by_class,
            guard: distances.map(|all| tenths(&mut all.into_iter())),
        }
    }
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

    fn answers(sure: f64, far: f64, count: usize) -> Vec<Glance> {
        let answer = |i| Glance {
            class: i % 2,
            probability: (sure + 0.1 * (i % 3) as f64).min(1.0),
            guard_distance: Some(far + 0.1 * (i % 5) as f64),
        };
        (0..count).map(answer).collect()
    }

    #[test]
    fn the_same_answers_have_not_moved_and_others_have() {
        let reference = Reference::of(&answers(0.6, 0.2, 300), 2).unwrap();
        let same = reference.moved(&answers(0.6, 0.2, 300));
        assert!(same.most() < 1e-9, "{same:?}");
        let surer = reference.moved(&answers(0.9, 0.2, 300));
        assert!(surer.top > 0.25 && surer.classes < 1e-9, "{surer:?}");
        let farther = reference.moved(&answers(0.6, 0.6, 300));
        assert!(
            farther.guard > Some(0.25) && farther.top < 1e-9,
            "{farther:?}"
        );
        let one_class = |answer: Glance| Glance { class: 0, ..answer };
        let one_class: Vec<_> = answers(0.6, 0.2, 300).into_iter().map(one_class).collect();
        let moved = reference.moved(&one_class);
        assert!(moved.classes > 0.25 && moved.top < 1e-9, "{moved:?}");
        assert_eq!(Reference::of(&[], 2), None);
    }

    #[test]
    fn where_some_answers_had_no_guard_its_distance_is_left_out() {
        let mut some = answers(0.6, 0.2, 300);
        some[7].guard_distance = None;
        let reference = Reference::of(&answers(0.6, 0.2, 300), 2).unwrap();
        assert_eq!(reference.moved(&some).guard, None);
        let mut file = Writer::default();
        reference.write(&mut file);
        let bytes = file.bytes().unwrap();
        let read = Reference::read(&File::read(&bytes).unwrap(), 2).unwrap();
        assert_eq!(read, Some(reference));
    }
}
