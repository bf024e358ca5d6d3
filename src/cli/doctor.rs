//! `medfocus doctor`: what stands in a device's way on this machine. For people who set a device
//! up: each check has a verdict and, where it failed, the way out. Changes nothing.

use std::path::{Path, PathBuf};

use clap::Args;
use medfocus::device::bundle_folder;
use medfocus::device::config::{Config, Problem};
use medfocus::device::doctor::{Facts, Subject, checks, verdict};
use medfocus::journal::{SelfCheck, Verdict};
use medfocus::shown;
use serde::Serialize;

use super::state::StateFolder;
use super::{Failure, put, put_pretty, state};

const CONFIG: &str = "config";

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  nothing is wrong
  1  something needs a person; a device can work
  2  wrong usage
  3  a device cannot work like this

Examples:
  medfocus doctor
  medfocus doctor --config /etc/medfocus.toml
  medfocus doctor --json | jq .facts.processor")]
pub struct DoctorArguments {
    /// The configuration that a device would run from, `medfocus.toml`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the bundle that it would answer with, instead of the configuration's
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    state: StateFolder,
    /// Print all of it, as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &DoctorArguments) -> Result<(), Failure> {
    let (mut config, mut all) = config(arguments.config.as_deref());
    if arguments.bundle.is_some() {
        config.bundle.folder.clone_from(&arguments.bundle);
    }
    let named = arguments
        .state
        .state
        .as_ref()
        .or(config.device.state.as_ref());
    let state = state::enter(named.map(PathBuf::as_path))?;
    let subject = Subject {
        config: &config,
        state: &state,
        bundle: bundle_folder(&config, &state),
        root: Path::new("/"),
    };
    let facts = Facts::of(&subject);
    all.extend(checks(&subject, &facts));
    let verdict = verdict(&all);
    if arguments.json {
        put_pretty(&Said {
            verdict,
            facts: &facts,
            checks: &all,
        })?;
    } else {
        put(&text(&facts, &all))?;
    }
    match verdict {
        Verdict::Passed => Ok(()),
        Verdict::Warned => Err(Failure::Refused),
        Verdict::Failed => Err(Failure::Unfit),
    }
}

/// What programs are told.
#[derive(Serialize)]
struct Said<'a> {
    verdict: Verdict,
    facts: &'a Facts,
    checks: &'a [SelfCheck],
}

/// The configuration as far as it can be read, and all that is wrong with it.
fn config(file: Option<&Path>) -> (Config, Vec<SelfCheck>) {
    let Some(file) = file else {
        return (Config::default(), Vec::new());
    };
    let (config, problems) = match Config::read(file) {
        Ok(config) => {
            let problems = config.conflicts();
            (config, problems)
        }
        Err(error) => (Config::default(), error.problems),
    };
    let name = file.display();
    if problems.is_empty() {
        let what = format!("{name}: nothing is wrong");
        return (config, vec![SelfCheck::passed(CONFIG, what)]);
    }
    let check = |problem: &Problem| {
        let line = problem
            .line
            .map_or_else(String::new, |line| format!("{line}: "));
        let what = format!("{name}:{line}{problem}");
        SelfCheck::failed(CONFIG, problem.wrong.code(), what, &problem.help)
    };
    (config, problems.iter().map(check).collect())
}

fn text(facts: &Facts, checks: &[SelfCheck]) -> String {
    let processor = &facts.processor;
    let mut text = format!(
        "{} on {}, {} cores, {}\n",
        facts.software,
        processor.architecture,
        processor.cores,
        processor.features.join(" ")
    );
    if let Some(bundle) = &facts.bundle {
        text += &format!(
            "bundle {}: {}, {}\n",
            shown::name(&bundle.folder),
            if bundle.is_prepared {
                "prepared for this processor"
            } else {
                "not prepared: starts take longer (medfocus bundle prepare)"
            },
            if bundle.is_signed {
                "signed"
            } else {
                "not signed"
            },
        );
    }
    if let Some(key) = &facts.device_key {
        text += &format!("device key {}\n", key.fingerprint);
    }
    for check in checks {
        let word = match check.verdict {
            Verdict::Passed => "ok",
            Verdict::Warned => "warning",
            Verdict::Failed => "WRONG",
        };
        text += &format!("{word:<9}{:<15}{}\n", check.name, shown::line(&check.what));
        if !check.help.is_empty() {
            text += &format!("{:24}cure: {}\n", "", shown::line(&check.help));
        }
    }
    text
}
