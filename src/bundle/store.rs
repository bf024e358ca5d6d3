//! Bundles that were installed: a folder with each of them, and a link to the one in use.
//!
//! `current` is switched by one rename, so it names a whole bundle whenever power fails.
//! Beside each bundle a file `NAME.previous` names the one that was in use before it; what
//! is neither in use nor before it is removed. This room does not look whether a bundle is
//! any good: that is for whoever installs it.

use std::fs::{self, File};
use std::io::{ErrorKind, Result};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use super::Outline;
use crate::files;

/// The link to the bundle in use.
const CURRENT: &str = "current";
/// Beside a bundle: which one was in use before it.
const PREVIOUS: &str = "previous";
/// What is being copied; of no use to anybody.
const PART: &str = ".part";

/// The installed bundles of a device.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// The bundles that are installed in a state folder.
    pub fn of(state: &Path) -> Self {
        let folder = state.join("bundles");
        Self { folder }
    }

    /// The bundle in use, where one was installed: a link, which later leads elsewhere.
    pub fn current(&self) -> Option<PathBuf> {
        let current = self.folder.join(CURRENT);
        // One that leads nowhere must be told of: no other bundle may stand in for it.
        current.is_symlink().then_some(current)
    }

    /// The name of the bundle that was in use before.
    pub fn previous(&self) -> Option<String> {
        self.before(&self.name_of_current()?)
    }

    /// Copies a bundle here and puts it in use; gives where it lies. Durable when this
    /// returns; whenever power fails before, the one before is in use.
    ///
    /// # Errors
    /// What the system says; the one before stays in use.
    pub fn install(&self, bundle: &Path, outline: &Outline) -> Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        let _held = self.hold()?;
        let name = name_of(outline);
        let part = self.folder.join(PART);
        remove(&part)?;
        copy(bundle, &part)?;
        let place = self.folder.join(&name);
        if place.exists() {
            // The same bundle, which may have been damaged since: there is never none.
            let flags = RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(CWD, &part, CWD, &place, flags)?;
            remove(&part)?;
        } else {
            fs::rename(&part, &place)?;
        }
        self.switch_to(&name)?;
        Ok(place)
    }

    /// Puts the bundle in use that was before; gives its name. Done twice, the first one is
    /// in use again.
    ///
    /// # Errors
    /// `NotFound` where there is none; what the system says.
    pub fn roll_back(&self) -> Result<String> {
        let _held = self.hold()?;
        let previous = self.previous().ok_or(ErrorKind::NotFound)?;
        self.switch_to(&previous)?;
        Ok(previous)
    }

    /// Nobody else changes anything here until this is dropped.
    fn hold(&self) -> Result<File> {
        let folder = File::open(&self.folder)?;
        folder.lock()?;
        Ok(folder)
    }

    fn name_of_current(&self) -> Option<String> {
        let target = fs::read_link(self.folder.join(CURRENT)).ok()?;
        target.file_name()?.to_str().map(str::to_owned)
    }

    fn before(&self, name: &str) -> Option<String> {
        let before = fs::read_to_string(self.beside(name)).ok()?;
        let is_there =
            self.folder.join(&before).is_dir() && Path::new(&before).file_name().is_some();
        is_there.then_some(before)
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{PREVIOUS}"))
    }

    fn switch_to(&self, name: &str) -> Result<()> {
        let current = self.name_of_current().filter(|current| current != name);
        if let Some(current) = &current {
            files::replace(&self.beside(name), current.as_bytes())?;
        }
        let fresh = self.folder.join(format!("{PART}.{CURRENT}"));
        remove(&fresh)?;
        symlink(name, &fresh)?;
        // Everything that it leads to lasts before it does.
        File::open(&self.folder)?.sync_all()?;
        fs::rename(fresh, self.folder.join(CURRENT))?;
        File::open(&self.folder)?.sync_all()?;
        self.remove_but(name, self.before(name).as_deref())
    }

    /// Cards are small and bundles are not.
    fn remove_but(&self, current: &str, previous: Option<&str>) -> Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let of = |kept: &str| {
                name.strip_prefix(kept)
                    .is_some_and(|rest| ["", ".previous", ".prepared"].contains(&rest))
            };
            if name != CURRENT && !of(current) && !previous.is_some_and(of) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}

