//! Console mode: any bytes, then a line. Nothing panics, what is taken for a line stood
//! there as it is, and the line after the noise is understood.
#![no_main]

use firmware_host::console::{Command, Request};
use firmware_host::wire::{Run, Splitter};
use libfuzzer_sys::fuzz_target;

const LINE: &[u8] = b"\n*IDN?\n";

fuzz_target!(|bytes: &[u8]| {
    let mut splitter = Splitter::default();
    // Since the last byte that ended a run, without what was taken back.
    let mut typed = Vec::new();
    let mut understood = false;
    for &byte in bytes.iter().chain(LINE) {
        match splitter.push(byte) {
            Some(Run::Line(Ok(line))) => {
                assert_eq!(line.as_bytes(), typed);
                let command = Request::parse(line).and_then(|request| request.first());
                understood = command == Ok(Command::Identify);
            }
            Some(Run::Clear) => {
                typed.clear();
                continue;
            }
            _ => {}
        }
        match byte {
            b'\r' | b'\n' | 0 => typed.clear(),
            0x08 | 0x7f => drop(typed.pop()),
            _ => typed.push(byte),
        }
    }
    assert!(understood);
});
