//! A serial port and the line on it, for ever: one that goes away is opened again when it
//! comes back. Whether USB gadget, adapter or RFC 2217 is the operating system's.

use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use crate::device::cases::{Cases, Reach};
use crate::device::intake::line::Line;
use crate::device::lifecycle::{Heartbeat, Lifecycle};
use crate::device::spawner::Spawner;

/// For a byte to come, and for bytes to be taken.
const DEADLINE: Duration = Duration::from_millis(100);
/// How soon a program hears of what nobody asked for.
const LINKED: Duration = Duration::from_millis(5);
/// Pipes have no rate; this one keeps a link's patience short.
const STANDARD_BAUD: u32 = 1_000_000;
const REOPEN: Duration = Duration::from_secs(1);
/// What a person is told first who would wait for answers.
const PROMPT: &str = "a command answers nothing and a query one line, as SCPI has it: SYST:COMM:TALK ON has every \
                      line answered, HELP? lists the commands, Ctrl-C ends a wait";
/// A line that stood still for so long has hung: longer than any self-test that it waits for.
const STANDSTILL: Duration = Duration::from_secs(300);

/// Which line to talk on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// A device of the operating system, `/dev/ttyUSB0`.
    Device {
        /// Its path.
        path: String,
        /// Bits a second; 8 data bits, no parity, 1 stop bit.
        baud: u32,
        /// Whose cases its console may drop.
        abort: Reach,
    },
    /// Standard input and output, to try the console at a desk.
    Standard {
        /// Whose cases its console may drop.
        abort: Reach,
    },
}

/// Talks on a line until the device has ended, or standard input.
pub fn talk(port: &Port, cases: &Cases) {
    match port {
        Port::Standard { abort } => {
            let mut line = Line::new(cases, "-", STANDARD_BAUD, *abort);
            if std::io::stdin().is_terminal() {
                log::info!("{PROMPT}");
            }
            let turning = cases.lifecycle().must_turn("standard input", STANDSTILL);
            if let Err(error) = standard(cases.spawner())
                .and_then(|mut wire| converse(&mut line, &mut wire, &turning, cases.lifecycle()))
            {
                log::error!("standard input and output: {error}");
            }
        }
        Port::Device { path, baud, abort } => keep_open(path, *baud, *abort, cases),
    }
}

fn keep_open(path: &str, baud: u32, abort: Reach, cases: &Cases) {
    let mut line = Line::new(cases, path, baud, abort);
    let mut missing = false;
    let turning = cases.lifecycle().must_turn(path, STANDSTILL);
    while !cases.lifecycle().has_ended() {
        turning.beat();
        match crate::port::open(path, baud, DEADLINE) {
            Ok(mut port) => {
                log::info!("{path}: open at {baud} baud");
                missing = false;
                match converse(&mut line, &mut port, &turning, cases.lifecycle()) {
                    Ok(()) if cases.lifecycle().has_ended() => return,
                    Ok(()) => log::warn!("{path}: closed by the other end"),
                    Err(error) => log::warn!("{path}: {error}"),
                }
                line.forget();
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

/// Bytes in and out, never waited for longer than asked.
trait Wire {
    /// Bytes that came; `None` where none did in that time, 0 at the end.
    fn read(&mut self, bytes: &mut [u8], patience: Duration) -> std::io::Result<Option<usize>>;
    /// Sends all bytes; an error of [`is_silence`] where they were not taken in time.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()>;
}

impl Wire for Box<dyn serialport::SerialPort> {
    fn read(&mut self, bytes: &mut [u8], patience: Duration) -> std::io::Result<Option<usize>> {
        self.set_timeout(patience)?;
        match Read::read(self, bytes) {
            Ok(count) => Ok(Some(count)),
            Err(error) if is_silence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.set_timeout(DEADLINE)?;
        self.write_all(bytes)
    }
}

/// Standard input can only be waited for without end: by a thread of its own.
struct Standard {
    input: Receiver<Vec<u8>>,
    left: Vec<u8>,
}

fn standard(spawner: &Spawner) -> std::io::Result<Standard> {
    let (sender, input) = sync_channel(4);
    spawner.spawn("standard input", move || {
        let (mut bytes, mut stdin) = ([0; 4096], std::io::stdin().lock());
        loop {
            match stdin.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) if sender.send(bytes[..count].to_vec()).is_ok() => {}
                Err(error) if is_silence(&error) => {}
                _ => return,
            }
        }
    })?;
    let left = Vec::new();
    Ok(Standard { input, left })
}

impl Wire for Standard {
    fn read(&mut self, bytes: &mut [u8], patience: Duration) -> std::io::Result<Option<usize>> {
        if self.left.is_empty() {
            match self.input.recv_timeout(patience) {
                Ok(came) => self.left = came,
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => return Ok(Some(0)),
            }
        }
        let count = self.left.len().min(bytes.len());
        bytes[..count].copy_from_slice(&self.left[..count]);
        self.left.drain(..count);
        Ok(Some(count))
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())
    }
}

/// Answers until the line ends or fails. Between two frames it looks whether something
/// came, so that two ends that send at once never wait for each other.
fn converse(
    line: &mut Line<'_>,
    wire: &mut dyn Wire,
    turning: &Heartbeat,
    lifecycle: &Lifecycle,
) -> std::io::Result<()> {
    let began = Instant::now();
    let now = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut bytes = [0; 1024];
    while !lifecycle.has_ended() {
        turning.beat();
        let frame = line.next_frame(now());
        let patience = match &frame {
            Some(_) => Duration::ZERO,
            None if line.is_linked() || line.is_waiting() => LINKED,
            None => DEADLINE,
        };
        if let Some(frame) = frame {
            // Half a frame is one that the line lost: the link sends it again.
            send(wire, &frame)?;
        }
        let came = wire.read(&mut bytes, patience)?;
        // Those that waited for cases; those of what came just now follow.
        let answer = line.answers();
        if !answer.is_empty() && !send(wire, &answer)? {
            log::warn!("an answer was not taken");
        }
        match came {
            None => {}
            Some(0) => return Ok(()),
            Some(count) => {
                let answer = line.take(&bytes[..count], now());
                if !answer.is_empty() && !send(wire, &answer)? {
                    log::warn!("an answer was not taken");
                }
            }
        }
    }
    Ok(())
}

/// Whether the bytes were taken.
fn send(wire: &mut dyn Wire, bytes: &[u8]) -> std::io::Result<bool> {
    match wire.write(bytes) {
        Ok(()) => Ok(true),
        Err(error) if is_silence(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted
    )
}