/// Told apart by name, version and content, and fit for any file system.
fn name_of(outline: &Outline) -> String {
    let id = &outline.id;
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() || ".-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = format!("{}-{}", id.name, id.version)
        .chars()
        .map(fit)
        .take(64)
        .collect();
    format!("{}-{}", name.trim_start_matches('.'), &id.sha256[..16])
}

/// A file or a folder, where it is there.
fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    removed.or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Copies a folder with all that is in it, durably.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        // What a link leads to is copied: links lead elsewhere in another place.
        if fs::metadata(entry.path())?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            File::open(&target)?.sync_all()?;
        }
    }
    File::open(to)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::IntendedUse;
    use crate::finding::BundleId;

    struct Bench(tempfile::TempDir);

    impl Bench {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn store(&self) -> Store {
            Store::of(self.0.path())
        }

        fn install(&self, version: &str) -> PathBuf {
            let from = self.0.path().join("from");
            remove(&from).unwrap();
            fs::create_dir_all(from.join("heads")).unwrap();
            fs::write(from.join("bundle.toml"), version).unwrap();
            fs::write(from.join("heads/a"), version).unwrap();
            let id = BundleId {
                name: "starter/x".to_owned(),
                version: version.to_owned(),
                sha256: "0123456789abcdef".repeat(4),
            };
            let outline = Outline {
                id,
                intended_use: IntendedUse::Demonstration,
                exams: Vec::new(),
            };
            self.store().install(&from, &outline).unwrap()
        }

        fn in_use(&self) -> Option<String> {
            let current = self.store().current()?;
            let head = fs::read_to_string(current.join("heads/a")).unwrap();
            assert_eq!(
                head,
                fs::read_to_string(current.join("bundle.toml")).unwrap()
            );
            Some(head)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.0.path().join("bundles")).unwrap();
            let mut names: Vec<String> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    #[test]
    fn the_one_before_is_kept_and_comes_back_by_one_call() {
        let bench = Bench::new();
        assert_eq!(bench.in_use(), None);
        assert!(bench.store().roll_back().is_err());
        let place = bench.install("1");
        assert!(place.ends_with("starter_x-1-0123456789abcdef"), "{place:?}");
        assert_eq!(bench.in_use().as_deref(), Some("1"));
        let none = bench.store().roll_back().unwrap_err();
        assert_eq!(none.kind(), ErrorKind::NotFound);
        bench.install("2");
        bench.store().roll_back().unwrap();
        assert_eq!(bench.in_use().as_deref(), Some("1"));
        bench.store().roll_back().unwrap();
        assert_eq!(bench.in_use().as_deref(), Some("2"));
        bench.install("3");
        assert_eq!(bench.in_use().as_deref(), Some("3"));
        assert_eq!(
            bench.names().iter().filter(|n| n.ends_with("cdef")).count(),
            2
        );
        bench.store().roll_back().unwrap();
        assert_eq!(bench.in_use().as_deref(), Some("2"));
    }

    #[test]
    fn installed_again_it_is_whole_again_and_what_was_before_stays_so() {
        let bench = Bench::new();
        bench.install("1");
        let place = bench.install("2");
        fs::write(place.join("heads/a"), "spoilt").unwrap();
        fs::create_dir_all(place.with_extension("prepared")).unwrap();
        bench.install("2");
        assert_eq!(bench.in_use().as_deref(), Some("2"));
        bench.store().roll_back().unwrap();
        assert_eq!(bench.in_use().as_deref(), Some("1"));
    }

    /// Whatever an installation that power cut short has left, the next one works.
    #[test]
    fn what_was_cut_short_is_swept_away() {
        let bench = Bench::new();
        bench.install("1");
        let folder = bench.0.path().join("bundles");
        fs::create_dir_all(folder.join(PART).join("heads")).unwrap();
        symlink("nowhere", folder.join(format!("{PART}.{CURRENT}"))).unwrap();
        bench.install("2");
        assert_eq!(bench.in_use().as_deref(), Some("2"));
        assert!(!bench.names().iter().any(|name| name.starts_with('.')));
    }
}
