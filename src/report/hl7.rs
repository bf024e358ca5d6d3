//! HL7 version 2.5.1: the finding as an unsolicited observation message, `ORU^R01`.
//!
//! Segments end with a carriage return, as the standard has it; the framing of a line
//! (MLLP) is the sender's business. The exam's time stands in OBR-7 and OBX-14, the analysis' in
//! OBR-22 and OBX-19. Persons' names are in `names`.

mod names;

use dicom_core::Tag;
use dicom_dictionary_std::tags;

use super::case::Case;
use super::object::zone;
use crate::image::dicom::anatomy::{region_code, side_code, view_code};
use names::{person, provider};

const OWN: &str = "99MEDFOCUS";

/// The finding as one message.
pub fn hl7(case: &Case<'_>) -> String {
    let now = case.now;
    let stamp = match case.deidentify {
        true => "19000101000000+0000".to_owned(),
        false => format!("{}{}+0000", now.date(), now.time()),
    };
    let mut segments = vec![
        header(case, &stamp),
        patient(case),
        visit(case),
        order(case, &stamp),
    ];
    segments.retain(|segment| !segment.is_empty());
    let exam_time = exam_time(case).unwrap_or_default();
    let observed = observations(case)
        .into_iter()
        .enumerate()
        .map(|(place, of)| {
            segment(
                "OBX",
                &[
                    (1, (place + 1).to_string()),
                    (2, of.kind.to_owned()),
                    (3, of.what),
                    (5, of.value),
                    (6, of.unit.to_owned()),
                    (11, "P".to_owned()),
                    (14, exam_time.clone()),
                    (19, stamp.clone()),
                ],
            )
        });
    segments.extend(observed);
    segments.join("\r") + "\r"
}

/// A segment with these fields, up to the last that is not empty.
fn segment(name: &str, fields: &[(usize, String)]) -> String {
    let filled = fields.iter().filter(|(_, value)| !value.is_empty());
    let last = filled.clone().map(|(number, _)| *number).max();
    let mut all = vec![""; last.unwrap_or_default() + 1];
    all[0] = name;
    for (number, value) in filled {
        all[*number] = value;
    }
    all.join("|")
}

fn header(case: &Case<'_>, stamp: &str) -> String {
    // Made again, a case's message has the same: whoever takes it can drop the second.
    let control = case.uid(&format!("message {}", case.id()));
    let control = &control[control.len() - 20..];
    format!("MSH|^~\\&|MEDFOCUS||||{stamp}||ORU^R01^ORU_R01|{control}|P|2.5.1||||||UNICODE UTF-8")
}

fn patient(case: &Case<'_>) -> String {
    let known = |tag| escaped(case.carried(tag).unwrap_or_default());
    let birth = case.fitted(tags::PATIENT_BIRTH_DATE, dicom_core::VR::DA);
    // What the image says of itself stands before what its giver says.
    let said = || case.labels().patient_id.as_deref();
    let number = case.carried(tags::PATIENT_ID).or_else(said);
    let number = escaped(number.unwrap_or_default());
    let issuer = known(tags::ISSUER_OF_PATIENT_ID);
    segment(
        "PID",
        &[
            (1, "1".to_owned()),
            (3, components(&[&number, "", "", &issuer])),
            (
                5,
                person(case.carried(tags::PATIENT_NAME).unwrap_or_default()),
            ),
            (7, birth.unwrap_or_default()),
            (8, escaped(&case.sex().unwrap_or_default())),
        ],
    )
}

/// Who referred the patient stands in a visit, of which nothing else is known.
fn visit(case: &Case<'_>) -> String {
    match case.carried(tags::REFERRING_PHYSICIAN_NAME) {
        Some(name) => segment(
            "PV1",
            &[
                (1, "1".to_owned()),
                (2, "U".to_owned()),
                (8, provider(name)),
            ],
        ),
        None => String::new(),
    }
}

