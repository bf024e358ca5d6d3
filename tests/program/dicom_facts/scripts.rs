//! Names in every script.

use super::*;

/// Cyrillic, Greek, Arabic, Hebrew, Thai, Japanese, Korean and Chinese, and Latin letters.
#[test]
fn names_arrive_as_they_left_in_every_script() {
    struct Case {
        terms: &'static str,
        name: &'static [u8],
        object: &'static str,
        hl7: &'static str,
    }
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        Case {
            terms: "ISO_IR 100",
            name: b"M\xfcller^J\xf6rg^^Dr.^Jr",
            object: "Müller^Jörg^^Dr.^Jr",
            hl7: "Müller^Jörg^^Jr^Dr.^^L^A",
        },
        Case {
            terms: "ISO_IR 144",
            name: b"\xbb\xee\xda^\xb0",
            object: "Люк^А",
            hl7: "Люк^А^^^^^L^A",
        },
        Case {
            terms: "ISO_IR 126",
            name: b"\xc4\xe9\xef\xed",
            object: "Διον",
            hl7: "Διον^^^^^^L^A",
        },
        Case {
            terms: "ISO_IR 127",
            name: b"\xe2\xc8\xc7\xe6\xea^\xe4",
            object: "قباني^ل",
            hl7: "قباني^ل^^^^^L^A",
        },
        Case {
            terms: "ISO_IR 138",
            name: b"\xf9\xf8\xe5\xef",
            object: "שרון",
            hl7: "שרון^^^^^^L^A",
        },
        Case {
            terms: "ISO_IR 166",
            name: b"\xb9\xd2\xc1",
            object: "นาม",
            hl7: "นาม^^^^^^L^A",
        },
        Case {
            terms: "\\ISO 2022 IR 87",
            name: b"Yamamoto^T=\x1b$B;3K\\\x1b(B^\x1b$BB@O:\x1b(B",
            object: "Yamamoto^T=山本^太郎",
            hl7: "Yamamoto^T^^^^^L^A~山本^太郎^^^^^L^I",
        },
        Case {
            terms: "\\ISO 2022 IR 149",
            name: b"=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            object: "=洪^吉洞",
            hl7: "洪^吉洞^^^^^L^I",
        },
        Case {
            terms: "GB18030",
            name: b"Ma=\x81\x5c^\xd0\xa1",
            object: "Ma=乗^小",
            hl7: "Ma^^^^^^L^A~乗^小^^^^^L^I",
        },
    ];
    for Case {
        terms,
        name,
        object,
        hl7,
    } in cases
    {
        let source = head(
            folder.path(),
            "name",
            vec![
                bytes(tags::SPECIFIC_CHARACTER_SET, VR::CS, terms.as_bytes()),
                bytes(tags::PATIENT_NAME, VR::PN, name),
                bytes(tags::REFERRING_PHYSICIAN_NAME, VR::PN, name),
            ],
        );
        let outputs = Outputs::of(&source, &[]);
        for (kind, output) in outputs.objects() {
            assert_eq!(text(output, tags::PATIENT_NAME), object, "{terms} {kind}");
            assert_eq!(text(output, tags::SPECIFIC_CHARACTER_SET), "ISO_IR 192");
        }
        assert_eq!(outputs.field("PID", 5), hl7, "{terms}");
        assert!(
            outputs.field("OBR", 16).starts_with('^'),
            "{terms}: no number"
        );
        assert_eq!(outputs.field("PV1", 8), outputs.field("OBR", 16));
        assert!(
            outputs
                .notes()
                .iter()
                .all(|note| !note.starts_with("text_")),
            "{terms}"
        );
    }
}

#[test]
fn text_that_cannot_be_read_is_left_out_and_said() {
    let folder = tempfile::tempdir().unwrap();
    for (terms, name, note, expected) in [
        ("ISO_IR 6", &b"M\xfcller"[..], "text_unread", ""),
        ("ISO_IR 192", b"M\xfcller", "text_unread", ""),
        (
            "ISO IR 192",
            "Müller".as_bytes(),
            "character_set_misspelt",
            "Müller",
        ),
        ("ISO_IR 999", b"Miller", "character_set_unknown", "Miller"),
    ] {
        let source = head(
            folder.path(),
            "unread",
            vec![
                bytes(tags::SPECIFIC_CHARACTER_SET, VR::CS, terms.as_bytes()),
                bytes(tags::PATIENT_NAME, VR::PN, name),
                bytes(tags::PATIENT_ID, VR::LO, b"0815"),
            ],
        );
        let outputs = Outputs::of(&source, &[]);
        assert!(
            outputs.notes().contains(&note),
            "{terms}: {:?}",
            outputs.notes()
        );
        for (kind, output) in outputs.objects() {
            assert_eq!(text(output, tags::PATIENT_NAME), expected, "{terms} {kind}");
            assert_eq!(text(output, tags::PATIENT_ID), "0815", "{terms} {kind}");
        }
        assert!(outputs.field("PID", 5).starts_with(expected), "{terms}");
    }
}
