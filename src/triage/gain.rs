//! Whether one head is better than another on the same cases, or only luckier.

use serde::Serialize;

/// By how much the log loss falls, case by case.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Gain {
    /// On average.
    pub log_loss: f64,
    /// The standard error of that average: what chance alone may do.
    pub standard_error: f64,
}

impl Gain {
    /// From the losses of the same cases before and after.
    pub(super) fn of(before: &[f64], after: &[f64]) -> Self {
        let cases = before.len() as f64;
        let falls = || {
            before
                .iter()
                .zip(after)
                .map(|(before, after)| before - after)
        };
        let mean = falls().sum::<f64>() / cases;
        let squares: f64 = falls().map(|fall| (fall - mean) * (fall - mean)).sum();
        Self {
            log_loss: mean,
            standard_error: (squares / (cases - 1.0).max(1.0) / cases).sqrt(),
        }
    }

    /// Whether it is more than chance alone may do.
    pub fn is_beyond_chance(&self) -> bool {
        self.log_loss > self.standard_error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_lucky_cases_are_no_gain() {
        let before = [0.5; 20];
        let lucky: Vec<f64> = (0..20)
            .map(|i| {
                if i == 0 {
                    0.1
                } else {
                    0.49 + 0.02 * f64::from(i % 2)
                }
            })
            .collect();
        let gain = Gain::of(&before, &lucky);
        assert!(gain.log_loss > 0.0 && !gain.is_beyond_chance(), "{gain:?}");
        assert!(Gain::of(&before, &[0.4; 20]).is_beyond_chance());
        assert!(!Gain::of(&before, &before).is_beyond_chance());
    }
}