/// What was asked and by whom. Numbers of the order are the order's own where it has any; else the
/// accession number stands for the placer's and the case for the filler's.
fn order(case: &Case<'_>, stamp: &str) -> String {
    let finding = case.finding;
    let requested = |tag: Tag| case.requested(tag).map(escaped);
    let said = || case.labels().accession.as_deref().map(escaped);
    let accession = requested(tags::ACCESSION_NUMBER)
        .or_else(said)
        .unwrap_or_default();
    let placer = requested(tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST);
    let filler = requested(tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST);
    let asked_by = case
        .carried(tags::REQUESTING_PHYSICIAN)
        .or_else(|| case.carried(tags::REFERRING_PHYSICIAN_NAME));
    segment(
        "OBR",
        &[
            (1, "1".to_owned()),
            (2, placer.unwrap_or_else(|| accession.clone())),
            (3, filler.unwrap_or_else(|| escaped(case.id()))),
            (4, coded(&finding.exam, case.title, OWN)),
            (7, exam_time(case).unwrap_or_default()),
            (16, asked_by.map(provider).unwrap_or_default()),
            (18, accession),
            (
                19,
                requested(tags::REQUESTED_PROCEDURE_ID).unwrap_or_default(),
            ),
            (
                20,
                requested(tags::SCHEDULED_PROCEDURE_STEP_ID).unwrap_or_default(),
            ),
            (22, stamp.to_owned()),
            (25, "P".to_owned()),
        ],
    )
}

/// When the image was taken, with the distance from UTC where the object says it.
fn exam_time(case: &Case<'_>) -> Option<String> {
    if case.deidentify {
        return Some("19000101000000+0000".to_owned());
    }
    let origin = case.origin()?;
    let taken = origin.taken.as_ref()?;
    // HL7 has four digits behind a second's point.
    let time: String = taken.time.chars().take("HHMMSS.FFFF".len()).collect();
    let offset = taken.offset.or(origin.offset).filter(|_| !time.is_empty());
    let zone = offset.map(zone).unwrap_or_default();
    Some(format!("{}{time}{zone}", taken.date))
}

/// One observation: the type of its value, what it is, the value and its unit.
struct Observation {
    kind: &'static str,
    what: String,
    value: String,
    unit: &'static str,
}

fn observations(case: &Case<'_>) -> Vec<Observation> {
    let finding = case.finding;
    let observe = |kind, what: String, value: String| Observation {
        kind,
        what,
        value,
        unit: "",
    };
    let own = |code: &str, meaning: &str| coded(code, meaning, OWN);
    let class = finding.class();
    let mut all = vec![observe(
        "CWE",
        own(&finding.exam, case.title),
        own(&class.class, &class.label),
    )];
    for p in &finding.probabilities {
        let what = own(
            &format!("{}.p", p.class),
            &format!("Probability of {}", p.label),
        );
        all.push(observe("NM", what, format!("{:.6}", p.probability)));
    }
    if let Some(set) = &finding.prediction_set {
        let percent = set.percent();
        let what = format!("Classes that hold the true one in {percent} % of cases");
        all.push(observe("TX", own("set", &what), escaped(&set.words())));
    }
    let level = finding.triage_level.word();
    all.push(observe(
        "CWE",
        own("triage", "Triage level"),
        own(level, level),
    ));
    for note in &finding.reasons {
        all.push(observe("TX", own("note", "Note"), escaped(note)));
    }
    all.extend(shown(case));
    let said = case.labels().iter();
    let said = said.filter(|(key, text)| !is_told(case, key, text));
    all.extend(said.map(|(key, text)| {
        let meaning = match key {
            "patient_id" => "Patient ID, as given with the image",
            "accession" => "Accession number, as given with the image",
            _ => "Label, as given with the image",
        };
        observe("ST", own(key, meaning), escaped(text))
    }));
    all.push(observe(
        "TX",
        own("image.sha256", "SHA-256 of the image's file"),
        case.image.sha256.to_string(),
    ));
    if let Some(point) = case.point {
        let what = own("journal", "Point of the device's journal");
        all.push(observe("TX", what, escaped(point)));
    }
    let maker = format!("{}. {}", case.maker(), case.limits());
    all.push(observe(
        "TX",
        own("limits", "Limits of use"),
        escaped(&maker),
    ));
    if let Some(age) = case.age() {
        all.push(Observation {
            kind: "NM",
            what: coded("30525-0", "Age", "LN"),
            value: age.years().to_string(),
            unit: "a^year^UCUM",
        });
    }
    all
}

