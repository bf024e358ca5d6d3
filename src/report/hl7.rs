//! HL7 version 2.5.1: the finding as an unsolicited observation message, `ORU^R01`.
//!
//! Segments end with a carriage return, as the standard has it; the framing of a line
//! (MLLP) is the sender's business.

use dicom_dictionary_std::tags;

use super::case::Case;

/// The finding as one message.
pub fn hl7(case: &Case<'_>) -> String {
    let finding = case.finding;
    let (date, time) = case.moment();
    let stamp = format!("{date}{time}+0000");
    // Made again, a case's message has the same: whoever takes it can drop the second.
    let control = case.uid(&format!("message {}", case.id()));
    let control = &control[control.len() - 20..];
    let known = |tag| escaped(case.carried(tag).unwrap_or_default());
    let name = |tag| {
        // A DICOM name's components stand in HL7's order already.
        let parts = case.carried(tag).unwrap_or_default().split('=').next();
        let parts: Vec<String> = parts.unwrap_or_default().split('^').map(escaped).collect();
        parts.join("^")
    };
    let exam = format!(
        "{}^{}^99MEDFOCUS",
        escaped(&finding.exam),
        escaped(case.title)
    );
    let mut segments = vec![
        format!(
            "MSH|^~\\&|MEDFOCUS||||{stamp}||ORU^R01^ORU_R01|{control}|P|2.5.1||||||UNICODE UTF-8"
        ),
        format!(
            "PID|1||{}^^^{}||{}||{}|{}",
            known(tags::PATIENT_ID),
            known(tags::ISSUER_OF_PATIENT_ID),
            name(tags::PATIENT_NAME),
            known(tags::PATIENT_BIRTH_DATE),
            escaped(case.sex().unwrap_or_default())
        ),
        format!(
            "OBR|1|{}|{}|{exam}|||{stamp}|||||||||{}||||||{stamp}|||P",
            known(tags::ACCESSION_NUMBER),
            escaped(case.id()),
            name(tags::REFERRING_PHYSICIAN_NAME)
        ),
    ];
    let mut observe_in = |kind: &str, what: &str, value: String, unit: &str| {
        let number = segments.len() - 2;
        segments.push(format!(
            "OBX|{number}|{kind}|{what}||{value}|{unit}|||||P|||{stamp}"
        ));
    };
    let mut observe = |kind: &str, what: &str, value| observe_in(kind, what, value, "");
    let class = finding.class();
    let (code, label) = (escaped(&class.class), escaped(&class.label));
    observe("CWE", &exam, format!("{code}^{label}^99MEDFOCUS"));
    for p in &finding.probabilities {
        let (class, label) = (escaped(&p.class), escaped(&p.label));
        let what = format!("{class}.p^Probability of {label}^99MEDFOCUS");
        observe("NM", &what, format!("{:.6}", p.probability));
    }
    if let Some(set) = &finding.prediction_set {
        let percent = set.percent();
        let what = format!("set^Classes that hold the true one in {percent} % of cases^99MEDFOCUS");
        observe("TX", &what, escaped(&set.words()));
    }
    let level = finding.triage_level.word();
    observe(
        "CWE",
        "triage^Triage level^99MEDFOCUS",
        format!("{level}^{level}^99MEDFOCUS"),
    );
    for note in &finding.reasons {
        observe("TX", "note^Note^99MEDFOCUS", escaped(note));
    }
    observe(
        "TX",
        "image.sha256^SHA-256 of the image's file^99MEDFOCUS",
        case.image.sha256.to_string(),
    );
    if let Some(point) = case.point {
        let what = "journal^Point of the device's journal^99MEDFOCUS";
        observe("TX", what, escaped(point));
    }
    let maker = format!("{}. {}", case.maker(), case.limits());
    observe("TX", "limits^Limits of use^99MEDFOCUS", escaped(&maker));
    if let Some(age) = case.age() {
        let years = age.years().to_string();
        observe_in("NM", "30525-0^Age^LN", years, "a^year^UCUM");
    }
    segments.join("\r") + "\r"
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
    use super::escaped;

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
}
