//! One console: lines in, lines out. What is chosen here (exam, region, echo) and what
//! went wrong here belongs to this line alone; the cases belong to the device.

use firmware_host::console::{Checksum, Command, Form, HELP, LINE_LENGTH, Request, checksum};
use firmware_host::fault::{Fault, FaultQueue};
use firmware_host::wire::VERSION;

use crate::case::{
    BundleId, Channel, FileName, Giver, Order, Outcome, PredictionSet, Priority, Refused, SOFTWARE,
};
use crate::device::cases::{Cases, Reach, State};
use crate::journal::Told;
use crate::patient::{Age, Patient};
use crate::shown;

/// Cases that `CASE:LIST?` names.
const LISTED: usize = 16;

const OK: &str = "OK";

/// The state of one line.
#[derive(Debug)]
pub struct Console {
    /// The line's name.
    line: String,
    /// Whose cases it may drop.
    reach: Reach,
    faults: FaultQueue,
    chosen: Chosen,
}

/// What `*RST` takes back.
#[derive(Debug, Default)]
struct Chosen {
    exam: Option<String>,
    region: Option<[u32; 4]>,
    priority: Priority,
    patient: Patient,
    echo: bool,
}

impl Console {
    /// The console of a line of this name.
    pub fn new(line: &str, reach: Reach) -> Self {
        Self {
            line: line.to_owned(),
            reach,
            faults: FaultQueue::default(),
            chosen: Chosen::default(),
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
            b' '.. => out.push(byte),
            _ => {}
        }
    }

    /// Answers a line, or what was wrong with it.
    pub fn line(&mut self, line: Result<&str, Fault>, cases: &Cases) -> String {
        let request = match line.and_then(Request::parse) {
            Ok(request) => request,
            Err(fault) => return self.faulty(fault),
        };
        let is_json = matches!(request.command, Command::CaseResult(_, Form::Json));
        let mut answer = self
            .answer(request.command, cases)
            .unwrap_or_else(|fault| self.faulty(fault));
        if !is_json {
            // One line, whatever the names hold that it is made of.
            answer = shown::line(&answer).into_owned();
        }
        if request.checksummed {
            answer += &Checksum(checksum(&answer)).to_string();
        }
        answer
    }

    fn faulty(&mut self, fault: Fault) -> String {
        self.faults.push(fault);
        format!("ERR {fault}")
    }

