//! Protocol: the console's grammar, that of IEEE 488.2 and SCPI-99: a line becomes units, a unit a command.
//!
//! A line holds units with `;` between. Headers come in their short or long form and in any case (`SYST:ERR?`,
//! `system:error?`); one after a `;` goes on in the subsystem of the unit before it, unless a colon begins it. A line may
//! end in `*hh`, the XOR of the bytes before it in two hex digits; then so does the answer. Nothing here answers anything:
//! the device does.

use core::fmt;

use crate::fault::Fault;

mod parameters;
mod table;
#[cfg(test)]
mod tests;
mod units;

pub use parameters::{Seconds, Text};
pub use table::{Entry, Help, TABLE};
pub use units::{Unit, Units};

/// The longest line, in bytes, without its end.
pub const LINE_LENGTH: usize = 512;

/// Ends a wait and takes back what was typed of a line: Ctrl-C, the device clear of a serial line.
pub const DEVICE_CLEAR: u8 = 0x03;

/// How a result is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `key=value` words on one line.
    Compact,
    /// One JSON object on one line.
    Json,
}

/// What is chosen on a line for the cases to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// The exam.
    Exam,
    /// Where to look.
    Region,
    /// How much it hurries.
    Priority,
    /// The patient's age.
    Age,
    /// The patient's sex.
    Sex,
    /// The patient's number.
    Patient,
    /// The accession number.
    Accession,
    /// The client's own label.
    Label,
}

