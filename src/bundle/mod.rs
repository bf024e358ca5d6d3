//! One model bundle. In goes a folder, out come its graphs, heads and exams, ready to run, or an
//! error that names the file and the way out. Called by the command line, the device's worker, the
//! self-test and enrolment.
//!
//! A bundle is used whole or not at all: every file is hashed before anything in it is believed.
//! This module runs no graph and never changes a bundle in place.

mod contents;
mod find;
mod known;
mod limits;
mod load;
mod manifest;
mod names;
mod outline;
mod prepare;
mod provenance;
mod sign;
mod store;
mod trust;
mod verify;

pub use find::find;
pub use known::{KnownAnswer, KnownAnswers, KnownImage, Tolerance};
pub use load::{Bundle, Exam};
pub use manifest::{Class, Encoder, ExamSpec, Manifest, Segmenter};
pub use outline::{ExamOutline, Outline, outline};
pub use prepare::{
    folder_beside as prepared_folder, graph, graph_files, is_prepared, make_prepared_key, prepare,
    prepared_key,
};
pub use provenance::{Calibrated, Enrolled};
pub use sign::{SignError, make_key, sign};
pub use store::{Source, Store, Verified};
pub use trust::{
    AllTheSame, ClockBack, Key, Older, Release, SIGNATURE, Signed, Trust, clock_is_set,
};
pub use verify::{Checked, Rehashed, judge, rehash, verify, verify_trusted};

use std::path::PathBuf;

use crate::engine::EngineError;
use crate::files::Kind;
use crate::triage::HeadError;

/// Name of the manifest within a bundle.
pub const MANIFEST: &str = "bundle.toml";

