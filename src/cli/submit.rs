//! `medfocus submit`: sends images to the device that runs on this computer, by its control
//! socket, and prints case numbers or, with `--wait`, answers. Reads no image itself.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use medfocus::case::{FileName, Outcome, Priority};
use medfocus::client::{ClientError, Control, Requests};
use medfocus::control::{Accepted, Notice, Refused, Request, Submit, Waited, Words};
use medfocus::image::open::{self, NoFile};
use medfocus::sha256::Sha256;
use medfocus::shown;
use serde::Serialize;

use super::printer::{Format, Printer, bar};
use super::state::StateFolder;
use super::{Failure, put, sources, state, tell, tell_error};

/// Cases that the device has of us at once, so that it never waits for us.
const AHEAD: usize = 8;
/// Seconds for which a device that was there may be away, where nothing else is said.
const PATIENCE: u64 = 30;
/// Seconds that one look at a case waits for its end.
const LOOK: u32 = 2;

#[derive(Debug, Args)]
#[command(after_help = "\
The device runs `medfocus serve` on this computer. What got a number is on its disk: it is
answered even if the power fails. Without --wait the numbers are printed, one a line. What
the device says of itself meanwhile, that it is in the safe state above all, goes to standard
error.

Exit codes:
  0  every image was answered, or got its number
  1  at least one was refused
  2  wrong usage
  3  no device answers
  4  the time of --timeout was over first; what got a number is answered all the same

Examples:
  medfocus submit chest.png --exam covid3 --wait
  medfocus submit slice.dcm --priority stat --wait --format json
  medfocus submit folder/ --wait --format ndjson > findings.ndjson
  medfocus submit --rerun 17 --wait
  case=$(medfocus submit chest.png)")]
pub struct SubmitArguments {
    /// Images, or folders of them
    #[arg(required_unless_present = "rerun")]
    images: Vec<PathBuf>,
    /// Answer the image of this ended case again, by the bundle that is in use now, as a new
    /// case; may be given several times
    #[arg(long, value_name = "CASE", conflicts_with_all = ["images", "exam", "priority", "region"])]
    rerun: Vec<u64>,
    /// Exam to answer; where absent, the one that the image itself asks for
    #[arg(long, value_name = "NAME")]
    exam: Option<String>,
    /// How much they hurry: routine, urgent or stat
    #[arg(long, value_name = "WORD", default_value = "routine")]
    priority: Priority,
    /// Where to look, in the image's pixels
    #[arg(long, value_name = "X,Y,W,H", value_parser = super::link::region)]
    region: Option<[u32; 4]>,
    #[command(flatten)]
    patient: super::patient::PatientArguments,
    #[command(flatten)]
    labels: super::patient::LabelArguments,
    /// Wait for the answers and print them, as classify does
    #[arg(long)]
    wait: bool,
    /// How to write them
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Seconds that the device may be away or its queue full; where absent, 30 for a device
    /// that was there, none for one that was not
    #[arg(long, value_name = "SECONDS")]
    patience: Option<u64>,
    /// Seconds that all of it may take; where absent, answers are waited for without end
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// The device's control socket; where absent, MEDFOCUS_SOCKET, the service's or the one in
    /// the state folder
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(flatten)]
    state: StateFolder,
}

pub fn run(arguments: &SubmitArguments) -> Result<(), Failure> {
    let files = sources::expand(&arguments.images);
    let count = files.len() + arguments.rerun.len();
    if count == 0 {
        return Err(Failure::Usage("the folders hold no image".to_owned()));
    }
    let mut desk = Desk {
        arguments,
        control: reached(arguments)?,
        requests: Requests::draw(),
        printer: Printer::new(arguments.format, count > 1, false),
        bar: bar(if arguments.wait { count } else { 0 }),
        pending: VecDeque::new(),
        told: BTreeMap::new(),
        any_refused: false,
    };
    let ended = desk.work(&files);
    desk.bar.finish_and_clear();
    ended?;
    desk.printer.finish()?;
    if desk.any_refused {
        Err(Failure::Refused)
    } else {
        Ok(())
    }
}

/// The device at the first place where one listens.
fn reached(arguments: &SubmitArguments) -> Result<Control, Failure> {
    let patience = Duration::from_secs(arguments.patience.unwrap_or(PATIENCE));
    let places = match &arguments.socket {
        Some(path) => vec![path.clone()],
        None => state::sockets(&arguments.state)?,
    };
    let mut missing = Err(Failure::Usage(
        "no socket: name one with --socket".to_owned(),
    ));
    for place in &places {
        let total = arguments.timeout.map(Duration::from_secs);
        let mut control = Control::new(place, patience).within(total);
        match control.reach() {
            Ok(()) => return Ok(control),
            Err(error) => missing = Err(error.into()),
        }
        // It may come; the last place is the state folder's, which is the likeliest.
        if arguments.patience.is_some() && places.last() == Some(place) {
            return Ok(control);
        }
    }
    missing
}

