//! Events become a screen: what the device does now, as far as a display was told.

use std::sync::Arc;

use firmware_host::screens::{
    self, Class, Finding, Frame, Language, Level, Page, Panel, Screen, Thumbnail, lay_out, words,
};

use crate::bundle::IntendedUse;
use crate::device::cases::Summary;
use crate::device::events::{Event, Found, Health};
use crate::device::trouble::Trouble;
use crate::finding::{Refusal, TriageLevel};
use crate::pipeline::Stage;

/// What one display knows.
#[derive(Debug)]
pub struct View {
    language: Language,
    page: Page,
    doing: Doing,
    /// Name and version of the bundle, and what it may be used for.
    bundle: Option<(String, IntendedUse)>,
    storage_fault: bool,
    waiting: usize,
    answered: usize,
    warning: Option<String>,
}

#[derive(Debug)]
enum Doing {
    Loading,
    SelfTest,
    Ready,
    Working { case: u64, stage: Stage },
    Found { case: u64, shown: Box<Shown> },
    Refused { case: u64, refusal: Arc<Refusal> },
    Fault(Arc<Trouble>),
}

/// A finding, as a screen borrows it.
#[derive(Debug)]
struct Shown {
    found: Arc<Found>,
    labels: Vec<String>,
    luma: Vec<u8>,
}

impl Shown {
    fn new(found: Arc<Found>, language: Language) -> Self {
        let classes = found.finding.probabilities.iter();
        let label = |p: &crate::finding::ClassProbability| {
            let known = words::class(&p.class, language);
            known.map_or_else(|| p.label.clone(), str::to_owned)
        };
        Self {
            labels: classes.map(label).collect(),
            luma: luma(&found.thumbnail),
            found,
        }
    }
}

/// Luma by ITU-R BT.601, of what the display shows in grey.
fn luma(image: &crate::image::Image) -> Vec<u8> {
    let rows = 0..image.height;
    rows.flat_map(|y| (0..image.width).map(move |x| image.rgb(x, y)))
        .map(|[r, g, b]| {
            ((u32::from(r) * 299 + u32::from(g) * 587 + u32::from(b) * 114) / 1000) as u8
        })
        .collect()
}

impl View {
    /// A device that was just switched on.
    pub fn new(language: Language) -> Self {
        Self {
            language,
            page: Page::Summary,
            doing: Doing::Loading,
            bundle: None,
            storage_fault: false,
            waiting: 0,
            answered: 0,
            warning: None,
        }
    }

    /// Takes note of what stands, whatever was told.
    pub fn note(&mut self, summary: &Summary) {
        self.storage_fault = summary.storage_fault;
        self.waiting = summary.waiting;
        self.answered = summary.answered;
        self.warning = summary.warnings.first().cloned();
    }

    /// Takes note of an event.
    pub fn hear(&mut self, event: Event) {
        match event {
            Event::Health(health) => self.hear_of_health(health),
            Event::Started { case } => {
                self.page = Page::Summary;
                let stage = Stage::ALL[0];
                self.doing = Doing::Working { case, stage };
            }
            Event::Stage { case, stage } => self.doing = Doing::Working { case, stage },
            Event::Finding { case, found } => {
                let shown = Box::new(Shown::new(found, self.language));
                self.doing = Doing::Found { case, shown };
            }
            Event::Refusal { case, refusal } => self.doing = Doing::Refused { case, refusal },
            // Counted by the cases themselves.
            Event::Accepted { .. } | Event::Aborted { .. } => {}
            Event::Page(number) => {
                if let Some(page) = Page::of_number(number) {
                    self.page = page;
                }
            }
        }
    }

    fn hear_of_health(&mut self, health: Health) {
        match health {
            Health::Loading => self.doing = Doing::Loading,
            Health::SelfTest => self.doing = Doing::SelfTest,
            Health::Ready {
                bundle,
                intended_use,
            } => {
                let name = format!("{} {}", bundle.name, bundle.version);
                self.bundle = Some((name, intended_use));
                // A case that waited since the last start may have begun already.
                if matches!(
                    self.doing,
                    Doing::Loading | Doing::SelfTest | Doing::Fault(_)
                ) {
                    self.doing = Doing::Ready;
                }
            }
            Health::Fault(trouble) => self.doing = Doing::Fault(trouble),
            Health::StorageFault(fault) => self.storage_fault = fault,
        }
    }

