//! The self-test: whether this device may answer on this machine.
//!
//! Each check is one small function with a name. The checks that compute run in the worker
//! ([`of_worker`]), as cases do; the others look at the machine around it ([`Environment`]).
//! A check that fails puts the device in the safe state until a later self-test passes. A check
//! that warns is told and changes nothing.
//!
//! | check | looks at | may |
//! |---|---|---|
//! | `worker` | whether the worker starts and answers | fail |
//! | `bundle` | every file of the bundle, by its hash | fail |
//! | `bundle_key` | whether the key that signed the bundle ends within 60 days | warn |
//! | `kernel` | integer products against the scalar reference, to the bit | fail |
//! | `known_answers` | the whole method on the bundle's own images | fail |
//! | `journal` | the chain from the first entry on | fail where it cannot be read, else warn |
//! | `space` | room for the state folder | warn |
//! | `memory` | how much memory is free | warn |
//! | `temperature` | thermal zones, compared with their own limits | warn |
//! | `throttling` | what a Raspberry Pi's firmware says | warn |
//! | `ports`, `displays` | whether the configured ones are there | warn |
//! | `dicom` | an open port to which nobody else may send | warn |

mod attached;
mod compute;
pub(super) mod machine;

use std::path::{Path, PathBuf};

pub use attached::{DISPLAYS, PORTS};
pub use compute::{kernel, of_worker, useless};

use crate::device::device_fault::DeviceFault;
use crate::device::display::place::Place;
use crate::journal::{self, SelfCheck, Verdict};

/// What the self-test looks at beside the worker.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The state folder.
    pub state: PathBuf,
    /// The serial ports that were named.
    pub ports: Vec<PathBuf>,
    /// The displays that were named.
    pub displays: Vec<Place>,
    /// A port is open for DICOM images of others, and none of them may send.
    pub is_for_nobody: bool,
    /// Where `sys` and `dev` lie: `/`.
    pub root: PathBuf,
}

impl Environment {
    /// Looks at everything once.
    pub fn checks(&self) -> Vec<SelfCheck> {
        let mut checks = vec![
            chain(&self.state),
            machine::space(&self.state),
            machine::memory(),
            machine::temperature(&self.root),
            machine::throttling(&self.root),
            attached::ports(&self.ports),
            attached::displays(&self.root, &self.displays),
        ];
        checks.extend(self.is_for_nobody.then(for_nobody));
        checks
    }
}

/// The first check that says that no case may be answered.
pub fn failed(checks: &[SelfCheck]) -> Option<&SelfCheck> {
    let mut checks = checks.iter();
    checks.find(|check| check.verdict == Verdict::Failed)
}

impl From<&SelfCheck> for DeviceFault {
    fn from(failed: &SelfCheck) -> Self {
        let what = format!("{}: {}", failed.name, failed.what);
        Self::new(&failed.code, what, &failed.help)
    }
}

/// The check of who may send by DICOM.
pub const DICOM: &str = "dicom";

/// A port for DICOM images that nobody but this computer may send to: a configuration of
/// before an open one had to say so.
pub fn for_nobody() -> SelfCheck {
    let what = "nobody but this computer may send: dicom.allow is empty";
    let help = "name who may with dicom.allow, as TITLE@ADDRESS, or let anyone with dicom.open";
    SelfCheck::warned(DICOM, what, help)
}

/// The check of the journal.
pub const JOURNAL: &str = "journal";

fn chain(state: &Path) -> SelfCheck {
    const NAME: &str = JOURNAL;
    let report = match journal::verify(state, None, None) {
        Ok(report) => report,
        Err(error) => {
            let help = "check the card that the state folder lies on";
            return SelfCheck::failed(NAME, "state", error.to_string(), help);
        }
    };
    let what = report.words();
    let Some(code) = report.faults.iter().chain(&report.open).next() else {
        return SelfCheck::passed(NAME, what);
    };
    let help = match *code {
        "journal" => "keep a copy of the journal and change the card it lies on",
        _ => journal::CURE,
    };
    let warned = SelfCheck::warned(NAME, what, help);
    SelfCheck {
        code: (*code).to_owned(),
        ..warned
    }
}
