//! `medfocus link`: talks to a device over a serial port: sends images and prints the answers, or
//! asks a line of its console. Works without any bundle.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use firmware_host::message::Step;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use medfocus::client::{
    Answer, Client, ClientError, Code, Conversation, Fetch, Log, Outcome, Requests, Status, Task,
    Watcher,
};
use medfocus::image::open::NoFile;
use medfocus::shown;

use super::{Failure, put, put_json, sources, tell};

#[derive(Debug, Args)]
#[command(after_help = "\
The device runs `medfocus serve --serial` at the other end of the line. A line that loses
bytes, is pulled or goes to a device that restarts only takes longer. With --log every
answer is on this computer's disk before the device forgets it. What the device says of itself
meanwhile, that it is in the safe state above all, goes to standard error.

Exit codes:
  0  every image was answered
  1  at least one was refused
  2  wrong usage
  3  no device answers
  4  the time of --timeout was over first; --fetch takes later what came after it

Examples:
  medfocus link /dev/ttyUSB0 chest.png --exam covid3
  medfocus link /dev/ttyUSB0 --fetch --log findings.ndjson
  medfocus link /dev/ttyUSB0 --console STAT? --console SYST:ERR?")]
pub struct LinkArguments {
    /// Serial port that the device is on
    port: String,
    /// Images to send and have answered, or folders of them
    images: Vec<PathBuf>,
    /// Exam to answer; where absent, the one that the image itself asks for
    #[arg(long, value_name = "NAME")]
    exam: Option<String>,
    /// Where to look, in the image's pixels
    #[arg(long, value_name = "X,Y,W,H", value_parser = region)]
    region: Option<[u32; 4]>,
    #[command(flatten)]
    patient: super::patient::PatientArguments,
    /// Take every answer that the device has and nobody took
    #[arg(long)]
    fetch: bool,
    /// Take answers as they come, until ended
    #[arg(long, conflicts_with = "fetch")]
    follow: bool,
    /// Say a console line, print the answer; may be given several times
    #[arg(long, value_name = "LINE")]
    console: Vec<String>,
    /// Append every answer that is taken to this file, once, as NDJSON
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How to print the answers
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Bits a second of the serial port
    #[arg(long, value_name = "N", default_value_t = 115_200, value_parser = clap::value_parser!(u32).range(300..=4_000_000))]
    baud: u32,
    /// Seconds that the device may be away
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    patience: u64,
    /// Seconds that all of it may take; where absent, answers are waited for without end
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people: a line an answer
    Text,
    /// One JSON object a line
    Ndjson,
}

pub fn run(arguments: &LinkArguments) -> Result<(), Failure> {
    let fetch = match (arguments.fetch, arguments.follow) {
        (_, true) => Fetch::Follow,
        (true, _) => Fetch::All,
        _ => Fetch::Own,
    };
    let files = sources::expand(&arguments.images);
    if files.is_empty() && fetch == Fetch::Own && arguments.console.is_empty() {
        let nothing = "nothing to do: name an image, --fetch, --follow or --console";
        return Err(Failure::Usage(nothing.to_owned()));
    }
    let log = arguments.log.as_deref().map(Log::open).transpose()?;
    let mut requests = Requests::draw();
    let (mut tasks, mut missing) = (Vec::new(), Vec::new());
    for file in &files {
        let request = requests.next_number();
        match Task::read(file, arguments.exam.as_deref(), arguments.region, request) {
            Ok(task) => tasks.push(task.of(arguments.patient.patient())),
            Err(why) => missing.push(unread(file, &why)),
        }
    }
    let patience = Duration::from_secs(arguments.patience);
    let mut client = Client::open(&arguments.port, arguments.baud, patience)?;
    let mut desk = Desk {
        format: arguments.format,
        log,
        bar: bar(!tasks.is_empty()),
        refused: false,
        reader_gone: false,
    };
    for answer in missing {
        desk.answer(answer)?;
    }
    let lines = arguments.console.clone();
    let identity = requests.identity();
    let total = arguments.timeout.map(Duration::from_secs);
    let ended = Conversation::new(&mut client, &mut desk, tasks, lines, fetch, identity)
        .within(total)
        .run();
    desk.bar.finish_and_clear();
    client.close();
    match ended {
        _ if desk.reader_gone => Err(Failure::ReaderGone),
        Err(error) => Err(error.into()),
        Ok(()) if desk.refused => Err(Failure::Refused),
        Ok(()) => Ok(()),
    }
}

/// An image that cannot be read here is refused, as `classify` refuses it; others are sent.
fn unread(file: &Path, why: &NoFile) -> Answer {
    let outcome = Outcome::Refusal {
        code: Code::Word(why.code().word().to_owned()),
        help: why.help().to_owned(),
        intended_use: None,
    };
    Answer::new(None, Some(file.display().to_string()), outcome)
}

