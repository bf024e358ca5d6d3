//! A microcontroller's main loop, run at a desk: bytes of a serial line in, a small display
//! out. [`remote`] is the firmware; this file stands for its UART, clock and display.
//!
//! ```console
//! $ stty -F /dev/ttyUSB0 115200 raw -echo
//! $ cargo run --package firmware-host --example mcu -- /dev/ttyUSB0 115200
//! ```
//!
//! The device at the other end runs `medfocus serve --serial`. The panel takes the answers:
//! a device gives each one to one host only.

mod remote;

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{DrawTarget, OriginDimensions, Pixel, RgbColor, Size};
use firmware_host::screens::Panel;
use remote::Remote;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, baud] = arguments.as_slice() else {
        eprintln!("usage: mcu PORT BAUD");
        return ExitCode::from(2);
    };
    let Ok(baud) = baud.parse() else {
        eprintln!("'{baud}' is no number");
        return ExitCode::from(2);
    };
    match run(port, baud) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{port}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(port: &str, baud: u32) -> std::io::Result<()> {
    let mut uart = OpenOptions::new().read(true).write(true).open(port)?;
    let bytes = interrupts(uart.try_clone()?);
    let began = Instant::now();
    let nonce = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos());
    let panel = Panel::MONO_128X64;
    let mut display = Terminal::new(panel.size);
    let mut remote = Remote::new(panel, baud, nonce);
    loop {
        let now = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        match bytes.recv_timeout(Duration::from_millis(5)) {
            Ok(came) => came.iter().for_each(|byte| remote.byte(*byte, now())),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(_) => return Ok(()),
        }
        while let Some(frame) = remote.next_frame(now()) {
            uart.write_all(&frame)?;
        }
        let Ok(changed) = remote.draw(&mut display);
        if changed {
            display.print();
        }
    }
}

/// Stands for the UART's receive interrupt.
fn interrupts(mut uart: File) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 256];
        while let Ok(count @ 1..) = uart.read(&mut bytes) {
            if sender.send(bytes[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A monochrome display, two pixels to a letter.
struct Terminal {
    size: Size,
    lit: Vec<bool>,
}

impl Terminal {
    fn new(size: Size) -> Self {
        let lit = vec![false; (size.width * size.height) as usize];
        Self { size, lit }
    }

    fn print(&self) {
        let width = self.size.width as usize;
        let mut text = String::from("\x1b[H\x1b[2J");
        for rows in self.lit.chunks_exact(2 * width) {
            let (upper, lower) = rows.split_at(width);
            text.extend(upper.iter().zip(lower).map(|pair| match pair {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            }));
            text.push('\n');
        }
        println!("{text}");
    }
}

impl OriginDimensions for Terminal {
    fn size(&self) -> Size {
        self.size
    }
}

impl DrawTarget for Terminal {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        for Pixel(at, colour) in pixels {
            let inside = (0..self.size.width as i32).contains(&at.x)
                && (0..self.size.height as i32).contains(&at.y);
            if inside {
                let index = at.y as usize * self.size.width as usize + at.x as usize;
                self.lit[index] = colour.r() >= 128;
            }
        }
        Ok(())
    }
}
