//! What a value may be in a DICOM object (PS3.5, table 6.2-1): a value as a unit wrote it comes in,
//! and it comes out as it may stand in an object, cut, or not at all.
//!
//! Called where a file is read, to note it, and by the outputs, to write it. A number by which a
//! patient or an order is known is never cut: it would be another one's.

use dicom_core::{Tag, VR};
use dicom_dictionary_std::tags;

/// A value for an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// All that the value says, perhaps in another form.
    Whole(String),
    /// Its beginning.
    Cut(String),
    /// Nothing of it.
    Never,
}

impl Fit {
    /// What an object may hold of it.
    pub fn written(self) -> Option<String> {
        match self {
            Self::Whole(text) | Self::Cut(text) => Some(text),
            Self::Never => None,
        }
    }
}

/// Values by which something is known.
const NUMBERS: [Tag; 8] = [
    tags::ACCESSION_NUMBER,
    tags::PATIENT_ID,
    tags::ISSUER_OF_PATIENT_ID,
    tags::STUDY_ID,
    tags::REQUESTED_PROCEDURE_ID,
    tags::SCHEDULED_PROCEDURE_STEP_ID,
    tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
    tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST,
];

/// What an object may hold of a value.
pub fn fit(tag: Tag, vr: VR, text: &str) -> Fit {
    let whole = |text: Option<String>| text.map_or(Fit::Never, Fit::Whole);
    match vr {
        VR::DA => whole(date(text)),
        VR::TM => whole(time(text)),
        VR::UI => whole(is_uid(text).then(|| text.to_owned())),
        VR::CS => whole(each(text, code_string)),
        VR::DS => whole(each(text, decimal)),
        VR::AS => whole(age(text)),
        VR::PN => name(text),
        VR::SH => short(tag, text, 16),
        _ => short(tag, text, 64),
    }
}

/// Several values, all of which must be fit.
fn each(text: &str, fit: fn(&str) -> Option<String>) -> Option<String> {
    let values: Option<Vec<String>> = text.split('\\').map(fit).collect();
    values.map(|values| values.join("\\"))
}

/// Year, month and day; also in the old form with dots, or with a time behind.
pub(super) fn date(text: &str) -> Option<String> {
    let text = text.trim();
    let digits: String = match text.len() {
        10 if text.is_ascii() => text.split(['.', '-', '/']).collect(),
        _ => text.chars().take(8).collect(),
    };
    let number = |from: usize, to: usize| digits.get(from..to)?.parse::<u8>().ok();
    let is_date = digits.len() == 8
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=12).contains(&number(4, 6)?)
        && (1..=31).contains(&number(6, 8)?);
    is_date.then_some(digits)
}

/// Hours, minutes and seconds; also in the old form with colons.
pub(super) fn time(text: &str) -> Option<String> {
    let text = text.trim().replace(':', "");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let is_time = matches!(whole.len(), 2 | 4 | 6) && is_number(whole) && is_number(fraction);
    let below = |at: usize, most: u8| match whole.get(at..at + 2) {
        Some(two) => two.parse::<u8>().is_ok_and(|two| two <= most),
        None => true,
    };
    if !is_time || !below(0, 23) || !below(2, 59) || !below(4, 60) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(6)];
    Some(match fraction {
        "" => whole.to_owned(),
        fraction if whole.len() == 6 => format!("{whole}.{fraction}"),
        _ => return None,
    })
}

/// Whether it is a UID (PS3.5, 9.1).
pub fn is_uid(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number && (part == "0" || !part.starts_with('0'))
    };
    text.len() <= 64 && text.split('.').count() > 1 && text.split('.').all(is_part)
}

fn code_string(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    let may_be =
        |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b" _".contains(&byte);
    (text.len() <= 16 && text.bytes().all(may_be)).then_some(text)
}

fn decimal(text: &str) -> Option<String> {
    let number: f64 = text.trim().parse().ok()?;
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    (number.is_finite() && text.len() <= 16).then(|| text.to_owned())
}

fn age(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_uppercase();
    let (number, unit) = text.split_at_checked(3)?;
    let is_age = number.bytes().all(|byte| byte.is_ascii_digit()) && "DWMY".contains(unit);
    (is_age && unit.len() == 1).then_some(text)
}

