//! Every page of every screen on every panel in every language.

use std::vec::Vec;
use std::{format, vec};

use super::super::*;

pub const CODES: [&str; 55] = [
    "sink_hl7",
    "sink_hl7_failed",
    "sink_hl7_without",
    "dicom_unread",
    "dicom",
    "images_short",
    "store_full",
    "inbox_full",
    "inbox_held",
    "new_bundle",
    "space",
    "memory",
    "temperature",
    "throttling",
    "ports",
    "displays",
    "state_away",
    "journal_cut",
    "age",
    "sex",
    "budget",
    "image_changed",
    "not_found",
    "not_a_file",
    "unsupported_format",
    "unreadable",
    "too_small",
    "too_large",
    "blank",
    "exam_needed",
    "no_such_frame",
    "several_frames",
    "one_bit",
    "wrong_modality",
    "wrong_body_part",
    "wrong_view",
    "wrong_side",
    "wrong_kind",
    "rotated",
    "inverted",
    "coloured",
    "badly_exposed",
    "low_contrast",
    "border",
    "blurred",
    "out_of_distribution",
    "burned_in",
    "prompt_outside",
    "deadline",
    "device_fault",
    "aborted",
    "self_test",
    "storage",
    "bundle",
    "worker",
];

const EXAMS: [&str; 4] = ["covid3", "lung_tb2", "brain4", "breast3"];

const CLASSES: [&str; 10] = [
    "covid",
    "normal",
    "viral_pneumonia",
    "tuberculosis",
    "glioma",
    "meningioma",
    "notumor",
    "pituitary",
    "benign",
    "malignant",
];

pub fn health(use_: Use) -> Health<'static> {
    Health {
        version: "10.20.30",
        bundle: "sam2-tiny-clip-b16 10.20.30",
        intended_use: Some(use_),
        self_test: true,
        storage: false,
        waiting: 64,
        answered: 1_000_000,
        warning: "images_short",
        warning_help: "See to the sinks that are away: images that they need will go.",
    }
}

pub fn finding<'a>(classes: &'a [Class<'a>], thumbnail: Option<Thumbnail<'a>>) -> Finding<'a> {
    Finding {
        case: u64::MAX,
        exam: "an exam that no panel is wide enough for, whatever else there is on it",
        patient: "34 years, female",
        classes,
        answer: 0,
        level: Level::Priority,
        region: Some(0.9999),
        thumbnail,
    }
}

/// Calls `check` with every page of every screen on every panel in every language.
pub fn for_all(mut check: impl FnMut(&str, &Screen<'_>, Page, &Frame<'_>, Language)) {
    let long = "a label that no panel is wide enough for ".repeat(9);
    let luma: Vec<u8> = (0..=255).cycle().take(48 * 24).collect();
    let region: Vec<bool> = (0..48 * 24).map(|i| i % 48 > 20 && i / 48 > 9).collect();
    let wide = Thumbnail::new(48, 24, &luma, &region);
    let tall = Thumbnail::new(24, 48, &luma, &region);
    for panel in Panel::ALL {
        for language in Language::ALL {
            let mut see = |what: &str, screen: Screen<'_>, use_: Use| {
                for page in Page::ALL {
                    let what = format!("{what} {page:?} {panel:?} {language:?}");
                    let frame = lay_out(&screen, page, &health(use_), panel, language);
                    check(&what, &screen, page, &frame, language);
                }
            };
            for use_ in [Use::Demonstration, Use::Research] {
                see("starting", Screen::Starting { self_test: true }, use_);
                see("loading", Screen::Starting { self_test: false }, use_);
                see("ready", Screen::Ready, use_);
                see("off", Screen::Off, use_);
                see("asleep", Screen::Asleep, use_);
            }
            for stage in Stage::ALL {
                let case = u64::MAX;
                see("working", Screen::Working { case, stage }, Use::Research);
            }
            for code in CODES {
                let help = words::help(code, language).expect("a cure");
                see("refusal", Screen::Refusal { case: 7, help }, Use::Research);
                see("fault", Screen::Fault { code, help }, Use::Demonstration);
            }
            let refusal = Screen::Refusal {
                case: u64::MAX,
                help: &long,
            };
            see("long refusal", refusal, Use::Demonstration);
            for name in CLASSES {
                let label = words::class(name, language).expect("a label");
                let class = Class {
                    label,
                    probability: 0.5,
                };
                let classes = [class; 2];
                for exam in EXAMS {
                    let exam = words::exam(exam, language).expect("an exam");
                    let finding = Finding {
                        exam,
                        ..finding(&classes, wide)
                    };
                    see("known", Screen::Finding(finding), Use::Research);
                    see("known", Screen::Finding(finding), Use::Demonstration);
                }
            }
            for (count, label) in [
                (0, ""),
                (1, ""),
                (2, "\u{4e2d}\u{0}\u{915}"),
                (4, &long),
                (9, &long),
            ] {
                let class = Class {
                    label,
                    probability: f32::NAN,
                };
                let classes = vec![class; count];
                for level in Level::ALL {
                    for thumbnail in [None, wide, tall] {
                        let finding = Finding {
                            level,
                            region: None,
                            ..finding(&classes, thumbnail)
                        };
                        see("awkward", Screen::Finding(finding), Use::Demonstration);
                    }
                }
            }
        }
    }
}