/// Why a bundle cannot be used. The device cannot work without one.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// No bundle at any of the usual places.
    #[error("no starter bundle found; looked in {}", places.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    NotFound {
        /// Where it was looked for.
        places: Vec<PathBuf>,
    },
    /// A file cannot be read.
    #[error("{}: cannot be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The manifest does not say what a manifest must say.
    #[error("{}: {why}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong, with its line where that is known.
        why: String,
    },
    /// A file is not the one that the manifest was made for.
    #[error("{}: SHA-256 is {found}; expected {expected}", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// Hash of what is there.
        found: String,
        /// Hash in the manifest.
        expected: String,
    },
    /// A file lies in the bundle that the manifest does not name.
    #[error("{}: is not named in the manifest", path.display())]
    Unlisted {
        /// The file.
        path: PathBuf,
    },
    /// Something in the bundle is no regular file.
    #[error("{}: is {kind}; a bundle consists of regular files", path.display())]
    NoFile {
        /// What is none.
        path: PathBuf,
        /// What it is instead.
        kind: Kind,
    },
    /// A file, or all of them, are larger or more than any bundle's.
    #[error("{}: {what}", path.display())]
    TooLarge {
        /// The file, or the folder.
        path: PathBuf,
        /// What there is, and what is the most.
        what: String,
    },
    /// There is no signature where one is required.
    #[error("{}: is missing; a signature is required here", path.display())]
    Unsigned {
        /// The signature's file.
        path: PathBuf,
    },
    /// The signature is not a trusted maker's, or not this manifest's.
    #[error("{}: {why}", path.display())]
    Signature {
        /// The signature's file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The bundle, or its key, is trusted no longer.
    #[error("{}: was revoked: {why}", path.display())]
    Revoked {
        /// The bundle's folder.
        path: PathBuf,
        /// What stands in which list.
        why: String,
    },
    /// The list of what is trusted no longer cannot be believed.
    #[error("{}: {why}", path.display())]
    RevokedList {
        /// The list.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The bundle is older than what the device has had.
    #[error("{}: is release {release}, and the device has had release {highest}", path.display())]
    Older {
        /// The bundle's folder.
        path: PathBuf,
        /// Its release.
        release: u64,
        /// The highest.
        highest: u64,
    },
    /// By the clock the key is good, and the device has seen a later time, at which it is not.
    #[error("{}: was made with key {key}, which is trusted until {until}: this device has seen \
             {seen:.0}, and its clock shows {now:.0}", path.display())]
    SeenLater {
        /// The signature.
        path: PathBuf,
        /// The key's number.
        key: String,
        /// Its last day.
        until: jiff::civil::Date,
        /// When a bundle was put in use last, by the clock of then.
        seen: jiff::Timestamp,
        /// What the clock shows now.
        now: jiff::Timestamp,
    },
    /// Nothing was in use before.
    #[error("no bundle was in use before")]
    NoneBefore,
    /// What the device has had cannot be read.
    #[error("{}: {why}", path.display())]
    Releases {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A prepared graph cannot be written.
    #[error("{}: cannot be written: {error}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A graph does not fit its place.
    #[error("{}: {error}", path.display())]
    Graph {
        /// The graph.
        path: PathBuf,
        /// What the engine said.
        error: Box<EngineError>,
    },
    /// The known answers cannot be read.
    #[error("{}: {why}", path.display())]
    Known {
        /// The file of the known answers, or one of their images.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A head does not fit its exam.
    #[error("{}: {error}", path.display())]
    Head {
        /// The head.
        path: PathBuf,
        /// What is wrong.
        error: HeadError,
    },
    /// A guard, or the gate's models of layouts, are damaged.
    #[error("{}: {why}", path.display())]
    Guard {
        /// Its file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

crate::coded::coded!(BundleError);

impl BundleError {
    /// Stable code for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::NoneBefore => "bundle_not_found",
            Self::Unreadable { .. } => "bundle_unreadable",
            Self::Manifest { .. } => "bundle_manifest",
            Self::Hash { .. } => "bundle_hash",
            Self::Unlisted { .. } => "bundle_unlisted",
            Self::NoFile { .. } => "bundle_no_file",
            Self::TooLarge { .. } => "bundle_too_large",
            Self::Unsigned { .. } => "bundle_unsigned",
            Self::Signature { .. } | Self::SeenLater { .. } => "bundle_signature",
            Self::Revoked { .. } => "bundle_revoked",
            Self::RevokedList { .. } => "revoked_list",
            Self::Older { .. } => "bundle_older",
            Self::Releases { .. } => "bundle_releases",
            Self::Unwritable { .. } => "bundle_unwritable",
            Self::Graph { error, .. } if of_this_machine(error) => error.code(),
            Self::Graph { .. } => "bundle_graph",
            Self::Known { .. } => "bundle_known_answers",
            Self::Head { .. } => "bundle_head",
            Self::Guard { .. } => "bundle_guard",
        }
    }

    /// The way out.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NoneBefore => "install one: medfocus bundle install DIR",
            Self::NotFound { .. } => "name a bundle with --bundle DIR",
            Self::Unreadable { path, .. } if path.ends_with(MANIFEST) => {
                "give the folder that holds bundle.toml, or copy the bundle again from its source"
            }
            Self::Unreadable { .. } | Self::Hash { .. } => "copy the bundle again from its source",
            Self::Unsigned { .. } | Self::Signature { .. } => {
                "get the bundle from its maker, signed, or add its maker's public key to the trusted ones"
            }
            Self::SeenLater { .. } => {
                "set the clock; where it is right, and was ahead once: medfocus bundle install DIR --clock-is-right"
            }
            Self::NoFile { .. } => {
                "copy the files themselves, without links, from the bundle's source"
            }
            Self::TooLarge { .. } => "use a bundle of its maker's: this is none",
            Self::Revoked { .. } => "get a newer bundle from its maker; do not use this one",
            Self::RevokedList { .. } => {
                "put the list back as its maker gives it, owned by root and written by nobody else"
            }
            Self::Older { .. } => {
                "install a newer one; to go back all the same: medfocus bundle install DIR --allow-older"
            }
            Self::Releases { .. } => {
                "install the bundle again: medfocus bundle install DIR --allow-older"
            }
            Self::Manifest { .. } => "use a bundle made for this version of medfocus",
            Self::Unwritable { .. } => "check the folder, the right to write and the space left",
            Self::Unlisted { .. } => "remove the file, or make the bundle again with it",
            Self::Graph { error, .. } if of_this_machine(error) => error.help(),
            Self::Graph { .. } | Self::Head { .. } | Self::Guard { .. } | Self::Known { .. } => {
                "make the bundle again with its own script"
            }
        }
    }
}

/// Whether this machine is the reason, and not the graph.
fn of_this_machine(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Kernel { .. } | EngineError::Budget { .. }
    )
}
