//! Console mode: any bytes, then a line. Nothing panics, every command came from a clean
//! line, and the line after the noise is understood.
#![no_main]

use firmware_host::console::{Command, Request};
use firmware_host::wire::{Run, Splitter};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut splitter = Splitter::default();
    for &byte in bytes {
        if let Some(Run::Line(Ok(line))) = splitter.push(byte) {
            assert!(!line.chars().any(|c| c.is_control() && c != '\t' && c != '\x7f' && c as u32 <= 0x7f));
            // What was accepted stood on the line as it is.
            let clean = bytes.windows(line.len()).any(|part| part == line.as_bytes());
            let typed_over = bytes.iter().any(|byte| matches!(byte, 0x08 | 0x7f));
            assert!(clean || typed_over);
            let _ = Request::parse(line);
        }
    }
    let mut last = None;
    for &byte in b"\n*IDN?\n" {
        if let Some(Run::Line(Ok(line))) = splitter.push(byte) {
            last = Request::parse(line).ok().map(|request| request.command);
            if last == Some(Command::Identify) {
                return;
            }
        }
    }
    panic!("{last:?} and not the line that was sent");
});
