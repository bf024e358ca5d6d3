//! The files of a bundle where they lie: regular files of bounded size, each opened name by
//! name from the held folder, without following a link and without waiting.
//!
//! The folder itself may be named by a link (`bundles/current` is one); in it there is none.
//! A pipe, a device, a link and whatever is larger than any bundle's are refused by name before
//! a byte of them is read. Never writes.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, open, openat, statat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::BundleError;

/// Bytes of the manifest: many exams with many text prompts take a tenth of it.
pub(super) const MOST_MANIFEST: u64 = 1 << 20;
/// Bytes of a signature; minisign's have some hundred.
pub(super) const MOST_SIGNATURE: u64 = 1 << 14;
/// Bytes of any other file; the largest graph that was ever made for a bundle has a tenth.
pub(super) const MOST_FILE: u64 = 1 << 30;
/// Bytes of all files: a device reads them all, and has to hold some of them.
pub(super) const MOST_BYTES: u64 = 2 << 30;
/// Files and folders.
pub(super) const MOST_ENTRIES: usize = 4096;
/// Folders within folders.
const DEEPEST: usize = 8;

/// The folder of a bundle, held open: whatever its name comes to mean, this is the same one.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    held: OwnedFd,
}

impl Files {
    /// Holds the folder.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let held = open(path, flags, Mode::empty()).map_err(|errno| {
            // Whoever names a folder that is none wants to hear what it should have held.
            unreadable(&path.join(super::MANIFEST), errno)
        })?;
        let path = path.to_owned();
        Ok(Self { path, held })
    }

    /// Where it was found.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of a file.
    pub fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, BundleError> {
        let (mut file, length) = self.file(name, most)?;
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        // One that grows while it is read is read no further than it was long.
        let read = (&mut file).take(length).read_to_end(&mut bytes);
        read.map_err(|error| self.unreadable(name, error))?;
        Ok(bytes)
    }

    /// SHA-256 of a file, in hexadecimal digits.
    pub fn sha256(&self, name: &str, most: u64) -> Result<String, BundleError> {
        let (file, length) = self.file(name, most)?;
        let mut file = file.take(length);
        let (mut hash, mut bytes) = (Sha256::new(), vec![0; 1 << 18]);
        loop {
            match file.read(&mut bytes) {
                Ok(0) => return Ok(hex(&hash.finalize())),
                Ok(count) => hash.update(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(name, error)),
            }
        }
    }

    /// How long a file is.
    pub fn length(&self, name: &str) -> Result<u64, BundleError> {
        self.file(name, MOST_FILE).map(|(_, length)| length)
    }

    /// Opens a regular file of at most so many bytes; its length.
    pub fn file(&self, name: &str, most: u64) -> Result<(File, u64), BundleError> {
        let path = self.path.join(name);
        let (folders, last) = name.rsplit_once('/').unwrap_or(("", name));
        let failed = |errno| match errno {
            // O_NOFOLLOW on a link; O_DIRECTORY on what is no folder.
            Errno::LOOP | Errno::NOTDIR => no_file(&path, "a link, or lies behind one"),
            errno => unreadable(&path, errno),
        };
        let mut folder: Option<OwnedFd> = None;
        for part in folders.split('/').filter(|part| !part.is_empty()) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let above = folder.as_ref().unwrap_or(&self.held);
            folder = Some(openat(above, part, flags, Mode::empty()).map_err(failed)?);
        }
        // Whoever opens a pipe to read it waits for a writer, but for this flag.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let above = folder.as_ref().unwrap_or(&self.held);
        // What may do something when it is opened is not opened.
        let kind = statat(above, last, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        regular(&path, FileType::from_raw_mode(kind.st_mode))?;
        let file = openat(above, last, flags, Mode::empty()).map_err(failed)?;
        let about = fstat(&file).map_err(failed)?;
        regular(&path, FileType::from_raw_mode(about.st_mode))?;
        let length = u64::try_from(about.st_size).unwrap_or(u64::MAX);
        if length > most {
            return Err(BundleError::TooLarge {
                path,
                what: format!("it has {length} bytes; {most} are the most"),
            });
        }
        Ok((File::from(file), length))
    }

    /// The names of all files, with those of the folders that they lie in; what is no regular
    /// file is refused.
    pub fn names(&self) -> Result<Vec<String>, BundleError> {
        let mut names = Vec::new();
        let mut entries = 0;
        self.walk(&self.held, "", 0, &mut entries, &mut names)?;
        Ok(names)
    }

    fn walk(
        &self,
        folder: &OwnedFd,
        prefix: &str,
        depth: usize,
        entries: &mut usize,
        names: &mut Vec<String>,
    ) -> Result<(), BundleError> {
        let here = self.path.join(prefix);
        let failed = |errno| unreadable(&here, errno);
        for entry in Dir::read_from(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if [c".", c".."].contains(&name) {
                continue;
            }
            let text = String::from_utf8_lossy(name.to_bytes());
            let path = here.join(&*text);
            *entries += 1;
            if *entries > MOST_ENTRIES || depth > DEEPEST {
                let what = format!(
                    "{MOST_ENTRIES} files, and folders {DEEPEST} deep, are the most of a bundle"
                );
                return Err(BundleError::TooLarge { path, what });
            }
            let at = |errno| unreadable(&path, errno);
            let kind = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(at)?;
            match FileType::from_raw_mode(kind.st_mode) {
                FileType::Directory => {
                    let flags =
                        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let below = openat(folder, name, flags, Mode::empty()).map_err(at)?;
                    let prefix = format!("{prefix}{text}/");
                    self.walk(&below, &prefix, depth + 1, entries, names)?;
                }
                kind => {
                    regular(&path, kind)?;
                    names.push(format!("{prefix}{text}"));
                }
            }
        }
        Ok(())
    }

    fn unreadable(&self, name: &str, error: std::io::Error) -> BundleError {
        let path = self.path.join(name);
        BundleError::Unreadable { path, error }
    }
}

fn regular(path: &Path, kind: FileType) -> Result<(), BundleError> {
    let what = match kind {
        FileType::RegularFile => return Ok(()),
        FileType::Symlink => "a link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::Directory => "a folder",
        _ => "a device",
    };
    Err(no_file(path, what))
}

fn no_file(path: &Path, what: &'static str) -> BundleError {
    BundleError::NoFile {
        path: path.to_owned(),
        what,
    }
}

fn unreadable(path: &Path, errno: Errno) -> BundleError {
    BundleError::Unreadable {
        path: path.to_owned(),
        error: errno.into(),
    }
}

/// As a hash is written.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
