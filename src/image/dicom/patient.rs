//! Age and sex of a DICOM object's patient. What cannot be understood is left out and noted,
//! what is said in two ways is handed on as two candidates; no note ever repeats a value.

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::header::Header;
use crate::patient::{Age, Candidates, PatientSaid, Sex};

/// The days that an image may be of, the best first.
const DAYS: [Tag; 5] = [
    tags::ACQUISITION_DATE,
    tags::ACQUISITION_DATE_TIME,
    tags::STUDY_DATE,
    tags::SERIES_DATE,
    tags::CONTENT_DATE,
];

/// What an object says of its patient; what in it could not be understood, and what is in doubt.
pub(super) fn patient(header: &Header<'_>) -> (PatientSaid, Vec<String>) {
    let (ages, unread_age) = ages(header);
    let (sex, unread_sex) = sex(header);
    let said = PatientSaid {
        ages,
        sexes: sex.into_iter().collect(),
    };
    let unread = unread_age.into_iter().chain(unread_sex);
    let mut notes: Vec<String> = unread.map(str::to_owned).collect();
    notes.extend(said.doubts());
    (said, notes)
}

/// By Patient's Age and by the dates of birth and of the image: where they differ, one of them
/// was entered wrong or on another day, and nobody knows which.
fn ages(header: &Header<'_>) -> (Candidates<Age>, Vec<&'static str>) {
    let mut notes = Vec::new();
    let written = header.text(tags::PATIENT_AGE);
    let said = written.as_deref().and_then(Age::of_dicom);
    if written.is_some() && said.is_none() {
        notes.push("age_unread: Patient's Age (0010,1010) is no age; it was left out");
    }
    let counted = counted(header);
    if counted.iter().any(Option::is_none) {
        notes.push("age_unread: the dates of birth and image make no age; they were left out");
    }
    let counted = likeliest(counted.into_iter().flatten());
    (said.into_iter().chain(counted).collect(), notes)
}

/// Years completed on each of the image's days: `None` where the dates make no age.
fn counted(header: &Header<'_>) -> Vec<Option<Age>> {
    let Some(birth) = header.text(tags::PATIENT_BIRTH_DATE) else {
        return Vec::new();
    };
    let days = DAYS.into_iter().filter_map(|tag| header.text(tag));
    days.map(|day| between(&birth, &day)).collect()
}

/// The first, and those that no birthday between two days explains.
fn likeliest(mut counted: impl Iterator<Item = Age>) -> Vec<Age> {
    let Some(first) = counted.next() else {
        return Vec::new();
    };
    let others = counted.filter(|age| !age.is_near(first));
    [first].into_iter().chain(others).collect()
}

fn between(birth: &str, taken: &str) -> Option<Age> {
    let (birth, taken) = (date(birth)?, date(taken)?);
    let had_birthday = taken[1..] >= birth[1..];
    let years = taken[0].checked_sub(birth[0])?;
    Age::new(years.checked_sub(u32::from(!had_birthday))?)
}

/// Year, month and day of a DICOM date, also in its old form with dots, or with a time behind.
fn date(text: &str) -> Option<[u32; 3]> {
    let digits: String = match text.len() {
        10 if text.contains('.') => text.split('.').collect(),
        _ => text.chars().take(8).collect(),
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
            ("19900615", "20240615093000.5+0100", Some(34)),
            ("19900615", "20240614235959", Some(33)),
            ("19900615", "2024061509", Some(34)),
            ("1990.06.15", "20240615", Some(34)),
            ("20240615", "20240615", Some(0)),
            ("20240616", "20240615", None),
            ("19000101", "20240615", None),
            ("1990", "20240615", None),
            ("19900615", "2024", None),
            ("19901315", "20240615", None),
            ("00000000", "20240615", None),
            ("1990年6月1", "20240615", None),
        ] {
            let age = between(birth, taken).map(super::Age::years);
            assert_eq!(age, years, "{birth} {taken}");
        }
    }
}
