//! What a caller says of the patient, beside what the image says. Where they disagree it may be
//! another patient's image: that is a refusal, and never one of the two in silence.

use std::fmt::Display;

use super::Image;
use crate::case::{Refusal, RefusalCode};
use crate::patient::{Age, Candidates, Patient, PatientSaid, Sex};

/// Today's age may be said of last year's image.
const A_YEAR_OFF: &str =
    "age_differs: who asks says an age that is a year from the image's; the image's counts";

impl Image {
    /// The image, with what a caller says of its patient.
    ///
    /// # Errors
    /// `age` or `sex`, where image and caller disagree.
    pub fn told(mut self, caller: Patient) -> Result<Self, Refusal> {
        let image = std::mem::take(&mut self.metadata.patient);
        if let Some(age) = caller.age
            && image.ages.all(|said| said.is_near(age))
            && !image.ages.all(|said| said == age)
        {
            self.metadata.notes.push(A_YEAR_OFF.to_owned());
        }
        self.metadata.patient = agreed(image, caller)?;
        Ok(self)
    }
}

/// What the image says, and what the caller says where the image says nothing.
fn agreed(image: PatientSaid, caller: Patient) -> Result<PatientSaid, Refusal> {
    Ok(PatientSaid {
        ages: age(image.ages, caller.age)?,
        sexes: sex(image.sexes, caller.sex)?,
    })
}

fn age(image: Candidates<Age>, caller: Option<Age>) -> Result<Candidates<Age>, Refusal> {
    match caller {
        Some(age) if !image.all(|said| said.is_near(age)) => {
            Err(disagree(RefusalCode::Age, "age", &image, &age))
        }
        Some(age) if image.is_empty() => Ok([age].into_iter().collect()),
        _ => Ok(image),
    }
}

fn sex(image: Candidates<Sex>, caller: Option<Sex>) -> Result<Candidates<Sex>, Refusal> {
    match caller {
        Some(sex) if !image.all(|said| said == sex) => {
            Err(disagree(RefusalCode::Sex, "sex", &image, &sex))
        }
        Some(sex) if image.is_empty() => Ok([sex].into_iter().collect()),
        _ => Ok(image),
    }
}

fn disagree(code: RefusalCode, what: &str, image: &dyn Display, caller: &dyn Display) -> Refusal {
    let (image, mut caller) = (image.to_string(), caller.to_string());
    if caller == image {
        "another".clone_into(&mut caller);
    }
    let why =
        format!("the image says that the patient's {what} is {image}, and who asks says {caller}");
    let help =
        format!("make sure whose image this is, then ask with the right {what} or with none");
    Refusal::new(code, why, help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageMetadata, Pixels};
    use crate::sha256::Sha256;

    type Told = (&'static [u32], &'static [Sex]);

    #[derive(Debug)]
    struct Case {
        image: Told,
        caller: (Option<u32>, Option<Sex>),
        both: Result<Told, &'static str>,
        notes: usize,
    }

    fn said((ages, sexes): Told) -> PatientSaid {
        PatientSaid {
            ages: ages.iter().filter_map(|&years| Age::new(years)).collect(),
            sexes: sexes.iter().copied().collect(),
        }
    }

    fn image(patient: PatientSaid) -> Image {
        Image {
            width: 1,
            height: 1,
            pixels: Pixels::Luma(vec![0]),
            metadata: ImageMetadata {
                patient,
                ..ImageMetadata::default()
            },
            sha256: Sha256::of(b""),
            origin: None,
        }
    }

    #[test]
    fn image_and_caller_agree_or_are_refused_by_what_they_differ_in() {
        use Sex::{F, M};
        let case = |image, caller, both, notes| Case {
            image,
            caller,
            both,
            notes,
        };
        for case in [
            case((&[], &[]), (None, None), Ok((&[][..], &[][..])), 0),
            case((&[34], &[F]), (None, None), Ok((&[34], &[F])), 0),
            case((&[], &[]), (Some(34), Some(F)), Ok((&[34], &[F])), 0),
            case((&[34], &[F]), (Some(34), Some(F)), Ok((&[34], &[F])), 0),
            case((&[34], &[]), (None, Some(F)), Ok((&[34], &[F])), 0),
            // Today's age, of last year's image.
            case((&[34], &[]), (Some(35), None), Ok((&[34], &[])), 1),
            case((&[34], &[]), (Some(33), None), Ok((&[34], &[])), 1),
            case((&[34], &[]), (Some(36), None), Err("age"), 0),
            case((&[14, 15], &[]), (Some(15), None), Ok((&[14, 15], &[])), 1),
            case((&[14, 15], &[]), (Some(16), None), Err("age"), 0),
            case((&[5, 44], &[]), (Some(44), None), Err("age"), 0),
            case((&[34], &[F]), (None, Some(M)), Err("sex"), 0),
            case((&[], &[F, M]), (None, Some(M)), Err("sex"), 0),
        ] {
            let (age, sex) = case.caller;
            let age = age.and_then(Age::new);
            let told = image(said(case.image)).told(Patient { age, sex });
            match (told, case.both) {
                (Ok(told), Ok(both)) => {
                    assert_eq!(told.metadata.patient, said(both), "{case:?}");
                    assert_eq!(told.metadata.notes.len(), case.notes, "{case:?}");
                }
                (told, both) => assert_eq!(
                    told.map_err(|refusal| refusal.code.word()).err(),
                    both.err(),
                    "{case:?}"
                ),
            }
        }
    }
}
