//! Displays: what the device does and what it found, on a panel, a frame buffer or in pictures.
//!
//! `events -> View -> screens (firmware-host) -> Canvas -> PanelDriver`. Each display has its own
//! thread, so that one that is slow, broken or gone delays nobody. It is opened again when it
//! comes back. Of several events that came while it was busy, only the last state is painted.
//! Nothing here decides anything, and no path of an image is ever shown. When the device ends,
//! even by a fault of its own, its displays are cleared of every case.
//!
//! | module | what it is for |
//! |---|---|
//! | [`place`] | what `--display` says |
//! | `view` | events become a screen |
//! | `pictures` | PNG files |
//! | `framebuffer` | Linux frame buffers |
//! | `oled`, `tft`, `paper` | panels on a bus (feature `panels`) |

mod framebuffer;
mod pictures;
pub mod place;
mod view;

#[cfg(all(test, feature = "panels", target_os = "linux"))]
mod fake;
#[cfg(all(feature = "panels", target_os = "linux"))]
mod oled;
#[cfg(all(feature = "panels", target_os = "linux"))]
mod paper;
#[cfg(all(feature = "panels", target_os = "linux"))]
mod pins;
#[cfg(all(feature = "panels", target_os = "linux"))]
mod tft;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::primitives::Rectangle;
use firmware_host::screens::{self, Page, Painter, Panel};

use self::place::Place;
pub use self::view::Manner;
use self::view::View;
use crate::device::cases::Cases;
use crate::device::device_fault::DeviceFault;
use crate::device::events::{Events, Listener};
use crate::device::spawner::Spawner;

/// Between two tries to open a display that is missing.
const REOPEN: Duration = Duration::from_secs(1);

/// What each display gets to show its last picture; e-paper takes two seconds, and two more
/// for the picture that it is about.
const LAST_PICTURE: Duration = Duration::from_secs(6);

/// How long a display that broke is tried at the end: it may be there again, with a finding on
/// it.
const LAST_TRIES: Duration = Duration::from_secs(2);

/// How long a thread waits for an event before it looks whether it is to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// Why a display cannot be used. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum PanelError {
    /// The operating system refuses.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or device.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// What the system says of the frame buffer cannot be used.
    #[error("{name}: {what}")]
    Geometry {
        /// The frame buffer's name.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The panel's bus or pins refuse.
    #[error("{path}: {what}")]
    Bus {
        /// The bus.
        path: String,
        /// Why, in the driver's words.
        what: String,
    },
}

/// Where screens are painted: only what changed goes from here to the panel.
type Canvas = screens::Canvas<Vec<Rgb888>>;

/// What a person looks at.
trait PanelDriver {
    /// What it can show.
    fn panel(&self) -> Panel;

    /// Shows what was painted.
    ///
    /// # Errors
    /// [`PanelError`]: it must be opened again.
    fn show(&mut self, picture: &Picture<'_>) -> Result<(), PanelError>;
}

/// A whole picture, and where it differs from the one before.
struct Picture<'a> {
    /// What it shows, as a word.
    name: &'a str,
    canvas: &'a Canvas,
    damage: &'a [Rectangle],
}

/// How serving a panel ended.
enum Ended {
    Broken(PanelError),
    Stopped,
}

/// Serves an open panel until it breaks or the display stops.
type Serve<'a> = &'a mut dyn FnMut(&mut dyn PanelDriver) -> Ended;

/// A display that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Where.
    pub place: Place,
    /// How it shows.
    pub manner: Manner,
}

/// Why the device ends; `None` where it is switched off.
type End = OnceLock<Option<Arc<DeviceFault>>>;

/// All displays of the device. Dropped, they show nothing of any case any more.
#[derive(Debug)]
pub struct Displays {
    end: Arc<End>,
    cases: Arc<OnceLock<Arc<Cases>>>,
    ended: mpsc::Receiver<()>,
    count: usize,
}

