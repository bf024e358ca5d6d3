//! The firmware: a small display at the end of a serial line that shows what a device
//! found. It needs no std and no heap: put a UART and a display's driver beneath it.

use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::pixelcolor::Rgb888;
use firmware_host::link::{Change, Endpoint, Millis, Role};
use firmware_host::message::{CLASSES, Inbox, Report, Request, Step, pack, unpack};
use firmware_host::screens::{
    Class, Finding, Health, Language, Level, Page, Painter, Panel, Screen, Stage, Use, lay_out,
    words,
};
use firmware_host::wire::{self, Run, Splitter, WireBytes};
use heapless::{String, Vec};

/// What is kept of a report: the report itself lies in the inbox and goes with it.
// There is no heap to box the largest one on.
#[allow(clippy::large_enum_variant)]
enum Shown {
    Searching,
    Ready,
    Working(u64, Stage),
    Finding {
        case: u64,
        exam: String<32>,
        classes: Vec<(String<32>, f32), CLASSES>,
        level: Level,
        region: Option<f32>,
    },
    Refusal(u64, String<128>),
}

/// One panel and its line.
pub struct Remote {
    panel: Panel,
    splitter: Splitter,
    endpoint: Endpoint,
    inbox: Inbox,
    painter: Painter,
    nonce: u32,
    shown: Shown,
    bundle: String<64>,
    intended_use: Option<Use>,
    storage: bool,
    answered: u32,
    /// Said when there is room.
    owes: Vec<Request<'static>, 8>,
}

impl Remote {
    /// A panel on a line of so many bits a second. The nonce should be another at each
    /// start: a counter in flash, noise of a converter.
    pub fn new(panel: Panel, baud: u32, nonce: u32) -> Self {
        Self {
            panel,
            splitter: Splitter::default(),
            endpoint: Endpoint::new(Role::Host, baud),
            inbox: Inbox::default(),
            painter: Painter::default(),
            nonce,
            shown: Shown::Searching,
            bundle: String::new(),
            intended_use: None,
            storage: true,
            answered: 0,
            owes: Vec::new(),
        }
    }

    /// Takes a byte of the UART.
    pub fn byte(&mut self, byte: u8, now: Millis) {
        let Some(Run::Frame(Ok(packet))) = self.splitter.push(byte) else {
            return;
        };
        if self.endpoint.receive(&packet, now) == Change::Opened {
            self.inbox.forget();
            self.owes.clear();
            // The queue was just emptied.
            let _ = self.owes.push(Request::Fetch);
        }
        self.serve();
    }

    fn serve(&mut self) {
        // What cannot be answered yet stays in the stream: the device waits.
        while self.owes.len() < 2 {
            let report = match self.inbox.next(&mut self.endpoint) {
                Ok(Some(body)) => unpack(body).map(|report| keep(&report)),
                Ok(None) => return,
                Err(_) => return self.endpoint.close(),
            };
            if let Some(kept) = report {
                self.show(kept);
            }
        }
    }

    /// The next frame for the UART.
    pub fn next_frame(&mut self, now: Millis) -> Option<WireBytes> {
        if !self.endpoint.is_alive() {
            self.nonce = self.nonce.wrapping_add(1);
            self.endpoint.open(self.nonce, now);
            self.shown = Shown::Searching;
        }
        while let Some(bytes) = self.owes.first().and_then(pack)
            && self.endpoint.is_open()
            && self.endpoint.room() >= bytes.len()
        {
            self.endpoint.write(&bytes);
            self.owes.remove(0);
        }
        self.serve();
        self.endpoint
            .next_packet(now)
            .and_then(|packet| wire::pack(&packet))
    }

