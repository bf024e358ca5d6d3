//! The table of all commands: how each is called, what it takes and how that is read. `HELP?` is written from it, and
//! nothing is understood that does not stand here.

use core::fmt;

use super::parameters::{
    bare, given, on_off, region, register, result, rounded, text, wait, whole,
};
use super::{Choice, Command, Group, Register, Setting};
use crate::fault::Fault;

/// One command.
#[derive(Debug)]
pub struct Entry {
    /// Its header: the short form in capitals, words that may be left out in brackets.
    pub header: &'static str,
    /// What it takes.
    pub takes: &'static str,
    /// The setting that it chooses.
    pub(super) chooses: Option<Setting>,
    pub(super) read: for<'a> fn(&'a str) -> Result<Command<'a>, Fault>,
}

/// A command that takes nothing.
macro_rules! plain {
    ($header:literal, $command:expr) => {
        entry!($header, "", |rest| bare(rest, $command))
    };
}

macro_rules! entry {
    ($header:literal, $takes:literal, $read:expr) => {
        Entry {
            header: $header,
            takes: $takes,
            chooses: None,
            read: $read,
        }
    };
}

macro_rules! choice {
    ($header:literal, $takes:literal, $setting:ident, $read:expr) => {
        Entry {
            header: $header,
            takes: $takes,
            chooses: Some(Setting::$setting),
            read: |rest| ($read)(rest).map(Choice::$setting).map(Command::Choose),
        }
    };
}

/// A register that is read alone.
macro_rules! read {
    ($header:literal, $group:ident, $register:ident) => {
        plain!($header, Command::Read(Group::$group, Register::$register))
    };
}

macro_rules! register {
    ($header:literal, $group:ident, $register:ident) => {
        entry!($header, "n", |rest| register(rest).map(|value| {
            Command::Write(Group::$group, Register::$register, value)
        }))
    };
}

/// Every command there is.
pub static TABLE: &[Entry] = &[
    plain!("*IDN?", Command::Identify),
    plain!("*TST?", Command::SelfTest),
    plain!("*OPC", Command::NoteComplete),
    plain!("*OPC?", Command::OperationComplete),
    plain!("*WAI", Command::Wait),
    plain!("*CLS", Command::Clear),
    plain!("*RST", Command::Reset),
    entry!("*ESE", "n", |rest| rounded(rest).map(Command::EventEnable)),
    plain!("*ESE?", Command::EventEnabled),
    plain!("*ESR?", Command::EventStatus),
    entry!("*SRE", "n", |rest| rounded(rest)
        .map(Command::ServiceEnable)),
    plain!("*SRE?", Command::ServiceEnabled),
    plain!("*STB?", Command::StatusByte),
    plain!("SYSTem:ERRor[:NEXT]?", Command::NextError),
    plain!("SYSTem:ERRor:COUNt?", Command::ErrorCount),
    plain!("SYSTem:ERRor:ALL?", Command::AllErrors),
    plain!("SYSTem:VERSion?", Command::Version),
    plain!("SYSTem:SOFTware?", Command::Software),
    entry!("SYSTem:ECHO", "ON|OFF", |rest| on_off(rest)
        .map(Command::Echo)),
    plain!("SYSTem:ECHO?", Command::Echoes),
    entry!("SYSTem:COMMunicate:TALK", "ON|OFF", |rest| on_off(rest)
        .map(Command::Talk)),
    plain!("SYSTem:COMMunicate:TALK?", Command::Talks),
    entry!("SYSTem:TIME", "\"2026-11-26T12:00:00Z\"", |rest| text(rest)
        .map(Command::SetTime)),
    plain!("SYSTem:TIME?", Command::Time),
    plain!("STATus?", Command::Status),
    read!("STATus:OPERation[:EVENt]?", Operation, Event),
    read!("STATus:OPERation:CONDition?", Operation, Condition),
    register!("STATus:OPERation:ENABle", Operation, Enable),
    read!("STATus:OPERation:ENABle?", Operation, Enable),
    register!("STATus:OPERation:PTRansition", Operation, Positive),
    read!("STATus:OPERation:PTRansition?", Operation, Positive),
    register!("STATus:OPERation:NTRansition", Operation, Negative),
    read!("STATus:OPERation:NTRansition?", Operation, Negative),
    read!("STATus:QUEStionable[:EVENt]?", Questionable, Event),
    read!("STATus:QUEStionable:CONDition?", Questionable, Condition),
    register!("STATus:QUEStionable:ENABle", Questionable, Enable),
    read!("STATus:QUEStionable:ENABle?", Questionable, Enable),
    register!("STATus:QUEStionable:PTRansition", Questionable, Positive),
    read!("STATus:QUEStionable:PTRansition?", Questionable, Positive),
    register!("STATus:QUEStionable:NTRansition", Questionable, Negative),
    read!("STATus:QUEStionable:NTRansition?", Questionable, Negative),
    plain!("STATus:PRESet", Command::Preset),
    choice!("EXAM", "name", Exam, text),
    plain!("EXAM?", Command::Chosen(Setting::Exam)),
    plain!("EXAM:LIST?", Command::ExamList),
    entry!("CASE:RUN", "\"path\"", |rest| text(rest).map(Command::Run)),
    entry!("CASE:RUN?", "\"path\"", |rest| text(rest)
        .map(Command::RunAsked)),
    entry!("CASE:RERun", "id", |rest| whole(rest).map(Command::Rerun)),
    entry!("CASE:RERun?", "id", |rest| whole(rest)
        .map(Command::RerunAsked)),
    plain!("CASE:LAST?", Command::Last),
    choice!("CASE:ROI", "[x,y,w,h]", Region, |rest| given(rest, region)),
    plain!("CASE:ROI?", Command::Chosen(Setting::Region)),
    choice!("CASE:PRIority", "routine|urgent|stat", Priority, text),
    plain!("CASE:PRIority?", Command::Chosen(Setting::Priority)),
    choice!("CASE:AGE", "[years]", Age, |rest| given(rest, whole)),
    plain!("CASE:AGE?", Command::Chosen(Setting::Age)),
    choice!("CASE:SEX", "[M|F|O]", Sex, |rest| given(rest, text)),
    plain!("CASE:SEX?", Command::Chosen(Setting::Sex)),
    choice!("CASE:PATient", "[\"number\"]", Patient, |rest| given(
        rest, text
    )),
    plain!("CASE:PATient?", Command::Chosen(Setting::Patient)),
    choice!("CASE:ACCession", "[\"number\"]", Accession, |rest| given(
        rest, text
    )),
    plain!("CASE:ACCession?", Command::Chosen(Setting::Accession)),
    choice!("CASE:LABel", "[\"text\"]", Label, |rest| given(rest, text)),
    plain!("CASE:LABel?", Command::Chosen(Setting::Label)),
    entry!("CASE:STATus?", "id", |rest| whole(rest)
        .map(Command::CaseStatus)),
    entry!("CASE:WAIT?", "id,seconds", wait),
    entry!("CASE:RESult?", "id[,JSON]", result),
    plain!("CASE:LIST?", Command::CaseList),
    plain!("CASE:ABORt", Command::Abort),
    plain!("CASE:ABORt?", Command::AbortAsked),
    entry!("DISPlay:PAGE", "n", |rest| rounded(rest).map(Command::Page)),
    plain!("DISPlay:PAGE?", Command::PageShown),
    plain!("HELP?", Command::Help),
];

