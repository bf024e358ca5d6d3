//! What the program says of itself, to standard error. A device's lines tell the system's
//! start and the case that they are of; the journal daemon gets their priority before each.
//!
//! What a fault of the program would print may hold a patient's name, so that a device says
//! only where it was.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::panic::PanicHookInfo;

use env_logger::{Builder, Env};
use log::{Level, Record};
use medfocus::{device, shown};

/// The variable that says how much is told.
const VARIABLE: &str = "MEDFOCUS_LOG";
/// Digits of the system's start's name that are told: `journalctl -b` takes them all.
const BOOT: usize = 8;

/// For a command that people wait for.
pub fn start() {
    let mut builder = Builder::from_env(Env::new().filter_or(VARIABLE, "error"));
    let format = |out: &mut env_logger::fmt::Formatter, record: &Record<'_>| {
        let line = record.args().to_string();
        put(out, record, &shown::line(&line))
    };
    builder.format(format).init();
}

/// For a device: it has nobody before it, so that what it does is said without being asked.
pub fn start_of_device() {
    let boot = device::boot_id().unwrap_or_default();
    let boot = boot.get(..BOOT).unwrap_or("unknown").to_owned();
    let for_the_journal = is_the_journals();
    let format = move |out: &mut env_logger::fmt::Formatter, record: &Record<'_>| {
        let line = Line {
            record,
            boot: &boot,
            case: device::case_in_hand(),
        };
        if for_the_journal {
            writeln!(out, "<{}>{line}", priority(record.level()))
        } else {
            put(out, record, &line)
        }
    };
    let mut builder = Builder::from_env(Env::new().filter_or(VARIABLE, "info"));
    builder.format(format).init();
    std::panic::set_hook(Box::new(tell_where));
}

/// Where nobody else notes time and level.
fn put(
    out: &mut env_logger::fmt::Formatter,
    record: &Record<'_>,
    line: &dyn fmt::Display,
) -> std::io::Result<()> {
    let (time, level) = (out.timestamp(), record.level());
    writeln!(out, "[{time} {level:<5} {}] {line}", record.target())
}

fn tell_where(fault: &PanicHookInfo<'_>) {
    match fault.location() {
        Some(place) => log::error!(
            "a fault of the program at {}:{}",
            place.file(),
            place.line()
        ),
        None => log::error!("a fault of the program"),
    }
}

/// Whether standard error goes to the journal daemon (systemd.exec(5), `$JOURNAL_STREAM`).
fn is_the_journals() -> bool {
    let Some(named) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let stream = std::fs::metadata("/proc/self/fd/2");
    stream.is_ok_and(|stream| named == *format!("{}:{}", stream.dev(), stream.ino()))
}

/// As syslog(3) numbers them.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// One line, whatever a message holds.
struct Line<'a> {
    record: &'a Record<'a>,
    boot: &'a str,
    case: Option<u64>,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.record.args().to_string();
        write!(f, "boot {} ", self.boot)?;
        if let Some(case) = self.case.filter(|_| !text.starts_with("case ")) {
            write!(f, "case {case}: ")?;
        }
        f.write_str(&shown::line(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(case: Option<u64>, text: &str) -> String {
        let (boot, args) = ("0a1b2c3d", format_args!("{text}"));
        let record = &Record::builder().args(args).build();
        Line { record, boot, case }.to_string()
    }

    #[test]
    fn a_line_names_its_case_once_and_stays_one_line() {
        assert_eq!(line(None, "ready"), "boot 0a1b2c3d ready");
        assert_eq!(line(Some(7), "too slow"), "boot 0a1b2c3d case 7: too slow");
        assert_eq!(line(Some(7), "case 7: done"), "boot 0a1b2c3d case 7: done");
        assert_eq!(
            line(None, "a\nb\u{1b}[31m\u{202e}"),
            "boot 0a1b2c3d a\\u{a}b\\u{1b}[31m\\u{202e}"
        );
    }

    #[test]
    fn priorities_are_those_of_syslog() {
        assert_eq!(
            Level::iter().map(priority).collect::<Vec<_>>(),
            [3, 4, 6, 7, 7]
        );
    }
}
