//! `medfocus serve`: runs a device until it is switched off. Reads options, starts the device of
//! the library, hands it signals and prints why it ended.

mod options;
mod signals;

use std::sync::Arc;

use clap::Args;
use medfocus::clock::Clock;
use medfocus::device::config::{self, Config};
use medfocus::device::{Device, DeviceError, Ended, Lifecycle, Setup};
use medfocus::sandbox;

use super::{Failure, put, state};
use options::Options;

#[derive(Debug, Args)]
#[command(after_help = "\
The console speaks SCPI: a command answers nothing, a query one line (HELP? lists them,
SYST:COMM:TALK ON has every line answered):
  EXAM brain4
  CASE:RUN? \"/images/slice.png\"  answers with the case's number
  CASE:STAT? 1                   waiting, running, finding, refusal or aborted
  CASE:RES? 1                    the answer; CASE:RES? 1,JSON for all of it

The device may be switched off at any time: what was accepted is answered after the
next start. `--serial -` talks on standard input and output.

With --config all of this stands in a file; --print-config prints one to begin with.

Examples:
  medfocus serve --serial /dev/ttyUSB0 --baud 115200
  medfocus serve --serial /dev/ttyAMA0 --display ssd1306:/dev/i2c-1 --language sw
  medfocus serve --serial - --display png:pictures
  medfocus serve --dicom-port 11112 --dicom-allow XRAY@10.0.0.7 --pacs ARCHIVE@10.0.0.5:104
  medfocus serve --folder /srv/incoming --results /srv/findings --hl7 10.0.0.6:2575
  medfocus serve --print-config > medfocus.toml
  medfocus serve --config medfocus.toml --check-config
  medfocus serve --config medfocus.toml")]
pub struct ServeArguments {
    #[command(flatten)]
    options: Options,
}

pub fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let options = &arguments.options;
    if options.print_config {
        return put(config::EXAMPLE);
    }
    let config = options.config()?;
    if options.check_config {
        let text = format!("nothing is wrong; its hash is {}\n", config.sha256());
        return put(&text);
    }
    if let Err(error) = sandbox::hide_memory() {
        log::warn!("the device's memory is not hidden: {error}");
    }
    let lifecycle = Arc::new(Lifecycle::watched(Clock::system()));
    let reload = Arc::default();
    signals::listen(&lifecycle, &reload).map_err(|error| Failure::Device {
        code: "signals",
        message: format!("signals cannot be taken: {error}"),
        help: "start the device again and report this",
    })?;
    let device = Device::start(setup(options, config, lifecycle)?)?;
    // It is set once: there is one device.
    let _ = reload.set(device.reloader());
    match device.wait()? {
        Ended::InputClosed(Some(device_fault)) => Err(device_fault.into()),
        _ => Ok(()),
    }
}

/// What the device is started from, as far as options and environment say.
fn setup(options: &Options, config: Config, lifecycle: Arc<Lifecycle>) -> Result<Setup, Failure> {
    let state = state::folder(config.device.state.as_deref())?;
    let socket = state::socket(config.socket.path.as_deref(), &state);
    let is_enabled = config.socket.enabled;
    let mut setup = Setup::new(config, state.clone(), super::program()?);
    setup.socket = is_enabled.then_some(socket);
    setup.lifecycle = lifecycle;
    let again = options.clone();
    setup.reread = Box::new(move || again.config().map_err(|error| error.to_string()));
    let noting = options.clone();
    setup.opened = Box::new(move || noting.note(&state));
    Ok(setup)
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::NoExam { .. } => Self::Usage(error.to_string()),
            error => Self::of(&error),
        }
    }
}