pub fn region(text: &str) -> Result<[u32; 4], String> {
    let sides: Vec<u32> = text
        .split(',')
        .map(|side| side.trim().parse().map_err(|_| side))
        .collect::<Result<_, _>>()
        .map_err(|side| format!("'{side}' is not a whole number"))?;
    match sides[..] {
        [x, y, width, height] if width > 0 && height > 0 => Ok([x, y, width, height]),
        [_, _, _, _] => Err("width and height are at least 1".to_owned()),
        _ => Err("four numbers are needed: x,y,width,height".to_owned()),
    }
}

/// A bar on a terminal, nothing elsewhere.
fn bar(wanted: bool) -> ProgressBar {
    if !wanted {
        return ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}  {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Where the conversation is shown and kept.
struct Desk {
    format: Format,
    log: Option<Log>,
    bar: ProgressBar,
    refused: bool,
    reader_gone: bool,
}

impl Desk {
    /// The conversation's errors are of the line and of files; a pipe that ends is neither.
    fn put(&mut self, say: impl FnOnce() -> Result<(), Failure>) -> Result<(), ClientError> {
        let failed = |error| ClientError::File {
            path: PathBuf::from("standard output"),
            error,
        };
        match self.bar.suspend(say) {
            Ok(()) => Ok(()),
            Err(failure) => {
                self.reader_gone = matches!(failure, Failure::ReaderGone);
                Err(failed(std::io::ErrorKind::BrokenPipe.into()))
            }
        }
    }
}

impl Watcher for Desk {
    fn sent(&mut self, task: &Task, bytes: usize, of: usize) {
        self.bar.set_length(of as u64);
        self.bar.set_position(bytes as u64);
        self.bar.set_message(shown::name(task.path()).to_string());
    }

    fn progress(&mut self, task: &Task, step: Step) {
        let what = match step {
            Step::Waiting => "waiting".to_owned(),
            Step::Started => "started".to_owned(),
            Step::Stage { index, of } => format!("stage {} of {of}", index + 1),
        };
        self.bar
            .set_message(format!("{}: {what}", shown::name(task.path())));
    }

    fn answer(&mut self, answer: Answer) -> Result<(), ClientError> {
        // A request that was refused is no case, and nothing that a log could name.
        if let (Some(log), Some(_)) = (&mut self.log, &answer.case) {
            log.keep(&answer)?;
        }
        self.refused |= !matches!(answer.outcome, Outcome::Finding { .. });
        match self.format {
            Format::Ndjson => {
                // Texts, numbers and lists of them: there is nothing that JSON could not hold.
                let json = serde_json::to_string(&answer).unwrap_or_default();
                self.put(|| put_json(&(json + "\n")))
            }
            Format::Text => self.put(|| put(&format!("{}\n", line(&answer)))),
        }
    }

    fn status(&mut self, status: Status<'_>) {
        let line = match status {
            Status::Safe { code, help } => {
                format!("the device keeps its cases and answers none: {code}; {help}")
            }
            Status::Answers => "the device answers again".to_owned(),
            Status::Warns { codes, help } => format!("the device warns: {codes}; {help}"),
            Status::Well => "the device warns of nothing any more".to_owned(),
            _ => return,
        };
        self.bar.suspend(|| tell(&line));
    }

    fn console(&mut self, text: &str) -> Result<(), ClientError> {
        self.put(|| put(&format!("{}\n", shown::line(text))))
    }
}

/// One answer on one line, as `classify` has it. Its words are the device's.
fn line(answer: &Answer) -> String {
    let word = |text: &str| shown::name(text).to_string();
    let name = match (&answer.source, &answer.case) {
        (Some(source), Some(case)) => format!("{}  case {}", word(source), word(case)),
        (None, Some(case)) => format!("case {}", word(case)),
        (source, None) => word(source.as_deref().unwrap_or("-")),
    };
    match &answer.outcome {
        Outcome::Finding {
            exam,
            class,
            probabilities,
            triage_level,
            area_fraction,
            intended_use,
            ..
        } => {
            let probability = probabilities.iter().find(|(of, _)| of == class);
            format!(
                "{name}  {}  {} {:.3}  {}  region {:.1} %  [{}]",
                word(exam),
                word(class),
                probability.map_or(f64::NAN, |(_, p)| *p),
                word(triage_level),
                100.0 * area_fraction,
                word(intended_use),
            )
        }
        Outcome::Refusal { code, help, .. } => {
            format!(
                "{name}  refused  {}: {}",
                word(&code.to_string()),
                word(help)
            )
        }
        Outcome::Aborted => format!("{name}  aborted"),
    }
}
