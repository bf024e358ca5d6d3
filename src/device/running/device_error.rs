//! Why a device does not start, or ended by a fault of its own: a code, a message and help for
//! whoever started it.

use std::path::PathBuf;

use crate::bundle::BundleError;
use crate::journal::JournalError;

/// Why a device does not start, or ended by a fault of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// Nothing is known of what should answer.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The state folder cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The configuration names an exam that the bundle does not have.
    #[error("no exam '{name}'; there are {}", there.join(", "))]
    NoExam {
        /// What was named.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// The port for DICOM images cannot be opened.
    #[error("DICOM: {0}")]
    Dicom(std::io::Error),
    /// The control socket cannot be opened.
    #[error("{}: the control socket cannot be opened: {error}", path.display())]
    Socket {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A part of the device failed.
    #[error("a thread of the device failed")]
    Part,
    /// It ended, and a part of it does not.
    #[error("the device ended, and a part of it still waits for a disk, a share or a peer")]
    StillAtWork,
}

crate::coded::coded!(DeviceError);

impl DeviceError {
    /// A stable word for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bundle(error) => error.code(),
            Self::Journal(error) => error.code(),
            Self::NoExam { .. } => "no_such_exam",
            Self::Dicom(_) => "dicom",
            Self::Socket { .. } => "socket",
            Self::Part => "line",
            Self::StillAtWork => "still_at_work",
        }
    }

    /// What the user can do.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Bundle(error) => error.help(),
            Self::Journal(error) => error.help(),
            Self::NoExam { .. } => "name one of these",
            Self::Dicom(_) => {
                "name a port that is free with --dicom-port, above 1023 or with the right to it"
            }
            Self::Socket { .. } => {
                "name a short path in a folder that can be written, with --socket"
            }
            Self::Part => "start the device again and report this",
            Self::StillAtWork => {
                "wait before the state folder is opened again, or end this program first"
            }
        }
    }
}
