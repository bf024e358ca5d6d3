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

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime};

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{Dimensions, RgbColor};
use firmware_host::screens::{Canvas, Panel};
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
    let mut display: Canvas<Vec<_>> = Canvas::filled(panel.size, Rgb888::BLACK);
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
            print(&display);
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

/// Shows a monochrome display on a terminal, two pixels to a letter.
fn print(display: &Canvas<Vec<Rgb888>>) {
    let whole = display.bounding_box();
    let lit = |y| {
        display
            .row(&whole, y)
            .iter()
            .map(|colour| colour.r() >= 128)
    };
    let mut text = String::from("\x1b[H\x1b[2J");
    for y in whole.rows().step_by(2) {
        text.extend(lit(y).zip(lit(y + 1)).map(|pair| match pair {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        text.push('\n');
    }
    println!("{text}");
}
