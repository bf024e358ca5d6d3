//! Bundles that were installed: a folder with each of them, and a link to the one in use.
//!
//! They lie in `STATE-bundles` beside the state folder where root made such a folder, so that
//! the device itself can only read them, else in `STATE/bundles`.
//!
//! A bundle is copied first, and the copy is judged by whoever installs it: what becomes of its
//! source meanwhile does not matter. `current` is switched by one rename, so it names a whole
//! bundle whenever power fails. Beside each bundle a file `NAME.previous` names the one that was
//! in use before it, and `releases.json` has the highest releases; what is neither in use nor
//! before it is removed. Nothing is followed through a link but `current` itself.

use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, Mode, fchmod, flock};

use super::contents::{Contents, MOST_BYTES, MOST_FILE};
use super::trust::{ClockBack, Release, Releases};
use super::{BundleError, Outline};
use crate::files::{self, Cause, FileError, Folder, Kind};

/// The link to the bundle in use.
const CURRENT: &str = "current";
/// Beside a bundle: which one was in use before it.
const PREVIOUS: &str = "previous";
/// What is being copied; of no use to anybody.
const PART: &str = ".part";
/// What versions of before left where they were cut short.
const FORMER_PART: &str = ".part.current";
/// The highest releases.
const RELEASES: &str = "releases.json";
/// Bytes of a file that holds a name.
const MOST_NAME: u64 = 256;

/// Until a copy is judged, nobody but who installs it may read it: what its source holds may be
/// somebody else's secret.
const CLOSED: Mode = Mode::from_raw_mode(0o700);
/// As others may read what was judged.
const FOLDER_MODE: Mode = Mode::from_raw_mode(0o755);
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

#[cfg(test)]
mod tests;

/// The installed bundles of a device.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// Where they lay before there was a folder for them beside the state folder.
    former: Option<PathBuf>,
}

/// A bundle that is to be installed. Its folder is held open from the start: whoever gives up
/// rights before the copy is made need not be able to go there.
#[derive(Debug)]
pub struct Source(Contents);

impl Source {
    /// Opens the folder.
    ///
    /// # Errors
    /// [`BundleError::Unreadable`].
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        Contents::open(folder).map(Self)
    }

    /// How it was named.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// What whoever installs a bundle found out about its copy.
#[derive(Debug)]
pub struct Verified {
    /// What it is.
    pub outline: Outline,
    /// Its release, and whose.
    pub release: Release,
    /// Whether whoever installs it says that the clock is right.
    pub clock_is_right: bool,
}

impl Store {
    /// The bundles that are installed for a device with this state folder.
    pub fn of(state: &Path) -> Self {
        let within = state.join("bundles");
        match beside(state) {
            Some(folder) => Self {
                folder,
                former: Some(within),
            },
            None => Self {
                folder: within,
                former: None,
            },
        }
    }

    /// The bundle in use, where one was installed: a link, which later leads elsewhere. Also
    /// one that leads nowhere, or may not be looked at, and one that is [`Store::left`]: it must
    /// be told of, and no other bundle may stand in for it.
    pub fn current(&self) -> Option<PathBuf> {
        let link = self.folder.join(CURRENT);
        (may_be_there(&link) || self.left().is_some()).then_some(link)
    }

    /// The bundle that is in use where bundles lay before, while none is where they lie now.
    /// Whoever has taken the device's user over may have put it there, so it is never
    /// answered with: a person installs it, or another one.
    pub fn left(&self) -> Option<PathBuf> {
        let left = self.former.as_ref()?.join(CURRENT);
        let is_empty = !may_be_there(&self.folder.join(CURRENT));
        (is_empty && may_be_there(&left)).then_some(left)
    }

