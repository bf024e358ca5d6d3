//! Whether an exam is for the patient that an image is of. Never guesses an age or a sex.

use super::{ExamGate, Unsaid};
use crate::finding::{Help, Refusal, RefusalCode};
use crate::patient::Patient;

/// Whether the exam is for such a patient.
///
/// # Errors
/// `age` or `sex`: it is for others, or it is nothing for a patient of whom nobody says it.
pub fn suits(exam: &ExamGate<'_>, patient: &Patient) -> Result<(), Refusal> {
    let name = exam.name;
    if let (Some(ages), Some(age)) = (exam.ages, patient.age)
        && !ages.contain(age)
    {
        let why = format!("the patient's age is {age}; exam {name} is for patients {ages}");
        return Err(Refusal::new(RefusalCode::Age, why, Help::AskAPerson));
    }
    if let Some(sex) = patient.sex
        && !exam.sexes.is_empty()
        && !exam.sexes.contains(&sex)
    {
        let why = format!(
            "the patient's sex is {sex}; exam {name} is for {}",
            sexes(exam)
        );
        return Err(Refusal::new(RefusalCode::Sex, why, Help::AskAPerson));
    }
    let refused = asked(exam, patient).find(|asked| asked.unsaid == Unsaid::Refuse);
    match refused {
        Some(Asked {
            code, what, help, ..
        }) => Err(Refusal::new(code, unsaid(exam, what), help)),
        None => Ok(()),
    }
}

/// What the exam asks of the patient and nobody says, as `code: sentence`.
pub fn unknown(exam: &ExamGate<'_>, patient: &Patient) -> Vec<String> {
    let note = |Asked { code, what, .. }: Asked| {
        format!("{}_unknown: {}", code.word(), unsaid(exam, what))
    };
    asked(exam, patient).map(note).collect()
}

/// Something that an exam asks of the patient and nobody says.
struct Asked {
    code: RefusalCode,
    what: &'static str,
    help: Help,
    unsaid: Unsaid,
}

fn asked(exam: &ExamGate<'_>, patient: &Patient) -> impl Iterator<Item = Asked> {
    let age = (exam.ages.is_some() && patient.age.is_none()).then_some(Asked {
        code: RefusalCode::Age,
        what: "age",
        help: Help::SayAge,
        unsaid: exam.age_unsaid,
    });
    let sex = (!exam.sexes.is_empty() && patient.sex.is_none()).then_some(Asked {
        code: RefusalCode::Sex,
        what: "sex",
        help: Help::SaySex,
        unsaid: exam.sex_unsaid,
    });
    [age, sex].into_iter().flatten()
}

fn unsaid(exam: &ExamGate<'_>, what: &str) -> String {
    let whom = match (what, exam.ages) {
        ("age", Some(ages)) => format!("patients {ages}"),
        _ => sexes(exam),
    };
    format!(
        "exam {} is for {whom}; nobody says the patient's {what}",
        exam.name
    )
}

fn sexes(exam: &ExamGate<'_>) -> String {
    let words: Vec<&str> = exam.sexes.iter().map(|sex| sex.word()).collect();
    format!("patients of sex {}", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patient::{Age, Ages, Sex};

    #[derive(Debug)]
    struct Case {
        asks: (Option<[u32; 2]>, &'static [Sex], Unsaid),
        patient: (Option<u32>, Option<Sex>),
        refused: Option<&'static str>,
        notes: &'static [&'static str],
    }

    #[test]
    fn another_is_refused_and_none_is_noted_or_refused() {
        use Sex::{F, M, O};
        use Unsaid::{Note, Refuse};
        let adults = Some([15, 120]);
        let case = |asks, patient, refused, notes| Case {
            asks,
            patient,
            refused,
            notes,
        };
        for case in [
            case((None, &[], Note), (Some(3), Some(O)), None, &[]),
            case((None, &[], Refuse), (None, None), None, &[]),
            case((adults, &[], Note), (Some(15), None), None, &[]),
            case((adults, &[], Note), (Some(14), None), Some("age"), &[]),
            case((adults, &[], Note), (None, None), None, &["age_unknown"]),
            case(
                (adults, &[], Refuse),
                (None, None),
                Some("age"),
                &["age_unknown"],
            ),
            case((None, &[F], Note), (None, Some(F)), None, &[]),
            case((None, &[F, M], Note), (None, Some(O)), Some("sex"), &[]),
            case((None, &[F], Note), (None, None), None, &["sex_unknown"]),
            case(
                (adults, &[F], Note),
                (None, None),
                None,
                &["age_unknown", "sex_unknown"],
            ),
            case(
                (None, &[F], Refuse),
                (Some(3), None),
                Some("sex"),
                &["sex_unknown"],
            ),
        ] {
            let (ages, sexes, unsaid) = case.asks;
            let age = |years| Age::new(years).unwrap();
            let exam = ExamGate {
                name: "lung",
                kind: None,
                modalities: &[],
                body_parts: &[],
                views: &[],
                lateralities: &[],
                ages: ages.map(|ages| Ages::try_from(ages.map(age)).unwrap()),
                age_unsaid: unsaid,
                sexes,
                sex_unsaid: unsaid,
            };
            let patient = Patient {
                age: case.patient.0.map(age),
                sex: case.patient.1,
            };
            let refused = suits(&exam, &patient).err();
            let refused = refused.as_ref().map(|refusal| refusal.code.word());
            assert_eq!(refused, case.refused, "{case:?}");
            let notes = unknown(&exam, &patient);
            let codes: Vec<&str> = notes.iter().filter_map(|n| n.split(':').next()).collect();
            assert_eq!(codes, case.notes, "{case:?}");
        }
    }
}
