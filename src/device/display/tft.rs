//! `st7789:` and `ili9341:`: colour on SPI. Nothing comes back on these wires, so a panel
//! that was pulled is not noticed.

use embedded_graphics::pixelcolor::Rgb565;
use embedded_graphics::prelude::*;
use embedded_hal::delay::DelayNs;
use embedded_hal::digital::OutputPin;
use embedded_hal::spi::SpiDevice;
use firmware_host::screens::Panel;
use firmware_host::screens::palette::Ink;
use linux_embedded_hal::Delay;
use mipidsi::Builder;
use mipidsi::interface::SpiInterface;
use mipidsi::models::{ILI9341Rgb565, Model, ST7789};
use mipidsi::options::{ColorInversion, ColorOrder, Orientation, Rotation};

use super::pins::{self, refused};
use super::place::{Controller, Tft};
use super::{Ended, PanelDriver, PanelError, Picture, Serve};

/// What Linux's SPI takes in one transfer unless told otherwise (`spidev.bufsiz`).
const TRANSFER: usize = 4096;

pub fn while_open(place: &Tft, serve: Serve<'_>) -> Result<Ended, PanelError> {
    let wires = &place.wires;
    let bus = pins::spi(wires)?;
    let dc = pins::output(&wires.chip, wires.dc, false)?;
    let reset = pins::output(&wires.chip, wires.reset, true)?;
    // Held as long as the panel is served.
    let _light = match place.light {
        Some(pin) => Some(pins::output(&wires.chip, pin, true)?),
        None => None,
    };
    match place.controller {
        Controller::St7789 => while_wired(ST7789, bus, dc, reset, Delay, place, serve),
        Controller::Ili9341 => while_wired(ILI9341Rgb565, bus, dc, reset, Delay, place, serve),
    }
}

fn while_wired(
    model: impl Model<ColorFormat = Rgb565>,
    bus: impl SpiDevice,
    dc: impl OutputPin,
    reset: impl OutputPin,
    mut delay: impl DelayNs,
    place: &Tft,
    serve: Serve<'_>,
) -> Result<Ended, PanelError> {
    let path = &place.wires.bus;
    let rotation =
        Rotation::try_from_degree(place.rotate.into()).map_err(|error| refused(path, &error))?;
    let (across, down) = (place.size.width as u16, place.size.height as u16);
    let (width, height) = if rotation.is_vertical() {
        (down, across)
    } else {
        (across, down)
    };
    let mut buffer = [0; TRANSFER];
    let interface = SpiInterface::new(bus, dc, &mut buffer);
    let driver = Builder::new(model, interface)
        .reset_pin(reset)
        .display_size(width, height)
        .orientation(Orientation::new().rotate(rotation))
        .invert_colors(if place.invert {
            ColorInversion::Inverted
        } else {
            ColorInversion::Normal
        })
        .color_order(if place.bgr {
            ColorOrder::Bgr
        } else {
            ColorOrder::Rgb
        })
        .init(&mut delay)
        .map_err(|error| refused(path, &error))?;
    let panel = Panel {
        size: place.size,
        ink: Ink::Colour,
    };
    Ok(serve(&mut Wired {
        driver,
        panel,
        path,
    }))
}

struct Wired<'a, T> {
    driver: T,
    panel: Panel,
    path: &'a str,
}

impl<T> PanelDriver for Wired<'_, T>
where
    T: DrawTarget<Color = Rgb565, Error: std::fmt::Debug>,
{
    fn panel(&self) -> Panel {
        self.panel
    }

    fn show(&mut self, picture: &Picture<'_>) -> Result<(), PanelError> {
        for area in picture.damage {
            let pixels = picture.canvas.pixels_of(*area).map(Rgb565::from);
            self.driver
                .fill_contiguous(area, pixels)
                .map_err(|error| refused(self.path, &error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use embedded_graphics::pixelcolor::Rgb888;
    use embedded_graphics::primitives::Rectangle;

    use super::super::Canvas;
    use super::super::fake::{self, Loose, Wires};
    use super::super::place::Place;
    use super::*;

    /// As much of a controller as MIPI's DCS says of windows: columns (0x2a), rows (0x2b),
    /// and pixels that fill them (0x2c).
    #[derive(Default)]
    struct Chip {
        command: u8,
        arguments: Vec<u8>,
        columns: [u16; 2],
        rows: [u16; 2],
        pixels: Vec<(u16, u16, u16)>,
    }

    impl fake::Controller for Chip {
        fn command(&mut self, command: u8) {
            self.end();
            self.command = command;
        }

        fn data(&mut self, bytes: &[u8]) {
            assert!(bytes.len() <= TRANSFER, "more than the system takes");
            self.arguments.extend_from_slice(bytes);
        }
    }

    impl Chip {
        /// Does what was commanded, once all its arguments are there.
        fn end(&mut self) {
            let arguments = std::mem::take(&mut self.arguments);
            let words: Vec<u16> = arguments
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                .collect();
            match (self.command, words.as_slice()) {
                (0x2a, [first, last]) => self.columns = [*first, *last],
                (0x2b, [first, last]) => self.rows = [*first, *last],
                (0x2c, colours) => {
                    let [left, right] = self.columns;
                    let [top, bottom] = self.rows;
                    let places = (top..=bottom).flat_map(|y| (left..=right).map(move |x| (x, y)));
                    let pixels = places.zip(colours).map(|((x, y), colour)| (x, y, *colour));
                    self.pixels.extend(pixels);
                }
                _ => {}
            }
        }
    }

    fn shown(model: impl Model<ColorFormat = Rgb565>, place: &str) -> Vec<(u16, u16, u16)> {
        let Ok(Place::Tft(place)) = place.parse() else {
            panic!("{place}");
        };
        let mut canvas = Canvas::filled(place.size, Rgb888::BLACK);
        let area = Rectangle::new(Point::new(place.size.width as i32 - 2, 3), Size::new(2, 2));
        let Ok(()) = canvas.fill_solid(&area, Rgb888::RED);
        let wires = Wires::to(Chip::default());
        let ended = while_wired(
            model,
            wires.bus(),
            wires.data_pin(),
            Loose,
            Loose,
            &place,
            &mut |driver| {
                assert_eq!(driver.panel().size, place.size);
                let picture = Picture {
                    name: "test",
                    canvas: &canvas,
                    damage: &[area],
                };
                driver.show(&picture).unwrap();
                Ended::Stopped
            },
        );
        assert!(matches!(ended, Ok(Ended::Stopped)));
        let mut chip = wires.cut();
        chip.end();
        chip.pixels
    }

    #[test]
    fn only_what_changed_goes_to_its_place_on_the_glass() {
        const RED: u16 = 0xf800;
        let at = |x: u16, y: u16| {
            vec![
                (x, y, RED),
                (x + 1, y, RED),
                (x, y + 1, RED),
                (x + 1, y + 1, RED),
            ]
        };
        assert_eq!(shown(ST7789, "st7789:/dev/spidev0.0"), at(238, 3));
        // Turned, the 240 rows of this panel begin 80 further on in the controller's 320.
        let beat = "st7789:/dev/spidev0.0,rotate=180";
        assert_eq!(shown(ST7789, beat), at(238, 83));
        let wide = "ili9341:/dev/spidev0.0";
        assert_eq!(shown(ILI9341Rgb565, wide), at(318, 3));
    }
}
