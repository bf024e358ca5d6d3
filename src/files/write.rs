//! Files that are there whole or not at all, and files that are renamed. In goes a held folder, a
//! name and bytes; what comes out is on the disk when the call returns. Never writes into a file
//! that is there already.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::process::Gid;

use super::{Cause, Folder, Kind, QUIETLY, Readers, Result, list, open_at};

/// As open to others as the user's `umask` lets files and folders be.
pub const OPEN_TO_ALL: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO);
/// For this user alone.
pub const OWN: Mode = Mode::RWXU;

/// Where the system has streams that are no files, and nobody else makes any.
const STREAMS: [&str; 2] = ["/dev", "/proc/self/fd"];

/// A file is no program.
pub(super) const FILE: Mode = Mode::from_raw_mode(0o666);

/// Puts bytes in the place of a file, or makes it; once this returns they outlast a power
/// failure. The folder must be there.
///
/// # Errors
/// What the system says; the file is then as it was.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let (folder, name) = Folder::above(path)?;
    folder.replace(name, bytes)
}

/// The same, for what nobody needs after the power failed: the disk is not waited for.
///
/// # Errors
/// As [`replace`].
pub fn swap(path: &Path, bytes: &[u8]) -> Result<()> {
    let (folder, name) = Folder::above(path)?;
    folder.swap(name, bytes)
}

/// The same, for these readers.
///
/// # Errors
/// As [`replace`], and where this user is not in their group.
pub fn swap_for(path: &Path, bytes: &[u8], readers: &Readers) -> Result<()> {
    let (folder, name) = Folder::above(path)?;
    folder.filled(&name, bytes, readers)?.keep(name)
}

/// Writes a file that the operator named as a command's output: in place of what has its name,
/// be it a link. A stream of the system's, as `/dev/stdout`, is written to.
///
/// # Errors
/// What the system says.
pub fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if STREAMS.iter().any(|streams| path.starts_with(streams)) {
        let written = std::fs::write(path, bytes).map_err(Cause::from);
        return written.map_err(super::FileError::at(path));
    }
    swap(path, bytes)
}

