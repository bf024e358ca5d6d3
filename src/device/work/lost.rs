//! Why a worker is gone, and what that means for the case that it ran and for the self-test. Made
//! by whoever speaks to the worker ([`super::worker`]); starts and ends nothing itself.

use std::process::ExitStatus;
use std::time::Duration;

use crate::case::{Help, Refusal, RefusalCode};
use crate::device::cases::Conclusion;
use crate::journal::SelfCheck;

/// The check that a worker which cannot work fails.
pub(crate) const CHECK: &str = "worker";

/// Why a worker is gone.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// It took too long, and was ended.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// The device is switched off, and does not wait for it.
    #[error("the device is switched off")]
    Cut,
    /// It ended by itself, or something ended it.
    #[error("the process that runs cases ended: {0}")]
    Ended(ExitStatus),
    /// It could not be spoken to, and was ended.
    #[error("the process that runs cases cannot be spoken to: {0}")]
    Pipe(std::io::Error),
}

impl Lost {
    /// The same as what the self-test came to.
    pub fn check(&self) -> SelfCheck {
        let help = "look at the device's memory and temperature; it is tried again by itself";
        SelfCheck::failed(CHECK, CHECK, self.to_string(), help)
    }

    /// The case that it ran, refused.
    pub(crate) fn conclusion(&self) -> Conclusion {
        let code = match self {
            Self::Deadline(_) => RefusalCode::Deadline,
            _ => RefusalCode::DeviceFault,
        };
        Conclusion::refused(Refusal::new(code, self.to_string(), Help::SelfTest))
    }
}
