//! One line: the bytes of a port come in, and are split into lines for its console and frames for
//! its link; their answers come out as bytes. Called by `serial`. Waits for nothing.

use firmware_host::link::Millis;
use firmware_host::wire::{Run, Splitter, WireBytes, pack};

use crate::device::cases::{Cases, Reach};
use crate::device::intake::console::Console;
use crate::device::intake::link::Link;

/// One line, from its bytes in to its bytes out. It waits for nothing.
#[derive(Debug)]
pub struct Line<'a> {
    cases: &'a Cases,
    splitter: Splitter,
    console: Console,
    link: Link<'a>,
}

impl<'a> Line<'a> {
    /// A line of this name and of so many bits a second, on which nothing was said.
    pub fn new(cases: &'a Cases, name: &str, baud: u32, reach: Reach) -> Self {
        Self {
            cases,
            splitter: Splitter::default(),
            console: Console::new(name, reach, cases),
            link: Link::new(cases, name, baud),
        }
    }

    /// Takes bytes as they come; gives what the console answers.
    pub fn take(&mut self, bytes: &[u8], now: Millis) -> Vec<u8> {
        let mut out = Vec::new();
        for &byte in bytes {
            self.console.echo(byte, &mut out);
            match self.splitter.push(byte) {
                Some(Run::Line(Err(_))) if self.link.is_open() => {
                    // What the line spoilt while programs talk is nobody's typing mistake.
                }
                Some(Run::Line(line)) => {
                    self.console.take(line);
                    out.extend(self.answers());
                }
                Some(Run::Frame(frame)) => self.link.take(frame, &mut self.console, now),
                // A byte of a frame may be the same.
                Some(Run::Clear) if self.link.is_open() => {}
                Some(Run::Clear) => self.console.clear(),
                None => {}
            }
        }
        out
    }

    /// What lines are answered that waited, or came while one did.
    pub fn answers(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(answer) = self.console.next_answer(self.cases) {
            out.extend_from_slice(answer.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// Whether a line waits, so that it may be answered at any time.
    pub fn is_waiting(&self) -> bool {
        self.console.is_waiting()
    }

    /// The next frame to send, to be asked until there is none.
    pub fn next_frame(&mut self, now: Millis) -> Option<WireBytes> {
        let packet = self.link.next_packet(&mut self.console, now)?;
        pack(&packet)
    }

    /// Whether a program talks, so that frames may have to be sent at any time.
    pub fn is_linked(&self) -> bool {
        self.link.is_open()
    }

    /// The line went away: what was begun on it is forgotten, what was chosen is not.
    pub fn forget(&mut self) {
        self.splitter.forget();
        self.console.clear();
        self.link.abandon();
    }
}
