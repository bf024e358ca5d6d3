//! Events become a screen: what happens on the device comes in, what a display is to show comes
//! out. Called by the thread of each display. Draws nothing, and holds no path of an image.

use std::sync::Arc;
use std::time::{Duration, Instant};

use firmware_host::screens::words::Word;
use firmware_host::screens::{
    self, Class, Finding, Frame, Language, Level, Page, Panel, Screen, Thumbnail, lay_out, words,
};

use crate::case::{self, IntendedUse, Outcome, RefusalCode, TriageLevel};
use crate::device::device_fault::DeviceFault;
use crate::device::events::{Answer, Event, Health, Preview};
use crate::device::status::{DeviceStatus, Warning};
use crate::focus::Mask;
use crate::patient::{Patient, Sex};
use crate::pipeline::Stage;

/// How one display is to show what it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// What it speaks.
    pub language: Language,
    /// How long an answer stays where nobody turns a page; `None` until the next case.
    pub idle: Option<Duration>,
    /// Whether age and sex stand beside the exam.
    pub shows_patient: bool,
    /// Whether the label that a case was given with stands there, too.
    pub shows_label: bool,
    /// How long it stays lit where nothing happens; `None` for always.
    pub sleep: Option<Duration>,
}

/// What one display knows.
#[derive(Debug)]
pub struct View {
    manner: Manner,
    page: Page,
    doing: Doing,
    /// When the answer came, or a page was turned.
    touched: Instant,
    /// The answer was there for long enough: it is not shown until someone asks for a page.
    at_rest: bool,
    /// When something happened last that somebody may want to see.
    stirred: Instant,
    /// A warning came since the time was looked at.
    is_warned: bool,
    /// Nothing happened for long enough: nothing is shown until something does.
    asleep: bool,
    /// Name and version of the bundle, and what it may be used for.
    bundle: Option<(String, IntendedUse)>,
    storage_fault: bool,
    waiting: usize,
    answered: usize,
    warning: Option<Warning>,
}

#[derive(Debug)]
enum Doing {
    Loading,
    SelfTest,
    Ready,
    Working { case: u64, stage: Stage },
    Found { case: u64, shown: Box<Shown> },
    Refused { case: u64, code: RefusalCode },
    Fault(Arc<DeviceFault>),
    Off,
}

/// A finding, as a screen borrows it.
#[derive(Debug)]
struct Shown {
    finding: case::Finding,
    exam: String,
    patient: String,
    labels: Vec<String>,
    size: [u32; 2],
    luma: Vec<u8>,
    region: Mask,
}

impl Shown {
    fn new(
        finding: &case::Finding,
        preview: &Preview,
        label: Option<&str>,
        manner: Manner,
    ) -> Self {
        let language = manner.language;
        let patient = manner
            .shows_patient
            .then(|| patient_words(&finding.patient, language))
            .filter(|words| !words.is_empty());
        let patient: Vec<String> = label
            .map(str::to_owned)
            .into_iter()
            .chain(patient)
            .collect();
        let exam = words::exam(&finding.exam, language);
        let classes = finding.probabilities.iter();
        let label = |p: &case::ClassProbability| {
            let known = words::class(&p.class, language);
            known.map_or_else(|| p.label.clone(), str::to_owned)
        };
        let thumbnail = &preview.thumbnail;
        Self {
            exam: exam.unwrap_or(&preview.short_title).to_owned(),
            patient: patient.join(", "),
            labels: classes.map(label).collect(),
            size: [thumbnail.width, thumbnail.height],
            luma: luma(thumbnail),
            region: preview.region.clone(),
            finding: finding.clone(),
        }
    }
}

