//! What lies in a held folder, and of which kind each thing is: file, folder, link or something
//! else. Never follows a link.

use std::ffi::{OsStr, OsString};
use std::fs::{FileType, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;

use rustix::fs::Dir;

use super::{Cause, FileError, Folder, Result};

/// What has a name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What it was when the folder was listed.
    pub kind: Kind,
}

/// Of which kind something on the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, wherever it leads.
    Link,
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
    /// A terminal, a disk, a port.
    Device,
}

impl Kind {
    /// The kind of what the system describes.
    pub fn of(kind: FileType) -> Self {
        match kind {
            _ if kind.is_file() => Self::File,
            _ if kind.is_dir() => Self::Folder,
            _ if kind.is_symlink() => Self::Link,
            _ if kind.is_fifo() => Self::Pipe,
            _ if kind.is_socket() => Self::Socket,
            _ => Self::Device,
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Link => "a link",
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
        })
    }
}

impl Folder {
    /// What lies in it, by name; what goes meanwhile is left out.
    ///
    /// # Errors
    /// What the system says.
    pub fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for name in self.names()? {
            match self.about(&name) {
                Ok(about) => entries.push(Entry {
                    name,
                    kind: Kind::of(about.file_type()),
                }),
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort();
        Ok(entries)
    }

    /// The names in it, in no order.
    ///
    /// # Errors
    /// What the system says.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let mut names = Vec::new();
        let mut read = || -> std::result::Result<(), Cause> {
            // Opens the folder anew, so that several can list it at once.
            for entry in Dir::read_from(self)? {
                let entry = entry?;
                let name = OsStr::from_bytes(entry.file_name().to_bytes());
                if name != "." && name != ".." {
                    names.push(name.to_owned());
                }
            }
            Ok(())
        };
        read().map_err(FileError::at(self.path()))?;
        Ok(names)
    }
}

/// Refuses what is no regular file.
pub(super) fn regular(about: &Metadata) -> std::result::Result<(), Cause> {
    match Kind::of(about.file_type()) {
        Kind::File => Ok(()),
        Kind::Link => Err(Cause::Link),
        kind => Err(Cause::NoFile(kind)),
    }
}
