//! Why a request was not done, as a client is told: errors come in, [`Refused`] goes out.

use crate::control::{LONGEST_REQUEST, Refused, Reloaded};
use crate::device::case_error::CaseError;
use crate::device::cases::Cases;
use crate::device::config::Reload;

/// What was asked of the cases and not done.
pub(super) fn refused(error: CaseError) -> Refused {
    let retry = error.retry();
    Refused {
        code: error.code().to_owned(),
        message: error.to_string(),
        help: error.help().to_owned(),
        retry_ms: retry.and_then(|wait| u64::try_from(wait.as_millis()).ok()),
        highest: match error {
            CaseError::RequestReused { highest } => Some(highest),
            _ => None,
        },
    }
}

pub(super) fn no_exam(cases: &Cases, name: &str) -> Refused {
    let bundle = cases.bundle();
    let names: Vec<&str> = bundle.exams.iter().map(|exam| exam.name.as_str()).collect();
    Refused {
        code: "no_such_exam".to_owned(),
        message: format!("no exam '{name}'"),
        help: format!("name one of {}", names.join(", ")),
        retry_ms: None,
        highest: None,
    }
}

pub(super) fn not_understood(error: &serde_json::Error) -> Refused {
    wrong_request(&format!("not understood: {error}"))
}

pub(super) fn not_a_hash() -> Refused {
    wrong_request("sha256 is no SHA-256: 64 hexadecimal digits")
}

pub(super) fn too_long() -> Refused {
    wrong_request(&format!("longer than {LONGEST_REQUEST} bytes"))
}

pub(super) fn wrong_request(message: &str) -> Refused {
    Refused {
        code: "request".to_owned(),
        message: message.to_owned(),
        help: "docs/appliance.md has every request".to_owned(),
        retry_ms: None,
        highest: None,
    }
}

pub(super) fn reloaded(reload: &Reload) -> Result<Reloaded, Refused> {
    let changes = reload().map_err(not_reloaded)?;
    Ok(Reloaded {
        running: changes.running,
        at_next_start: changes.at_next_start,
    })
}

pub(super) fn not_reloaded(why: String) -> Refused {
    Refused {
        code: "not_reloaded".to_owned(),
        message: why,
        help: "mend the configuration where the message says, and ask again".to_owned(),
        retry_ms: None,
        highest: None,
    }
}
