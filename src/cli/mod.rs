//! Argument parsing and printing only; one file a subcommand.
//!
//! Exit codes: 0 all answered, 1 at least one refused, 2 wrong usage, 3 the device
//! cannot work (no usable bundle, the engine failed, an output cannot be written).

mod bundle;
mod classify;
mod sources;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use medfocus::bundle::BundleError;
use medfocus::engine::EngineError;

const AFTER: &str = "\
Exit codes:
  0  every image was answered
  1  at least one image was refused
  2  wrong usage
  3  the device cannot work: no usable bundle, or an output cannot be written

The starter bundle is a demonstration: never use its answers for care.";

/// Offline medical triage: an image in, a finding out
#[derive(Debug, Parser)]
#[command(name = "medfocus", version, after_help = AFTER, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer exams for images
    Classify(classify::Arguments),
    /// Verify or inspect a model bundle
    Bundle(bundle::Arguments),
}

/// What a command ends in, other than success.
enum Failure {
    /// At least one image was refused; everything has been said.
    Refused,
    /// The command line asks for something that cannot be.
    Usage(String),
    /// The device cannot work.
    Device {
        code: &'static str,
        message: String,
        cure: &'static str,
    },
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        Self::Device {
            code: error.code(),
            cure: error.cure(),
            message: error.to_string(),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let cure = "run `medfocus bundle verify`; if it passes, report this with the message";
        Self::Device {
            code: "engine",
            message: error.to_string(),
            cure,
        }
    }
}

impl Failure {
    fn write(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self::Device {
            code: "output",
            message: format!("{what}: cannot be written: {error}"),
            cure: "check the folder, the right to write and the space left",
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::new().filter("MEDFOCUS_LOG")).init();
    let result = match Arguments::parse().command {
        Command::Classify(arguments) => classify::run(&arguments),
        Command::Bundle(arguments) => bundle::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Refused) => ExitCode::from(1),
        Err(Failure::Usage(message)) => {
            eprintln!("error: {message}\n\nFor more information, try '--help'.");
            ExitCode::from(2)
        }
        Err(Failure::Device {
            code,
            message,
            cure,
        }) => {
            eprintln!("error: {message} ({code})\ncure: {cure}");
            ExitCode::from(3)
        }
    }
}
