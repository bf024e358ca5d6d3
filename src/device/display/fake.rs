//! For tests: the far end of a driver's wires. It takes what a driver sends and keeps it, to be
//! compared.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{self, InputPin, OutputPin};
use embedded_hal::spi::{self, SpiDevice};

/// A panel's controller, as far as a test wants to see it.
pub trait Controller {
    /// A command's byte.
    fn command(&mut self, command: u8);

    /// Arguments and pixels of the last command.
    fn data(&mut self, bytes: &[u8]);
}

/// SPI to a controller, and the pin that says whether bytes are commands or data.
pub struct Wires<C> {
    controller: RefCell<C>,
    data: Cell<bool>,
}

impl<C> Wires<C> {
    pub fn to(controller: C) -> Self {
        Self {
            controller: RefCell::new(controller),
            data: Cell::new(false),
        }
    }

    pub fn bus(&self) -> Bus<'_, C> {
        Bus(self)
    }

    pub fn data_pin(&self) -> DataPin<'_> {
        DataPin(&self.data)
    }

    /// Gives the controller back.
    pub fn cut(self) -> C {
        self.controller.into_inner()
    }
}

pub struct Bus<'a, C>(&'a Wires<C>);

impl<C> spi::ErrorType for Bus<'_, C> {
    type Error = spi::ErrorKind;
}

impl<C: Controller> SpiDevice for Bus<'_, C> {
    fn transaction(
        &mut self,
        operations: &mut [spi::Operation<'_, u8>],
    ) -> Result<(), spi::ErrorKind> {
        let mut controller = self.0.controller.borrow_mut();
        for operation in operations {
            match operation {
                spi::Operation::Write(bytes) if self.0.data.get() => controller.data(bytes),
                spi::Operation::Write([command]) => controller.command(*command),
                other => panic!("{other:?} is neither a command nor data"),
            }
        }
        Ok(())
    }
}

pub struct DataPin<'a>(&'a Cell<bool>);

impl digital::ErrorType for DataPin<'_> {
    type Error = Infallible;
}

impl OutputPin for DataPin<'_> {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.set(false);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.0.set(true);
        Ok(())
    }
}

/// A pin on which nothing hangs, and a delay that takes no time.
pub struct Loose;

impl digital::ErrorType for Loose {
    type Error = Infallible;
}

impl OutputPin for Loose {
    fn set_low(&mut self) -> Result<(), Infallible> {
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// Low: nothing is ever busy.
impl InputPin for Loose {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(false)
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(true)
    }
}

impl DelayNs for Loose {
    fn delay_ns(&mut self, _: u32) {}
}
