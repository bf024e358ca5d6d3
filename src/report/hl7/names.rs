//! Persons' names: a value of DICOM's VR `PN` comes in, HL7's `XPN` or `XCN` comes out (2.5.1,
//! 2.A.88 and 2.A.86; PS3.5, 6.2.1). DICOM has prefix and suffix the other way round.

use super::escaped;

/// The codes of name representations in the order of DICOM's component groups: alphabetic,
/// ideographic and phonetic.
const REPRESENTATIONS: [&str; 3] = ["A", "I", "P"];

/// `XPN`, one repetition for each component group.
pub(super) fn person(name: &str) -> String {
    repeated(name, |name, representation| {
        let [family, given, middle, suffix, prefix] = name;
        vec![
            family,
            given,
            middle,
            suffix,
            prefix,
            String::new(),
            "L".to_owned(),
            representation.to_owned(),
        ]
    })
}

/// `XCN`, whose first component is a number that nobody knows here.
pub(super) fn provider(name: &str) -> String {
    repeated(name, |name, representation| {
        let mut components = vec![String::new()];
        components.extend(name);
        components.resize(15, String::new());
        components[9] = "L".to_owned();
        components[14] = representation.to_owned();
        components
    })
}

fn repeated(name: &str, write: fn([String; 5], &str) -> Vec<String>) -> String {
    let groups = name.split('=').zip(REPRESENTATIONS);
    let written = groups.filter_map(|(group, representation)| {
        let components = components(group)?;
        Some(write(components, representation).join("^"))
    });
    let written: Vec<String> = written.collect();
    written.join("~")
}

/// Family, given, middle, suffix and prefix; `None` where there is nothing of them.
fn components(group: &str) -> Option<[String; 5]> {
    let mut parts = group.split('^').map(str::trim);
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let [family, given, middle, prefix, mut suffix] = [next(), next(), next(), next(), next()];
    // There are no more than five; what some write behind them is said all the same.
    for more in parts.filter(|part| !part.is_empty()) {
        suffix = format!("{suffix} {more}").trim().to_owned();
    }
    let all = [family, given, middle, suffix, prefix];
    let is_empty = all.iter().all(String::is_empty);
    (!is_empty).then(|| all.map(|part| escaped(&part)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_component_is_in_its_place() {
        for (name, as_patient, as_provider) in [
            (
                "Adams^John^Quincy^Rev.^Jr",
                "Adams^John^Quincy^Jr^Rev.^^L^A",
                "^Adams^John^Quincy^Jr^Rev.^^^^L^^^^^A",
            ),
            (
                "Müller^Jörg",
                "Müller^Jörg^^^^^L^A",
                "^Müller^Jörg^^^^^^^L^^^^^A",
            ),
            (
                "Yamada^Tarou=山田^太郎=やまだ^たろう",
                "Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P",
                "^Yamada^Tarou^^^^^^^L^^^^^A~^山田^太郎^^^^^^^L^^^^^I~^やまだ^たろう^^^^^^^L^^^^^P",
            ),
            // No alphabetic group.
            (
                "=山田^太郎",
                "山田^太郎^^^^^L^I",
                "^山田^太郎^^^^^^^L^^^^^I",
            ),
            (
                "A|B^C&D~",
                "A\\F\\B^C\\T\\D\\R\\^^^^^L^A",
                "^A\\F\\B^C\\T\\D\\R\\^^^^^^^L^^^^^A",
            ),
            (
                "a^b^c^d^e^f^g",
                "a^b^c^e f g^d^^L^A",
                "^a^b^c^e f g^d^^^^L^^^^^A",
            ),
            ("^^^Dr.", "^^^^Dr.^^L^A", "^^^^^Dr.^^^^L^^^^^A"),
            ("", "", ""),
            ("^=^", "", ""),
        ] {
            assert_eq!(person(name), as_patient, "{name}");
            assert_eq!(provider(name), as_provider, "{name}");
        }
    }
}
