//! `ssd1306:`: monochrome, 128 x 64, on I2C. A panel that is gone is noticed: it does not
//! acknowledge.

use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::prelude::*;
use embedded_hal::i2c::I2c;
use firmware_host::screens::Panel;
use linux_embedded_hal::I2cdev;
use ssd1306::mode::BufferedGraphicsMode;
use ssd1306::prelude::*;
use ssd1306::{I2CDisplayInterface, Ssd1306};

use super::pins::refused;
use super::place::Oled;
use super::{Ended, PanelDriver, PanelError, Picture, Serve};

pub fn while_open(place: &Oled, serve: Serve<'_>) -> Result<Ended, PanelError> {
    let bus = I2cdev::new(&place.bus).map_err(|error| refused(&place.bus, &error))?;
    while_wired(bus, place, serve)
}

fn while_wired(bus: impl I2c, place: &Oled, serve: Serve<'_>) -> Result<Ended, PanelError> {
    let rotation = if place.beat {
        DisplayRotation::Rotate180
    } else {
        DisplayRotation::Rotate0
    };
    let interface = I2CDisplayInterface::new_custom_address(bus, place.address);
    let mut driver =
        Ssd1306::new(interface, DisplaySize128x64, rotation).into_buffered_graphics_mode();
    driver.init().map_err(|error| refused(&place.bus, &error))?;
    Ok(serve(&mut Wired {
        driver,
        path: &place.bus,
    }))
}

type Driver<I> = Ssd1306<I, DisplaySize128x64, BufferedGraphicsMode<DisplaySize128x64>>;

struct Wired<'a, I> {
    driver: Driver<I>,
    path: &'a str,
}

impl<I: WriteOnlyDataCommand> PanelDriver for Wired<'_, I> {
    fn panel(&self) -> Panel {
        Panel::MONO_128X64
    }

    fn show(&mut self, picture: &Picture<'_>) -> Result<(), PanelError> {
        for area in picture.damage {
            let pixels = picture.canvas.pixels_of(*area).map(BinaryColor::from);
            self.driver
                .fill_contiguous(area, pixels)
                // Each area by itself: the driver sends the box around all that changed.
                .and_then(|()| self.driver.flush())
                .map_err(|error| refused(self.path, &error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use embedded_graphics::pixelcolor::Rgb888;
    use embedded_graphics::primitives::{Circle, PrimitiveStyle, Rectangle};
    use embedded_hal::i2c::{ErrorType, Operation};

    use super::super::Canvas;
    use super::*;

    /// As much of an SSD1306 as its data sheet says of horizontal addressing: column and
    /// page windows (commands 0x21, 0x22), and data that fills them.
    struct Chip {
        ram: [[u8; 128]; 8],
        window: [usize; 4],
        at: (usize, usize),
        taken: usize,
        answers: bool,
    }

    impl Chip {
        fn new() -> Self {
            Self {
                // Whatever was in there when the power came.
                ram: [[0xa5; 128]; 8],
                window: [0, 127, 0, 7],
                at: (0, 0),
                taken: 0,
                answers: true,
            }
        }

        fn take(&mut self, bytes: &[u8]) {
            match bytes {
                [0x00, 0x21, first, last] => {
                    self.window[..2].copy_from_slice(&[usize::from(*first), usize::from(*last)]);
                    self.at.0 = self.window[0];
                }
                [0x00, 0x22, first, last] => {
                    self.window[2..].copy_from_slice(&[usize::from(*first), usize::from(*last)]);
                    self.at.1 = self.window[2];
                }
                [0x40, data @ ..] => data.iter().for_each(|byte| self.put(*byte)),
                _ => {}
            }
        }

        fn put(&mut self, byte: u8) {
            self.taken += 1;
            self.ram[self.at.1][self.at.0] = byte;
            self.at.0 += 1;
            if self.at.0 > self.window[1] {
                self.at.0 = self.window[0];
                self.at.1 = if self.at.1 == self.window[3] {
                    self.window[2]
                } else {
                    self.at.1 + 1
                };
            }
        }

        fn is_lit(&self, at: Point) -> bool {
            self.ram[at.y as usize / 8][at.x as usize] >> (at.y % 8) & 1 == 1
        }
    }

    impl ErrorType for &mut Chip {
        type Error = embedded_hal::i2c::ErrorKind;
    }

    impl I2c for &mut Chip {
        fn transaction(
            &mut self,
            address: u8,
            operations: &mut [Operation<'_>],
        ) -> Result<(), Self::Error> {
            let unanswered = embedded_hal::i2c::NoAcknowledgeSource::Address;
            if address != 0x3c || !self.answers {
                return Err(embedded_hal::i2c::ErrorKind::NoAcknowledge(unanswered));
            }
            for operation in operations {
                if let Operation::Write(bytes) = operation {
                    self.take(bytes);
                }
            }
            Ok(())
        }
    }

    fn place() -> Oled {
        Oled {
            bus: "/dev/i2c-1".to_owned(),
            address: 0x3c,
            beat: false,
        }
    }

    #[test]
    fn the_chip_shows_the_canvas_and_is_sent_only_what_changed() {
        let mut canvas = Canvas::filled(Size::new(128, 64), Rgb888::BLACK);
        let circle = Circle::new(Point::new(30, 7), 41)
            .into_styled(PrimitiveStyle::with_stroke(Rgb888::WHITE, 3));
        let Ok(()) = circle.draw(&mut canvas);
        let mut later = canvas.clone();
        let corner = Rectangle::new(Point::new(100, 50), Size::new(9, 5));
        let Ok(()) = later.fill_solid(&corner, Rgb888::WHITE);
        let whole = canvas.bounding_box();
        let mut chip = Chip::new();
        let ended = while_wired(&mut chip, &place(), &mut |driver| {
            for (canvas, area) in [(&canvas, whole), (&later, corner)] {
                let picture = Picture {
                    name: "test",
                    canvas,
                    damage: &[area],
                };
                driver.show(&picture).unwrap();
            }
            Ended::Stopped
        });
        assert!(matches!(ended, Ok(Ended::Stopped)));
        for (at, colour) in whole.points().zip(later.pixels_of(whole)) {
            assert_eq!(chip.is_lit(at), colour == Rgb888::WHITE, "{at}");
        }
        // The corner lies in one row of pages.
        assert!(chip.taken <= 1024 + 2 * 9, "{} bytes", chip.taken);
    }

    #[test]
    fn a_panel_that_does_not_answer_is_named() {
        let mut chip = Chip::new();
        chip.answers = false;
        let error = while_wired(&mut chip, &place(), &mut |_| Ended::Stopped);
        let Err(error) = error else {
            panic!("nothing was noticed");
        };
        assert!(error.to_string().starts_with("/dev/i2c-1: "), "{error}");
    }
}