impl Entry {
    /// Whether a header, from the root, is this command's, in its long form or its short one.
    pub(super) fn is_called(&self, header: &str) -> bool {
        let is_query = self.header.ends_with('?');
        if is_query != header.ends_with('?') {
            return false;
        }
        let stem = |header: &'static str| header.strip_suffix('?').unwrap_or(header);
        let found = header.strip_suffix('?').unwrap_or(header);
        match stem(self.header).split_once('[') {
            None => spells(stem(self.header), found),
            Some((before, optional)) => {
                let optional = optional.trim_start_matches(':').trim_end_matches(']');
                let with = found.rsplit_once(':');
                spells(before, found)
                    || with.is_some_and(|(stem, last)| {
                        spells(before, stem) && word_spells(optional, last)
                    })
            }
        }
    }
}

/// Level by level.
fn spells(pattern: &str, header: &str) -> bool {
    let (mut wanted, mut found) = (pattern.split(':'), header.split(':'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return true,
            (Some(pattern), Some(word)) if word_spells(pattern, word) => {}
            _ => return false,
        }
    }
}

fn word_spells(pattern: &str, word: &str) -> bool {
    let mut short = pattern.bytes().filter(|b| !b.is_ascii_lowercase());
    let is_short = word
        .bytes()
        .all(|b| short.next() == Some(b.to_ascii_uppercase()))
        && short.next().is_none();
    is_short || word.eq_ignore_ascii_case(pattern)
}

/// What `HELP?` answers: every command in its short form, a command and its query once.
#[derive(Debug, Clone, Copy)]
pub struct Help;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for (number, Entry { header, takes, .. }) in TABLE.iter().enumerate() {
            if number > 0 {
                f.write_char(' ')?;
            }
            let mut short = header.chars().filter(|c| !c.is_ascii_lowercase());
            short.try_for_each(|c| f.write_char(c))?;
            if !takes.is_empty() {
                f.write_char(' ')?;
                f.write_str(takes)?;
            }
        }
        Ok(())
    }
}