    /// What is shown, as a word: names the file of a picture.
    pub fn name(&self) -> &'static str {
        match (&self.doing, self.page) {
            (Doing::Fault(_), _) => "fault",
            _ if self.storage_fault => "fault",
            (_, Page::Device) => "device",
            (Doing::Loading | Doing::SelfTest, _) => "starting",
            (Doing::Ready, _) => "ready",
            (Doing::Working { .. }, _) => "working",
            (Doing::Refused { .. }, _) => "refusal",
            (Doing::Found { .. }, Page::Classes) => "classes",
            (Doing::Found { .. }, Page::Region) => "region",
            (Doing::Found { .. }, _) => "finding",
        }
    }

    /// Lays out what is shown now; a frame borrows from the view.
    pub fn with_frame<T>(&self, panel: Panel, use_frame: impl FnOnce(&Frame<'_>) -> T) -> T {
        let classes: Vec<Class<'_>> = match &self.doing {
            Doing::Found { shown, .. } => classes(shown),
            _ => Vec::new(),
        };
        let screen = self.screen(&classes);
        let frame = lay_out(&screen, self.page, &self.health(), panel, self.language);
        use_frame(&frame)
    }

    fn screen<'a>(&'a self, classes: &'a [Class<'a>]) -> Screen<'a> {
        match &self.doing {
            Doing::Fault(trouble) => self.fault(&trouble.code, &trouble.cure),
            _ if self.storage_fault => self.fault("storage", ""),
            Doing::Loading => Screen::Starting { self_test: false },
            Doing::SelfTest => Screen::Starting { self_test: true },
            Doing::Ready => Screen::Ready,
            Doing::Working { case, stage } => Screen::Working {
                case: *case,
                stage: stage_of(*stage),
            },
            Doing::Refused { case, refusal } => Screen::Refusal {
                case: *case,
                cure: words::cure(refusal.code.word(), self.language).unwrap_or("-"),
            },
            Doing::Found { case, shown } => Screen::Finding(finding(*case, shown, classes)),
        }
    }

    fn fault<'a>(&self, code: &'a str, cure: &'a str) -> Screen<'a> {
        let cure = words::cure(code, self.language).unwrap_or(cure);
        Screen::Fault { code, cure }
    }

    fn health(&self) -> screens::Health<'_> {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let bundle = self.bundle.as_ref();
        screens::Health {
            version: env!("CARGO_PKG_VERSION"),
            bundle: bundle.map_or("", |(name, _)| name),
            intended_use: bundle.map(|(_, use_)| use_of(*use_)),
            // The device is ready only after it.
            self_test: bundle.is_some() && !matches!(self.doing, Doing::Fault(_)),
            storage: !self.storage_fault,
            waiting: count(self.waiting),
            answered: count(self.answered),
            warning: self.warning.as_deref().unwrap_or_default(),
        }
    }
}

fn classes(shown: &Shown) -> Vec<Class<'_>> {
    let probabilities = &shown.found.finding.probabilities;
    let labels = shown.labels.iter();
    labels
        .zip(probabilities)
        .map(|(label, p)| Class {
            label,
            probability: p.probability as f32,
        })
        .collect()
}

fn finding<'a>(case: u64, shown: &'a Shown, classes: &'a [Class<'a>]) -> Finding<'a> {
    let found = &shown.found;
    let finding = &found.finding;
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(0);
    let (width, height) = (side(found.thumbnail.width), side(found.thumbnail.height));
    let area = finding.mask.area_fraction;
    Finding {
        case,
        classes,
        answer: finding.answer,
        level: level_of(finding.triage_level),
        region: (area > 0.0).then_some(area as f32),
        thumbnail: Thumbnail::new(width, height, &shown.luma, found.region.bits()),
    }
}

