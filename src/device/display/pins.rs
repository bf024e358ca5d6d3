//! Opens SPI and pins of Linux for a panel: their names come in, ready buses come out, or why
//! there are none. Called by the drivers of panels. Sends nothing.

use linux_embedded_hal::gpio_cdev::{Chip, LineRequestFlags};
use linux_embedded_hal::spidev::{SpiModeFlags, SpidevOptions};
use linux_embedded_hal::{CdevPin, SpidevDevice};

use super::PanelError;
use super::place::Wires;

/// Who holds a pin, as `gpioinfo` shows it.
const HOLDER: &str = "medfocus";

/// The bus at its speed, mode 0, most significant bit first.
pub fn spi(wires: &Wires) -> Result<SpidevDevice, PanelError> {
    let mut bus = SpidevDevice::open(&wires.bus).map_err(|error| refused(&wires.bus, &error))?;
    let options = SpidevOptions::new()
        .bits_per_word(8)
        .max_speed_hz(wires.mhz * 1_000_000)
        .mode(SpiModeFlags::SPI_MODE_0)
        .build();
    bus.configure(&options)
        .map_err(|error| refused(&wires.bus, &error))?;
    Ok(bus)
}

/// A pin that is driven, at first low or high.
pub fn output(chip: &str, pin: u32, high: bool) -> Result<CdevPin, PanelError> {
    take(chip, pin, LineRequestFlags::OUTPUT, u8::from(high))
}

/// A pin that is read.
pub fn input(chip: &str, pin: u32) -> Result<CdevPin, PanelError> {
    take(chip, pin, LineRequestFlags::INPUT, 0)
}

fn take(chip: &str, pin: u32, flags: LineRequestFlags, first: u8) -> Result<CdevPin, PanelError> {
    let line = Chip::new(chip).and_then(|mut chip| chip.get_line(pin));
    line.and_then(|line| line.request(flags, first, HOLDER))
        .and_then(CdevPin::new)
        .map_err(|error| refused(&format!("{chip} pin {pin}"), &error))
}

/// A driver's refusal in its own words.
pub fn refused(path: &str, error: &dyn std::fmt::Debug) -> PanelError {
    PanelError::Bus {
        path: path.to_owned(),
        what: format!("{error:?}"),
    }
}
