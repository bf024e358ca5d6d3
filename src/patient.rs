//! Age and sex of the patient that an image is of: what an exam may ask for, and no more of
//! whose image it is.
//!
//! What an image says of itself and what a caller says (command line, console, socket, link)
//! becomes one [`PatientSaid`] for the gate, and a [`Patient`] for the finding, the journal and
//! the reports. Nothing is ever guessed: what cannot be read is unknown, and what is said in two
//! ways is told in none. Never in a log line. Names no other module.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// From this age on, the exact one may tell who somebody is (HIPAA's safe harbour, 45 CFR
/// 164.514(b)(2)(i)(C)): it is said as "90 or more" where nothing may.
const TELLING: u8 = 90;

/// An age in whole completed years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Age(u8);

impl Age {
    /// The highest that is believed.
    pub const HIGHEST: Self = Self(120);

    /// So many years; `None` where nobody is so old.
    pub fn new(years: u32) -> Option<Self> {
        let years = u8::try_from(years).ok()?;
        (years <= Self::HIGHEST.0).then_some(Self(years))
    }

    /// Whole completed years.
    pub fn years(self) -> u8 {
        self.0
    }

    /// Whether both may be right, on different days of one year.
    pub fn is_near(self, other: Self) -> bool {
        self.0.abs_diff(other.0) <= 1
    }

    /// A DICOM age string (PS3.5, 6.2, AS): three digits and `D`, `W`, `M` or `Y`. `018M` is
    /// 1 year, `003W` none yet. `None` where it is no such string or nobody is so old.
    pub fn of_dicom(text: &str) -> Option<Self> {
        let (at, unit) = text.char_indices().next_back()?;
        let digits = &text[..at];
        if !(1..=3).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let count: u32 = digits.parse().ok()?;
        // Four years have 1461 days.
        let of_days = |days: u32| days * 4 / 1461;
        Self::new(match unit.to_ascii_uppercase() {
            'Y' => count,
            'M' => count / 12,
            'W' => of_days(7 * count),
            'D' => of_days(count),
            _ => return None,
        })
    }

    /// A DICOM age string of whole years.
    pub fn dicom(self) -> String {
        format!("{:03}Y", self.0)
    }

    /// The same, or the lowest of those that may tell who somebody is.
    #[must_use]
    pub fn deidentified(self) -> Self {
        self.min(Self(TELLING))
    }
}

/// `34`, and `90 or more` where the age itself may tell who somebody is.
impl Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TELLING.. => write!(f, "{TELLING} or more"),
            years => write!(f, "{years}"),
        }
    }
}

impl From<Age> for u8 {
    fn from(age: Age) -> Self {
        age.0
    }
}

impl TryFrom<u8> for Age {
    type Error = String;

    fn try_from(years: u8) -> Result<Self, String> {
        Self::new(years.into()).ok_or_else(not_an_age)
    }
}

impl FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let years = text.parse().ok();
        years.and_then(Self::new).ok_or_else(not_an_age)
    }
}

fn not_an_age() -> String {
    format!("an age is a whole number of years, 0 to {}", Age::HIGHEST.0)
}

/// Sex in DICOM's words (0010,0040).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Sex {
    /// Male.
    M,
    /// Female.
    F,
    /// Other.
    O,
}

impl Sex {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::M, Self::F, Self::O];

    /// DICOM's letter.
    pub fn word(self) -> &'static str {
        match self {
            Self::M => "M",
            Self::F => "F",
            Self::O => "O",
        }
    }
}

impl Display for Sex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Sex {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let mut all = Self::ALL.into_iter();
        all.find(|sex| sex.word().eq_ignore_ascii_case(word))
            .ok_or_else(|| "a sex is M, F or O".to_owned())
    }
}

/// The ages that an exam is for, both ends inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "[Age; 2]", into = "[Age; 2]")]
pub struct Ages {
    from: Age,
    to: Age,
}

impl Ages {
    /// Whether an age is one of them.
    pub fn contain(self, age: Age) -> bool {
        (self.from..=self.to).contains(&age)
    }
}

impl TryFrom<[Age; 2]> for Ages {
    type Error = String;

    fn try_from([from, to]: [Age; 2]) -> Result<Self, String> {
        if from > to {
            return Err(format!("ages from {} to {} are none", from.0, to.0));
        }
        Ok(Self { from, to })
    }
}

impl From<Ages> for [Age; 2] {
    fn from(ages: Ages) -> Self {
        [ages.from, ages.to]
    }
}

/// `from 15 years on`, `up to 14 years`, `from 15 to 64 years`.
impl Display for Ages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from.0, self.to) {
            (0, Age::HIGHEST) => f.write_str("of any age"),
            (from, Age::HIGHEST) => write!(f, "from {from} years on"),
            (0, to) => write!(f, "up to {} years", to.0),
            (from, to) => write!(f, "from {from} to {} years", to.0),
        }
    }
}

/// What is known of the patient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patient {
    /// Age when the image was taken.
    #[serde(default, rename = "age_years")]
    pub age: Option<Age>,
    /// Sex.
    #[serde(default)]
    pub sex: Option<Sex>,
}

impl Patient {
    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// The same, as it may be told where nothing may tell whose image it is.
    #[must_use]
    pub fn deidentified(self) -> Self {
        Self {
            age: self.age.map(Age::deidentified),
            sex: self.sex,
        }
    }
}

/// Everything that is said of one thing, each once and in order: any of them may be right.
/// Empty where nobody says anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidates<T>(Vec<T>);

