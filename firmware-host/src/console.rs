//! Protocol: the console's grammar, shaped like SCPI-99: lines become commands.
//!
//! Headers come in their short or long form and in any case (`SYST:ERR?`,
//! `system:error?`). A line may end in `*hh`, the XOR of the bytes before it in two hex
//! digits; then so does the answer. Nothing here answers anything: the device does.

use core::fmt;

use crate::fault::Fault;

/// The longest line, in bytes, without its end.
pub const LINE_LENGTH: usize = 512;

/// How a result is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `key=value` words on one line.
    Compact,
    /// One JSON object on one line.
    Json,
}

/// What a line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// `*IDN?`: maker, model, serial number, version.
    Identify,
    /// `*TST?`: run the self-test; 0 is passed.
    SelfTest,
    /// `*OPC?`: 1 where no case waits or runs, otherwise 0.
    OperationComplete,
    /// `*CLS`: forget the errors.
    Clear,
    /// `*RST`: this console's exam, region and echo as at its start.
    Reset,
    /// `SYSTem:ERRor?`: the oldest error, which leaves the queue.
    NextError,
    /// `SYSTem:VERSion?`: program, bundle and protocol.
    Version,
    /// `SYSTem:ECHO ON|OFF`: send back what is typed.
    Echo(bool),
    /// `STATus?`: what the device does now.
    Status,
    /// `EXAM?`: the exam that is chosen.
    Exam,
    /// `EXAM:LIST?`: the exams there are.
    ExamList,
    /// `EXAM name`: choose an exam for the cases to come.
    ChooseExam(&'a str),
    /// `CASE:RUN "path"`: answer for an image; gives the case's number.
    Run(&'a str),
    /// `CASE:RERun id`: answer a case's image again, as a new case; gives its number.
    Rerun(u64),
    /// `CASE:ROI x,y,w,h`: look here in the next case; without numbers, nowhere special.
    Region(Option<[u32; 4]>),
    /// `CASE:PRIority word`: how much the next case hurries.
    Priority(&'a str),
    /// `CASE:AGE n`: the patient's age in whole years in the next case; without, unknown.
    Age(Option<u8>),
    /// `CASE:SEX word`: the patient's sex in the next case; without, unknown.
    Sex(Option<&'a str>),
    /// `CASE:STATus? id`: waiting, running, finding, refusal or aborted.
    CaseStatus(u64),
    /// `CASE:RESult? id[,JSON]`: the answer.
    CaseResult(u64, Form),
    /// `CASE:LIST?`: the last cases and their states.
    CaseList,
    /// `CASE:ABORt`: drop the cases that wait; gives how many.
    Abort,
    /// `DISPlay:PAGE n`: turn to a page.
    Page(u8),
    /// `HELP?`: every command on one line.
    Help,
}

/// What `HELP?` answers.
pub const HELP: &str = "*IDN? *TST? *OPC? *CLS *RST SYST:ERR? SYST:VERS? SYST:ECHO ON|OFF STAT? \
    EXAM? EXAM:LIST? EXAM name CASE:RUN \"path\" CASE:RER id CASE:ROI [x,y,w,h] \
    CASE:PRI routine|urgent|stat CASE:AGE [years] CASE:SEX [M|F|O] CASE:STAT? id CASE:RES? id[,JSON] CASE:LIST? CASE:ABOR \
    DISP:PAGE n HELP?";

/// A command, and whether its line carried a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked.
    pub command: Command<'a>,
    /// Whether the answer must carry one as well.
    pub checksummed: bool,
}

impl<'a> Request<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// The [`Fault`] that the device answers with.
    pub fn parse(line: &'a str) -> Result<Self, Fault> {
        let (text, checksummed) = match split_checksum(line) {
            Some((text, sum)) if checksum(text) == sum => (text, true),
            Some(_) => return Err(Fault::Checksum),
            None => (line, false),
        };
        let text = text.trim();
        let (header, rest) = text
            .split_once([' ', '\t'])
            .map_or((text, ""), |(header, rest)| (header, rest.trim()));
        let command = command(header, rest)?;
        Ok(Self {
            command,
            checksummed,
        })
    }
}

/// XOR of all bytes, as NMEA 0183 does.
pub fn checksum(text: &str) -> u8 {
    text.bytes().fold(0, |sum, byte| sum ^ byte)
}

/// A checksum to write after an answer: `*hh`.
#[derive(Debug, Clone, Copy)]
pub struct Checksum(pub u8);

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*{:02X}", self.0)
    }
}

fn split_checksum(line: &str) -> Option<(&str, u8)> {
    let (text, sum) = line.trim_end().rsplit_once('*')?;
    let hex = sum.len() == 2 && sum.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && !text.is_empty()).then_some(())?;
    Some((text, u8::from_str_radix(sum, 16).ok()?))
}

