//! What a caller says of the patient, beside what the image says. Where they disagree it may be
//! another patient's image: that is a refusal, and never one of the two in silence.

use std::fmt::Display;

use super::Image;
use crate::finding::{Refusal, RefusalCode};
use crate::patient::Patient;

impl Image {
    /// The image, with what a caller says of its patient.
    ///
    /// # Errors
    /// `age` or `sex`, where image and caller disagree.
    pub fn told(mut self, caller: Patient) -> Result<Self, Refusal> {
        self.said.patient = agreed(self.said.patient, caller)?;
        Ok(self)
    }
}

fn agreed(image: Patient, caller: Patient) -> Result<Patient, Refusal> {
    Ok(Patient {
        age: same(RefusalCode::Age, "age", image.age, caller.age)?,
        sex: same(RefusalCode::Sex, "sex", image.sex, caller.sex)?,
    })
}

/// What one of two says, or both say alike.
fn same<T: Copy + PartialEq + Display>(
    code: RefusalCode,
    what: &str,
    image: Option<T>,
    caller: Option<T>,
) -> Result<Option<T>, Refusal> {
    match (image, caller) {
        (Some(image), Some(caller)) if image != caller => {
            let (image, mut caller) = (image.to_string(), caller.to_string());
            if caller == image {
                "another".clone_into(&mut caller);
            }
            let why = format!(
                "the image says that the patient's {what} is {image}, and who asks says {caller}"
            );
            let cure = format!(
                "make sure whose image this is, then ask with the right {what} or with none"
            );
            Err(Refusal::new(code, why, cure))
        }
        (image, caller) => Ok(image.or(caller)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patient::{Age, Sex};

    #[test]
    fn image_and_caller_agree_or_are_refused_by_what_they_differ_in() {
        let patient = |age: Option<u32>, sex| Patient {
            age: age.and_then(Age::new),
            sex,
        };
        let (none, woman) = (Patient::default(), patient(Some(34), Some(Sex::F)));
        for (image, caller, both) in [
            (none, none, Ok(none)),
            (woman, none, Ok(woman)),
            (none, woman, Ok(woman)),
            (woman, woman, Ok(woman)),
            (woman, patient(Some(35), None), Err("age")),
            (woman, patient(None, Some(Sex::M)), Err("sex")),
            (
                patient(Some(34), None),
                patient(None, Some(Sex::F)),
                Ok(woman),
            ),
        ] {
            let agreed = agreed(image, caller);
            let agreed = agreed.as_ref().map_err(|refusal| refusal.code.word());
            assert_eq!(agreed.copied(), both, "{image:?} {caller:?}");
        }
    }
}
