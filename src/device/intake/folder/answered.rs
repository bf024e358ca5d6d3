//! A file whose case has ended: it comes in as it lay there, and is moved or deleted. Called by the
//! watch. What came under its name meanwhile was not answered: it is left or put back.

use std::ffi::{OsStr, OsString};

use super::nameless;
use super::settle::Mark;
use crate::files::{Folder, OPEN_TO_ALL, Readers};

/// A file that was answered.
pub(super) struct Answered<'a> {
    /// The watched folder.
    pub root: &'a Folder,
    /// The folder that the file lies in: the same, or one within it.
    pub here: &'a Folder,
    pub name: &'a OsStr,
    pub case: u64,
    pub mark: Mark,
}

impl Answered<'_> {
    /// Moves it to a folder of the watched one, and lets its readers to it. Case and name make a
    /// name of its own: the same two are the same image.
    pub fn move_to(&self, place: &str, readers: &Readers) -> std::io::Result<()> {
        let folder = self.root.make_folder(place, OPEN_TO_ALL);
        let folder = folder.map_err(|error| {
            let kind = error.kind();
            std::io::Error::new(kind, format!("{place}: {}", error.cause))
        })?;
        folder.open_to(readers).map_err(nameless)?;
        let new = self.named("");
        self.rename(&folder, &new)?;
        // Most are the scanner's: who may read those is its business.
        match folder.let_read(&new, readers) {
            Err(error) if !error.is_missing() => Err(nameless(error)),
            _ => Ok(()),
        }
    }

    /// Deletes it: under another name first, so that it is surely the file that was answered.
    pub fn remove(&self) -> std::io::Result<()> {
        let doomed = self.named(".");
        self.rename(self.here, &doomed)?;
        // Another was there by then, and was put back.
        self.here.remove_if_there(&doomed).map_err(nameless)
    }

    /// Renames a file that was answered. One that came under its name at the last moment was
    /// not: it is put back, to be seen as what it is.
    fn rename(&self, to: &Folder, new: &OsStr) -> std::io::Result<()> {
        self.here.rename(self.name, to, new).map_err(nameless)?;
        if to.about(new).is_ok_and(|about| self.mark.is_of(&about)) {
            return Ok(());
        }
        let back = |name: &OsStr| to.rename_new(new, self.here, name);
        match back(self.name) {
            Err(error) if error.is_taken() => back(&self.named("after-")).map_err(nameless),
            done => done.map_err(nameless),
        }
    }

    /// The name after its case.
    fn named(&self, before: &str) -> OsString {
        let mut new = OsString::from(format!("{before}{}-", self.case));
        new.push(self.name);
        new
    }
}