fn command<'a>(header: &str, rest: &'a str) -> Result<Command<'a>, Fault> {
    let bare = |command: Command<'a>| match rest {
        "" => Ok(command),
        _ => Err(Fault::ParameterNotAllowed),
    };
    let header = header.strip_prefix(':').unwrap_or(header);
    let is = |pattern| spells(pattern, header);
    match () {
        () if is("*IDN?") => bare(Command::Identify),
        () if is("*TST?") => bare(Command::SelfTest),
        () if is("*OPC?") => bare(Command::OperationComplete),
        () if is("*CLS") => bare(Command::Clear),
        () if is("*RST") => bare(Command::Reset),
        () if is("SYSTem:ERRor?") => bare(Command::NextError),
        () if is("SYSTem:VERSion?") => bare(Command::Version),
        () if is("SYSTem:ECHO") => on_off(rest).map(Command::Echo),
        () if is("STATus?") => bare(Command::Status),
        () if is("EXAM?") => bare(Command::Exam),
        () if is("EXAM:LIST?") => bare(Command::ExamList),
        () if is("EXAM") => text(rest).map(Command::ChooseExam),
        () if is("CASE:RUN") => text(rest).map(Command::Run),
        () if is("CASE:RERun") => number(rest).map(Command::Rerun),
        () if is("CASE:ROI") => region(rest).map(Command::Region),
        () if is("CASE:PRIority") => text(rest).map(Command::Priority),
        () if is("CASE:AGE") => given(rest, number).map(Command::Age),
        () if is("CASE:SEX") => given(rest, text).map(Command::Sex),
        () if is("CASE:STATus?") => number(rest).map(Command::CaseStatus),
        () if is("CASE:RESult?") => result(rest),
        () if is("CASE:LIST?") => bare(Command::CaseList),
        () if is("CASE:ABORt") => bare(Command::Abort),
        () if is("DISPlay:PAGE") => number(rest).map(Command::Page),
        () if is("HELP?") => bare(Command::Help),
        () if header.is_empty() => Err(Fault::Syntax),
        () => Err(Fault::UndefinedHeader),
    }
}

/// Whether `header` is `pattern` in its long form or in its short one (the pattern's
/// capitals), level by level.
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

/// One text, bare or in double quotes.
fn text(rest: &str) -> Result<&str, Fault> {
    let text = match rest.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"').ok_or(Fault::Syntax)?,
        None => rest,
    };
    match text {
        "" => Err(Fault::MissingParameter),
        text if text.contains('"') => Err(Fault::Syntax),
        text => Ok(text),
    }
}

fn on_off(rest: &str) -> Result<bool, Fault> {
    match text(rest)? {
        "1" => Ok(true),
        "0" => Ok(false),
        word if word.eq_ignore_ascii_case("on") => Ok(true),
        word if word.eq_ignore_ascii_case("off") => Ok(false),
        _ => Err(Fault::IllegalParameter),
    }
}

/// A whole number without sign; too large is another error than no number.
fn number<T: TryFrom<u64>>(text: &str) -> Result<T, Fault> {
    let digits = text.trim();
    if digits.is_empty() {
        return Err(Fault::MissingParameter);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::DataType);
    }
    let value: u64 = digits.parse().map_err(|_| Fault::OutOfRange)?;
    T::try_from(value).map_err(|_| Fault::OutOfRange)
}

/// What stands there; `None` where nothing does.
fn given<'a, T>(
    rest: &'a str,
    read: impl FnOnce(&'a str) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    match rest {
        "" => Ok(None),
        rest => read(rest).map(Some),
    }
}

fn region(rest: &str) -> Result<Option<[u32; 4]>, Fault> {
    if rest.is_empty() {
        return Ok(None);
    }
    let mut parts = rest.split(',');
    let mut region = [0; 4];
    for side in &mut region {
        *side = number(parts.next().ok_or(Fault::MissingParameter)?)?;
    }
    if parts.next().is_some() {
        return Err(Fault::ParameterNotAllowed);
    }
    if region[2] == 0 || region[3] == 0 {
        return Err(Fault::OutOfRange);
    }
    Ok(Some(region))
}