/// A person's name: three groups of 64 characters, of five components each.
fn name(text: &str) -> Fit {
    let plain = without_controls(text);
    let groups: Vec<&str> = plain.split('=').collect();
    let cut = |group: &&str| {
        let components: Vec<&str> = group.split('^').take(5).collect();
        components.join("^").chars().take(64).collect::<String>()
    };
    let fitted: Vec<String> = groups.iter().take(3).map(cut).collect();
    let fitted = fitted.join("=");
    match fitted == plain {
        true => Fit::Whole(fitted),
        false => Fit::Cut(fitted),
    }
}

fn short(tag: Tag, text: &str, most: usize) -> Fit {
    let plain = without_controls(text);
    // Only the first value of such an attribute counts.
    let plain = plain.split('\\').next().unwrap_or_default();
    if plain.chars().count() <= most {
        return Fit::Whole(plain.to_owned());
    }
    match NUMBERS.contains(&tag) {
        true => Fit::Never,
        false => Fit::Cut(plain.chars().take(most).collect()),
    }
}

/// Controls would end a line of whoever shows it.
fn without_controls(text: &str) -> String {
    let blank = |c: char| if c.is_control() { ' ' } else { c };
    text.chars()
        .map(blank)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_what_an_object_may_hold() {
        let whole = |text: &str| Fit::Whole(text.to_owned());
        let cut = |text: &str| Fit::Cut(text.to_owned());
        let (date, time) = (tags::STUDY_DATE, tags::STUDY_TIME);
        let name = tags::PATIENT_NAME;
        for (tag, vr, text, fitted) in [
            (date, VR::DA, "20260314", whole("20260314")),
            (date, VR::DA, "1950.01.02", whole("19500102")),
            (date, VR::DA, "1950-01-02", whole("19500102")),
            (date, VR::DA, "20260314101500", whole("20260314")),
            (date, VR::DA, "19501302", Fit::Never),
            (date, VR::DA, "unknown", Fit::Never),
            (time, VR::TM, "101500.123", whole("101500.123")),
            (time, VR::TM, "10:15:00", whole("101500")),
            (time, VR::TM, "1015", whole("1015")),
            (time, VR::TM, "1015.5", Fit::Never),
            (time, VR::TM, "256000", Fit::Never),
            (
                tags::STUDY_INSTANCE_UID,
                VR::UI,
                "1.2.0.3",
                whole("1.2.0.3"),
            ),
            (tags::STUDY_INSTANCE_UID, VR::UI, "1.2.03", Fit::Never),
            (tags::STUDY_INSTANCE_UID, VR::UI, "1.2.x", Fit::Never),
            (tags::STUDY_INSTANCE_UID, VR::UI, "12", Fit::Never),
            (tags::PATIENT_SEX, VR::CS, "m ", whole("M")),
            (tags::PATIENT_SEX, VR::CS, "männlich", Fit::Never),
            (
                tags::LOSSY_IMAGE_COMPRESSION_RATIO,
                VR::DS,
                "10\\2.50",
                whole("10\\2.5"),
            ),
            (
                tags::LOSSY_IMAGE_COMPRESSION_RATIO,
                VR::DS,
                "10,5",
                Fit::Never,
            ),
            (tags::PATIENT_AGE, VR::AS, "076y", whole("076Y")),
            (tags::PATIENT_AGE, VR::AS, "76", Fit::Never),
            (tags::ACCESSION_NUMBER, VR::SH, &"A".repeat(17), Fit::Never),
            (tags::PATIENT_ID, VR::LO, "a\nb", whole("a b")),
            (
                tags::STUDY_DESCRIPTION,
                VR::LO,
                &"ä".repeat(65),
                cut(&"ä".repeat(64)),
            ),
            (name, VR::PN, "A^B=山^田=や", whole("A^B=山^田=や")),
            (name, VR::PN, "a^b^c^d^e^f", cut("a^b^c^d^e")),
            (name, VR::PN, &"N".repeat(70), cut(&"N".repeat(64))),
        ] {
            assert_eq!(fit(tag, vr, text), fitted, "{text}");
        }
    }
}
