//! What a display shows of what it is told.

use super::*;
use crate::case::{Check, ClassProbability, MaskReport, Rle};
use crate::focus::Mask;
use crate::image::{Image, ImageMetadata, Pixels};
use crate::patient::Age;
use crate::sha256::Sha256;

/// A case that ended in a finding.
fn found(case: u64) -> Event {
    let class = |class: &str, label: &str, probability| ClassProbability {
        class: class.to_owned(),
        label: label.to_owned(),
        probability,
    };
    let finding = case::Finding {
        exam: "head".to_owned(),
        answer: 0,
        patient: Patient {
            age: Age::new(34),
            sex: Some(Sex::F),
        },
        anatomy: case::Anatomy::default(),
        probabilities: vec![
            class("glioma", "Glioma", 0.7),
            class("new", "Something new", 0.3),
        ],
        prediction_set: None,
        triage_level: TriageLevel::Urgent,
        mask: MaskReport {
            bbox: [0, 0, 1, 1],
            area_fraction: 0.25,
            rle: Rle {
                size: [2, 2],
                counts: vec![0, 1, 3],
            },
            predicted_iou: 0.5,
        },
        film: None,
        focus: "crop".to_owned(),
        gate: Check::Passed,
        guard: Check::Passed,
        guard_distance: None,
        reasons: Vec::new(),
    };
    let image = Image {
        width: 2,
        height: 2,
        pixels: Pixels::Luma(vec![0, 100, 200, 255]),
        metadata: ImageMetadata::default(),
        sha256: Sha256::of(b""),
        origin: None,
    };
    let mask = Mask::new(2, 2, vec![true, false, false, false]);
    let preview = Preview {
        title: String::new(),
        short_title: "Head scan".to_owned(),
        thumbnail: image,
        region: mask,
    };
    let answer = Arc::new(Answer::of(
        Outcome::Finding(Box::new(finding)),
        Some(preview),
    ));
    Event::Answered { case, answer }
}

/// A case that ended in a refusal.
fn refused(case: u64, code: RefusalCode) -> Event {
    let answer = Arc::new(Answer::refused(code, "gone"));
    Event::Answered { case, answer }
}

fn view(language: Language) -> View {
    View::new(Manner {
        shows_label: false,
        sleep: None,
        language,
        idle: None,
        shows_patient: false,
    })
}

fn tell(view: &mut View, event: Event) {
    view.hear(event, Instant::now());
}

/// All text on the screen, one part a line.
fn text(view: &View) -> String {
    use firmware_host::screens::layout::Content;
    view.with_frame(Panel::COLOUR_320X240, |frame| {
        let parts = frame.parts.iter();
        let lines = parts.filter_map(|part| match &part.content {
            Content::Text { line, .. } | Content::Paragraph { line, .. } => {
                Some(format!("{line}\n"))
            }
            _ => None,
        });
        lines.collect()
    })
}

#[test]
fn a_case_is_followed_from_its_start_to_its_finding() {
    let mut view = view(Language::French);
    assert_eq!(view.name(), "starting");
    tell(&mut view, Event::Health(Health::SelfTest));
    tell(
        &mut view,
        Event::Health(Health::Ready {
            bundle: crate::case::BundleId {
                name: "starter".to_owned(),
                version: "0.1.0".to_owned(),
                sha256: String::new(),
            },
            intended_use: IntendedUse::Demonstration,
        }),
    );
    assert_eq!(view.name(), "ready");
    tell(&mut view, Event::Page(3));
    assert_eq!(view.name(), "device");
    assert!(text(&view).contains("starter 0.1.0"));
    tell(&mut view, Event::Started { case: 7 });
    let stage = Stage::ImageEncode;
    tell(&mut view, Event::Stage { case: 7, stage });
    assert_eq!(view.name(), "working");
    assert!(text(&view).contains("Lecture de la zone"));
    tell(&mut view, found(7));
    assert_eq!(view.name(), "finding");
    let shown = text(&view);
    for part in [
        "Urgent\n",
        "Gliome\n",
        "70 %\n",
        "Cas 7\n",
        "Head scan\n",
        "pas pour les soins",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains("34"), "nobody allowed the age: {shown}");
    // A class that no table knows is called what its bundle calls it.
    tell(&mut view, Event::Page(1));
    assert!(text(&view).contains("Something new\n"));
    tell(&mut view, Event::Started { case: 8 });
    assert_eq!(view.name(), "working", "a new case turns to the first page");
}

#[test]
fn a_refusal_says_the_way_out_and_never_the_path() {
    let mut view = view(Language::Spanish);
    tell(&mut view, refused(9, RefusalCode::Blank));
    let shown = text(&view);
    assert!(shown.contains("La imagen está vacía"), "{shown}");
    assert!(!shown.contains("maria"), "{shown}");
}

#[test]
fn a_storage_fault_covers_everything_until_it_is_over() {
    let mut view = view(Language::English);
    tell(&mut view, found(7));
    tell(&mut view, Event::Health(Health::StorageFault(true)));
    assert_eq!(view.name(), "fault");
    assert!(text(&view).contains("Storage cannot be written"));
    tell(&mut view, Event::Health(Health::StorageFault(false)));
    assert_eq!(view.name(), "finding");
}