/// What is asked of the device.
enum Asked {
    /// To answer an image of this name.
    Image { source: String, sha256: Sha256 },
    /// To answer a case's image again.
    Again { case: u64 },
}

impl Asked {
    /// What people call it.
    fn name(&self) -> String {
        match self {
            Self::Image { source, .. } => source.clone(),
            Self::Again { case } => format!("case {case} again"),
        }
    }
}

/// A case that was accepted.
struct Pending {
    asked: Asked,
    case: u64,
}

/// What is submitted, and how it is shown.
struct Desk<'a> {
    arguments: &'a SubmitArguments,
    control: Control,
    requests: Requests,
    printer: Printer,
    bar: ProgressBar,
    /// What was accepted and is waited for, in the images' order.
    pending: VecDeque<Pending>,
    /// What the device said of itself last, by code.
    told: BTreeMap<String, Notice>,
    any_refused: bool,
}

impl Desk<'_> {
    /// Keeps the device's queue filled, and takes the answers in the images' order.
    fn work(&mut self, files: &[PathBuf]) -> Result<(), Failure> {
        for case in self.arguments.rerun.clone() {
            let answer = self.control.ask(&Request::Rerun { case }, &[]);
            let answer = answer.map_err(|error| self.broken_off(error))?;
            self.take_on(Asked::Again { case }, answer)?;
        }
        for file in files {
            let source = file.display().to_string();
            let image = match open::bytes(file) {
                Ok(image) => image,
                Err(why) => {
                    // It is told even where the answers before it do not come.
                    let drained = self.drain();
                    drained.and(self.unread(&source, &why))?;
                    continue;
                }
            };
            let sha256 = Sha256::of(&image);
            let submit = Submit {
                size: image.len() as u64,
                sha256: sha256.to_string(),
                exam: self.arguments.exam.clone(),
                region: self.arguments.region,
                priority: self.arguments.priority,
                age: self.arguments.patient.age,
                sex: self.arguments.patient.sex,
                labels: self.arguments.labels.labels(),
                client: Some(self.requests.identity()),
                file_name: FileName::of(file).map(|name| name.to_string()),
                request: Some(self.requests.next_number()),
            };
            let answer = self.control.submit(&submit, &image);
            let answer = answer.map_err(|error| self.broken_off(error))?;
            self.take_on(Asked::Image { source, sha256 }, answer)?;
        }
        self.drain()
    }

    /// What the device said to a request: its case is waited for, where that is wanted.
    fn take_on(&mut self, asked: Asked, answer: Result<Accepted, Refused>) -> Result<(), Failure> {
        match answer {
            Ok(Accepted { case }) if self.arguments.wait => {
                self.pending.push_back(Pending { asked, case });
                if self.pending.len() == AHEAD {
                    self.take_first()?;
                }
                Ok(())
            }
            Ok(Accepted { case }) => self.accepted(&asked.name(), case),
            Err(refused) => {
                // It is told even where the answers before it do not come.
                let drained = self.drain();
                drained.and(self.refused(&asked.name(), refused))
            }
        }
    }

    fn drain(&mut self) -> Result<(), Failure> {
        while !self.pending.is_empty() {
            self.take_first()?;
        }
        Ok(())
    }

    /// Waits for the first of the images that were accepted, however long it takes.
    fn take_first(&mut self) -> Result<(), Failure> {
        let Some(case) = self.pending.front().map(|pending| pending.case) else {
            return Ok(());
        };
        // Pending until its end was heard.
        let ended = self.end_of(case);
        let ended = ended.map_err(|error| self.broken_off(error))?;
        let Some(Pending { asked, .. }) = self.pending.pop_front() else {
            return Ok(());
        };
        match ended {
            Ok(waited) => {
                self.bar.inc(1);
                self.ended(&asked, waited)
            }
            Err(refused) => self.refused(&asked.name(), refused),
        }
    }

    /// What a case came to.
    fn end_of(&mut self, case: u64) -> Result<Result<Waited, Refused>, ClientError> {
        // At first only a look: what the device says of itself is told at once.
        let mut patience = 0;
        loop {
            let waited = match self.control.wait(case, patience)? {
                Ok(waited) => waited,
                Err(refused) => return Ok(Err(refused)),
            };
            self.tell(&waited.notices);
            if !["waiting", "running"].contains(&waited.state.as_str()) {
                return Ok(Ok(waited));
            }
            patience = LOOK;
        }
    }

    /// The talk with the device broke off: what it has accepted is named, to be asked for later.
    fn broken_off(&self, error: ClientError) -> Failure {
        let cases: Vec<u64> = self.pending.iter().map(|pending| pending.case).collect();
        match error {
            ClientError::TimeIsUp { seconds, .. } => {
                ClientError::TimeIsUp { seconds, cases }.into()
            }
            error => {
                if !cases.is_empty() {
                    let cases: Vec<String> = cases.iter().map(u64::to_string).collect();
                    let line = format!("not answered yet: case {}", cases.join(", "));
                    self.bar.suspend(|| tell(&line));
                }
                error.into()
            }
        }
    }

    /// Says what the device says of itself where that is new, and what is over.
    fn tell(&mut self, notices: &[Notice]) {
        let now: BTreeMap<String, Notice> = notices
            .iter()
            .map(|notice| (notice.code.clone(), notice.clone()))
            .collect();
        let before = std::mem::replace(&mut self.told, now);
        let new = self.told.values().filter(|n| !before.contains_key(&n.code));
        let over = before.values().filter(|n| !self.told.contains_key(&n.code));
        let new = new.map(|notice| {
            let Notice { code, help, .. } = notice;
            match notice.is_safe_state {
                true => format!("the device keeps its cases and answers none: {code}; {help}"),
                false => format!("the device warns: {code}; {help}"),
            }
        });
        let over = over.filter(|notice| notice.is_safe_state);
        let over = over.map(|_| "the device answers again".to_owned());
        for line in new.chain(over) {
            self.bar.suspend(|| tell(&line));
        }
    }

    fn accepted(&mut self, source: &str, case: u64) -> Result<(), Failure> {
        if self.printer.is_text() {
            return put(&format!("{case}\n"));
        }
        self.printer.print_json(&NoAnswer {
            status: "accepted",
            case: case.to_string(),
            source,
        })
    }

    fn ended(&mut self, asked: &Asked, waited: Waited) -> Result<(), Failure> {
        let source = &asked.name();
        let Waited {
            case,
            record,
            words,
            ..
        } = waited;
        let Some(mut told) = record else {
            self.any_refused = true;
            if self.printer.is_text() {
                return self.put(&format!(
                    "{}  case {case} was dropped before it ran\n",
                    shown::name(source)
                ));
            }
            let answer = NoAnswer {
                status: "aborted",
                case: case.to_string(),
                source,
            };
            return self.bar.suspend(|| self.printer.print_json(&answer));
        };
        self.any_refused |= told.record.finding().is_none();
        if let Asked::Image { source, sha256 } = asked {
            if told.record.image != Some(*sha256) {
                let path = PathBuf::from(source);
                return Err(self.broken_off(ClientError::OtherImage { path, case }));
            }
            // The device calls an image by the place of its copy; here it has its own name.
            told.record = told.record.called(source);
        }
        if !self.printer.is_text() {
            return self.bar.suspend(|| self.printer.print_json(&told));
        }
        let Words { title, labels } = words.unwrap_or_default();
        let mut record = told.record;
        if let Outcome::Finding(finding) = &mut record.outcome {
            let label = |class: &str| labels.get(class).map(String::as_str);
            **finding = finding.as_ref().clone().labelled(label);
        }
        self.bar
            .suspend(|| self.printer.print(&record, Some(&title)))
    }

    fn unread(&mut self, source: &str, why: &NoFile) -> Result<(), Failure> {
        self.refused(
            source,
            Refused {
                code: why.code().word().to_owned(),
                message: why.to_string(),
                help: why.help().to_owned(),
                retry_ms: None,
                highest: None,
            },
        )
    }

    /// What became no case.
    fn refused(&mut self, source: &str, refused: Refused) -> Result<(), Failure> {
        if refused.code == "no_such_exam" {
            return Err(Failure::Usage(format!(
                "{}; {}",
                refused.message, refused.help
            )));
        }
        self.any_refused = true;
        if self.printer.is_text() {
            let Refused {
                code,
                message,
                help,
                ..
            } = refused;
            self.bar.suspend(|| {
                let source = shown::name(source);
                tell_error(&format!("{source}: {message} ({code})"), &help);
            });
            return Ok(());
        }
        let answer = NoCase {
            status: "refusal",
            case: None,
            source,
            code: refused.code,
            message: refused.message,
            help: refused.help,
        };
        self.bar.suspend(|| self.printer.print_json(&answer))
    }

    fn put(&self, text: &str) -> Result<(), Failure> {
        self.bar.suspend(|| put(text))
    }
}

/// A case without an answer, as programs are told it.
#[derive(Serialize)]
struct NoAnswer<'a> {
    status: &'static str,
    case: String,
    source: &'a str,
}

/// What became no case, as programs are told it.
#[derive(Serialize)]
struct NoCase<'a> {
    status: &'static str,
    case: Option<u64>,
    source: &'a str,
    code: String,
    message: String,
    #[serde(rename = "cure")]
    help: String,
}
