//! `medfocus run-cases`: the worker of a device. Not for people.

use std::path::PathBuf;

use clap::Args;
use medfocus::bundle::Trust;
use medfocus::device;

use super::Failure;

#[derive(Debug, Args)]
pub struct RunCasesArguments {
    /// Folder of the model bundle
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    #[command(flatten)]
    trust: super::trust::TrustArguments,
    /// File of the releases that the device has had
    #[arg(long, value_name = "FILE")]
    releases: Option<PathBuf>,
    #[command(flatten)]
    limits: super::limits::LimitArguments,
}

pub fn run(arguments: &RunCasesArguments) -> Result<(), Failure> {
    let trust = Trust {
        releases: arguments.releases.clone(),
        ..arguments.trust.trust()?
    };
    let settings = arguments.limits.settings();
    device::work_as_child(&arguments.bundle, &trust, &settings).map_err(|error| Failure::Device {
        code: "worker",
        message: format!("the device cannot be spoken to: {error}"),
        help: "nothing: the device starts another",
    })
}