    /// Paints what changed; true where anything did.
    pub fn draw<D>(&mut self, display: &mut D) -> Result<bool, D::Error>
    where
        D: DrawTarget,
        D::Color: From<Rgb888>,
    {
        let mut classes: Vec<Class<'_>, CLASSES> = Vec::new();
        let screen = match &self.shown {
            Shown::Searching => Screen::Starting { self_test: false },
            Shown::Ready => Screen::Ready,
            Shown::Working(case, stage) => Screen::Working {
                case: *case,
                stage: *stage,
            },
            Shown::Finding {
                case,
                exam,
                classes: kept,
                level,
                region,
            } => {
                classes.extend(kept.iter().map(|(label, probability)| Class {
                    label,
                    probability: *probability,
                }));
                Screen::Finding(Finding {
                    case: *case,
                    exam: words::exam(exam, Language::English).unwrap_or(exam),
                    // The line does not say it.
                    patient: "",
                    classes: &classes,
                    // The likeliest comes first on the line.
                    answer: 0,
                    level: *level,
                    region: *region,
                    thumbnail: None,
                })
            }
            Shown::Refusal(case, help) => Screen::Refusal { case: *case, help },
        };
        let health = Health {
            version: env!("CARGO_PKG_VERSION"),
            bundle: &self.bundle,
            intended_use: self.intended_use,
            self_test: true,
            storage: self.storage,
            waiting: 0,
            answered: self.answered,
            warning: "",
            warning_help: "",
        };
        let frame = lay_out(
            &screen,
            Page::Summary,
            &health,
            self.panel,
            Language::English,
        );
        let damage = self.painter.paint(&frame, display)?;
        Ok(!damage.is_empty())
    }

    fn show(&mut self, kept: Kept) {
        match kept {
            Kept::Hello(bundle, intended_use) => {
                self.bundle = bundle;
                self.intended_use = Some(intended_use);
                self.shown = Shown::Ready;
            }
            Kept::Storage(works) => self.storage = works,
            Kept::Shown(shown) => self.shown = shown,
            Kept::Answer(case, shown) => {
                self.shown = shown;
                self.answered += 1;
                // There is room: it was looked at before.
                let _ = self.owes.push(Request::Taken { case });
            }
            Kept::Nothing => {}
        }
    }
}

#[allow(clippy::large_enum_variant)] // as above
enum Kept {
    Hello(String<64>, Use),
    Storage(bool),
    Shown(Shown),
    Answer(u64, Shown),
    Nothing,
}

fn keep(report: &Report<'_>) -> Kept {
    match report {
        Report::Hello {
            bundle,
            intended_use,
            ..
        } => {
            let intended_use = match *intended_use {
                "research" => Use::Research,
                _ => Use::Demonstration,
            };
            Kept::Hello(short(bundle), intended_use)
        }
        Report::StorageFault(failed) => Kept::Storage(!failed),
        Report::Progress { case, step } => match step {
            Step::Waiting => Kept::Nothing,
            Step::Started => Kept::Shown(Shown::Working(*case, Stage::Decode)),
            Step::Stage { index, of } => Kept::Shown(Shown::Working(*case, stage(*index, *of))),
        },
        Report::Finding { case, finding } => {
            let classes = finding.probabilities.iter();
            let classes = classes
                .map(|(label, p)| (short(label), *p as f32))
                .collect();
            let shown = Shown::Finding {
                case: *case,
                exam: short(finding.exam),
                classes,
                level: match finding.level {
                    "routine" => Level::Routine,
                    "priority" => Level::Priority,
                    "urgent" => Level::Urgent,
                    _ => Level::Review,
                },
                region: (finding.region != [0; 4]).then_some(finding.area_fraction as f32),
            };
            Kept::Answer(*case, shown)
        }
        Report::Refusal { case, help, .. } => {
            Kept::Answer(*case, Shown::Refusal(*case, short(help)))
        }
        Report::Aborted { case } => Kept::Answer(*case, Shown::Ready),
        _ => Kept::Nothing,
    }
}

/// The device's stages on the display's fewer ones: first, last, and two halves between.
fn stage(index: u8, of: u8) -> Stage {
    match index {
        0 => Stage::Decode,
        last if last + 1 >= of => Stage::Answer,
        early if early <= of / 2 => Stage::Segment,
        _ => Stage::Read,
    }
}

fn short<const N: usize>(text: &str) -> String<N> {
    let mut kept = String::new();
    for letter in text.chars() {
        if kept.push(letter).is_err() {
            break;
        }
    }
    kept
}
