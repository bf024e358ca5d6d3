//! Argument parsing and printing only; one file a subcommand.
//!
//! Exit codes: 0 all answered, 1 at least one refused, 2 wrong usage, 3 the device
//! cannot work (no usable bundle, the engine failed, nobody answers on the line, an output
//! cannot be written), 4 the total time of `submit` or `link` was over first.

mod bench;
mod bounded;
mod bundle;
mod calibrate;
mod classify;
mod decode_image;
mod doctor;
mod drift;
mod engine;
mod enroll;
mod health;
mod journal;
mod limits;
mod link;
mod local;
mod logging;
mod manual;
mod out;
mod outputs;
mod owner;
mod patient;
mod printer;
mod run_cases;
mod serve;
mod sources;
mod state;
mod submit;
mod trust;
mod trust_policy;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bounded::Place;
use clap::{Parser, Subcommand};
use medfocus::Coded;
use medfocus::bundle::{Bundle, BundleError, Exam};
use medfocus::client::ClientError;
use medfocus::device::config::ConfigError;
use medfocus::device::{self, DeviceFault};
use medfocus::device_key::KeyError;
use medfocus::engine::EngineError;
use medfocus::files::FileError;
use medfocus::image;
use medfocus::journal::JournalError;
use medfocus::self_test::SelfTestError;
use medfocus::shown;
use out::{put, put_json, put_pretty, tell, tell_error, tell_lines};

const AFTER: &str = "\
Exit codes:
  0  every image was answered
  1  at least one image was refused
  2  wrong usage
  3  the device cannot work: no usable bundle, no answer, or an output cannot be written

The starter bundle is a demonstration: never use its answers for care.";

/// Offline medical triage: an image in, a finding out
#[derive(Debug, Parser)]
#[command(name = "medfocus", version, after_help = AFTER, max_term_width = 100)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer exams for images
    Classify(classify::ClassifyArguments),
    /// Talk to a device over a serial port: send images, take answers
    Link(link::LinkArguments),
    /// Give images to the device that runs on this computer
    Submit(submit::SubmitArguments),
    /// Be the device: answer images that come by line, folder, DICOM or submit
    Serve(Box<serve::ServeArguments>),
    /// Say what stands in a device's way on this machine
    Doctor(doctor::DoctorArguments),
    /// Say whether the device is well, for scripts
    Health(health::HealthArguments),
    /// Show what the device did, verify its journal, run a case again
    Journal(journal::JournalArguments),
    /// Add a clinic's own labelled cases to an exam and train its head
    Enroll(enroll::EnrollArguments),
    /// Make an exam's probabilities and thresholds hold on a clinic's own cases
    Calibrate(calibrate::CalibrateArguments),
    /// Say whether an exam's answers have moved since it was calibrated
    Drift(drift::DriftArguments),
    /// Verify, prepare or inspect a model bundle
    Bundle(bundle::BundleArguments),
    /// Show what the int8 engine does with a bundle
    Engine(engine::EngineArguments),
    /// Time a bundle's graphs, operator by operator
    Bench(bench::BenchArguments),
    /// Write the manual pages
    Man(manual::ManArguments),
    /// Write the completions of a shell to standard output
    Completions(manual::CompletionArguments),
    /// Decode standard input within bounds; started by medfocus itself
    #[command(hide = true)]
    DecodeImage(decode_image::DecodeImageArguments),
    /// Run the cases of a device; started by medfocus itself
    #[command(hide = true, name = device::WORKER)]
    RunCases(run_cases::RunCasesArguments),
    /// Look at a graph of anybody's within bounds; started by medfocus itself
    #[command(hide = true, name = bounded::SUBCOMMAND)]
    Bounded(bounded::BoundedArguments),
}