#[test]
fn age_and_sex_are_shown_where_that_is_allowed() {
    let shown = |language, age, sex| {
        patient_words(
            &Patient {
                age: Age::new(age),
                sex,
            },
            language,
        )
    };
    assert_eq!(
        shown(Language::English, 34, Some(Sex::F)),
        "34 years, female"
    );
    assert_eq!(shown(Language::Swahili, 7, None), "miaka 7");
    assert_eq!(
        shown(Language::Spanish, 93, Some(Sex::M)),
        "90+ años, hombre"
    );
    let mut view = View::new(Manner {
        shows_patient: true,
        ..view(Language::English).manner
    });
    tell(&mut view, found(7));
    assert!(text(&view).contains("34 years, female\n"));
}

#[test]
fn an_answer_leaves_when_nobody_looks_and_comes_back_when_someone_does() {
    let idle = Duration::from_secs(60);
    let mut view = View::new(Manner {
        idle: Some(idle),
        ..view(Language::English).manner
    });
    let begin = Instant::now();
    view.hear(found(7), begin);
    view.rest(begin + idle - Duration::from_millis(1));
    assert_eq!(view.name(), "finding");
    view.rest(begin + idle);
    assert_eq!(view.name(), "ready");
    let shown = text(&view);
    assert!(
        !shown.contains("Glioma") && !shown.contains("Case"),
        "{shown}"
    );
    // A page that is asked for brings it back, for as long again.
    view.hear(Event::Page(1), begin + 2 * idle);
    view.rest(begin + 2 * idle);
    assert_eq!(view.name(), "classes");
    view.rest(begin + 3 * idle);
    assert_eq!(view.name(), "ready");
    // A new case begins, and its refusal leaves as well.
    view.hear(Event::Started { case: 8 }, begin + 4 * idle);
    view.rest(begin + 9 * idle);
    assert_eq!(view.name(), "working", "a case that runs stays");
    view.hear(refused(8, RefusalCode::Blank), begin + 9 * idle);
    view.rest(begin + 9 * idle);
    assert_eq!(view.name(), "refusal");
    view.rest(begin + 10 * idle);
    assert_eq!(view.name(), "ready");
}

#[test]
fn at_the_end_nothing_of_a_case_is_left() {
    let mut view = view(Language::English);
    tell(&mut view, Event::Health(Health::StorageFault(true)));
    tell(&mut view, found(7));
    tell(&mut view, Event::Page(3));
    view.end(None);
    assert_eq!(view.name(), "off");
    assert_eq!(text(&view), "medfocus\nSwitched off\n");
    let device_fault = Arc::new(DeviceFault {
        code: "worker".to_owned(),
        what: String::new(),
        help: String::new(),
    });
    view.end(Some(&device_fault));
    assert_eq!(view.name(), "fault");
}

#[test]
fn a_label_is_shown_where_that_is_allowed() {
    let answer = |label: &str| match found(7) {
        Event::Answered { case, mut answer } => {
            let told = Arc::get_mut(&mut answer).unwrap();
            told.record.labels.label = Some(label.to_owned());
            told.record.labels.patient_id = Some("4711".to_owned());
            Event::Answered { case, answer }
        }
        other => other,
    };
    for (shows_label, shows_patient) in [(true, true), (true, false), (false, true), (false, false)]
    {
        let mut view = View::new(Manner {
            shows_label,
            shows_patient,
            ..view(Language::English).manner
        });
        tell(&mut view, answer("bed 4"));
        let shown = text(&view);
        assert_eq!(shown.contains("bed 4"), shows_label, "{shown}");
        assert!(!shown.contains("4711"), "{shown}");
    }
}

#[test]
fn a_display_sleeps_where_nothing_happens_and_wakes_where_something_does() {
    let sleep = Duration::from_secs(60);
    let mut view = View::new(Manner {
        sleep: Some(sleep),
        ..view(Language::English).manner
    });
    let begin = Instant::now();
    view.hear(found(7), begin);
    view.rest(begin + sleep - Duration::from_millis(1));
    assert_eq!(view.name(), "finding");
    view.rest(begin + sleep);
    assert_eq!((view.name(), text(&view).as_str()), ("asleep", ""));
    // A case wakes it, and it does not sleep while one runs.
    view.hear(Event::Started { case: 8 }, begin + sleep);
    view.rest(begin + 9 * sleep);
    assert_eq!(view.name(), "working");
    view.hear(refused(8, RefusalCode::Blank), begin + 9 * sleep);
    view.rest(begin + 10 * sleep);
    assert_eq!(view.name(), "asleep");
    // So does a page, and a warning; a fault is never hidden.
    view.hear(Event::Page(0), begin + 10 * sleep);
    assert_eq!(view.name(), "refusal");
    view.rest(begin + 11 * sleep);
    view.is_warned = true;
    view.rest(begin + 11 * sleep);
    assert_eq!(view.name(), "refusal");
    view.rest(begin + 12 * sleep);
    assert_eq!(view.name(), "asleep");
    view.hear(
        Event::Health(Health::StorageFault(true)),
        begin + 12 * sleep,
    );
    view.rest(begin + 20 * sleep);
    assert_eq!(view.name(), "fault");
}