impl Displays {
    /// Starts a thread for each. What is told afterwards will be shown.
    pub fn start(asked: Vec<Asked>, events: &Events, spawner: &Spawner) -> Self {
        let (end, cases) = (Arc::default(), Arc::default());
        let (tell, ended) = mpsc::channel();
        let mut count = 0;
        if !asked.is_empty() {
            events.set_pages(Page::ALL.len() as u8);
        }
        for Asked { place, manner } in asked {
            let mut display = Display {
                listener: events.subscribe(),
                view: View::new(manner),
                end: Arc::clone(&end),
                cases: Arc::clone(&cases),
            };
            let tell = tell.clone();
            let kind = place.kind();
            let begun = spawner.spawn("display", move || {
                display.run(&place);
                // Nobody hears it where the program has ended.
                let _ = tell.send(());
            });
            match begun {
                Ok(()) => count += 1,
                Err(error) => log::error!("display {kind}: it shows nothing: {error}"),
            }
        }
        Self {
            end,
            cases,
            ended,
            count,
        }
    }

    /// The displays may count the cases from now on.
    pub fn watch(&self, cases: &Arc<Cases>) {
        // It is set once: there is one device.
        let _ = self.cases.set(Arc::clone(cases));
    }

    /// Lets the displays show what is in the device's way, or that it is switched off, then
    /// ends them.
    pub fn stop(self, device_fault: Option<DeviceFault>) {
        let _ = self.end.set(device_fault.map(Arc::new));
    }
}

impl Drop for Displays {
    /// Also where the program ends by a fault of its own.
    fn drop(&mut self) {
        // Where it was stopped, why is known already.
        let _ = self.end.set(None);
        for _ in 0..self.count {
            if self.ended.recv_timeout(LAST_PICTURE).is_err() {
                return;
            }
        }
    }
}

/// One display.
struct Display {
    listener: Listener,
    view: View,
    end: Arc<End>,
    cases: Arc<OnceLock<Arc<Cases>>>,
}

impl Display {
    fn run(&mut self, place: &Place) {
        let (mut missing, mut was_open, mut tries_until) = (false, false, None);
        loop {
            let is_over = self.end.get().is_some();
            let mut opened = false;
            let ended = while_open(place, &mut |driver| {
                log::info!("display {}: open", place.kind());
                opened = true;
                self.serve(driver)
            });
            match ended {
                Ok(Ended::Stopped) => return,
                Ok(Ended::Broken(error)) => log::warn!("display {}: {error}", place.kind()),
                Err(error) if !missing || opened => {
                    let kind = place.kind();
                    log::warn!("display {kind}: {error}; tried again every second");
                    missing = true;
                }
                Err(_) => {}
            }
            missing &= !opened;
            was_open |= opened;
            if is_over {
                let now = Instant::now();
                if !was_open || now > *tries_until.get_or_insert(now + LAST_TRIES) {
                    return;
                }
                std::thread::sleep(PATIENCE);
            } else if self.end.get().is_none() {
                std::thread::sleep(REOPEN);
            }
        }
    }

    fn serve(&mut self, driver: &mut dyn PanelDriver) -> Ended {
        let mut canvas = Canvas::filled(driver.panel().size, Rgb888::BLACK);
        let mut painter = Painter::default();
        loop {
            let end = self.end.get().cloned();
            while let Some(event) = self.listener.next(Duration::ZERO) {
                self.view.hear(event, Instant::now());
            }
            if let Some(device_fault) = &end {
                self.view.end(device_fault.as_ref());
            }
            self.view.rest(Instant::now());
            if let Err(error) = self.show(driver, &mut painter, &mut canvas) {
                return Ended::Broken(error);
            }
            if end.is_some() {
                return Ended::Stopped;
            }
            if let Some(event) = self.listener.next(PATIENCE) {
                self.view.hear(event, Instant::now());
            }
        }
    }

    fn show(
        &mut self,
        driver: &mut dyn PanelDriver,
        painter: &mut Painter,
        canvas: &mut Canvas,
    ) -> Result<(), PanelError> {
        if let Some(cases) = self.cases.get() {
            self.view.note(&cases.status());
        }
        let panel = driver.panel();
        let Ok(damage) = self
            .view
            .with_frame(panel, |frame| painter.paint(frame, canvas));
        if damage.is_empty() {
            return Ok(());
        }
        driver.show(&Picture {
            name: self.view.name(),
            canvas,
            damage: &damage,
        })
    }
}

