//! Which cases an exam was trained on: hashes of images and their classes. Enrolling adds to
//! them; calibration must not use them again. Never a path or a name.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::EnrollError;
use super::embeddings::make_private;
use crate::files;

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
        let path = path(state, exam);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(EnrollError::io(&path)(error)),
        };
        let read = serde_json::from_slice(&bytes);
        read.map_err(EnrollError::io(&path))
    }

    /// Writes them; durable when this returns.
    ///
    /// # Errors
    /// [`EnrollError::Io`].
    pub fn write(&self, state: &Path, exam: &str) -> Result<(), EnrollError> {
        let path = path(state, exam);
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        let folder = path.parent().unwrap_or(state);
        make_private(folder)
            .and_then(|()| Ok(files::replace(&path, &bytes)?))
            .map_err(EnrollError::io(&path))
    }
}

fn path(state: &Path, exam: &str) -> PathBuf {
    // What a manifest calls an exam is never a way out of the folder.
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = exam.chars().map(plain).collect();
    state.join("enrolled").join(format!("{name}.json"))
}