/// What a command ends in, other than success.
enum Failure {
    /// At least one image was refused; everything has been said.
    Refused,
    /// The device could not work; everything has been said.
    Unfit,
    /// Who read the output has gone, as `head` goes: nobody is left to tell.
    ReaderGone,
    /// The command line asks for something that cannot be.
    Usage(String),
    /// The configuration asks for what cannot be.
    Config(ConfigError),
    /// The device cannot work.
    Device {
        code: &'static str,
        message: String,
        help: &'static str,
    },
    /// The same, told by a device.
    DeviceFault(DeviceFault),
    /// A child of this program ended so; it has said everything.
    Child(u8),
    /// What was asked for is refused, with its own exit code.
    Declined { device_fault: DeviceFault, exit: u8 },
}

impl From<DeviceFault> for Failure {
    fn from(device_fault: DeviceFault) -> Self {
        Self::DeviceFault(device_fault)
    }
}

/// Errors that have a code and the way out.
macro_rules! failures {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::of(&error)
            }
        })*
    };
}

failures!(
    BundleError,
    EngineError,
    JournalError,
    KeyError,
    SelfTestError
);

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// The exit code of a command whose total time was over before all was done.
const TIME_IS_UP: u8 = 4;

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::TimeIsUp { .. } => Self::Declined {
                device_fault: DeviceFault::of(&error),
                exit: TIME_IS_UP,
            },
            error => Self::of(&error),
        }
    }
}

impl Failure {
    fn of(error: &(impl Coded + Display)) -> Self {
        Self::DeviceFault(DeviceFault::of(error))
    }

    /// Why the device cannot work, where it is that.
    fn device_fault(&self) -> Option<DeviceFault> {
        match self {
            Self::Refused
            | Self::Unfit
            | Self::ReaderGone
            | Self::Usage(_)
            | Self::Config(_)
            | Self::Child(_) => None,
            Self::Device {
                code,
                message,
                help,
            } => Some(DeviceFault::new(code, message, help)),
            Self::DeviceFault(device_fault) | Self::Declined { device_fault, .. } => {
                Some(device_fault.clone())
            }
        }
    }

    /// The same, of another folder: of where a copy was made from.
    fn about(self, folder: &Path, instead: &Path) -> Self {
        let [from, to] = [folder, instead].map(|path| shown::name(path).to_string());
        match self {
            Self::Device {
                code,
                message,
                help,
            } => Self::Device {
                code,
                message: message.replace(&from, &to),
                help,
            },
            Self::DeviceFault(mut device_fault) => {
                device_fault.what = device_fault.what.replace(&from, &to);
                Self::DeviceFault(device_fault)
            }
            other => other,
        }
    }

    /// The same of a graph that is of no bundle.
    fn of_anybodys_graph(self) -> Self {
        match self {
            Self::DeviceFault(mut device_fault) if device_fault.code == "engine" => {
                "export the graph another way (docs/graphs.md says what runs), or report this"
                    .clone_into(&mut device_fault.help);
                Self::DeviceFault(device_fault)
            }
            other => other,
        }
    }

    fn write_file(error: &FileError) -> Self {
        Self::Device {
            code: "output",
            message: format!(
                "{}: cannot be written: {}",
                shown::name(&error.path),
                error.cause
            ),
            help: error.help(),
        }
    }

    fn write(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self::Device {
            code: "output",
            message: format!("{what}: cannot be written: {error}"),
            help: "check the folder, the right to write and the space left",
        }
    }
}

/// The bundle's exam of this name.
fn exam<'a>(bundle: &'a Bundle, name: &str) -> Result<&'a Exam, Failure> {
    let names = bundle.exams.iter().map(|exam| &exam.spec.name);
    bundle.exam(name).ok_or_else(|| no_exam(name, names))
}

fn no_exam<'a>(name: &str, names: impl Iterator<Item = &'a String>) -> Failure {
    let names: Vec<&str> = names.map(String::as_str).collect();
    Failure::Usage(format!("no exam '{name}'; there are {}", names.join(", ")))
}

/// This program's own file.
fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|error| Failure::Device {
        code: "program",
        message: format!("this program's own file is not found: {error}"),
        help: "install the program again",
    })
}

