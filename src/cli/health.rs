//! `medfocus health`: whether a device is well, for scripts. Reads the state file that the device
//! writes, prints what it says and ends by an exit code. Works while the device hangs, as it asks
//! it nothing.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;
use medfocus::device::health::{Condition, Places, Snapshot};
use medfocus::shown;

use super::state::StateFolder;
use super::{Failure, put, put_json};

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  the device answers cases
  1  it does not: it starts, is in the safe state, cannot write or is being switched off
  3  there is no device on this state folder, or it stands still

Examples:
  medfocus health --state /var/lib/medfocus
  medfocus health --json | jq '.sinks[] | select(.owed > 0)'")]
pub struct HealthArguments {
    #[command(flatten)]
    state: StateFolder,
    /// The device's state file, where its configuration names one (health.file)
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print all of it, as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &HealthArguments) -> Result<(), Failure> {
    let state = arguments.state.enter()?;
    let read = match &arguments.file {
        Some(file) => Snapshot::read_file(file),
        None => Snapshot::read(&Places::of(&state, arguments.state.is_named())),
    };
    let snapshot = read.map_err(|why| nobody(format!("{}: {why}", shown::name(&state))))?;
    if arguments.json {
        let json = serde_json::to_string_pretty(&snapshot).unwrap_or_default();
        put_json(&format!("{json}\n"))?;
    } else {
        put(&text(&snapshot))?;
    }
    if snapshot.is_stale() {
        return Err(nobody(match snapshot.age() {
            Some(age) => {
                format!("what it wrote last is {age:.0} s old: it stands still or is gone")
            }
            None => "what it wrote last is of before the system started".to_owned(),
        }));
    }
    match snapshot.state {
        Condition::Ready => Ok(()),
        _ => Err(Failure::Refused),
    }
}

fn nobody(message: String) -> Failure {
    Failure::Device {
        code: "no_device",
        message,
        help: "name the device's state folder with --state, or start it and see its log",
    }
}

fn text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut line = |name: &str, what: String| {
        // Into memory. The file may be anybody's.
        let _ = writeln!(text, "{name:<12}{}", shown::line(&what));
    };
    line("state", snapshot.state.word().to_owned());
    if let Some(device_fault) = &snapshot.device_fault {
        line("trouble", device_fault.to_string());
        line("cure", device_fault.help.clone());
    }
    if !snapshot.warnings.is_empty() {
        line("warnings", snapshot.warnings.join(" "));
        for (code, help) in snapshot.cures() {
            line("cure", format!("{code}: {help}"));
        }
    }
    let bundle = &snapshot.bundle;
    line(
        "bundle",
        format!(
            "{} {} ({})",
            bundle.name,
            bundle.version,
            snapshot.intended_use.word()
        ),
    );
    let (queue, ends) = (&snapshot.queue, &snapshot.ends);
    line(
        "cases",
        format!(
            "{} wait, {}, {} answered; since the start {} findings, {} refusals",
            queue.waiting,
            queue.running_s.map_or_else(
                || "none runs".to_owned(),
                |seconds| format!("one runs for {seconds:.1} s")
            ),
            queue.answered,
            ends.findings,
            ends.refusals.values().sum::<u64>()
        ),
    );
    for sink in &snapshot.sinks {
        let delivery_error = sink.delivery_error.as_ref();
        line(
            "sink",
            format!(
                "{} owes {}{}{}{}",
                sink.name,
                sink.owed,
                delivery_error.map_or_else(String::new, |code| format!(" ({code})")),
                match sink.failed {
                    0 => String::new(),
                    failed => format!(", will never have {failed}"),
                },
                match &sink.without[..] {
                    [] => String::new(),
                    without => format!(", goes without {}", without.join(", ")),
                }
            ),
        );
    }
    if let Some(tested) = &snapshot.self_test {
        let passed = if tested.passed { "passed" } else { "failed" };
        line("self-test", format!("{passed}, {:.0}", tested.time));
    }
    if let Some(disk) = &snapshot.disk {
        let (free, kept) = (disk.free_bytes >> 20, disk.kept_bytes >> 20);
        line(
            "disk",
            format!("{free} MiB free, {kept} MiB of images kept"),
        );
    }
    if let Some(degrees) = snapshot.temperature_c {
        line("temperature", format!("{degrees:.0} °C"));
    }
    line(
        "device",
        format!(
            "{}, {}, up {} s",
            snapshot.device, snapshot.software, snapshot.uptime_s
        ),
    );
    if let Some(key) = &snapshot.device_key {
        line("key", key.fingerprint.clone());
    }
    text
}
