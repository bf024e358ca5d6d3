//! Everything that a command writes for people and programs: standard output and standard
//! error. Foreign text in it stays what it is; see [`medfocus::shown`]. Nothing else of the
//! program prints: clippy sees to it.
#![allow(clippy::print_stderr)]

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use medfocus::shown;
use serde::Serialize;

use super::Failure;

/// Text for people. Line ends are our own: a name that may hold some is put in by
/// [`shown::name`].
pub fn put(text: &str) -> Result<(), Failure> {
    put_bytes(shown::text(text).as_bytes())
}

/// JSON, as it was written: every value stays as it is.
pub fn put_json(json: &str) -> Result<(), Failure> {
    put_bytes(shown::json(json).as_bytes())
}

/// A value as JSON on several lines, its keys in the order of its fields.
pub fn put_pretty(value: &impl Serialize) -> Result<(), Failure> {
    // Texts, numbers and lists of them: there is nothing that JSON could not hold.
    let json = serde_json::to_string_pretty(value).unwrap_or_default();
    put_json(&(json + "\n"))
}

/// What is no text of people's: manual pages, completions.
///
/// It is written at once: whoever reads a pipe sees each finding as it comes.
pub fn put_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::write("standard output", &error),
        })
}

/// One line on standard error, whatever a message holds.
pub fn tell(message: &dyn Display) {
    eprintln!("{}", shown::line(&message.to_string()));
}

/// Lines of our own on standard error; a name that may hold line ends is put in by
/// [`shown::name`].
pub fn tell_lines(text: &str) {
    eprintln!("{}", shown::text(text));
}

/// An error and the way out of it, on standard error.
pub fn tell_error(message: &dyn Display, help: &str) {
    tell(&format!("error: {message}"));
    tell(&format!("cure: {help}"));
}
