//! Deletes what the caller names in a held folder, and never what a link leads to.

use std::ffi::OsStr;
use std::path::Path;

use rustix::fs::{self, AtFlags};

use super::{Cause, Folder, Kind, Result};

/// Deeper than anybody's folders; each level is held open while it is emptied.
const DEEPEST: usize = 64;

/// Removes what a path names and is no folder: of a link, the link.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> Result<()> {
    let (folder, name) = Folder::above(path)?;
    folder.remove(name)
}

impl Folder {
    /// Removes a name that is no folder's: of a link, the link.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, name: impl AsRef<OsStr>) -> Result<()> {
        self.with(name.as_ref(), |name| {
            Ok(fs::unlinkat(self, name, AtFlags::empty())?)
        })
    }

    /// The same, where it is still there.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_if_there(&self, name: impl AsRef<OsStr>) -> Result<()> {
        match self.remove(name) {
            Err(error) if error.is_missing() => Ok(()),
            done => done,
        }
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove_empty(&self, name: impl AsRef<OsStr>) -> Result<()> {
        self.with(name.as_ref(), |name| {
            Ok(fs::unlinkat(self, name, AtFlags::REMOVEDIR)?)
        })
    }

    /// Removes a folder with all that lies in it, or whatever else has the name. Links in it
    /// are removed, not followed.
    ///
    /// # Errors
    /// What the system says; then part of it may be gone.
    pub fn remove_tree(&self, name: impl AsRef<OsStr>) -> Result<()> {
        self.remove_to_depth(name.as_ref(), DEEPEST)
    }

    fn remove_to_depth(&self, name: &OsStr, depth: usize) -> Result<()> {
        if Kind::of(self.about(name)?.file_type()) != Kind::Folder {
            return self.remove(name);
        }
        let inner = self.folder(name)?;
        let Some(left) = depth.checked_sub(1) else {
            return self.with(name, |_| Err(Cause::TooDeep(DEEPEST)));
        };
        for entry in inner.names()? {
            match inner.remove_to_depth(&entry, left) {
                Err(error) if !error.is_missing() => return Err(error),
                _ => {}
            }
        }
        self.remove_empty(name)
    }
}