impl Folder {
    /// Puts bytes in the place of a file, or makes it; once this returns they outlast a power
    /// failure. A link of this name is replaced, and what it leads to left alone.
    ///
    /// # Errors
    /// What the system says; the file is then as it was.
    pub fn replace(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> Result<()> {
        self.replace_for(name, bytes, &Readers::default())
    }

    /// The same, for these readers.
    ///
    /// # Errors
    /// As [`Folder::replace`], and where this user is not in their group.
    pub fn replace_for(
        &self,
        name: impl AsRef<OsStr>,
        bytes: &[u8],
        readers: &Readers,
    ) -> Result<()> {
        self.filled(name.as_ref(), bytes, readers)?
            .keep_durably(name)
    }

    /// The same, for what nobody needs after the power failed: the disk is not waited for.
    ///
    /// # Errors
    /// As [`Folder::replace`].
    pub fn swap(&self, name: impl AsRef<OsStr>, bytes: &[u8]) -> Result<()> {
        self.filled(name.as_ref(), bytes, &Readers::default())?
            .keep(name)
    }

    fn filled(&self, name: &OsStr, bytes: &[u8], readers: &Readers) -> Result<super::Fresh> {
        let mut fresh = self.fresh(OPEN_TO_ALL)?;
        self.with(name, |_| {
            // Before there is anything to be read.
            readers.let_in(fresh.file())?;
            Ok(fresh.write_all(bytes)?)
        })?;
        Ok(fresh)
    }

    /// Makes a file, open to write and to read.
    ///
    /// # Errors
    /// Something has this name, or what the system says.
    pub fn create(&self, name: impl AsRef<OsStr>, mode: Mode) -> Result<File> {
        self.with(name.as_ref(), |name| {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | QUIETLY;
            Ok(open_at(self, name, flags, mode & FILE)?.into())
        })
    }

    /// Opens a file to read and to write at its end, and makes it where it is missing.
    ///
    /// # Errors
    /// A link or no regular file has this name, or the file has other names as well.
    pub fn append(&self, name: impl AsRef<OsStr>, mode: Mode) -> Result<File> {
        self.with(name.as_ref(), |name| {
            let file = self.open_or_make(name, OFlags::RDWR | OFlags::APPEND, mode & FILE)?;
            let about = file.metadata()?;
            list::regular(&about)?;
            if about.nlink() > 1 {
                return Err(Cause::OtherNames(about.nlink()));
            }
            Ok(file)
        })
    }

    /// Opens what is there, else makes it: never makes what a link leads to.
    fn open_or_make(
        &self,
        name: &OsStr,
        flags: OFlags,
        mode: Mode,
    ) -> std::result::Result<File, Cause> {
        loop {
            match self.look(name) {
                Ok(about) => list::regular(&about)?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            match open_at(self, name, flags | QUIETLY, Mode::empty()) {
                Err(Errno::NOENT) => {}
                opened => return Ok(opened?.into()),
            }
            let new = flags | QUIETLY | OFlags::CREATE | OFlags::EXCL;
            match open_at(self, name, new, mode) {
                // Another made it meanwhile.
                Err(Errno::EXIST) => {}
                made => return Ok(made?.into()),
            }
        }
    }

    /// Says who may use a socket, which has this name.
    ///
    /// # Errors
    /// Something else has the name, as a link; this user is not in the group; what the system says.
    pub fn open_socket_to(
        &self,
        name: impl AsRef<OsStr>,
        mode: Mode,
        group: Option<u32>,
    ) -> Result<()> {
        self.with(name.as_ref(), |name| {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let socket = File::from(open_at(self, name, flags, Mode::empty())?);
            match Kind::of(socket.metadata()?.file_type()) {
                Kind::Socket => {}
                kind => return Err(Cause::NoFile(kind)),
            }
            // By the descriptor: another thing may have come under the name.
            let held = format!("/proc/self/fd/{}", socket.as_raw_fd());
            if let Some(group) = group {
                let id = Gid::from_raw(group);
                fs::chown(&held, None, Some(id)).map_err(|error| match error {
                    Errno::PERM => Cause::NotInGroup(group),
                    other => other.into(),
                })?;
            }
            Ok(fs::chmod(held, mode)?)
        })
    }

    /// Renames something, in place of what has the new name.
    ///
    /// # Errors
    /// What the system says.
    pub fn rename(
        &self,
        name: impl AsRef<OsStr>,
        to: &Folder,
        new: impl AsRef<OsStr>,
    ) -> Result<()> {
        self.two(name.as_ref(), new.as_ref(), |name, new| {
            Ok(fs::renameat(self, name, to, new)?)
        })
    }

    /// Renames something, unless something has the new name.
    ///
    /// # Errors
    /// What the system says.
    pub fn rename_new(
        &self,
        name: impl AsRef<OsStr>,
        to: &Folder,
        new: impl AsRef<OsStr>,
    ) -> Result<()> {
        self.two(name.as_ref(), new.as_ref(), |name, new| {
            match fs::renameat_with(self, name, to, new, RenameFlags::NOREPLACE) {
                // Some file systems, as those over a network, know no such call.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                    self.move_by_link(name, to, new)
                }
                renamed => Ok(renamed?),
            }
        })
    }

    fn move_by_link(
        &self,
        name: &OsStr,
        to: &Folder,
        new: &OsStr,
    ) -> std::result::Result<(), Cause> {
        match fs::linkat(self, name, to, new, AtFlags::empty()) {
            Ok(()) => Ok(fs::unlinkat(self, name, AtFlags::empty())?),
            // Folders have no links, nor have the file systems of sticks: looking first is
            // all that is left.
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS) => match to.look(new) {
                Ok(_) => Err(Errno::EXIST.into()),
                Err(_) => Ok(fs::renameat(self, name, to, new)?),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Lets two things change their places at once.
    ///
    /// # Errors
    /// What the system says; where the file system cannot, the kind is
    /// [`ErrorKind::Unsupported`](std::io::ErrorKind::Unsupported).
    pub fn exchange(
        &self,
        name: impl AsRef<OsStr>,
        with: &Folder,
        other: impl AsRef<OsStr>,
    ) -> Result<()> {
        self.two(
            name.as_ref(),
            other.as_ref(),
            |name, other| match fs::renameat_with(self, name, with, other, RenameFlags::EXCHANGE) {
                Err(Errno::INVAL | Errno::NOSYS) => Err(Errno::NOTSUP.into()),
                exchanged => Ok(exchanged?),
            },
        )
    }

    /// Gives a file another name, which nothing has.
    ///
    /// # Errors
    /// What the system says.
    pub fn link(&self, name: impl AsRef<OsStr>, to: &Folder, new: impl AsRef<OsStr>) -> Result<()> {
        self.two(name.as_ref(), new.as_ref(), |name, new| {
            Ok(fs::linkat(self, name, to, new, AtFlags::empty())?)
        })
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// Nothing has this name, or no link.
    pub fn read_link(&self, name: impl AsRef<OsStr>) -> Result<PathBuf> {
        self.with(name.as_ref(), |name| {
            let target = fs::readlinkat(self, name, Vec::new())?;
            Ok(OsString::from_vec(target.into_bytes()).into())
        })
    }

    /// Makes a symbolic link, in place of what has its name; once this returns it outlasts a
    /// power failure.
    ///
    /// # Errors
    /// What the system says; what has the name is then as it was.
    pub fn switch_link(&self, name: impl AsRef<OsStr>, target: &Path) -> Result<()> {
        let make = |part: &OsStr| fs::symlinkat(target, self, part);
        let (part, ()) = self.at_a_new_name(make)?;
        self.rename(&part, self, name)
            .and_then(|()| self.sync())
            .inspect_err(|_| {
                // A link left behind leads where it should: it does no harm.
                let _ = fs::unlinkat(self, &part, AtFlags::empty());
            })
    }

    fn two(
        &self,
        name: &OsStr,
        new: &OsStr,
        work: impl FnOnce(&OsStr, &OsStr) -> std::result::Result<(), Cause>,
    ) -> Result<()> {
        self.with(name, |name| {
            let new = super::single(new)?;
            work(name, new)
        })
    }
}
