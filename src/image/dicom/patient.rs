//! Age and sex of a DICOM object's patient. What cannot be understood is left out and noted;
//! the note never repeats a value.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::header::Header;
use crate::patient::{Age, Patient, Sex};

/// What an object says of its patient, and what in it could not be understood.
pub(super) fn patient(header: &Header<'_>) -> (Patient, Vec<String>) {
    let (age, unread_age) = age(header);
    let (sex, unread_sex) = sex(header);
    let notes = [unread_age, unread_sex].into_iter().flatten();
    (Patient { age, sex }, notes.map(str::to_owned).collect())
}

/// By Patient's Age, else by the dates of birth and of the image.
fn age(header: &Header<'_>) -> (Option<Age>, Option<&'static str>) {
    let written = header.text(tags::PATIENT_AGE);
    let said = written.as_deref().map(Age::of_dicom);
    let counted = counted(header);
    match (said, counted) {
        (Some(None), _) => (
            None,
            Some("age_unread: Patient's Age (0010,1010) is no age; it was left out"),
        ),
        (None, Some(None)) => (
            None,
            Some("age_unread: the dates of birth and image make no age; they were left out"),
        ),
        // One of them was entered wrong, and nobody knows which.
        (Some(Some(age)), Some(Some(counted))) if age.years().abs_diff(counted.years()) > 1 => (
            None,
            Some(
                "age_unread: Patient's Age (0010,1010) is not that of the dates of birth and \
                 image; both were left out",
            ),
        ),
        (Some(age), _) | (None, Some(age)) => (age, None),
        (None, None) => (None, None),
    }
}

/// Years completed on the day of the image: `None` where a date is missing, `Some(None)`
/// where they make no age.
fn counted(header: &Header<'_>) -> Option<Option<Age>> {
    let birth = header.text(tags::PATIENT_BIRTH_DATE)?;
    let taken = [tags::ACQUISITION_DATE, tags::STUDY_DATE];
    let taken = taken.into_iter().find_map(|tag: Tag| header.text(tag))?;
    Some(between(&birth, &taken))
}

fn between(birth: &str, taken: &str) -> Option<Age> {
    let (birth, taken) = (date(birth)?, date(taken)?);
    let had_birthday = taken[1..] >= birth[1..];
    let years = taken[0].checked_sub(birth[0])?;
    Age::new(years.checked_sub(u32::from(!had_birthday))?)
}

/// Year, month and day of a DICOM date, also in its old form with dots.
fn date(text: &str) -> Option<[u32; 3]> {
    let digits: String = match text.len() {
        10 => text.split('.').collect(),
        _ => text.to_owned(),
    };
    if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let part = |from: usize, to: usize| digits[from..to].parse::<u32>().ok();
    let (year, month, day) = (part(0, 4)?, part(4, 6)?, part(6, 8)?);
    let exists = year > 0 && (1..=12).contains(&month) && (1..=31).contains(&day);
    exists.then_some([year, month, day])
}

fn sex(header: &Header<'_>) -> (Option<Sex>, Option<&'static str>) {
    let Some(word) = header.text(tags::PATIENT_SEX) else {
        return (None, None);
    };
    match word.parse() {
        Ok(sex) => (Some(sex), None),
        Err(_) => (
            None,
            Some("sex_unread: Patient's Sex (0010,0040) is none of M, F and O; it was left out"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::between;

    #[test]
    fn years_are_completed_on_the_birthday() {
        for (birth, taken, years) in [
            ("19900615", "20240614", Some(33)),
            ("19900615", "20240615", Some(34)),
            ("1990.06.15", "20240615", Some(34)),
            ("20240615", "20240615", Some(0)),
            ("20240616", "20240615", None),
            ("19000101", "20240615", None),
            ("1990", "20240615", None),
            ("19901315", "20240615", None),
            ("00000000", "20240615", None),
            ("1990年6月1", "20240615", None),
        ] {
            let age = between(birth, taken).map(super::Age::years);
            assert_eq!(age, years, "{birth} {taken}");
        }
    }
}
