//! Which cases an exam was trained on: hashes of images and their classes. Enrolling adds to
//! them; calibration must not use them again. Never a path or a name.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::EnrollError;
use super::embeddings::private;
use crate::files::Folder;

/// The folder in the state folder.
const FOLDER: &str = "enrolled";
/// Of hundreds of thousands of cases.
const LARGEST: u64 = 64 << 20;

/// The enrolled cases of one exam.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// The hash of an image, and its class.
    pub cases: BTreeMap<String, String>,
}

impl Register {
    /// The cases that a state folder knows of; none where none were enrolled.
    ///
    /// # Errors
    /// [`EnrollError::Io`]: it cannot be read.
    pub fn read(state: &Path, exam: &str) -> Result<Self, EnrollError> {
        let name = name(exam);
        let read = Folder::open(state).and_then(|state| state.folder(FOLDER)?.read(&name, LARGEST));
        let path = || state.join(FOLDER).join(&name);
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(Self::default()),
            Err(error) => return Err(EnrollError::io(&path())(error)),
        };
        serde_json::from_slice(&bytes).map_err(EnrollError::io(&path()))
    }

    /// Writes them; durable when this returns.
    ///
    /// # Errors
    /// [`EnrollError::Io`].
    pub fn write(&self, state: &Path, exam: &str) -> Result<(), EnrollError> {
        let (folder, name) = (private(state, FOLDER)?, name(exam));
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        folder
            .replace(&name, &bytes)
            .map_err(EnrollError::io(&folder.path_of(&name)))
    }
}

fn name(exam: &str) -> String {
    // What a manifest calls an exam is never a way out of the folder.
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = exam.chars().map(plain).collect();
    format!("{name}.json")
}
