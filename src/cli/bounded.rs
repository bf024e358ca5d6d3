//! Where a command looks at a graph: one of anybody's in a child of this program, the same command
//! with bounds, which gives up what it does not need before it looks at what is in the file.
//!
//! The parent hands its arguments on, waits, and says what became of a child that did not come to its
//! end. It never looks at the file itself.

use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use clap::Args;
use medfocus::sandbox::{self, Begun};
use rustix::process::Signal;

use super::Failure;

/// The command that the child is started by. Not for people.
pub const SUBCOMMAND: &str = "bounded";

/// How often the parent looks whether the child has ended: soon at first, since most are quick.
const FIRST_TURN: Duration = Duration::from_millis(1);
const LAST_TURN: Duration = Duration::from_millis(50);

/// How much a graph of anybody's may take.
#[derive(Debug, Clone, Args)]
pub struct BoundArguments {
    /// Most MiB that an ONNX file by itself may take, loaded and run. Where absent, what the system
    /// has free
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(64..))]
    memory: Option<u32>,
    /// Most seconds that it may take
    #[arg(long, value_name = "S", default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Read an ONNX file in this process, without bounds: for profilers, and files of your own
    #[arg(long)]
    trusted: bool,
}

#[derive(Debug, Args)]
pub struct BoundedArguments {
    /// Bytes of memory; 0 means no bound
    memory: u64,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

impl BoundedArguments {
    /// Begins to give up what a graph of anybody's needs not.
    pub fn begin(&self) -> Place {
        let memory = Some(self.memory).filter(|bytes| *bytes > 0);
        Place::Child(sandbox::begin().bounded(memory))
    }

    /// The command line, as the parent was given it.
    pub fn command_line(&self) -> impl Iterator<Item = OsString> {
        std::iter::once("medfocus".into()).chain(self.command.iter().cloned())
    }
}

/// Where a command runs.
pub enum Place {
    /// In the process that was asked for.
    Own,
    /// In the child that has bounds, which is not confined yet.
    Child(Begun),
}

impl Place {
    /// Gives up what computing does not need, where this is a child: nothing is opened after this.
    pub fn confine(self) {
        let Self::Child(begun) = self else { return };
        for held in begun.worker(&[]).lacking() {
            log::info!("the graph is not confined in full: {}", held.what);
        }
    }

    /// Whether a child is to do it: a file of anybody's, and this is none.
    pub fn hands_on(&self, bounds: &BoundArguments, is_file: bool) -> bool {
        matches!(self, Self::Own) && is_file && !bounds.trusted
    }
}

/// Does what this process was asked for in a child with bounds.
///
/// # Errors
/// How it ended, where that was no success.
pub fn in_child(bounds: &BoundArguments) -> Result<(), Failure> {
    let memory = match bounds.memory {
        Some(mib) => Some(u64::from(mib) << 20),
        None => medfocus::engine::available_memory(),
    };
    let started = Command::new(super::program()?)
        .arg(SUBCOMMAND)
        .arg(memory.unwrap_or(0).to_string())
        .args(std::env::args_os().skip(1))
        .spawn();
    let child = started.map_err(|error| Failure::Device {
        code: "program",
        message: format!("no process to look at the graph in: {error}"),
        help: "check memory and processes of this machine, and try again",
    })?;
    match waited(child, Duration::from_secs(bounds.seconds.into())) {
        Some(status) => ended(status, memory),
        None => Err(Failure::Device {
            code: "bounds",
            message: format!("the graph took more than {} seconds", bounds.seconds),
            help: "use a smaller graph or shorter open axes, or allow more by --seconds",
        }),
    }
}

/// How a child ended; `None` where it was ended for its time.
fn waited(mut child: Child, most: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    let mut turn = FIRST_TURN;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if begun.elapsed() < most => std::thread::sleep(turn),
            _ => break,
        }
        turn = LAST_TURN.min(turn * 2);
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn ended(status: ExitStatus, memory: Option<u64>) -> Result<(), Failure> {
    let signal = match (status.code(), status.signal()) {
        (Some(0), _) => return Ok(()),
        (Some(code), _) => return Err(Failure::Child(u8::try_from(code).unwrap_or(3))),
        (None, signal) => signal.unwrap_or(0),
    };
    let is = |other: Signal| signal == other.as_raw();
    let (code, message, help) = if is(Signal::ABORT) || is(Signal::KILL) {
        let most = match memory {
            Some(bytes) => format!("the {} MiB that it may have", bytes >> 20),
            None => "what there is".to_owned(),
        };
        let message =
            format!("the graph asked for more memory than {most}, or made this program give up");
        let help = "use a smaller graph or shorter open axes, or allow more by --memory";
        ("bounds", message, help)
    } else if is(Signal::SYS) {
        let message = "the graph made this program try what no graph needs, and was ended";
        (
            "graph",
            message.to_owned(),
            "do not use this file; report it",
        )
    } else if is(Signal::INT) || is(Signal::TERM) || is(Signal::HUP) {
        return Err(Failure::Child(3));
    } else {
        let message = format!("the process that looked at the graph was ended by signal {signal}");
        (
            "graph",
            message,
            "do not use this file; report it with the message",
        )
    };
    Err(Failure::Device {
        code,
        message,
        help,
    })
}
