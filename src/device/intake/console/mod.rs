//! One console: lines in, lines out, as IEEE 488.2 and SCPI-99 have them. What is chosen here (exam, region, echo), what
//! went wrong here and the registers belong to this line alone; the cases belong to the device.
//!
//! A command answers nothing and a query one line; with `SYST:COMM:TALK ON` every line is answered, for people. Lines are
//! answered one after the other: where one waits for cases, those after it wait as well, until a device clear. Nothing
//! here waits itself: whoever owns the console asks for its next answer again and again.
//!
//! | module | what it is for |
//! |---|---|
//! | `answers` | the device's state, a case's answer and lists as the text of a line |
//! | `chosen` | what is chosen for the cases to come |
//! | `registers` | the registers of a line |

mod answers;
mod chosen;
mod registers;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use firmware_host::console::{
    Checksum, Command, Form, Group, Help, LINE_LENGTH, Request, Text, Unit, checksum,
};
use firmware_host::fault::{Fault, FaultQueue};

use crate::case::Giver;
use crate::device::cases::{Cases, Reach};
use crate::device::events::{Event, Listener};
use crate::shown;
use chosen::{Chosen, quoted};
use registers::{RUNNING, Registers, SAFE_STATE, STARTING, STORAGE, TIME, WAITING, WARNED};

const OK: &str = "OK";
/// The version of SCPI that this follows.
const SCPI: &str = "1999.0";
/// Lines that may come while one waits.
const MOST_LINES: usize = 64;

/// The state of one line.
#[derive(Debug)]
pub struct Console {
    /// The line's name.
    line: String,
    /// Whose cases it may drop.
    reach: Reach,
    /// Whether every line is answered.
    talks: bool,
    faults: FaultQueue,
    chosen: Chosen,
    registers: Registers,
    heard: Listener,
    /// The case that was given last.
    last: Option<u64>,
    /// Cases that were given here and have not ended, as far as it was looked.
    open: BTreeSet<u64>,
    /// `*OPC` waits for them.
    notes_complete: bool,
    came: VecDeque<Result<String, Fault>>,
    /// The line that waits.
    held: Option<Held>,
}

/// A line that is being answered.
#[derive(Debug)]
struct Held {
    line: String,
    /// Units of it that are done.
    done: usize,
    answers: Vec<String>,
    /// When its wait is over.
    until: Option<Instant>,
    way: Way,
}

/// How a line came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// On the console itself.
    Typed,
    /// In a message of a link, each of which is answered at once.
    Message,
}

/// What a unit came to.
enum Reply {
    /// A query's answer.
    Said(String),
    /// A command's end, and what it says where every line is answered.
    Done(String),
    /// It is to be asked again.
    Waits,
}

impl Console {
    /// The console of a line of this name.
    pub fn new(line: &str, reach: Reach, cases: &Cases) -> Self {
        Self {
            line: line.to_owned(),
            reach,
            talks: false,
            faults: FaultQueue::default(),
            chosen: Chosen::default(),
            registers: Registers::default(),
            heard: cases.events().subscribe(),
            last: None,
            open: BTreeSet::new(),
            notes_complete: false,
            came: VecDeque::new(),
            held: None,
        }
    }

    /// Whoever talks on this line.
    pub(crate) fn giver(&self) -> Giver {
        Giver::Line(self.line.clone())
    }