fn level_of(level: TriageLevel) -> Level {
    match level {
        TriageLevel::Routine => Level::Routine,
        TriageLevel::Priority => Level::Priority,
        TriageLevel::Urgent => Level::Urgent,
        TriageLevel::Review => Level::Review,
    }
}

fn use_of(use_: IntendedUse) -> screens::Use {
    match use_ {
        IntendedUse::Demonstration => screens::Use::Demonstration,
        IntendedUse::Research => screens::Use::Research,
    }
}

fn stage_of(stage: Stage) -> screens::Stage {
    match stage {
        Stage::Decode => screens::Stage::Decode,
        Stage::SegmenterEncode | Stage::SegmenterDecode => screens::Stage::Segment,
        Stage::Focus | Stage::ImageEncode => screens::Stage::Read,
        Stage::Head => screens::Stage::Answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{
        Check, ClassProbability, Finding as Answer, MaskReport, RefusalCode, Rle,
    };
    use crate::focus::Mask;
    use crate::image::{Image, Pixels, Said};

    fn found() -> Arc<Found> {
        let class = |class: &str, label: &str, probability| ClassProbability {
            class: class.to_owned(),
            label: label.to_owned(),
            probability,
        };
        let finding = Answer {
            case: "7".to_owned(),
            exam: "brain4".to_owned(),
            answer: 0,
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
            said: Said::default(),
            sha256: String::new(),
            origin: None,
        };
        let mask = Mask::new(2, 2, vec![true, false, false, false]);
        Arc::new(Found::new(finding, String::new(), &image, &mask))
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
        let mut view = View::new(Language::French);
        assert_eq!(view.name(), "starting");
        view.hear(Event::Health(Health::SelfTest));
        view.hear(Event::Health(Health::Ready {
            bundle: crate::finding::BundleId {
                name: "starter".to_owned(),
                version: "0.1.0".to_owned(),
                sha256: String::new(),
            },
            intended_use: IntendedUse::Demonstration,
        }));
        assert_eq!(view.name(), "ready");
        view.hear(Event::Page(3));
        assert_eq!(view.name(), "device");
        assert!(text(&view).contains("starter 0.1.0"));
        view.hear(Event::Started { case: 7 });
        let stage = Stage::ImageEncode;
        view.hear(Event::Stage { case: 7, stage });
        assert_eq!(view.name(), "working");
        assert!(text(&view).contains("Lecture de la zone"));
        view.hear(Event::Finding {
            case: 7,
            found: found(),
        });
        assert_eq!(view.name(), "finding");
        let shown = text(&view);
        for part in [
            "Urgent\n",
            "Gliome\n",
            "70 %\n",
            "Cas 7\n",
            "pas pour les soins",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        // A class that no table knows is called what its bundle calls it.
        view.hear(Event::Page(1));
        assert!(text(&view).contains("Something new\n"));
        view.hear(Event::Started { case: 8 });
        assert_eq!(view.name(), "working", "a new case turns to the first page");
    }

    #[test]
    fn a_refusal_says_the_way_out_and_never_the_path() {
        let mut view = View::new(Language::Spanish);
        let refusal = |code| Event::Refusal {
            case: 9,
            refusal: Arc::new(Refusal::new(code, "/images/maria.png: gone", "look again")),
        };
        view.hear(refusal(RefusalCode::Blank));
        let shown = text(&view);
        assert!(shown.contains("La imagen está vacía"), "{shown}");
        assert!(!shown.contains("maria"), "{shown}");
    }

    #[test]
    fn a_storage_fault_covers_everything_until_it_is_over() {
        let mut view = View::new(Language::English);
        view.hear(Event::Finding {
            case: 7,
            found: found(),
        });
        view.hear(Event::Health(Health::StorageFault(true)));
        assert_eq!(view.name(), "fault");
        assert!(text(&view).contains("Storage cannot be written"));
        view.hear(Event::Health(Health::StorageFault(false)));
        assert_eq!(view.name(), "finding");
    }
}
