//! Whether an exam is for the patient that an image is of. Never guesses an age or a sex: where
//! several are said, the exam must be for each of them.

use super::{ExamGate, Unsaid};
use crate::case::{Help, Refusal, RefusalCode};
use crate::patient::PatientSaid;

/// Whether the exam is for such a patient.
///
/// # Errors
/// `age` or `sex`: it is for others, or it is nothing for a patient of whom nobody says it.
pub fn suits(exam: &ExamGate<'_>, patient: &PatientSaid) -> Result<(), Refusal> {
    let name = exam.name;
    if let Some(ages) = exam.ages
        && !patient.ages.all(|age| ages.contain(age))
    {
        let said = &patient.ages;
        let why = format!("the patient's age is {said}; exam {name} is for patients {ages}");
        return Err(Refusal::new(RefusalCode::Age, why, Help::AskAPerson));
    }
    if !exam.sexes.is_empty() && !patient.sexes.all(|sex| exam.sexes.contains(&sex)) {
        let why = format!(
            "the patient's sex is {}; exam {name} is for {}",
            patient.sexes,
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
pub fn unknown(exam: &ExamGate<'_>, patient: &PatientSaid) -> Vec<String> {
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

fn asked(exam: &ExamGate<'_>, patient: &PatientSaid) -> impl Iterator<Item = Asked> {
    let age = (exam.ages.is_some() && patient.ages.is_empty()).then_some(Asked {
        code: RefusalCode::Age,
        what: "age",
        help: Help::SayAge,
        unsaid: exam.age_unsaid,
    });
    let sex = (!exam.sexes.is_empty() && patient.sexes.is_empty()).then_some(Asked {
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
        patient: (&'static [u32], &'static [Sex]),
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
            case((None, &[], Note), (&[3], &[O]), None, &[]),
            case((None, &[], Refuse), (&[], &[]), None, &[]),
            case((adults, &[], Note), (&[15], &[]), None, &[]),
            case((adults, &[], Note), (&[14], &[]), Some("age"), &[]),
            case((adults, &[], Note), (&[14, 15], &[]), Some("age"), &[]),
            case((adults, &[], Note), (&[5, 44], &[]), Some("age"), &[]),
            case((adults, &[], Refuse), (&[34, 70], &[]), None, &[]),
            case((adults, &[], Note), (&[], &[]), None, &["age_unknown"]),
            case(
                (adults, &[], Refuse),
                (&[], &[]),
                Some("age"),
                &["age_unknown"],
            ),
            case((None, &[F], Note), (&[], &[F]), None, &[]),
            case((None, &[F, M], Note), (&[], &[O]), Some("sex"), &[]),
            case((None, &[F], Note), (&[], &[F, M]), Some("sex"), &[]),
            case((None, &[F, M], Refuse), (&[], &[F, M]), None, &[]),
            case((None, &[F], Note), (&[], &[]), None, &["sex_unknown"]),
            case(
                (adults, &[F], Note),
                (&[], &[]),
                None,
                &["age_unknown", "sex_unknown"],
            ),
            case(
                (None, &[F], Refuse),
                (&[3], &[]),
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
            let (said_ages, said_sexes) = case.patient;
            let patient = PatientSaid {
                ages: said_ages.iter().map(|&years| age(years)).collect(),
                sexes: said_sexes.iter().copied().collect(),
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