fn result<'a>(rest: &str) -> Result<Command<'a>, Fault> {
    let (id, form) = rest
        .split_once(',')
        .map_or((rest, None), |(id, form)| (id, Some(form.trim())));
    let form = match form {
        None => Form::Compact,
        Some(word) if word.eq_ignore_ascii_case("json") => Form::Json,
        Some(_) => return Err(Fault::IllegalParameter),
    };
    Ok(Command::CaseResult(number(id)?, form))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Command<'_>, Fault> {
        Request::parse(line).map(|request| request.command)
    }

    #[test]
    fn short_and_long_headers_in_any_case() {
        for line in [
            "SYST:ERR?",
            "system:error?",
            ":Syst:Error?",
            " SYSTEM:ERR? ",
        ] {
            assert_eq!(parse(line), Ok(Command::NextError), "{line}");
        }
        for line in [
            "SYSTE:ERR?",
            "SYST:ERR",
            "SYST:ERR?:",
            "SYST::ERR?",
            "SYS:ERR?",
        ] {
            assert_eq!(parse(line), Err(Fault::UndefinedHeader), "{line}");
        }
    }

    #[test]
    fn every_command_of_the_help_is_understood() {
        let lines = [
            "*IDN?",
            "*TST?",
            "*OPC?",
            "*CLS",
            "*RST",
            "SYST:ERR?",
            "SYST:VERS?",
            "SYST:ECHO ON",
            "STAT?",
            "EXAM?",
            "EXAM:LIST?",
            "EXAM lung_tb2",
            "CASE:RUN \"a b.png\"",
            "CASE:RER 7",
            "CASE:ROI 1,2,3,4",
            "CASE:PRI stat",
            "CASE:AGE 34",
            "CASE:SEX F",
            "CASE:STAT? 7",
            "CASE:RES? 7",
            "CASE:RES? 7,JSON",
            "CASE:LIST?",
            "CASE:ABOR",
            "DISP:PAGE 2",
            "HELP?",
        ];
        for line in lines {
            assert!(parse(line).is_ok(), "{line}");
            let header = line.split(' ').next().unwrap_or(line);
            assert!(HELP.contains(header), "{header} is not in HELP?");
        }
    }

    #[test]
    fn parameters_are_read_or_named() {
        assert_eq!(parse("CASE:RUN \"a, b.png\""), Ok(Command::Run("a, b.png")));
        assert_eq!(parse("CASE:RUN a.png"), Ok(Command::Run("a.png")));
        assert_eq!(parse("CASE:RUN"), Err(Fault::MissingParameter));
        assert_eq!(parse("CASE:RUN \"a.png"), Err(Fault::Syntax));
        assert_eq!(
            parse("CASE:ROI 1, 2,3,4"),
            Ok(Command::Region(Some([1, 2, 3, 4])))
        );
        assert_eq!(parse("CASE:ROI"), Ok(Command::Region(None)));
        assert_eq!(parse("CASE:ROI 1,2,3"), Err(Fault::MissingParameter));
        assert_eq!(parse("CASE:ROI 1,2,0,4"), Err(Fault::OutOfRange));
        assert_eq!(parse("CASE:ROI 1,2,-3,4"), Err(Fault::DataType));
        assert_eq!(parse("CASE:ROI 1,2,3,4,5"), Err(Fault::ParameterNotAllowed));
        assert_eq!(parse("CASE:ROI 1,2,3,4294967296"), Err(Fault::OutOfRange));
        assert_eq!(parse("case:priority stat"), Ok(Command::Priority("stat")));
        assert_eq!(parse("CASE:AGE 34"), Ok(Command::Age(Some(34))));
        assert_eq!(parse("CASE:AGE"), Ok(Command::Age(None)));
        assert_eq!(parse("CASE:AGE 018M"), Err(Fault::DataType));
        assert_eq!(parse("CASE:AGE 256"), Err(Fault::OutOfRange));
        assert_eq!(parse("CASE:SEX f"), Ok(Command::Sex(Some("f"))));
        assert_eq!(parse("CASE:SEX"), Ok(Command::Sex(None)));
        assert_eq!(parse("CASE:RES? 9,xml"), Err(Fault::IllegalParameter));
        assert_eq!(parse("CASE:STAT?"), Err(Fault::MissingParameter));
        assert_eq!(parse("*CLS now"), Err(Fault::ParameterNotAllowed));
        assert_eq!(parse("DISP:PAGE 256"), Err(Fault::OutOfRange));
    }

    #[test]
    fn a_checksum_is_checked_and_asked_back() {
        let request = Request::parse("*IDN?*56").unwrap();
        assert_eq!(checksum("*IDN?"), 0x56);
        assert!(request.checksummed);
        assert_eq!(Request::parse("*IDN?*50"), Err(Fault::Checksum));
        assert!(!Request::parse("*CLS").unwrap().checksummed);
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_named(line in "\\PC{0,80}") {
            let _ = Request::parse(&line);
        }

        #[test]
        fn near_commands_never_panic(
            header in "(CASE:RES\\?|CASE:ROI|EXAM|DISP:PAGE|CASE:RUN|SYST:ECHO)",
            rest in "[ \",0-9a-zA-Z*-]{0,30}",
        ) {
            let _ = Request::parse(&std::format!("{header} {rest}"));
        }
    }
}