/// Opens a place and serves it.
fn while_open(place: &Place, serve: Serve<'_>) -> Result<Ended, PanelError> {
    match place {
        Place::Pictures(pictures) => pictures::while_open(pictures, serve),
        Place::FrameBuffer(name) => framebuffer::while_open(name, serve),
        #[cfg(all(feature = "panels", target_os = "linux"))]
        Place::Oled(oled) => oled::while_open(oled, serve),
        #[cfg(all(feature = "panels", target_os = "linux"))]
        Place::Tft(tft) => tft::while_open(tft, serve),
        #[cfg(all(feature = "panels", target_os = "linux"))]
        Place::Paper(paper) => paper::while_open(paper, serve),
        #[cfg(not(all(feature = "panels", target_os = "linux")))]
        Place::Oled(_) | Place::Tft(_) | Place::Paper(_) => Err(PanelError::Bus {
            path: place.kind().to_owned(),
            what: "this build drives no panels; build it for Linux with the feature panels"
                .to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::path::Path;

    use firmware_host::screens::Language;

    use super::*;
    use crate::case::RefusalCode;
    use crate::device::events::{Answer, Event};

    /// A display of pictures, once it shows the refusal of a case.
    fn displays(folder: &Path) -> Displays {
        let events = Events::on(crate::clock::Clock::system());
        let asked = Asked {
            place: format!("png:{}", folder.display()).parse().unwrap(),
            manner: Manner {
                language: Language::English,
                idle: None,
                shows_patient: false,
                shows_label: false,
                sleep: None,
            },
        };
        let displays = Displays::start(
            vec![asked],
            &events,
            &crate::device::running::threads::spawner(),
        );
        let answer = Arc::new(Answer::refused(RefusalCode::Blank, "every pixel is black"));
        events.tell(&Event::Answered { case: 7, answer });
        let begin = Instant::now();
        while !folder.join("refusal.png").exists() {
            assert!(
                begin.elapsed() < Duration::from_secs(60),
                "nothing is shown"
            );
            std::thread::sleep(PATIENCE);
        }
        displays
    }

    /// The picture that is shown now, once no picture of a case is left.
    fn left(folder: &Path) -> Vec<u8> {
        assert!(!folder.join("refusal.png").exists());
        std::fs::read(folder.join("now.png")).unwrap()
    }

    #[test]
    fn nothing_of_a_case_outlives_a_fault_of_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let ended = catch_unwind(|| {
            let _displays = displays(folder.path());
            panic!("as a fault would");
        });
        assert!(ended.is_err());
        let off = std::fs::read(folder.path().join("off.png")).unwrap();
        assert!(left(folder.path()) == off);
    }

    #[test]
    fn what_is_in_the_devices_way_stays() {
        let folder = tempfile::tempdir().unwrap();
        let device_fault = DeviceFault::new("storage", "the disk is full", "make room");
        displays(folder.path()).stop(Some(device_fault));
        let fault = std::fs::read(folder.path().join("fault.png")).unwrap();
        assert!(left(folder.path()) == fault);
    }

    #[test]
    fn a_display_that_broke_is_tried_again_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (shown, away) = (folder.path().join("shown"), folder.path().join("away"));
        let displays = displays(&shown);
        // Away, with a file in its place that no folder can be made of.
        std::fs::rename(&shown, &away).unwrap();
        std::fs::write(&shown, "in the way").unwrap();
        let end = Arc::clone(&displays.end);
        std::thread::scope(|scope| {
            scope.spawn(|| displays.stop(None));
            while end.get().is_none() {
                std::thread::yield_now();
            }
            std::fs::remove_file(&shown).unwrap();
            std::fs::rename(&away, &shown).unwrap();
        });
        assert!(left(&shown) == std::fs::read(shown.join("off.png")).unwrap());
    }
}
