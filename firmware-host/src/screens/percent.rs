//! Probabilities as whole percentages that add up.
//!
//! Rounded one by one, three thirds make 99. Here every probability gets its whole part, and
//! what is missing to the sum goes to the largest remainders (Hamilton's method).

use core::fmt;

use super::Class;

/// Parts of one per cent that are counted.
const PARTS: u32 = 10_000;

/// A whole percentage. What is not quite nothing or everything is not called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Percent(pub u8);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("<1 %"),
            100.. => f.write_str(">99 %"),
            whole => write!(f, "{whole} %"),
        }
    }
}

/// The percentage of the class at `index`, such that those of all classes add up to 100, or
/// to what their probabilities add up to, rounded.
pub fn percent(classes: &[Class<'_>], index: usize) -> Percent {
    let parts = |class: &Class<'_>| {
        // `as` is 0 for what is no number.
        (class.probability.clamp(0.0, 1.0) * (100 * PARTS) as f32 + 0.5) as u32
    };
    let Some(mine) = classes.get(index).map(parts) else {
        return Percent(0);
    };
    let total: u32 = classes.iter().map(parts).sum();
    let whole: u32 = classes.iter().map(|class| parts(class) / PARTS).sum();
    let missing = ((total + PARTS / 2) / PARTS).saturating_sub(whole) as usize;
    let remainder = mine % PARTS;
    let is_before = |(other, class): &(usize, &Class<'_>)| {
        let theirs = parts(class) % PARTS;
        theirs > remainder || (theirs == remainder && *other < index)
    };
    let before = classes.iter().enumerate().filter(is_before).count();
    let percent = mine / PARTS + u32::from(before < missing);
    Percent(u8::try_from(percent).unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn percents(probabilities: &[f32]) -> Vec<Percent> {
        let class = |&probability: &f32| Class {
            label: "",
            probability,
        };
        let classes: Vec<Class<'_>> = probabilities.iter().map(class).collect();
        let all = 0..classes.len();
        all.map(|index| percent(&classes, index)).collect()
    }

    fn words(probabilities: &[f32]) -> Vec<std::string::String> {
        percents(probabilities)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn what_is_missing_goes_to_the_largest_remainders() {
        let third = 1.0 / 3.0;
        assert_eq!(words(&[third; 3]), ["34 %", "33 %", "33 %"]);
        assert_eq!(words(&[0.125, 0.375, 0.5]), ["13 %", "37 %", "50 %"]);
        assert_eq!(words(&[0.416, 0.416, 0.168]), ["42 %", "41 %", "17 %"]);
        assert_eq!(words(&[0.997, 0.003]), [">99 %", "<1 %"]);
        assert_eq!(words(&[0.9949, 0.0051]), ["99 %", "1 %"]);
        assert_eq!(words(&[f32::NAN, 0.5]), ["<1 %", "50 %"]);
        assert!(words(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn they_add_up_and_none_is_a_whole_one_off(
            weights in prop::collection::vec(0.001..1.0_f32, 1..12),
        ) {
            let sum: f32 = weights.iter().sum();
            let shares: Vec<f32> = weights.iter().map(|weight| weight / sum).collect();
            let percents = percents(&shares);
            let total: u32 = percents.iter().map(|percent| u32::from(percent.0)).sum();
            prop_assert_eq!(total, 100);
            for (share, percent) in shares.iter().zip(&percents) {
                let apart = (share * 100.0 - f32::from(percent.0)).abs();
                prop_assert!(apart < 1.01, "{share} {percent:?}");
            }
        }
    }
}
