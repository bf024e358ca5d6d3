//! Units: a line's text becomes its units, and each a command by the table. Keeps the subsystem of the unit before
//! (SCPI-99, volume 1, 6.2.4): `CASE:STAT? 1;RES? 1` asks for `CASE:RES? 1`.

use core::fmt::Write;

use heapless::String;

use super::table::{Entry, TABLE};
use super::{Command, Setting};
use crate::fault::Fault;

/// The longest header, with the subsystem that it stands in. None of the table is half as long.
const HEADER_LENGTH: usize = 96;

/// One unit of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Unit<'a> {
    /// What is asked, or what is wrong with it.
    pub command: Result<Command<'a>, Fault>,
    /// Whether it is a query, which is answered.
    pub is_query: bool,
    /// The setting that it was to choose.
    pub chooses: Option<Setting>,
}

/// The units of a line.
#[derive(Debug, Clone)]
pub struct Units<'a> {
    rest: Option<&'a str>,
    /// The subsystem, with its last colon; `None` where it is longer than any there is.
    path: Option<String<HEADER_LENGTH>>,
}

impl<'a> Units<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self {
            rest: Some(text),
            path: Some(String::new()),
        }
    }

    fn unit(&mut self, text: &'a str) -> Unit<'a> {
        let text = text.trim();
        let (header, rest) = text
            .split_once([' ', '\t'])
            .map_or((text, ""), |(header, rest)| (header, rest.trim()));
        let is_query = header.ends_with('?');
        let broken = |fault| Unit {
            command: Err(fault),
            is_query,
            chooses: None,
        };
        if header.is_empty() || header == ":" {
            return broken(Fault::Syntax);
        }
        let Some(header) = self.resolved(header) else {
            return broken(Fault::UndefinedHeader);
        };
        match TABLE.iter().find(|entry| entry.is_called(&header)) {
            Some(Entry { read, chooses, .. }) => Unit {
                command: read(rest),
                is_query,
                chooses: *chooses,
            },
            None => broken(Fault::UndefinedHeader),
        }
    }

    /// The whole header, from the root; the subsystem that it names is where the next one stands.
    fn resolved(&mut self, header: &str) -> Option<String<HEADER_LENGTH>> {
        // Common commands belong to no subsystem and leave it.
        if header.starts_with('*') {
            return header.try_into().ok();
        }
        let full = match header.strip_prefix(':') {
            Some(from_root) => from_root.try_into().ok(),
            None => self.path.take().and_then(|mut full| {
                full.write_str(header).ok()?;
                Some(full)
            }),
        };
        self.path = full.as_ref().and_then(|full: &String<HEADER_LENGTH>| {
            let end = full.rfind(':').map_or(0, |at| at + 1);
            full[..end].try_into().ok()
        });
        full
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = Unit<'a>;

    fn next(&mut self) -> Option<Unit<'a>> {
        let (text, rest) = split_unit(self.rest?);
        self.rest = rest;
        Some(self.unit(text))
    }
}

/// A unit, and what comes after its `;`. One in quotes ends nothing.
fn split_unit(text: &str) -> (&str, Option<&str>) {
    let mut quoted = None;
    // A quote within a bare text is a letter: `/images/o'brien.png`.
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match quoted {
            Some(quote) if c == quote => quoted = None,
            Some(_) => {}
            None if c == ';' => return (&text[..at], Some(&text[at + 1..])),
            None if matches!(c, '"' | '\'') && matches!(before, ' ' | '\t' | ',' | '"' | '\'') => {
                quoted = Some(c);
            }
            None => {}
        }
        before = c;
    }
    (text, None)
}