/// A setting and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// `EXAM name`: for the cases to come.
    Exam(Text<'a>),
    /// `CASE:ROI x,y,w,h`: look here in the next case; without numbers, nowhere special.
    Region(Option<[u32; 4]>),
    /// `CASE:PRIority word`: how much the next case hurries.
    Priority(Text<'a>),
    /// `CASE:AGE n`: the patient's age in whole years in the next case; without, unknown.
    Age(Option<u8>),
    /// `CASE:SEX word`: the patient's sex in the next case; without, unknown.
    Sex(Option<Text<'a>>),
    /// `CASE:PATient "number"`: whose image the next one is; without, unsaid.
    Patient(Option<Text<'a>>),
    /// `CASE:ACCession "number"`: of which request the next image is; without, unsaid.
    Accession(Option<Text<'a>>),
    /// `CASE:LABel "text"`: what the client calls the next case; without, nothing.
    Label(Option<Text<'a>>),
}

impl Choice<'_> {
    /// Which setting it is.
    pub fn setting(&self) -> Setting {
        match self {
            Self::Exam(_) => Setting::Exam,
            Self::Region(_) => Setting::Region,
            Self::Priority(_) => Setting::Priority,
            Self::Age(_) => Setting::Age,
            Self::Sex(_) => Setting::Sex,
            Self::Patient(_) => Setting::Patient,
            Self::Accession(_) => Setting::Accession,
            Self::Label(_) => Setting::Label,
        }
    }
}

/// One of the two groups of registers of SCPI-99, volume 1, chapter 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// `STATus:OPERation`: what the device does.
    Operation,
    /// `STATus:QUEStionable`: what makes its answers doubtful or late.
    Questionable,
}

/// One register of a [`Group`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// What was, since it was asked last.
    Event,
    /// What is.
    Condition,
    /// Which events the status byte sums up.
    Enable,
    /// Which conditions are events when they begin.
    Positive,
    /// Which conditions are events when they end.
    Negative,
}

/// What a unit asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command<'a> {
    /// `*IDN?`: maker, model, serial number, version.
    Identify,
    /// `*TST?`: run the self-test; 0 is passed.
    SelfTest,
    /// `*OPC`: note in the standard event register when this line's cases have ended.
    NoteComplete,
    /// `*OPC?`: 1, once this line's cases have ended.
    OperationComplete,
    /// `*WAI`: the next unit waits until this line's cases have ended.
    Wait,
    /// `*CLS`: forget errors and events.
    Clear,
    /// `*RST`: what is chosen on this line as at its start.
    Reset,
    /// `*ESE n`: which standard events the status byte sums up.
    EventEnable(u8),
    /// `*ESE?`.
    EventEnabled,
    /// `*ESR?`: the standard event register, which is empty then.
    EventStatus,
    /// `*SRE n`: which bits of the status byte its bit 6 sums up.
    ServiceEnable(u8),
    /// `*SRE?`.
    ServiceEnabled,
    /// `*STB?`: the status byte.
    StatusByte,
    /// `SYSTem:ERRor[:NEXT]?`: the oldest error, which leaves the queue.
    NextError,
    /// `SYSTem:ERRor:COUNt?`: how many there are.
    ErrorCount,
    /// `SYSTem:ERRor:ALL?`: all of them, which leave the queue.
    AllErrors,
    /// `SYSTem:VERSion?`: the year of SCPI.
    Version,
    /// `SYSTem:SOFTware?`: program, bundle and protocol.
    Software,
    /// `SYSTem:ECHO ON|OFF`: send back what is typed.
    Echo(bool),
    /// `SYSTem:ECHO?`.
    Echoes,
    /// `SYSTem:COMMunicate:TALK ON|OFF`: answer every line, for people.
    Talk(bool),
    /// `SYSTem:COMMunicate:TALK?`.
    Talks,
    /// `SYSTem:TIME "time"`: what time it is, in the form of RFC 3339.
    SetTime(Text<'a>),
    /// `SYSTem:TIME?`.
    Time,
    /// `STATus?`: what the device does now, in words.
    Status,
    /// `STATus:OPERation:CONDition?` and the like; to ask the event register empties it.
    Read(Group, Register),
    /// `STATus:OPERation:ENABle n` and the like.
    Write(Group, Register, u16),
    /// `STATus:PRESet`: the registers of both groups as at the line's start.
    Preset,
    /// `EXAM:LIST?`: the exams there are.
    ExamList,
    /// `EXAM name`, `CASE:ROI x,y,w,h` and the like.
    Choose(Choice<'a>),
    /// `EXAM?`, `CASE:ROI?` and the like.
    Chosen(Setting),
    /// `CASE:RUN "path"`: answer for an image.
    Run(Text<'a>),
    /// `CASE:RUN? "path"`: the same; gives the case's number at once.
    RunAsked(Text<'a>),
    /// `CASE:RERun id`: answer a case's image again, as a new case.
    Rerun(u64),
    /// `CASE:RERun? id`: the same; gives the new case's number at once.
    RerunAsked(u64),
    /// `CASE:LAST?`: the number of the case that was given last on this line.
    Last,
    /// `CASE:STATus? id`: waiting, running, finding, refusal or aborted.
    CaseStatus(u64),
    /// `CASE:WAIT? id,seconds`: the same, once the case has ended or the time is over.
    CaseWait(u64, Seconds),
    /// `CASE:RESult? id[,JSON]`: the answer.
    CaseResult(u64, Form),
    /// `CASE:LIST?`: the last cases and their states.
    CaseList,
    /// `CASE:ABORt`: drop the cases that wait.
    Abort,
    /// `CASE:ABORt?`: the same; gives how many.
    AbortAsked,
    /// `DISPlay:PAGE n`: turn to a page.
    Page(u8),
    /// `DISPlay:PAGE?`: the page that was turned to.
    PageShown,
    /// `HELP?`: every command on one line.
    Help,
}

/// A line, and whether it carried a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    text: &'a str,
    /// Whether the answer must carry one as well.
    pub checksummed: bool,
}

impl<'a> Request<'a> {
    /// Takes the checksum off a line.
    ///
    /// # Errors
    /// [`Fault::Checksum`].
    pub fn parse(line: &'a str) -> Result<Self, Fault> {
        let (text, checksummed) = match split_checksum(line) {
            Some((text, sum)) if checksum(text) == sum => (text, true),
            Some(_) => return Err(Fault::Checksum),
            None => (line, false),
        };
        Ok(Self { text, checksummed })
    }

    /// What stands on it, one after the other.
    pub fn units(&self) -> Units<'a> {
        Units::of(self.text)
    }

    /// The command of a line that holds one, or what is wrong with the first that is wrong.
    ///
    /// # Errors
    /// The [`Fault`] that the device keeps.
    pub fn first(&self) -> Result<Command<'a>, Fault> {
        let mut units = self.units();
        let first = units.next().map_or(Err(Fault::Syntax), |unit| unit.command);
        units.try_for_each(|unit| unit.command.map(drop))?;
        first
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