    /// Gives back what is typed, where that was asked for.
    pub fn echo(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            // A program's frame begins: nobody types.
            0 => self.chosen.echo = false,
            _ if !self.chosen.echo => {}
            b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
            // Left, blank, left: what a terminal needs to take a letter back.
            0x08 | 0x7f => out.extend_from_slice(b"\x08 \x08"),
            firmware_host::console::DEVICE_CLEAR => out.extend_from_slice(b"^C\r\n"),
            b' '.. => out.push(byte),
            _ => {}
        }
    }

    /// A line came, or what was wrong with it; [`Console::next_answer`] answers it.
    pub fn take(&mut self, line: Result<&str, Fault>) {
        if self.came.len() == MOST_LINES {
            // What does not fit is forgotten, and not what came before it.
            self.came.pop_back();
            self.came.push_back(Err(Fault::LineTooLong));
            return;
        }
        self.came.push_back(line.map(str::to_owned));
    }

    /// Ends a wait, and forgets the lines that came after it and what they would have answered.
    pub fn clear(&mut self) {
        self.came.clear();
        self.held = None;
        // IEEE 488.2, 12.5.2 and 12.5.3: nothing is noted for what was begun before.
        self.notes_complete = false;
    }

    /// Whether a line waits, so that its answer may come at any time.
    pub fn is_waiting(&self) -> bool {
        self.held.is_some()
    }

    /// The next answer; `None` where no line has one yet.
    pub fn next_answer(&mut self, cases: &Cases) -> Option<String> {
        loop {
            let held = match (self.held.take(), self.came.pop_front()) {
                (Some(held), came) => {
                    came.into_iter().for_each(|line| self.came.push_front(line));
                    held
                }
                (None, Some(Ok(line))) => Held::of(line, Way::Typed),
                (None, Some(Err(fault))) => match self.faulty(fault) {
                    Some(answer) => return Some(answer),
                    None => continue,
                },
                (None, None) => {
                    self.look(cases);
                    return None;
                }
            };
            match self.go_on(held, cases) {
                Ok(Some(answer)) => return Some(answer),
                Ok(None) => {}
                Err(held) => {
                    self.held = Some(*held);
                    return None;
                }
            }
        }
    }

    /// Answers a line that came in a message of a link: each is answered, and none waits.
    pub fn message(&mut self, line: Result<&str, Fault>, cases: &Cases) -> String {
        let talks = std::mem::replace(&mut self.talks, true);
        let answer = match line {
            Ok(line) => self.go_on(Held::of(line.to_owned(), Way::Message), cases),
            Err(fault) => Ok(self.faulty(fault)),
        };
        self.talks = talks;
        answer.ok().flatten().unwrap_or_default()
    }

    /// The answer of a line; the line again, where it waits.
    fn go_on(&mut self, mut held: Held, cases: &Cases) -> Result<Option<String>, Box<Held>> {
        let line = held.line.clone();
        let request = match Request::parse(&line) {
            Ok(request) => request,
            Err(fault) => return Ok(self.faulty(fault)),
        };
        for unit in request.units().skip(held.done) {
            self.look(cases);
            match self.unit(&unit, &mut held, cases) {
                Ok(Reply::Said(answer)) => held.answers.push(answer),
                Ok(Reply::Done(words)) if self.talks => held.answers.push(words),
                Ok(Reply::Done(_)) => {}
                Ok(Reply::Waits) => return Err(Box::new(held)),
                Err(fault) => {
                    if let Some(setting) = unit.chooses.filter(|_| !self.talks) {
                        self.chosen.refuse(setting);
                    }
                    held.answers.extend(self.faulty(fault));
                    // What comes after it may have meant what was not done.
                    break;
                }
            }
            held.done += 1;
        }
        if held.answers.is_empty() {
            return Ok(None);
        }
        let mut answer = held.answers.join(";");
        if request.checksummed {
            answer += &Checksum(checksum(&answer)).to_string();
        }
        Ok(Some(answer))
    }

    /// Keeps an error; what is said of it.
    fn faulty(&mut self, fault: Fault) -> Option<String> {
        if self.faults.len() == FaultQueue::LENGTH {
            self.registers.note(Fault::QueueOverflow);
        }
        self.faults.push(fault);
        self.registers.note(fault);
        self.talks.then(|| format!("ERR {fault}"))
    }

    /// What happened since it was looked last becomes bits.
    fn look(&mut self, cases: &Cases) {
        while let Some(event) = self.heard.next(Duration::ZERO) {
            let runs = match event {
                Event::Started { .. } => true,
                Event::Answered { .. } => false,
                _ => continue,
            };
            self.registers.turn(Group::Operation, RUNNING, runs);
        }
        let status = cases.status();
        let sum = |bits: &[(bool, u16)]| {
            let set = bits.iter().filter(|(is_set, _)| *is_set);
            set.fold(0, |sum, (_, bit)| sum | bit)
        };
        let codes = status.warning_codes();
        self.registers.show(
            Group::Operation,
            sum(&[
                (status.running.is_some(), RUNNING),
                (status.waiting > 0, WAITING),
                (status.tested.is_none(), STARTING),
            ]),
        );
        self.registers.show(
            Group::Questionable,
            sum(&[
                (codes.contains(&"clock_unset"), TIME),
                (status.fault.is_some(), SAFE_STATE),
                (status.storage_fault, STORAGE),
                (codes.iter().any(|code| *code != "clock_unset"), WARNED),
            ]),
        );
        let has_ended = |case: u64| cases.state(case).is_ok_and(|state| !state.has_ended());
        self.open.retain(|case| has_ended(*case));
        if self.notes_complete && self.open.is_empty() {
            self.notes_complete = false;
            self.registers.complete();
        }
    }

    /// A case was given on this line.
    fn given(&mut self, case: u64) -> u64 {
        self.last = Some(case);
        self.open.insert(case);
        case
    }

    fn run(&mut self, path: Text<'_>, cases: &Cases) -> Result<u64, Fault> {
        let case = cases.run_file(self.chosen.order(path, self.giver())?)?;
        self.chosen.spend();
        Ok(self.given(case))
    }

    fn unit(&mut self, unit: &Unit<'_>, held: &mut Held, cases: &Cases) -> Result<Reply, Fault> {
        let ok = || Ok(Reply::Done(OK.to_owned()));
        let said = |answer: String| Ok(Reply::Said(shown::line(&answer).into_owned()));
        let number = |number: u64| Ok(Reply::Said(number.to_string()));
        let flag = |is_on: bool| Ok(Reply::Said(u8::from(is_on).to_string()));
        match unit.command? {
            Command::Identify => said(format!(
                "medfocus,triage,{:016x},{}",
                cases.device(),
                env!("CARGO_PKG_VERSION")
            )),
            Command::SelfTest => {
                let passed = cases.self_test()?.is_none();
                if !passed {
                    self.faults.push(Fault::SelfTest);
                    self.registers.note(Fault::SelfTest);
                }
                flag(!passed)
            }
            Command::NoteComplete => {
                self.notes_complete = true;
                self.look(cases);
                ok()
            }
            Command::OperationComplete if self.talks => {
                let status = cases.status();
                flag(status.running.is_none() && status.waiting == 0)
            }
            Command::OperationComplete if self.open.is_empty() => flag(true),
            Command::OperationComplete => Ok(Reply::Waits),
            Command::Wait if self.open.is_empty() => ok(),
            Command::Wait => held.waits(),
            Command::Clear => {
                self.faults.clear();
                self.registers.clear();
                self.notes_complete = false;
                ok()
            }
            Command::Reset => {
                self.chosen = Chosen::default();
                self.notes_complete = false;
                ok()
            }
            Command::EventEnable(bits) => {
                self.registers.event_enable = bits;
                ok()
            }
            Command::EventEnabled => number(self.registers.event_enable.into()),
            Command::EventStatus => number(self.registers.take_events().into()),
            Command::ServiceEnable(bits) => {
                self.registers.enable_service(bits);
                ok()
            }
            Command::ServiceEnabled => number(self.registers.service_enable().into()),
            Command::StatusByte => {
                let (errors, message) = (!self.faults.is_empty(), !held.answers.is_empty());
                number(self.registers.status_byte(errors, message).into())
            }
            Command::NextError => said(self.next_error()),
            Command::ErrorCount => number(self.faults.len() as u64),
            Command::AllErrors => {
                let first = self.next_error();
                let rest = std::iter::from_fn(|| self.faults.pop());
                let all = std::iter::once(first).chain(rest.map(|fault| fault.to_string()));
                said(all.collect::<Vec<_>>().join(","))
            }
            Command::Version if self.talks => said(answers::software(cases)),
            Command::Version => said(SCPI.to_owned()),
            Command::Software => said(answers::software(cases)),
            Command::Echo(on) => {
                self.chosen.echo = on;
                ok()
            }
            Command::Echoes => flag(self.chosen.echo),
            Command::Talk(on) => {
                if held.way == Way::Typed {
                    self.talks = on;
                }
                ok()
            }
            Command::Talks => flag(self.talks),
            Command::SetTime(text) => {
                let time = text.to_string().parse();
                cases.set_time(time.map_err(|_| Fault::IllegalParameter)?, &self.giver())?;
                ok()
            }
            Command::Time => {
                let now = cases.clock().wall();
                said(quoted(Some(
                    &now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                )))
            }
            Command::Status => said(answers::status(cases)),
            Command::Read(group, register) => number(self.registers.read(group, register).into()),
            Command::Write(group, register, value) => {
                self.registers.write(group, register, value);
                ok()
            }
            Command::Preset => {
                self.registers.preset();
                ok()
            }
            Command::ExamList => said(answers::exams(cases).join(",")),
            Command::Choose(choice) => {
                self.chosen.choose(choice, cases)?;
                ok()
            }
            Command::Chosen(setting) => said(self.chosen.shown(setting)),
            Command::Run(path) => Ok(Reply::Done(self.run(path, cases)?.to_string())),
            Command::RunAsked(path) => number(self.run(path, cases)?),
            Command::Rerun(case) => {
                let again = cases.rerun(case, self.giver())?;
                Ok(Reply::Done(self.given(again).to_string()))
            }
            Command::RerunAsked(case) => {
                let again = cases.rerun(case, self.giver())?;
                number(self.given(again))
            }
            Command::Last => number(self.last.ok_or(Fault::NoSuchCase)?),
            Command::CaseStatus(case) => said(format!("{case} {}", cases.state(case)?.word())),
            Command::CaseWait(case, seconds) => {
                let (state, now) = (cases.state(case)?, cases.clock().now());
                let until = *held.until.get_or_insert(now + Duration::from(seconds));
                if !state.has_ended() && now < until {
                    return held.waits();
                }
                held.until = None;
                said(format!("{case} {}", state.word()))
            }
            // Who is answered each time is told of an answer that is not there as of an error, as before.
            Command::CaseResult(case, _) if self.talks && !cases.state(case)?.has_ended() => {
                Err(Fault::NotFinished)
            }
            // It is one line already, and what JSON escapes is escaped as JSON has it.
            Command::CaseResult(case, Form::Json) => {
                answers::result(case, Form::Json, cases).map(Reply::Said)
            }
            Command::CaseResult(case, form) => said(answers::result(case, form, cases)?),
            Command::CaseList => said(answers::list(cases)),
            Command::Abort => {
                let dropped = cases.abort(&self.giver(), self.reach)?;
                Ok(Reply::Done(dropped.to_string()))
            }
            Command::AbortAsked => said(cases.abort(&self.giver(), self.reach)?.to_string()),
            Command::Page(page) => {
                cases.events().turn_to(page)?;
                ok()
            }
            Command::PageShown => number(cases.events().page()?.into()),
            Command::Help => said(Help.to_string()),
        }
    }

    fn next_error(&mut self) -> String {
        let oldest = self.faults.pop();
        oldest.map_or_else(|| "0,\"No error\"".to_owned(), |fault| fault.to_string())
    }
}

impl Held {
    fn of(line: String, way: Way) -> Self {
        Self {
            line,
            done: 0,
            answers: Vec::new(),
            until: None,
            way,
        }
    }

    /// It is asked again later, unless it is a message.
    fn waits(&self) -> Result<Reply, Fault> {
        match self.way {
            Way::Typed => Ok(Reply::Waits),
            Way::Message => Err(Fault::NoWait),
        }
    }
}

/// A console line that came in a message has no end and may hold anything.
pub fn checked(line: &str) -> Result<&str, Fault> {
    match line {
        line if line.len() > LINE_LENGTH => Err(Fault::LineTooLong),
        line if line.chars().any(|c| c.is_control() && c != '\t') => Err(Fault::InvalidCharacter),
        line => Ok(line),
    }
}
