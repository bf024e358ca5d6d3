//! What of the body an image shows, as it says of itself: words of an image's metadata come in, and
//! go out in the record and every output. Decides nothing.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Words of DICOM for parts of the body (PS3.16, annex L), as far as they are met here.
const BODY_PARTS: [&str; 32] = [
    "ABDOMEN",
    "ANKLE",
    "ARM",
    "BRAIN",
    "BREAST",
    "CHEST",
    "CLAVICLE",
    "COCCYX",
    "CSPINE",
    "ELBOW",
    "EXTREMITY",
    "EYE",
    "FACE",
    "FINGER",
    "FOOT",
    "HAND",
    "HEAD",
    "HEART",
    "HIP",
    "JAW",
    "KNEE",
    "LEG",
    "LSPINE",
    "LUNG",
    "NECK",
    "PELVIS",
    "SHOULDER",
    "SKULL",
    "SPINE",
    "TOE",
    "TSPINE",
    "WRIST",
];

/// Words of DICOM for views (PS3.3, C.8.1.3 and C.8.11.7), and for what makes others of them.
const VIEWS: [&str; 20] = [
    "AP",
    "PA",
    "LL",
    "RL",
    "RLD",
    "LLD",
    "RLO",
    "LLO",
    "MLO",
    "CC",
    "ML",
    "LM",
    "LATERAL",
    "OBLIQUE",
    "AXIAL",
    "TANGENTIAL",
    "CAUDAD",
    "CEPHALAD",
    "TRANSORAL",
    "TRANSTHORACIC",
];

/// A side of the body (PS3.3, C.7.6.1.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Laterality {
    /// Left.
    L,
    /// Right.
    R,
    /// Both.
    B,
    /// What there is one of.
    U,
}

impl Laterality {
    /// DICOM's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::L => "L",
            Self::R => "R",
            Self::B => "B",
            Self::U => "U",
        }
    }

    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::L => "left",
            Self::R => "right",
            Self::B => "both sides",
            Self::U => "unpaired",
        }
    }
}

impl FromStr for Laterality {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        let all = [Self::L, Self::R, Self::B, Self::U];
        all.into_iter().find(|side| side.word() == word).ok_or(())
    }
}

/// What of the body an image shows, as it says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anatomy {
    /// DICOM's word for the part, such as `CHEST`.
    pub body_part: Option<String>,
    /// From where, such as `PA`.
    pub view: Option<String>,
    /// Of which side.
    pub laterality: Option<Laterality>,
}

impl Anatomy {
    /// Whether the image says nothing.
    pub fn is_unsaid(&self) -> bool {
        *self == Self::default()
    }

    /// As much of it as tells nobody whose image it is: the standard's words, and no others, which
    /// somebody may have typed.
    #[must_use]
    pub fn deidentified(self) -> Self {
        let known = |word: Option<String>, words: &[&str]| {
            word.filter(|word| word.split(' ').all(|word| words.contains(&word)))
        };
        Self {
            body_part: known(self.body_part, &BODY_PARTS),
            view: known(self.view, &VIEWS),
            laterality: self.laterality,
        }
    }

    /// All of it for people; `None` where nothing is said.
    pub fn words(&self) -> Option<String> {
        let view = self.view.as_ref().map(|view| format!("view {view}"));
        let side = self.laterality.map(|side| side.name().to_owned());
        let words: Vec<String> = [self.body_part.clone(), view, side]
            .into_iter()
            .flatten()
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_somebody_typed_are_left_out_where_nothing_may_tell() {
        let word = |word: &str| Some(word.to_owned());
        for (body_part, view, kept) in [
            ("CHEST", "PA", (word("CHEST"), word("PA"))),
            ("CHEST", "PA CEPHALAD", (word("CHEST"), word("PA CEPHALAD"))),
            ("DOE_JANE", "PA 1970", (None, None)),
            ("CHEST JANE", "", (None, None)),
        ] {
            let anatomy = Anatomy {
                body_part: word(body_part),
                view: word(view),
                laterality: Some(Laterality::L),
            };
            let deidentified = anatomy.deidentified();
            assert_eq!(
                (deidentified.body_part, deidentified.view),
                kept,
                "{body_part}"
            );
            assert_eq!(deidentified.laterality, Some(Laterality::L));
        }
    }
}
