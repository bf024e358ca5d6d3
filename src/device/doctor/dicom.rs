//! Who may send images by DICOM: a port that is open to all without anybody having said so is
//! wrong, and a name that anyone may take is told.

use crate::device::config::Dicom;
use crate::device::self_test::for_nobody;
use crate::journal::SelfCheck;

const NAME: &str = "dicom";

/// Who may send; `None` where nothing listens.
pub(super) fn peers(dicom: &Dicom) -> Option<SelfCheck> {
    dicom.port?;
    if dicom.is_for_nobody() {
        let SelfCheck { what, help, .. } = for_nobody();
        return Some(SelfCheck::failed(NAME, "dicom_for_nobody", what, &help));
    }
    if dicom.open && !dicom.bind.is_loopback() {
        let what = "anyone may send, from anywhere: dicom.open is true";
        let help = "name who may with dicom.allow, as TITLE@ADDRESS, and leave dicom.open out";
        return Some(SelfCheck::warned(NAME, what, help));
    }
    let anywhere = dicom.allow.iter().chain(&dicom.hurry);
    let anywhere = anywhere.filter(|peer| peer.address.is_none());
    let titles: Vec<&str> = anywhere.map(|peer| peer.title.as_str()).collect();
    if !titles.is_empty() && !dicom.bind.is_loopback() {
        let what = format!(
            "a title is no proof, and is let in from anywhere: {}",
            titles.join(", ")
        );
        let help = "name the address, too: TITLE@ADDRESS";
        return Some(SelfCheck::warned(NAME, what, help));
    }
    let who = match dicom.allow.len() {
        0 => "this computer alone may send".to_owned(),
        count => format!("{count} may send, each from its address"),
    };
    Some(SelfCheck::passed(NAME, who))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::config::Config;
    use crate::journal::Verdict;

    #[test]
    fn a_port_that_is_open_without_a_word_is_wrong() {
        use Verdict::{Failed, Passed, Warned};
        let verdict = |text: &str| {
            let config = Config::parse(&format!("[dicom]\n{text}")).unwrap();
            peers(&config.dicom).map(|check| check.verdict)
        };
        for (text, expected) in [
            ("", None),
            ("port = 104", Some(Failed)),
            ("port = 104\nbind = \"10.0.0.1\"", Some(Failed)),
            ("port = 104\nbind = \"127.0.0.1\"", Some(Passed)),
            ("port = 104\nopen = true", Some(Warned)),
            ("port = 104\nopen = true\nbind = \"::1\"", Some(Passed)),
            ("port = 104\nallow = [\"XRAY\"]", Some(Warned)),
            ("port = 104\nallow = [\"XRAY@10.0.0.7\"]", Some(Passed)),
            (
                "port = 104\nallow = [\"XRAY@10.0.0.7\"]\nhurry = [\"XRAY\"]",
                Some(Warned),
            ),
        ] {
            assert_eq!(verdict(text), expected, "{text}");
        }
    }
}