/// Age and sex, as far as they are known: `34 years, female`.
fn patient_words(patient: &Patient, language: Language) -> String {
    let age = patient.age.map(|age| {
        let years = match age.years() {
            // For all eyes: the exact one may tell who somebody is.
            90.. => "90+".to_owned(),
            years => years.to_string(),
        };
        match (language, Word::Years.says(language)) {
            (Language::Swahili, word) => format!("{word} {years}"),
            (_, word) => format!("{years} {word}"),
        }
    });
    let sex = patient.sex.map(|sex| match sex {
        Sex::M => Word::Male,
        Sex::F => Word::Female,
        Sex::O => Word::OtherSex,
    });
    let sex = sex.map(|word| word.says(language).to_owned());
    [age, sex]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
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
    pub fn new(manner: Manner) -> Self {
        Self {
            manner,
            page: Page::Summary,
            doing: Doing::Loading,
            touched: Instant::now(),
            at_rest: false,
            stirred: Instant::now(),
            is_warned: false,
            asleep: false,
            bundle: None,
            storage_fault: false,
            waiting: 0,
            answered: 0,
            warning: None,
        }
    }

    /// Takes note of what stands, whatever was told.
    pub fn note(&mut self, status: &DeviceStatus) {
        self.storage_fault = status.storage_fault;
        self.waiting = status.waiting;
        self.answered = status.answered;
        let warning = status.warnings.first().cloned();
        let code = |warning: &Option<Warning>| warning.as_ref().map(|w| w.code.clone());
        self.is_warned |= warning.is_some() && code(&warning) != code(&self.warning);
        self.warning = warning;
    }

    /// Takes note of the time: an answer that nobody looked at for long enough leaves, and where nothing happens for
    /// long enough the display sleeps. A fault is shown for as long as it is there.
    pub fn rest(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_warned) {
            self.stirred = now;
        }
        let may_sleep = !self.storage_fault
            && matches!(
                self.doing,
                Doing::Ready | Doing::Found { .. } | Doing::Refused { .. }
            );
        let quiet = now.saturating_duration_since(self.stirred);
        self.asleep = may_sleep && self.manner.sleep.is_some_and(|most| quiet >= most);
        let is_answer = matches!(self.doing, Doing::Found { .. } | Doing::Refused { .. });
        let idle = now.saturating_duration_since(self.touched);
        self.at_rest = is_answer && self.manner.idle.is_some_and(|most| idle >= most);
    }

    /// The device ends: nothing of any case is left, only what is in its way.
    pub fn end(&mut self, device_fault: Option<&Arc<DeviceFault>>) {
        self.doing = device_fault.map_or(Doing::Off, |device_fault| {
            Doing::Fault(Arc::clone(device_fault))
        });
    }

    /// Takes note of an event that comes now.
    pub fn hear(&mut self, event: Event, now: Instant) {
        self.stirred = now;
        self.asleep = false;
        match event {
            Event::Answered { .. } | Event::Page(_) => self.touched = now,
            _ => {}
        }
        match event {
            Event::Health(health) => self.hear_of_health(health),
            Event::Started { case } => {
                self.page = Page::Summary;
                let stage = Stage::ALL[0];
                self.doing = Doing::Working { case, stage };
            }
            Event::Stage { case, stage } => self.doing = Doing::Working { case, stage },
            Event::Answered { case, answer } => self.hear_answer(case, &answer),
            // Counted by the cases themselves.
            Event::Accepted { .. } | Event::Aborted { .. } => {}
            Event::Page(number) => {
                if let Some(page) = Page::of_number(number) {
                    self.page = page;
                }
            }
        }
    }

    fn hear_answer(&mut self, case: u64, answer: &Answer) {
        match (&answer.record.outcome, &answer.preview) {
            (Outcome::Finding(finding), Some(preview)) => {
                let label = answer.record.labels.label.as_deref();
                let label = label.filter(|_| self.manner.shows_label);
                let shown = Box::new(Shown::new(finding, preview, label, self.manner));
                self.doing = Doing::Found { case, shown };
            }
            // A finding comes from the worker, with its picture.
            (Outcome::Finding(_), None) => self.doing = Doing::Ready,
            (Outcome::Refusal(refused), _) => {
                let code = refused.refusal.code;
                self.doing = Doing::Refused { case, code };
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
            Health::Fault(device_fault) => self.doing = Doing::Fault(device_fault),
            Health::StorageFault(fault) => self.storage_fault = fault,
        }
    }

    /// What is shown, as a word: names the file of a picture.
    pub fn name(&self) -> &'static str {
        match (&self.doing, self.page) {
            (Doing::Fault(_), _) => "fault",
            (Doing::Off, _) => "off",
            _ if self.storage_fault => "fault",
            _ if self.asleep => "asleep",
            _ if self.at_rest => "ready",
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
        let page = match self.at_rest || self.asleep {
            true => Page::Summary,
            false => self.page,
        };
        let frame = lay_out(&screen, page, &self.health(), panel, self.manner.language);
        use_frame(&frame)
    }

    fn screen<'a>(&'a self, classes: &'a [Class<'a>]) -> Screen<'a> {
        match &self.doing {
            Doing::Fault(device_fault) => self.fault(&device_fault.code, &device_fault.help),
            Doing::Off => Screen::Off,
            _ if self.storage_fault => match &self.warning {
                Some(warning) => self.fault(&warning.code, &warning.help),
                None => self.fault("storage", ""),
            },
            _ if self.asleep => Screen::Asleep,
            _ if self.at_rest => Screen::Ready,
            Doing::Loading => Screen::Starting { self_test: false },
            Doing::SelfTest => Screen::Starting { self_test: true },
            Doing::Ready => Screen::Ready,
            Doing::Working { case, stage } => Screen::Working {
                case: *case,
                stage: stage_of(*stage),
            },
            Doing::Refused { case, code } => Screen::Refusal {
                case: *case,
                help: words::help(code.word(), self.manner.language).unwrap_or("-"),
            },
            Doing::Found { case, shown } => Screen::Finding(finding(*case, shown, classes)),
        }
    }

    fn fault<'a>(&self, code: &'a str, help: &'a str) -> Screen<'a> {
        let help = words::help(code, self.manner.language).unwrap_or(help);
        Screen::Fault { code, help }
    }

    fn health(&self) -> screens::Health<'_> {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (bundle, warning) = (self.bundle.as_ref(), self.warning.as_ref());
        screens::Health {
            version: env!("CARGO_PKG_VERSION"),
            bundle: bundle.map_or("", |(name, _)| name),
            intended_use: bundle.map(|(_, use_)| use_of(*use_)),
            // The device is ready only after it.
            self_test: bundle.is_some() && !matches!(self.doing, Doing::Fault(_)),
            storage: !self.storage_fault,
            waiting: count(self.waiting),
            answered: count(self.answered),
            warning: warning.map_or("", |warning| &warning.code),
            warning_help: warning.map_or("", |warning| {
                let known = words::help(&warning.code, self.manner.language);
                known.unwrap_or(&warning.help)
            }),
        }
    }
}

fn classes(shown: &Shown) -> Vec<Class<'_>> {
    let probabilities = &shown.finding.probabilities;
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
    let finding = &shown.finding;
    let side = |pixels: u32| u16::try_from(pixels).unwrap_or(0);
    let [width, height] = shown.size.map(side);
    let area = finding.mask.area_fraction;
    Finding {
        case,
        exam: &shown.exam,
        patient: &shown.patient,
        classes,
        answer: finding.answer,
        level: level_of(finding.triage_level),
        region: (area > 0.0).then_some(area as f32),
        thumbnail: Thumbnail::new(width, height, &shown.luma, shown.region.bits()),
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
mod tests;