/// Runs the program.
pub fn main() -> ExitCode {
    let command = match CommandLine::try_parse().and_then(bounded_or_not) {
        Ok(command) => command,
        Err(error) => return unparsed(&error),
    };
    let (command, place) = command;
    let is_bounded = matches!(place, Place::Child(_));
    if matches!(command, Command::Serve(_) | Command::RunCases(_)) {
        logging::start_of_device();
    } else {
        logging::start();
    }
    // A child decodes; whoever reads files starts such children.
    let decodes = matches!(
        command,
        Command::Classify(_)
            | Command::Serve(_)
            | Command::RunCases(_)
            | Command::Doctor(_)
            | Command::Journal(_)
            | Command::Enroll(_)
            | Command::Calibrate(_)
    );
    let isolated = match program() {
        _ if !decodes => Ok(()),
        program => program.map(|program| image::isolate(&program)),
    };
    let result = isolated.and_then(|()| match command {
        Command::Classify(arguments) => classify::run(&arguments),
        Command::Link(arguments) => link::run(&arguments),
        Command::Submit(arguments) => submit::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        Command::Journal(arguments) => journal::run(&arguments),
        Command::Enroll(arguments) => enroll::run(&arguments),
        Command::Calibrate(arguments) => calibrate::run(&arguments),
        Command::Drift(arguments) => drift::run(&arguments),
        Command::Bundle(arguments) => bundle::run(&arguments),
        Command::Engine(arguments) => engine::run(&arguments, place),
        Command::Bench(arguments) => bench::run(&arguments, place),
        Command::Man(arguments) => manual::man(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::DecodeImage(arguments) => decode_image::run(&arguments),
        Command::RunCases(arguments) => run_cases::run(&arguments),
        // It was taken apart above; what stands in it may not be another.
        Command::Bounded(_) => Err(Failure::Usage("bounds within bounds".to_owned())),
    });
    let result = result.map_err(|failure| match is_bounded {
        true => failure.of_anybodys_graph(),
        false => failure,
    });
    match result {
        Ok(()) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Err(Failure::Refused) => ExitCode::from(1),
        Err(Failure::Child(code)) => ExitCode::from(code),
        Err(Failure::Usage(message)) => {
            tell(&format!("error: {message}"));
            tell_lines("\nFor more information, try '--help'.");
            ExitCode::from(2)
        }
        Err(Failure::Config(error)) => {
            tell_lines(&error.to_string());
            ExitCode::from(2)
        }
        Err(failure) => {
            if let Some(device_fault) = failure.device_fault() {
                tell_error(&device_fault, &device_fault.help);
            }
            match failure {
                Failure::Declined { exit, .. } => ExitCode::from(exit),
                _ => ExitCode::from(3),
            }
        }
    }
}

/// The command, and where it runs: within bounds, where this process is the child that has them.
fn bounded_or_not(line: CommandLine) -> Result<(Command, Place), clap::Error> {
    let Command::Bounded(bounded) = line.command else {
        return Ok((line.command, Place::Own));
    };
    let place = bounded.begin();
    let own = CommandLine::try_parse_from(bounded.command_line())?;
    Ok((own.command, place))
}

/// Says what is wrong with the command line, or gives the help that it asks for. `clap`
/// repeats arguments as they are, and a shell puts names of files among them.
fn unparsed(error: &clap::Error) -> ExitCode {
    let foreign = std::env::args_os().skip(1).filter_map(|argument| {
        let (said, shown) = (
            argument.to_string_lossy(),
            shown::name(&argument).to_string(),
        );
        (said != shown).then(|| (said.into_owned(), shown))
    });
    let foreign: Vec<(String, String)> = foreign.collect();
    if foreign.is_empty() {
        // With its colours, and to standard output where it is help.
        let _ = error.print();
    } else {
        let all = error.render().to_string();
        let said = foreign
            .iter()
            .fold(all, |text, (said, shown)| text.replace(said, shown));
        tell_lines(said.trim_end());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// How a device that runs is told of another bundle.
const TELL: &str = "a device that runs takes it up on SIGHUP: systemctl reload medfocus";
