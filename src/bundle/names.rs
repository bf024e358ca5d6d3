//! What a manifest may call things. Its names stand on terminals, serial lines, displays,
//! pages and in messages: one that would end a line, move a cursor, turn the reading
//! direction or that nobody can see is no name, and neither is one that never ends.
//!
//! Every text of a manifest is looked at, whatever key it stands under, so that no new key
//! can be forgotten here.

use serde::Serialize;
use serde_json::Value;

use super::Manifest;
use crate::shown;

/// Characters of any text: a title, a label, a text prompt, a file.
const MOST: usize = 1024;
/// Characters of a name that is typed, and printed between others.
const MOST_OF_A_WORD: usize = 64;
/// What parts words from each other where names are printed: `exam=brain4 set=glioma,normal`.
const PARTS: [char; 4] = [',', '=', '"', '\''];

/// The first name that cannot be one, by its key, and why.
pub(super) fn check(manifest: &Manifest) -> Result<(), String> {
    check_texts(manifest)?;
    check_word("name", &manifest.name)?;
    check_word("version", &manifest.version)?;
    for exam in &manifest.exams {
        check_word("an exam's name", &exam.name)?;
        for class in &exam.classes {
            check_word(&format!("a class of exam {}", exam.name), &class.name)?;
        }
    }
    Ok(())
}

/// Every text within a value, and every key.
fn check_texts(of: &impl Serialize) -> Result<(), String> {
    // What was read from TOML has keys that are texts.
    let value = serde_json::to_value(of).map_err(|error| error.to_string())?;
    walk("", &value)
}

fn walk(key: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::String(text) => check_text(key, text),
        Value::Array(values) => {
            let mut all = values.iter().enumerate();
            all.try_for_each(|(at, value)| walk(&format!("{key}[{at}]"), value))
        }
        Value::Object(values) => values.iter().try_for_each(|(name, value)| {
            check_text(key, name)?;
            let dot = if key.is_empty() { "" } else { "." };
            walk(&format!("{key}{dot}{name}"), value)
        }),
        _ => Ok(()),
    }
}

fn check_text(key: &str, text: &str) -> Result<(), String> {
    match shown::fault(text, MOST) {
        Some(fault) => Err(format!("{key}: '{}' {fault}", shown::name(text))),
        None => Ok(()),
    }
}

/// A short name, as it is typed.
fn check_word(key: &str, word: &str) -> Result<(), String> {
    let fault = match word {
        "" => Some("is empty".to_owned()),
        word if word.contains(char::is_whitespace) => Some("holds a space".to_owned()),
        word if word.contains(PARTS) => Some("holds one of , = \" '".to_owned()),
        word => shown::fault(word, MOST_OF_A_WORD),
    };
    match fault {
        Some(fault) => Err(format!("{key}: '{}' {fault}", shown::name(word))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The starter's manifest with one text in place of another.
    fn with(text: &str, by: &str) -> Result<Manifest, String> {
        let manifest = include_str!("../../models/starter/bundle.toml");
        assert!(manifest.contains(text), "{text}");
        Manifest::parse(&manifest.replacen(text, by, 1))
    }

    #[test]
    fn a_name_that_is_none_is_refused_by_its_key() {
        for (text, by, why) in [
            (
                "name = \"starter\"",
                "name = \"starter\\r\\n1 finding\"",
                "name: 'starter\\u{d}\\u{a}1 finding' holds U+000D, which is a control character",
            ),
            (
                "name = \"starter\"",
                "name = \"two words\"",
                "name: 'two words' holds a space",
            ),
            (
                "version = \"0.1.0\"",
                "version = \"\"",
                "version: '' is empty",
            ),
            (
                "name = \"covid3\"",
                "name = \"covid3\\u202e\"",
                "exams[0].name: 'covid3\\u{202e}' holds U+202E, which turns the reading direction",
            ),
            (
                "name = \"glioma\"",
                "name = \"glioma,level=routine\"",
                "a class of exam brain4: 'glioma,level=routine' holds one of , = \" '",
            ),
            (
                "label = \"Glioma\"",
                "label = \"No\\u200b tumour\"",
                "exams[2].classes[0].label: 'No\\u{200b} tumour' holds U+200B, which cannot be seen",
            ),
            (
                "short_title = \"Breast ultrasound\"",
                "short_title = \"Breast\\u2028ultrasound\"",
                "exams[3].short_title: 'Breast\\u{2028}ultrasound' holds U+2028, which ends a line",
            ),
            (
                "label = \"chest radiograph\"",
                "label = \"chest\\u001b[2J\"",
                "gate.kinds[0].label: 'chest\\u{1b}[2J' holds U+001B, which is a control character",
            ),
        ] {
            assert_eq!(with(text, by).unwrap_err(), why);
        }
        let long = format!("name = \"{}\"", "x".repeat(65));
        let why = with("name = \"starter\"", &long).unwrap_err();
        assert!(
            why.ends_with("has 65 characters; at most 64 are allowed"),
            "{why}"
        );
        let long = format!("label = \"{}\"", "x".repeat(70_000));
        let why = with("label = \"Glioma\"", &long).unwrap_err();
        assert!(why.contains("at most 1024") && why.len() < 1200, "{why}");
    }

    #[test]
    fn a_key_that_is_no_name_is_refused() {
        let why = with("[files]", "[files]\n\"a\\u202eb\" = \"00\"").unwrap_err();
        assert!(
            why.contains("a\\u{202e}b") && why.contains("U+202E"),
            "{why}"
        );
    }

    #[test]
    fn names_in_any_script_are_names() {
        for name in ["глиома", "神经胶质瘤", "ग्लियोमा", "glioma-2.1+local.3"]
        {
            with("name = \"glioma\"", &format!("name = \"{name}\"")).unwrap();
        }
    }

    #[test]
    fn a_manifest_that_is_none_says_so_on_one_line() {
        let why = Manifest::parse("format = 1\nname = \"a\"\nversion = [\n").unwrap_err();
        assert!(why.starts_with("line 3") && !why.contains('\n'), "{why}");
    }
}
