//! `epd:`: e-paper of 2.13 inches, 250 x 122, on SPI (Waveshare V3, SSD1680).
//!
//! A quick refresh leaves shadows, a full one flashes for two seconds: answers and faults
//! are shown by a full one, progress by quick ones, and one in twenty is full anyway. What
//! takes an answer's place (ready, off) is full as well: paper keeps shadows without power.

use embedded_graphics::pixelcolor::{BinaryColor, Rgb888};
use embedded_graphics::prelude::*;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};
use embedded_hal::spi::SpiDevice;
use epd_waveshare::color::Color;
use epd_waveshare::epd2in13_v2::{Display2in13, Epd2in13};
use epd_waveshare::prelude::{DisplayRotation, RefreshLut, WaveshareDisplay};
use firmware_host::screens::Panel;
use linux_embedded_hal::Delay;

use super::pins::{self, refused};
use super::place::Paper;
use super::{Ended, PanelDriver, PanelError, Picture, Serve};

/// Quick refreshes between two full ones.
const QUICK: u32 = 20;

pub fn while_open(place: &Paper, serve: Serve<'_>) -> Result<Ended, PanelError> {
    let wires = &place.wires;
    let bus = pins::spi(wires)?;
    let busy = pins::input(&wires.chip, place.busy)?;
    let dc = pins::output(&wires.chip, wires.dc, false)?;
    let reset = pins::output(&wires.chip, wires.reset, true)?;
    while_wired(bus, busy, dc, reset, Delay, place, serve)
}

fn while_wired(
    mut bus: impl SpiDevice,
    busy: impl InputPin,
    dc: impl OutputPin,
    reset: impl OutputPin,
    mut delay: impl DelayNs,
    place: &Paper,
    serve: Serve<'_>,
) -> Result<Ended, PanelError> {
    let path = &place.wires.bus;
    let driver = Epd2in13::new(&mut bus, busy, dc, reset, &mut delay, None)
        .map_err(|error| refused(path, &error))?;
    let mut sheet = Display2in13::default();
    sheet.set_rotation(if place.beat {
        DisplayRotation::Rotate270
    } else {
        DisplayRotation::Rotate90
    });
    Ok(serve(&mut Wired {
        bus,
        driver,
        delay,
        sheet: Box::new(sheet),
        quick: QUICK,
        path,
    }))
}

struct Wired<'a, S, B, D, R, W> {
    bus: S,
    driver: Epd2in13<S, B, D, R, W>,
    delay: W,
    sheet: Box<Display2in13>,
    quick: u32,
    path: &'a str,
}

impl<S, B, D, R, W> PanelDriver for Wired<'_, S, B, D, R, W>
where
    S: SpiDevice,
    B: InputPin,
    D: OutputPin,
    R: OutputPin,
    W: DelayNs,
{
    fn panel(&self) -> Panel {
        Panel::PAPER_250X122
    }

    fn show(&mut self, picture: &Picture<'_>) -> Result<(), PanelError> {
        for area in picture.damage {
            let pixels = picture.canvas.pixels_of(*area).map(ink);
            let Ok(()) = self.sheet.fill_contiguous(area, pixels);
        }
        let lasting = matches!(
            picture.name,
            "finding" | "refusal" | "fault" | "ready" | "off"
        );
        let full = lasting || self.quick >= QUICK;
        self.quick = if full { 0 } else { self.quick + 1 };
        let refresh = if full {
            RefreshLut::Full
        } else {
            RefreshLut::Quick
        };
        let (bus, delay) = (&mut self.bus, &mut self.delay);
        self.driver
            .set_refresh(bus, delay, refresh)
            .and_then(|()| {
                self.driver
                    .update_and_display_frame(bus, self.sheet.buffer(), delay)
            })
            .map_err(|error| refused(self.path, &error))
    }
}

fn ink(colour: Rgb888) -> Color {
    if BinaryColor::from(colour).is_on() {
        Color::White
    } else {
        Color::Black
    }
}

#[cfg(test)]
mod tests {
    use embedded_graphics::primitives::Rectangle;

    use super::super::Canvas;
    use super::super::fake::{Controller, Loose, Wires};
    use super::super::place::Place;
    use super::*;

    /// Bytes of one of the controller's 250 rows.
    const ROW: usize = 16;

    /// As much of an SSD1680 as is needed to see what it shows: picture memory (command
    /// 0x24), update control (0x22), and when it is told to refresh (0x20).
    #[derive(Default)]
    struct Chip {
        command: u8,
        memory: Vec<u8>,
        control: u8,
        refreshes: Vec<u8>,
    }

    impl Controller for Chip {
        fn command(&mut self, command: u8) {
            self.command = command;
            match command {
                0x24 => self.memory.clear(),
                0x20 => self.refreshes.push(self.control),
                _ => {}
            }
        }

        fn data(&mut self, bytes: &[u8]) {
            match self.command {
                0x24 => self.memory.extend_from_slice(bytes),
                0x22 => self.control = bytes[0],
                _ => {}
            }
        }
    }

    impl Chip {
        /// Black pixels as column and row of the controller.
        fn black(&self) -> Vec<(usize, usize)> {
            let places = (0..250).flat_map(|y| (0..122).map(move |x| (x, y)));
            places
                .filter(|(x, y)| self.memory[y * ROW + x / 8] & (0x80 >> (x % 8)) == 0)
                .collect()
        }
    }

    fn shown(place: &str, names: &[&str]) -> Chip {
        let Ok(Place::Paper(place)) = place.parse() else {
            panic!("{place}");
        };
        let mut canvas = Canvas::filled(Panel::PAPER_250X122.size, Rgb888::WHITE);
        let whole = canvas.bounding_box();
        let dash = Rectangle::new(Point::new(10, 3), Size::new(2, 1));
        let Ok(()) = canvas.fill_solid(&dash, Rgb888::BLACK);
        let wires = Wires::to(Chip::default());
        let (bus, dc) = (wires.bus(), wires.data_pin());
        let ended = while_wired(bus, Loose, dc, Loose, Loose, &place, &mut |driver| {
            for name in names {
                let picture = Picture {
                    name,
                    canvas: &canvas,
                    damage: &[whole],
                };
                driver.show(&picture).unwrap();
            }
            Ended::Stopped
        });
        assert!(matches!(ended, Ok(Ended::Stopped)));
        wires.cut()
    }

    #[test]
    fn the_sheet_is_turned_to_how_it_is_read() {
        let chip = shown("epd:/dev/spidev0.0", &["finding"]);
        assert_eq!(chip.black(), [(121 - 3, 10), (121 - 3, 11)]);
        let beat = shown("epd:/dev/spidev0.0,rotate=180", &["finding"]);
        assert_eq!(beat.black(), [(3, 249 - 11), (3, 249 - 10)]);
    }

    #[test]
    fn answers_are_refreshed_in_full_and_progress_quickly() {
        let chip = shown(
            "epd:/dev/spidev0.0",
            &["ready", "working", "working", "finding"],
        );
        let refreshes = chip.refreshes;
        // What takes an answer's place leaves no shadow of it.
        let off = shown("epd:/dev/spidev0.0", &["finding", "working", "off"]);
        assert_eq!(off.refreshes.last(), refreshes.first());
        let (full, quick) = (refreshes[0], refreshes[refreshes.len() - 2]);
        assert_ne!(full, quick);
        assert_eq!(refreshes.last(), Some(&full));
    }
}
