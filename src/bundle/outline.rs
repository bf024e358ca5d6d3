//! What can be said of a bundle without its graphs: who it is, what it is for, which
//! questions it answers. Whoever only speaks of answers holds this and no more.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::verify::manifest_of;
use super::{Bundle, BundleError, Class, Manifest, Older};
use crate::case::{BundleId, IntendedUse, Provenance};

/// A bundle's name, purpose and exams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outline {
    /// What every finding says of its bundle.
    pub id: BundleId,
    /// That it is older than what the device has had, where a person went back to it.
    pub older: Option<Older>,
    /// What it may be used for.
    pub intended_use: IntendedUse,
    /// The exams, in the manifest's order.
    pub exams: Vec<ExamOutline>,
}

/// An exam, as far as its answers can be spoken of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExamOutline {
    /// Short name, as typed.
    pub name: String,
    /// The question, for people.
    pub title: String,
    /// The classes, in the order of the logits.
    pub classes: Vec<Class>,
}

impl ExamOutline {
    /// What people call a class.
    pub fn label(&self, class: &str) -> Option<&str> {
        let mut classes = self.classes.iter();
        let class = classes.find(|known| known.name == class);
        class.map(|known| known.label.as_str())
    }
}

impl Outline {
    fn of(manifest: &Manifest, id: BundleId) -> Self {
        let exam = |spec: &super::ExamSpec| ExamOutline {
            name: spec.name.clone(),
            title: spec.title.clone(),
            classes: spec.classes.clone(),
        };
        Self {
            id,
            older: None,
            intended_use: manifest.intended_use,
            exams: manifest.exams.iter().map(exam).collect(),
        }
    }

    /// This program with the bundle, as records name who answered.
    pub fn provenance(&self) -> Provenance {
        Provenance::of(&self.id, self.intended_use)
    }

    /// The exam of this name.
    pub fn exam(&self, name: &str) -> Option<&ExamOutline> {
        self.exams.iter().find(|exam| exam.name == name)
    }
}

/// What can be said of the bundle in `folder`, whose manifest alone is read: its other files
/// may be anything.
///
/// # Errors
/// [`BundleError`]: the manifest cannot be read or used.
pub fn outline(folder: &Path) -> Result<Outline, BundleError> {
    let (manifest, sha256) = manifest_of(folder)?;
    let id = BundleId {
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        sha256,
    };
    Ok(Outline::of(&manifest, id))
}

impl Bundle {
    /// This program with the bundle, as records name who answered.
    pub fn provenance(&self) -> Provenance {
        Provenance::of(&self.id, self.manifest.intended_use)
    }

    /// What can be said of it without its graphs.
    pub fn outline(&self) -> Outline {
        Outline {
            older: self.older.clone(),
            ..Outline::of(&self.manifest, self.id.clone())
        }
    }
}
