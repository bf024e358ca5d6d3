//! Prints answers to standard output, as text, JSON or one JSON object a line. Called by `classify`
//! and `submit`.

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use medfocus::case::Record;
use medfocus::report;
use serde::Serialize;

use super::{Failure, put, put_json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: a card for one answer, a line each for several
    Text,
    /// One JSON object; an array where there are several answers
    Json,
    /// One JSON object a line
    Ndjson,
}

/// Writes answers as they come.
pub struct Printer {
    format: Format,
    several: bool,
    timings: bool,
    written: usize,
}

impl Printer {
    /// For one answer or several.
    pub fn new(format: Format, several: bool, timings: bool) -> Self {
        Self {
            format,
            several,
            timings,
            written: 0,
        }
    }

    /// Writes an answer, as JSON or as text.
    pub fn print(&mut self, record: &Record, title: Option<&str>) -> Result<(), Failure> {
        let text = match (self.format, self.several) {
            (Format::Text, false) => report::card(record, title, self.timings),
            (Format::Text, true) => report::line(record) + &self.timings_of(record) + "\n",
            _ => return self.print_json(record),
        };
        put(&text)
    }

    /// Whether answers are wanted as text.
    pub fn is_text(&self) -> bool {
        self.format == Format::Text
    }

    /// Writes an answer as JSON.
    pub fn print_json(&mut self, answer: &impl Serialize) -> Result<(), Failure> {
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        let answer = serde_json::to_string(answer).unwrap_or_default();
        let text = match (self.format, self.several) {
            (Format::Json, true) => {
                let before = if self.written == 0 { "[\n" } else { ",\n" };
                format!("{before}{answer}")
            }
            _ => format!("{answer}\n"),
        };
        self.written += 1;
        put_json(&text)
    }

    fn timings_of(&self, record: &Record) -> String {
        if !self.timings {
            return String::new();
        }
        record
            .timings
            .iter()
            .map(|(stage, ms)| format!("  {stage} {ms:.1} ms"))
            .collect()
    }

    /// Writes what must come after the last answer.
    pub fn finish(&self) -> Result<(), Failure> {
        if self.format == Format::Json && self.several {
            put("\n]\n")
        } else {
            Ok(())
        }
    }
}

/// A bar on a terminal, nothing elsewhere; nothing for a single image.
pub fn bar(images: usize) -> ProgressBar {
    if images < 2 {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} images, {eta} left");
    ProgressBar::new(images as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