    fn answer(&mut self, command: Command<'_>, cases: &Cases) -> Result<String, Fault> {
        let ok = || Ok(OK.to_owned());
        match command {
            Command::Identify => Ok(format!(
                "medfocus,triage,{:016x},{}",
                cases.device(),
                env!("CARGO_PKG_VERSION")
            )),
            Command::SelfTest => {
                let passed = cases.self_test()?.is_none();
                if !passed {
                    self.faults.push(Fault::SelfTest);
                }
                Ok(u8::from(!passed).to_string())
            }
            Command::OperationComplete => Ok(u8::from(is_idle(cases)).to_string()),
            Command::Clear => {
                self.faults.clear();
                ok()
            }
            Command::Reset => {
                self.chosen = Chosen::default();
                ok()
            }
            Command::NextError => Ok(self
                .faults
                .pop()
                .map_or_else(|| "0,\"No error\"".to_owned(), |fault| fault.to_string())),
            Command::Version => Ok(version(cases)),
            Command::Echo(on) => {
                self.chosen.echo = on;
                ok()
            }
            Command::Status => Ok(status(cases)),
            Command::Exam => Ok(self.chosen.exam.clone().unwrap_or_else(|| "auto".into())),
            Command::ExamList => Ok(exams(cases).join(",")),
            Command::ChooseExam(name) => {
                self.chosen.exam = chosen_exam(name, cases)?;
                ok()
            }
            Command::Run(path) => {
                let order = Order {
                    source: path.to_owned(),
                    file_name: FileName::of(path),
                    exam: self.chosen.exam.clone(),
                    region: self.chosen.region,
                    giver: Some(self.giver()),
                    priority: self.chosen.priority,
                    patient: self.chosen.patient,
                    ..Order::default()
                };
                let case = cases.run_file(order)?;
                // All are of one image; the next case has another.
                self.chosen.region = None;
                self.chosen.priority = Priority::default();
                self.chosen.patient = Patient::default();
                Ok(case.to_string())
            }
            Command::Rerun(case) => Ok(cases.rerun(case, self.giver())?.to_string()),
            Command::Region(region) => {
                self.chosen.region = region;
                ok()
            }
            Command::Priority(word) => {
                self.chosen.priority = word.parse().map_err(|_| Fault::IllegalParameter)?;
                ok()
            }
            Command::Age(years) => {
                let age = years.map(Age::try_from).transpose();
                self.chosen.patient.age = age.map_err(|_| Fault::OutOfRange)?;
                ok()
            }
            Command::Sex(word) => {
                let sex = word.map(str::parse).transpose();
                self.chosen.patient.sex = sex.map_err(|_: String| Fault::IllegalParameter)?;
                ok()
            }
            Command::CaseStatus(case) => Ok(format!("{case} {}", cases.state(case)?.word())),
            Command::CaseResult(case, form) => result(case, form, cases),
            Command::CaseList => Ok(list(cases)),
            Command::Abort => Ok(cases.abort(&self.giver(), self.reach)?.to_string()),
            Command::Page(page) => {
                cases.events().turn_to(page)?;
                ok()
            }
            Command::Help => Ok(HELP.to_owned()),
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

fn is_idle(cases: &Cases) -> bool {
    let status = cases.status();
    status.running.is_none() && status.waiting == 0
}

fn version(cases: &Cases) -> String {
    let id = &cases.bundle().id;
    format!(
        "{SOFTWARE}, bundle {} {} {}, protocol {VERSION}",
        id.name,
        id.version,
        &id.sha256[..16]
    )
}

fn status(cases: &Cases) -> String {
    let status = cases.status();
    let word = if status.storage_fault {
        "storage_fault"
    } else if status.fault.is_some() {
        "safe_state"
    } else if status.running.is_some() {
        "running"
    } else {
        "ready"
    };
    let running = status.running;
    let mut line = format!(
        "{word} case={} waiting={} answered={}",
        running.map_or_else(|| "-".to_owned(), |case| case.to_string()),
        status.waiting,
        status.answered,
    );
    if let Some(fault) = &status.fault {
        line += &format!(" code={}", fault.code);
    }
    let codes = status.warning_codes();
    if !codes.is_empty() {
        line += &format!(" warnings={}", codes.join(","));
    }
    line += &format!(" use={}", status.bundle.intended_use.word());
    // Why it does not answer comes before what needs a person before long.
    let fault = status.fault.iter().map(|fault| fault.help.as_str());
    let warned = status.warnings.iter().map(|warning| warning.help.as_str());
    if let Some(help) = fault.chain(warned).next() {
        line += &format!(" cure=\"{}\"", help.replace('"', "'"));
    }
    line
}

fn exams(cases: &Cases) -> Vec<String> {
    let bundle = cases.bundle();
    bundle.exams.iter().map(|exam| exam.name.clone()).collect()
}

/// `auto` is what the image itself asks for.
fn chosen_exam(name: &str, cases: &Cases) -> Result<Option<String>, Fault> {
    if name.eq_ignore_ascii_case("auto") {
        return Ok(None);
    }
    let mut exams = exams(cases).into_iter();
    exams
        .find(|exam| exam.eq_ignore_ascii_case(name))
        .map(Some)
        .ok_or(Fault::IllegalParameter)
}

fn result(case: u64, form: Form, cases: &Cases) -> Result<String, Fault> {
    let told = cases.answer(case)?;
    Ok(match (told, form) {
        (None, Form::Compact) => format!("{case} {}", State::Aborted.word()),
        (None, Form::Json) => format!(r#"{{"status":"aborted","case":"{case}"}}"#),
        (Some(told), Form::Compact) => compact(case, &told),
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        (Some(told), Form::Json) => {
            let json = serde_json::to_string(&told).unwrap_or_default();
            shown::json(&json).into_owned()
        }
    })
}

/// The answer in `key=value` words; text in double quotes comes last.
fn compact(case: u64, told: &Told) -> String {
    let use_ = told.record.provenance.intended_use.word();
    let whose = whose(told);
    match &told.record.outcome {
        Outcome::Refusal(Refused { refusal, .. }) => {
            let help = refusal.help.words(Channel::Console).replace('"', "'");
            let code = refusal.code.word();
            format!("{case} refusal code={code}{whose} use={use_} cure=\"{help}\"")
        }
        Outcome::Finding(finding) => {
            let class = finding.class();
            let [x, y, width, height] = finding.mask.bbox;
            format!(
                "{case} finding exam={} class={} p={:.3}{} level={} area={:.3} \
                 box={x},{y},{width},{height}{whose} use={use_}",
                finding.exam,
                class.class,
                class.probability,
                set(finding.prediction_set.as_ref()),
                finding.triage_level.word(),
                finding.mask.area_fraction,
            )
        }
    }
}

/// What else a reader must know, what the answer is about and by whom: the image, the case that was answered before, and
/// another bundle that is in use by now.
fn whose(told: &Told) -> String {
    let (mut words, record) = (String::new(), &told.record);
    let notes: Vec<&str> = record.notes().collect();
    if !notes.is_empty() {
        words += &format!(" notes={}", notes.join(","));
    }
    if let Some(image) = record.image {
        words += &format!(" image={image}");
    }
    if let Some(before) = record.rerun_of {
        words += &format!(" rerun_of={before}");
    }
    if let Some(BundleId { name, version, .. }) = &told.bundle_in_use {
        words += &format!(" bundle_in_use={name}/{version}");
    }
    words
}

/// The prediction set, where one is claimed.
fn set(set: Option<&PredictionSet>) -> String {
    let Some(PredictionSet {
        coverage, classes, ..
    }) = set
    else {
        return String::new();
    };
    let words = match classes.as_slice() {
        [] => "none".to_owned(),
        classes => classes.join(","),
    };
    format!(" set={words} coverage={coverage:?}")
}

fn list(cases: &Cases) -> String {
    let last = cases.last(LISTED);
    if last.is_empty() {
        return "none".to_owned();
    }
    let words: Vec<String> = last
        .iter()
        .map(|(case, state)| format!("{case}:{}", state.word()))
        .collect();
    words.join(" ")
}
