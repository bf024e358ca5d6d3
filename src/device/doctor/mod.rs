//! What an integrator must know of the machine: what it has ([`Facts`]), and what on it would
//! hinder a device ([`SelfCheck`]). It only looks; the one file that it writes in the state folder
//! it removes again.

mod attached;
mod bundles;
mod cpu;
mod dicom;
mod folders;
mod sandbox;
mod state;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

pub use attached::Attached;
pub use cpu::Processor;

use crate::bundle::{self, BundleError, Store};
use crate::case::SOFTWARE;
use crate::device::config::Config;
use crate::device::self_test::{self, machine};
use crate::device_key::{KeyFacts, PublicKey};
use crate::engine::{self, Engine};
use crate::files::Folder;
use crate::journal::{SelfCheck, Verdict};
use crate::storage::Disk;

/// What is examined.
#[derive(Debug)]
pub struct Subject<'a> {
    /// What the device would run from.
    pub config: &'a Config,
    /// The state folder.
    pub state: &'a Path,
    /// Folder of the bundle that would answer.
    pub bundle: Result<PathBuf, BundleError>,
    /// Where `dev`, `proc` and `sys` lie: `/`.
    pub root: &'a Path,
}

/// What there is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// Name and version of the program.
    pub software: &'static str,
    /// The processor, and what of it is used.
    pub processor: Processor,
    /// Bytes of memory that can be had; `None` where the system does not say.
    pub memory_bytes: Option<u64>,
    /// Of the hottest part that the system tells of.
    pub temperature_c: Option<f64>,
    /// The serial ports and what displays hang on.
    pub attached: Attached,
    /// The state folder.
    pub state: PathBuf,
    /// The device's key; `None` where no device was started on the state folder.
    pub device_key: Option<KeyFacts>,
    /// The bundle that would answer; `None` where there is none.
    pub bundle: Option<Answering>,
}

/// A bundle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answering {
    /// Its folder.
    pub folder: PathBuf,
    /// Whether its graphs are packed for this processor, so that starts are quick.
    pub is_prepared: bool,
    /// Whether it carries a signature; whose is the check's business.
    pub is_signed: bool,
}

impl Facts {
    /// Looks what there is.
    pub fn of(subject: &Subject<'_>) -> Self {
        let folder = subject.bundle.as_ref().ok();
        let key = bundle::prepared_key(subject.state);
        Self {
            software: SOFTWARE,
            processor: Processor::here(),
            memory_bytes: engine::available_memory(),
            temperature_c: machine::hottest(subject.root),
            attached: Attached::to(subject.root),
            state: subject.state.to_owned(),
            device_key: device_key(subject.state),
            bundle: folder.map(|folder| Answering {
                folder: folder.clone(),
                is_prepared: bundle::is_prepared(folder, key.as_ref(), &Engine::default()),
                is_signed: folder.join(bundle::SIGNATURE).is_file(),
            }),
        }
    }
}

fn device_key(state: &Path) -> Option<KeyFacts> {
    let state = Disk::of(Folder::open(state).ok()?);
    Some(PublicKey::of(&state).ok()??.into())
}

/// What is wrong, and what is well.
pub fn checks(subject: &Subject<'_>, facts: &Facts) -> Vec<SelfCheck> {
    let mut checks = vec![cpu::kernel(&facts.processor), cpu::arithmetic()];
    checks.extend(cpu::threads(
        subject.config.device.threads,
        &facts.processor,
    ));
    checks.push(files(subject));
    checks.extend(bundles::folder(
        subject.state,
        subject.bundle.as_deref().ok(),
    ));
    checks.extend(sandbox::checks());
    checks.push(state::folder(subject.state));
    checks.extend(state::at_work(subject.state));
    checks.push(clock(Timestamp::now(), Store::of(subject.state).seen()));
    checks.extend(environment(subject));
    checks.extend(folders::watched(&subject.config.folder));
    checks.extend(dicom::peers(&subject.config.dicom));
    checks.extend(facts.attached.rights());
    checks
}

/// What the self-test would look at beside the worker, as far as it is there.
fn environment(subject: &Subject<'_>) -> Vec<SelfCheck> {
    let nearest = state::nearest(subject.state);
    let environment = subject.config.environment(nearest, subject.root);
    // A device that was started has a key, and had a journal.
    let has_journal = subject.state.join(crate::journal::FILE).is_file()
        || subject.state.join(crate::device_key::PUBLIC_FILE).is_file();
    let mut checks = environment.checks();
    checks.retain(|check| match check.name.as_str() {
        self_test::JOURNAL => has_journal,
        self_test::PORTS => !environment.ports.is_empty(),
        self_test::DISPLAYS => !environment.displays.is_empty(),
        // Looked at more closely here.
        self_test::DICOM => false,
        _ => true,
    });
    checks
}

/// The worst of all.
pub fn verdict(checks: &[SelfCheck]) -> Verdict {
    let has = |verdict| checks.iter().any(|check| check.verdict == verdict);
    [Verdict::Failed, Verdict::Warned]
        .into_iter()
        .find(|verdict| has(*verdict))
        .unwrap_or(Verdict::Passed)
}

fn files(subject: &Subject<'_>) -> SelfCheck {
    let trust = subject.config.bundle.trust(&Store::of(subject.state));
    let rehashed = match &subject.bundle {
        Ok(folder) => bundle::rehash(folder, &trust).map(|found| (folder, found)),
        Err(error) => return self_test::useless(error),
    };
    match rehashed {
        Ok((folder, found)) => {
            let what = format!("{}: {} files are whole", folder.display(), found.files);
            SelfCheck::passed("bundle", what)
        }
        Err(error) => self_test::useless(&error),
    }
}

fn clock(now: Timestamp, seen: Option<Timestamp>) -> SelfCheck {
    const NAME: &str = "clock";
    let is_set = bundle::clock_is_set(now);
    let what = format!("it shows {now:.0}");
    if let Some(seen) = seen.filter(|seen| *seen > now) {
        let what = format!("{what}, and this device has seen {seen:.0}");
        let help = "set it; where it is right: medfocus bundle install DIR --clock-is-right";
        return SelfCheck::warned(NAME, what, help);
    }
    if is_set {
        SelfCheck::passed(NAME, what)
    } else {
        let help = "set it, or give the board a battery: order is kept all the same, times are not";
        SelfCheck::warned(NAME, what, help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_is_told() {
        let at = |time: &str| clock(time.parse().unwrap(), None).verdict;
        assert_eq!(at("1970-01-01T00:00:05Z"), Verdict::Warned);
        assert_eq!(at("2026-11-26T00:00:00Z"), Verdict::Passed);
        let behind = clock(
            "2026-11-26T00:00:00Z".parse().unwrap(),
            "2046-01-01T00:00:00Z".parse().ok(),
        );
        assert_eq!(behind.verdict, Verdict::Warned);
    }

    #[test]
    fn the_worst_check_counts() {
        let passed = SelfCheck::passed("a", "");
        let warned = SelfCheck::warned("b", "", "");
        let failed = SelfCheck::failed("c", "c", "", "");
        assert_eq!(verdict(&[]), Verdict::Passed);
        assert_eq!(verdict(&[passed.clone(), warned.clone()]), Verdict::Warned);
        assert_eq!(verdict(&[passed, failed, warned]), Verdict::Failed);
    }
}