/// Whether what the giver says stands in PID-3 or OBR-18: the image says the same, or nothing.
fn is_told(case: &Case<'_>, key: &str, text: &str) -> bool {
    let own = match key {
        "patient_id" => case.carried(tags::PATIENT_ID),
        "accession" => case.requested(tags::ACCESSION_NUMBER),
        _ => return false,
    };
    own.is_none_or(|own| own == text)
}

/// What of the body the image shows, and where image and order are filed.
fn shown(case: &Case<'_>) -> Vec<Observation> {
    let anatomy = case.anatomy();
    let value = |sct: Option<&str>, word: &str| match sct {
        Some(sct) => coded(sct, word, "SCT"),
        None => coded(word, word, OWN),
    };
    let part = anatomy
        .body_part
        .map(|part| value(region_code(&part), &part));
    let view = anatomy.view.map(|view| value(view_code(&view), &view));
    let side = anatomy.laterality.map(|side| match side_code(side) {
        Some((sct, meaning)) => coded(sct, meaning, "SCT"),
        None => coded(side.word(), side.name(), OWN),
    });
    let study = (!case.deidentify && case.origin().is_some()).then(|| case.study());
    let accession = case.requested(tags::ACCESSION_NUMBER).map(escaped);
    let filler = case.requested(tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST);
    // The case is in OBR-3 unless the order's own number is.
    let number = filler.map(|_| escaped(case.id()));
    [
        ("CWE", coded("123014", "Target Region", "DCM"), part),
        ("CWE", coded("111027", "Image Laterality", "DCM"), side),
        ("CWE", coded("111031", "Image View", "DCM"), view),
        ("ST", coded("110180", "Study Instance UID", "DCM"), study),
        ("ST", coded("121022", "Accession Number", "DCM"), accession),
        ("ST", coded("case", "Case", OWN), number),
    ]
    .into_iter()
    .filter_map(|(kind, what, value)| {
        Some(Observation {
            kind,
            what,
            value: value?,
            unit: "",
        })
    })
    .collect()
}

/// A code with its meaning and its scheme.
fn coded(code: &str, meaning: &str, scheme: &str) -> String {
    format!("{}^{}^{scheme}", escaped(code), escaped(meaning))
}

/// Components that are escaped already, up to the last that is not empty.
fn components(all: &[&str]) -> String {
    all.join("^").trim_end_matches('^').to_owned()
}

/// HL7's own escapes (2.5.1, section 2.7); line ends would end the segment, and some other
/// control characters the frame around the message or the line of whoever prints it. A name
/// in any script stays exactly what it is.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '\\' => out += "\\E\\",
            '|' => out += "\\F\\",
            '^' => out += "\\S\\",
            '&' => out += "\\T\\",
            '~' => out += "\\R\\",
            '\r' | '\n' => out += "\\.br\\",
            '\u{2028}' | '\u{2029}' => out += &in_bytes(character),
            other if other.is_control() => out += &in_bytes(other),
            other => out.push(other),
        }
    }
    out
}

/// A character by its bytes.
fn in_bytes(character: char) -> String {
    let bytes = character.to_string().into_bytes();
    let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    format!("\\X{digits}\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_field_or_a_segment() {
        assert_eq!(
            escaped("a|b^c&d~e\\f\rg\x1c"),
            "a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f\\.br\\g\\X1C\\"
        );
        assert_eq!(
            escaped("a\u{85}b\u{2028}c\u{200c}ش"),
            "a\\XC285\\b\\XE280A8\\c\u{200c}ش"
        );
    }

    #[test]
    fn a_segment_ends_with_its_last_field() {
        let fields = [(1, "1".to_owned()), (3, "x".to_owned()), (9, String::new())];
        assert_eq!(segment("PID", &fields), "PID|1||x");
    }
}