impl<T> Default for Candidates<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy + Ord> Candidates<T> {
    /// Whether nobody says anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What all say alike.
    pub fn only(&self) -> Option<T> {
        match self.0[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Whether a condition holds for every one of them.
    pub fn all(&self, holds: impl Fn(T) -> bool) -> bool {
        self.0.iter().copied().all(holds)
    }
}

impl<T: Ord> FromIterator<T> for Candidates<T> {
    fn from_iter<I: IntoIterator<Item = T>>(said: I) -> Self {
        let said: BTreeSet<T> = said.into_iter().collect();
        Self(said.into_iter().collect())
    }
}

/// `34`, `5 or 44`.
impl<T: Display> Display for Candidates<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = self.0.iter().map(T::to_string).collect();
        words.dedup();
        f.write_str(&words.join(" or "))
    }
}

/// What an image says of its patient, which may be more than one thing: an exam must be for
/// every candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatientSaid {
    /// Ages when the image was taken.
    pub ages: Candidates<Age>,
    /// Sexes.
    pub sexes: Candidates<Sex>,
}

impl PatientSaid {
    /// What is beyond doubt, to be told.
    pub fn known(&self) -> Patient {
        Patient {
            age: self.ages.only(),
            sex: self.sexes.only(),
        }
    }

    /// What is in doubt, as `code: sentence`; a sentence never repeats a value.
    pub fn doubts(&self) -> Vec<String> {
        let age = match self.ages.0[..] {
            [] | [_] => None,
            [lower, higher] if lower.is_near(higher) => Some(
                "age_inexact: the image says two ages, one year apart; the exam must be for \
                 both, and none is told",
            ),
            _ => Some(
                "age_disputed: the image says ages that cannot all be right; the exam must be \
                 for each, and none is told",
            ),
        };
        let sex = (self.sexes.0.len() > 1).then_some(
            "sex_disputed: the image says several sexes; the exam must be for each, and none is \
             told",
        );
        [age, sex]
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .collect()
    }
}

impl From<Patient> for PatientSaid {
    fn from(patient: Patient) -> Self {
        Self {
            ages: patient.age.into_iter().collect(),
            sexes: patient.sex.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(years: u32) -> Age {
        Age::new(years).unwrap()
    }

    #[test]
    fn dicom_ages_are_whole_completed_years() {
        for (text, years) in [
            ("034Y", Some(34)),
            ("34Y", Some(34)),
            ("018M", Some(1)),
            ("011M", Some(0)),
            ("003W", Some(0)),
            ("052W", Some(0)),
            ("053W", Some(1)),
            ("364D", Some(0)),
            ("366D", Some(1)),
            ("120Y", Some(120)),
            ("121Y", None),
            ("999Y", None),
            ("034", None),
            ("Y", None),
            ("", None),
            ("-34Y", None),
            ("3.5Y", None),
            ("0034Y", None),
            ("034年", None),
        ] {
            assert_eq!(Age::of_dicom(text), years.map(age), "{text}");
        }
        assert_eq!(age(7).dicom(), "007Y");
    }

    #[test]
    fn ages_over_89_are_not_said_exactly() {
        for (years, said) in [
            (0, "0"),
            (89, "89"),
            (90, "90 or more"),
            (103, "90 or more"),
        ] {
            assert_eq!(age(years).to_string(), said);
        }
        assert_eq!(age(103).deidentified(), age(90));
        assert_eq!(age(89).deidentified(), age(89));
    }

    #[test]
    fn ages_are_said_as_people_say_them() {
        let ages = |from: u32, to: u32| Ages::try_from([age(from), age(to)]);
        for (from, to, said) in [
            (15, 120, "from 15 years on"),
            (0, 14, "up to 14 years"),
            (15, 64, "from 15 to 64 years"),
            (0, 120, "of any age"),
        ] {
            let ages = ages(from, to).unwrap();
            assert_eq!(ages.to_string(), said);
            assert!(ages.contain(age(from)) && ages.contain(age(to)));
        }
        assert!(!ages(15, 64).unwrap().contain(age(14)));
        assert!(ages(15, 14).is_err());
    }
    #[test]
    fn what_is_said_in_two_ways_is_told_in_none() {
        let said = |ages: &[u32], sexes: &[Sex]| PatientSaid {
            ages: ages.iter().map(|&years| age(years)).collect(),
            sexes: sexes.iter().copied().collect(),
        };
        for (ages, sexes, known, told, doubts) in [
            (&[][..], &[][..], (None, None), "", &[][..]),
            (
                &[34, 34],
                &[Sex::F, Sex::F],
                (Some(34), Some(Sex::F)),
                "34",
                &[],
            ),
            (&[15, 14], &[], (None, None), "14 or 15", &["age_inexact"]),
            (&[44, 5], &[], (None, None), "5 or 44", &["age_disputed"]),
            (
                &[14, 15, 16],
                &[],
                (None, None),
                "14 or 15 or 16",
                &["age_disputed"],
            ),
            (
                &[91, 93],
                &[],
                (None, None),
                "90 or more",
                &["age_disputed"],
            ),
            (&[], &[Sex::F, Sex::M], (None, None), "", &["sex_disputed"]),
        ] {
            let said = said(ages, sexes);
            let (years, sex) = known;
            let known = Patient {
                age: years.map(age),
                sex,
            };
            assert_eq!(said.known(), known, "{ages:?} {sexes:?}");
            assert_eq!(said.ages.to_string(), told);
            let notes = said.doubts();
            let codes: Vec<&str> = notes.iter().filter_map(|n| n.split(':').next()).collect();
            assert_eq!(codes, doubts, "{ages:?} {sexes:?}");
        }
    }
}