    /// The folder of all bundles.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether this user may put bundles there.
    pub fn may_be_written(&self) -> bool {
        use rustix::fs::{Access, access};
        let is_there = self.folder.is_dir();
        !is_there || access(&self.folder, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    }

    /// Whether it lies beside the state folder, for root alone to write.
    pub fn is_apart(&self) -> bool {
        self.former.is_some()
    }

    /// The file of the highest releases.
    pub fn releases(&self) -> PathBuf {
        self.folder.join(RELEASES)
    }

    /// The latest time that is known to have been: when a bundle was put in use last.
    pub fn seen(&self) -> Option<Timestamp> {
        let releases = Releases::read(&self.releases()).ok()?;
        Some(releases.latest())
    }

    /// That a person set that time back with the bundle in use.
    pub fn clock_back(&self) -> Option<ClockBack> {
        let releases = Releases::read(&self.releases()).ok()?;
        releases.clock_back().cloned()
    }

    /// The bundle that was in use before.
    pub fn previous(&self) -> Option<PathBuf> {
        let folder = Folder::open(&self.folder).ok()?;
        let previous = before(&folder, &name_of_current(&folder)?)?;
        Some(self.folder.join(previous))
    }

    /// Copies a bundle here, has the copy judged, and puts it in use; gives where it lies.
    /// Durable when this returns; whenever power fails before, the one before is in use.
    ///
    /// # Errors
    /// What `judge` says, or why nothing can be written; the one before stays in use.
    pub fn install<E: From<BundleError>>(
        &self,
        source: &Source,
        judge: impl FnOnce(&Path) -> Result<Verified, E>,
    ) -> Result<PathBuf, E> {
        let folder = self.hold()?;
        sweep(&folder)?;
        let part = folder.new_folder(PART, CLOSED).map_err(unwritable)?;
        let judged = copy(&source.0, &part)
            .map_err(E::from)
            .and_then(|()| judge(&self.folder.join(PART)));
        let judged = judged.and_then(|judged| {
            open_to_all(&part).map_err(unwritable)?;
            Ok(judged)
        });
        let judged = judged.inspect_err(|_| {
            // What cannot be removed now is before the next installation.
            let _ = folder.remove_tree(PART);
        })?;
        let name = name_of(&judged.outline);
        put(&folder, &name).map_err(unwritable)?;
        self.switch_to(&folder, &name, &judged.release, judged.clock_is_right)?;
        Ok(self.folder.join(name))
    }

    /// Puts the bundle in use that was before, once it was judged; gives its name. Done twice,
    /// the first one is in use again.
    ///
    /// # Errors
    /// [`BundleError::NoneBefore`] where there is none; what `judge` says; why nothing can be
    /// written.
    pub fn roll_back(
        &self,
        judge: impl FnOnce(&Path) -> Result<Release, BundleError>,
    ) -> Result<String, BundleError> {
        let folder = self.hold()?;
        let current = name_of_current(&folder);
        let previous = current.and_then(|current| before(&folder, &current));
        let previous = previous.ok_or(BundleError::NoneBefore)?;
        let release = judge(&self.folder.join(&previous))?;
        self.switch_to(&folder, &previous, &release, false)?;
        Ok(previous)
    }

    /// Nobody else changes anything here until this is dropped.
    fn hold(&self) -> Result<Folder, BundleError> {
        let folder = Folder::make(&self.folder).map_err(unwritable)?;
        let locked = flock(&folder, FlockOperation::LockExclusive);
        locked.map_err(|errno| BundleError::Unwritable {
            path: self.folder.clone(),
            error: errno.into(),
        })?;
        let about = folder.about_itself().map_err(unwritable)?;
        if self.is_apart() && about.mode() & 0o055 != 0o055 {
            // The device is another user, and must find what is installed.
            let opened = fchmod(&folder, FOLDER_MODE);
            opened.map_err(|errno| BundleError::Unwritable {
                path: self.folder.clone(),
                error: errno.into(),
            })?;
        }
        Ok(folder)
    }

    fn switch_to(
        &self,
        folder: &Folder,
        name: &str,
        release: &Release,
        clock_is_right: bool,
    ) -> Result<(), BundleError> {
        let mut releases = Releases::read(&self.releases()).or_else(|error| match error {
            // Whoever installs all the same begins anew.
            BundleError::Releases { .. } => Ok(Releases::default()),
            error => Err(error),
        })?;
        let is_set_back = clock_is_right && releases.believe_clock(Timestamp::now());
        let goes_back = releases.put_in_use(release) || is_set_back;
        let keep = || write(folder, RELEASES, &releases.bytes());
        let switch = || -> files::Result<()> {
            // A device that starts now must be allowed what it finds.
            if goes_back {
                keep()?;
            }
            let current = name_of_current(folder).filter(|current| current != name);
            if let Some(current) = &current {
                write(folder, &beside_name(name), current.as_bytes())?;
            }
            // Everything that it leads to lasts before it does.
            folder.sync()?;
            folder.switch_link(CURRENT, Path::new(name))?;
            if !goes_back {
                keep()?;
            }
            remove_but(folder, name, before(folder, name).as_deref())
        };
        switch().map_err(unwritable)
    }
}

/// Whether something has this name, as far as this user may look.
fn may_be_there(path: &Path) -> bool {
    let about = std::fs::symlink_metadata(path);
    !about.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

/// The folder for bundles beside a state folder, where one was made that nobody but root, or
/// the device's own user, may write.
fn beside(state: &Path) -> Option<PathBuf> {
    let state = state.canonicalize().ok()?;
    let mut name = state.file_name()?.to_owned();
    name.push("-bundles");
    let folder = state.with_file_name(name);
    let about = std::fs::symlink_metadata(&folder).ok()?;
    let owners = [0, state.metadata().ok()?.uid()];
    let is_closed = owners.contains(&about.uid()) && about.mode() & 0o022 == 0;
    (about.is_dir() && is_closed).then_some(folder)
}

fn unwritable(error: FileError) -> BundleError {
    BundleError::Unwritable {
        path: error.path.clone(),
        error: error.into(),
    }
}

/// Puts bytes in the place of a file that others may read, whatever this user's `umask` says:
/// the device is another user.
fn write(folder: &Folder, name: &str, bytes: &[u8]) -> files::Result<()> {
    let mut fresh = folder.fresh(FILE_MODE)?;
    let written = fresh.write_all(bytes).map_err(Cause::from);
    let opened = written.and_then(|()| Ok(fchmod(fresh.file(), FILE_MODE)?));
    opened.map_err(|cause| FileError {
        path: folder.path_of(name),
        cause,
    })?;
    fresh.keep_durably(name)
}

/// What an installation that power cut short has left.
fn sweep(folder: &Folder) -> Result<(), BundleError> {
    let swept = match folder.has(PART) {
        Ok(true) => folder.remove_tree(PART),
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    let swept = swept.and_then(|()| folder.remove_if_there(FORMER_PART));
    let swept = swept.and_then(|()| folder.sweep());
    swept.map(drop).map_err(unwritable)
}

/// Gives the copy its name.
fn put(folder: &Folder, name: &str) -> files::Result<()> {
    if folder.has(name)? {
        // The same bundle, which may have been damaged since: there is never none.
        folder.exchange(PART, folder, name)?;
        folder.remove_tree(PART)
    } else {
        folder.rename_new(PART, folder, name)
    }
}

fn name_of_current(folder: &Folder) -> Option<String> {
    let target = folder.read_link(CURRENT).ok()?;
    target.file_name()?.to_str().map(str::to_owned)
}

fn before(folder: &Folder, name: &str) -> Option<String> {
    let before = folder.read(beside_name(name), MOST_NAME).ok()?;
    let before = String::from_utf8(before).ok()?;
    folder.folder(&before).is_ok().then_some(before)
}

fn beside_name(name: &str) -> String {
    format!("{name}.{PREVIOUS}")
}

/// Cards are small and bundles are not.
fn remove_but(folder: &Folder, current: &str, previous: Option<&str>) -> files::Result<()> {
    for entry in folder.list()? {
        let name = entry.name.to_string_lossy();
        let of = |kept: &str| {
            name.strip_prefix(kept)
                .is_some_and(|rest| ["", ".previous", ".prepared"].contains(&rest))
        };
        let is_kept = of(current) || previous.is_some_and(of);
        if !is_kept && is_own(&name, entry.kind) {
            folder.remove_tree(&entry.name)?;
        }
    }
    Ok(())
}

/// Whether a name is one that this store gives: nobody else's is removed.
fn is_own(name: &str, kind: Kind) -> bool {
    let (name, expected) = match name.rsplit_once('.') {
        Some((name, PREVIOUS)) => (name, Kind::File),
        Some((name, "prepared")) => (name, Kind::Folder),
        _ => (name, Kind::Folder),
    };
    let digest = name.rsplit_once('-').map(|(_, digest)| digest);
    let is_digest =
        digest.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()));
    kind == expected && is_digest
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

/// Lets others read a copy that was judged: what is in it first, itself last.
fn open_to_all(folder: &Folder) -> files::Result<()> {
    let failed = |path: PathBuf| {
        move |errno: rustix::io::Errno| FileError {
            path,
            cause: errno.into(),
        }
    };
    for entry in folder.list()? {
        if entry.kind == Kind::Folder {
            open_to_all(&folder.folder(&entry.name)?)?;
        } else {
            let file = folder.open_file(&entry.name)?;
            fchmod(&file, FILE_MODE).map_err(failed(folder.path_of(&entry.name)))?;
            let synced = file.sync_all().map_err(Cause::from);
            synced.map_err(|cause| FileError {
                path: folder.path_of(&entry.name),
                cause,
            })?;
        }
    }
    fchmod(folder, FOLDER_MODE).map_err(failed(folder.path().to_owned()))?;
    folder.sync()
}

/// Copies all files of a bundle, durably: regular ones of bounded size, for nobody else to read.
fn copy(contents: &Contents, to: &Folder) -> Result<(), BundleError> {
    let mut room = MOST_BYTES;
    for name in contents.names()? {
        let (mut from, length) = contents.own_file(&name, MOST_FILE.min(room))?;
        room -= length;
        let (folders, last) = name.rsplit_once('/').unwrap_or(("", &name));
        let mut folder = to.clone();
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            folder = folder.make_folder(part, CLOSED).map_err(unwritable)?;
        }
        let mut file = folder.create(last, files::OWN).map_err(unwritable)?;
        let copied = std::io::copy(&mut (&mut from).take(length), &mut file);
        let copied = copied.and_then(|_| file.sync_all());
        copied.map_err(|error| BundleError::Unwritable {
            path: folder.path_of(last),
            error,
        })?;
        folder.sync().map_err(unwritable)?;
    }
    to.sync().map_err(unwritable)
}
