//! A clinic's own labelled cases: gathered, embedded, remembered, and what a bundle becomes
//! with them.
//!
//! Nothing here changes a bundle in place or puts one in use: it makes a new version in a
//! folder, which the store then installs and can roll back. Of a case it keeps the hash of
//! its image, its class and its embeddings; never a pixel, a name or a path.

mod cases;
mod embeddings;
mod gather;
mod register;
mod version;

pub use cases::{Gathered, gather};
pub use embeddings::Embeddings;
pub use gather::{Labelled, from_csv, from_folders};
pub use register::Register;
pub use version::{Change, new_exam, next_version, write};

use std::path::{Path, PathBuf};

use crate::bundle::BundleError;
use crate::engine::EngineError;
use crate::self_test::SelfTestError;
use crate::triage::HeadError;

/// Why cases cannot be used, or no new version made of them.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// What was given as labelled cases is none.
    #[error("{}: {why}", path.display())]
    Source {
        /// The folder or the list.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// What was given as a new exam or its prototypes is none.
    #[error("{}: {why}", path.display())]
    NewExam {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Some classes have too few cases.
    #[error("too few cases: {}", few(lacking))]
    TooFew {
        /// Class, cases that there are, cases that are needed.
        lacking: Vec<(String, usize, usize)>,
    },
    /// The same image is named for two classes.
    #[error("{count} images are named for more than one class")]
    Conflict {
        /// How many.
        count: usize,
    },
    /// Cross-validation finds no head that is better.
    #[error("no gain: {why}")]
    NoGain {
        /// By which figure.
        why: String,
    },
    /// The bundle in use is signed and a new version would not be.
    #[error("bundle {name} is signed; the new version is not")]
    Unsigned {
        /// Its name and version.
        name: String,
    },
    /// A file of the device cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The new version does not reproduce its known answers.
    #[error(transparent)]
    SelfTest(#[from] SelfTestError),
    /// The head cannot be made.
    #[error("the head cannot be made: {0}")]
    Head(#[from] HeadError),
}

fn few(lacking: &[(String, usize, usize)]) -> String {
    let word = |(class, has, needed): &(String, usize, usize)| {
        format!("{class} has {has} of at least {needed}")
    };
    lacking.iter().map(word).collect::<Vec<_>>().join(", ")
}

impl EnrollError {
    /// Stable code for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source { .. } => "labelled_cases",
            Self::NewExam { .. } => "new_exam",
            Self::TooFew { .. } => "too_few_cases",
            Self::Conflict { .. } => "label_conflict",
            Self::NoGain { .. } => "no_gain",
            Self::Unsigned { .. } => "bundle_signed",
            Self::Io { .. } => "local_cases",
            Self::Bundle(error) => error.code(),
            Self::Engine(_) => "engine",
            Self::SelfTest(error) => error.code(),
            Self::Head(_) => "head",
        }
    }

    /// The way out.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Source { .. } => {
                "give a folder with one folder for each class, or a CSV file with file,label or \
                 case,label"
            }
            Self::NewExam { .. } => "write the exam as docs/local-cases.md shows",
            Self::TooFew { .. } => "label more cases of these classes",
            Self::Conflict { .. } => "leave one label for each image",
            Self::NoGain { .. } => {
                "label more cases, or calibrate the head as it is: medfocus calibrate"
            }
            Self::Unsigned { .. } => {
                "write it with --to DIR, sign it (medfocus bundle sign), install it (medfocus \
                 bundle install)"
            }
            Self::Io { .. } => "check the folder, the right to write and the space left",
            Self::Bundle(error) => error.help(),
            Self::Engine(_) => "run `medfocus bundle verify`; if it passes, report this",
            Self::SelfTest(error) => error.help(),
            Self::Head(_) => "report this with the message",
        }
    }

    fn io<E: Into<std::io::Error>>(path: &Path) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        |error| Self::Io {
            path,
            error: error.into(),
        }
    }
}
