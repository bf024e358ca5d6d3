//! A serial line and the console on it, for ever: a line that goes away is opened again
//! when it comes back. Whether USB gadget, adapter or RFC 2217 is the operating system's.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use super::cases::Cases;
use super::console::Console;

const READ_DEADLINE: Duration = Duration::from_millis(100);
const REOPEN: Duration = Duration::from_secs(1);

/// Which line to talk on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// A device of the operating system, `/dev/ttyUSB0`.
    Device {
        /// Its path.
        path: String,
        /// Bits a second; 8 data bits, no parity, 1 stop bit.
        baud: u32,
    },
    /// Standard input and output, to try the console at a desk.
    Standard,
}

/// Talks on a line. Ends only where standard input does.
pub fn talk(port: &Port, cases: &Cases) {
    match port {
        Port::Standard => {
            let mut console = Console::default();
            let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout());
            if let Err(error) = converse(&mut console, &mut input, &mut output, cases) {
                log::error!("standard input and output: {error}");
            }
        }
        Port::Device { path, baud } => keep_open(path, *baud, cases),
    }
}

fn keep_open(path: &str, baud: u32, cases: &Cases) {
    let mut console = Console::default();
    let mut missing = false;
    loop {
        match open(path, baud) {
            Ok((mut input, mut output)) => {
                log::info!("{path}: open at {baud} baud");
                missing = false;
                match converse(&mut console, &mut input, &mut output, cases) {
                    Ok(()) => log::warn!("{path}: closed by the other end"),
                    Err(error) => log::warn!("{path}: {error}"),
                }
                console.forget_line();
            }
            Err(error) if !missing => {
                log::warn!("{path}: {error}; tried again every second");
                missing = true;
            }
            Err(_) => {}
        }
        std::thread::sleep(REOPEN);
    }
}

type Line = Box<dyn serialport::SerialPort>;

fn open(path: &str, baud: u32) -> serialport::Result<(Line, Line)> {
    let line = serialport::new(path, baud).timeout(READ_DEADLINE).open()?;
    let output = line.try_clone()?;
    Ok((line, output))
}

/// Answers until the line ends or fails.
fn converse(
    console: &mut Console,
    input: &mut impl Read,
    output: &mut impl Write,
    cases: &Cases,
) -> std::io::Result<()> {
    let mut bytes = [0; 256];
    loop {
        let count = match input.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if is_silence(&error) => continue,
            Err(error) => return Err(error),
        };
        let answer = console.take(&bytes[..count], cases);
        if answer.is_empty() {
            continue;
        }
        match output.write_all(&answer).and_then(|()| output.flush()) {
            Ok(()) => {}
            // Nobody reads: the answer is dropped, the line lives.
            Err(error) if is_silence(&error) => log::warn!("an answer was not taken"),
            Err(error) => return Err(error),
        }
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted
    )
}
