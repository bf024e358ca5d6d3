//! The one way by which an image's file is opened: a path comes in, an open regular file
//! or its bytes come out, or why there are none.
//!
//! Called by whoever is given a path: `image::read`, the command line, watched folder,
//! console, clients, labelled cases. It never waits: a named pipe without a writer would
//! keep an ordinary `open` for ever, a terminal an ordinary `read`. It never reads more
//! than [`MAX_FILE_BYTES`], however a file grows meanwhile.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::limits::{MAX_FILE_BYTES, SMALLER, too_large};
use crate::case::{Refusal, RefusalCode};

/// Why there is no file to read an image from.
#[derive(Debug, thiserror::Error)]
pub enum NoFile {
    /// There is none, or it cannot be read.
    #[error("cannot be read: {0}")]
    Io(#[from] Error),
    /// Something else lies there.
    #[error("{0} and no file")]
    Other(NonFile),
    /// It has more than [`MAX_FILE_BYTES`].
    #[error("the file has more than {} MiB", MAX_FILE_BYTES >> 20)]
    TooLarge,
}

/// What lies at a path where a file should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonFile {
    /// A folder.
    Folder,
    /// A named pipe, or the pipe that a program was started with.
    Pipe,
    /// A socket.
    Socket,
    /// A terminal, a disk, a port.
    Device,
    /// A link, where none is followed.
    Link,
}

impl std::fmt::Display for NonFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::Pipe => "a pipe",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Link => "a link",
        })
    }
}

impl NonFile {
    /// `None` for what a file's bytes can be read from.
    fn of(about: &Metadata) -> Option<Self> {
        let kind: FileType = about.file_type();
        match kind {
            _ if kind.is_file() => None,
            _ if kind.is_dir() => Some(Self::Folder),
            _ if kind.is_fifo() => Some(Self::Pipe),
            _ if kind.is_socket() => Some(Self::Socket),
            _ => Some(Self::Device),
        }
    }
}

impl NoFile {
    /// The code of its refusal.
    pub fn code(&self) -> RefusalCode {
        match self {
            Self::Io(_) => RefusalCode::NotFound,
            Self::Other(_) => RefusalCode::NotAFile,
            Self::TooLarge => RefusalCode::TooLarge,
        }
    }

    /// What can be done about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Io(_) => "check the path and the right to read it",
            Self::Other(NonFile::Folder) => "name an image file in the folder",
            Self::Other(NonFile::Link) => "name the file itself, which the link leads to",
            Self::Other(_) => "save the image as a file, and give that",
            Self::TooLarge => SMALLER,
        }
    }

    /// The same as a refusal, which does not name the file.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::TooLarge => too_large(self.to_string()),
            _ => Refusal::new(self.code(), self.to_string(), self.help()),
        }
    }

    /// The same for those who hand on errors of the system.
    pub fn into_io(self) -> Error {
        match self {
            Self::Io(error) => error,
            Self::Other(_) => Error::new(ErrorKind::InvalidInput, self.to_string()),
            Self::TooLarge => Error::new(ErrorKind::FileTooLarge, self.to_string()),
        }
    }
}

/// Opens a file to read; its size is not looked at.
///
/// # Errors
/// [`NoFile::Io`], also for a folder that must not be listed, and [`NoFile::Other`] for what is
/// no regular file: at once, without waiting for whoever would write to it.
pub fn open(path: &Path) -> Result<File, NoFile> {
    // Looked at before as well: some devices do something when they are opened (a tape winds
    // back, a watchdog starts to count).
    let about = std::fs::metadata(path)?;
    if about.is_dir() {
        // Whoever meant the images in it lacks the right to them, and named no wrong thing.
        std::fs::read_dir(path)?;
    }
    regular(&about)?;
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    // What was opened counts: another thing may have come under this name.
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Opens a file that is not larger than what is read.
///
/// # Errors
/// [`NoFile`].
pub fn open_image(path: &Path) -> Result<File, NoFile> {
    let file = open(path)?;
    if file.metadata()?.len() > MAX_FILE_BYTES {
        return Err(NoFile::TooLarge);
    }
    Ok(file)
}

/// All bytes of an image's file.
///
/// # Errors
/// [`NoFile`]; also where it grows beyond what is read meanwhile.
pub fn bytes(path: &Path) -> Result<Vec<u8>, NoFile> {
    bytes_of(open_image(path)?)
}

/// What is left to read of a stream, up to [`MAX_FILE_BYTES`].
pub(super) fn bytes_of(from: impl Read) -> Result<Vec<u8>, NoFile> {
    let mut bytes = Vec::new();
    from.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(NoFile::TooLarge);
    }
    Ok(bytes)
}

fn regular(about: &Metadata) -> Result<(), NoFile> {
    NonFile::of(about).map_or(Ok(()), |kind| Err(NoFile::Other(kind)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("pipe"),
            rustix::fs::FileType::Fifo,
            mode,
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        std::os::unix::fs::symlink(at("pipe"), at("link.png")).unwrap();
        for (path, kind) in [
            (folder.path().to_owned(), NonFile::Folder),
            (at("pipe"), NonFile::Pipe),
            (at("link.png"), NonFile::Pipe),
            (at("socket"), NonFile::Socket),
            ("/dev/null".into(), NonFile::Device),
        ] {
            let Err(NoFile::Other(is)) = open(&path) else {
                panic!("{}", path.display());
            };
            assert_eq!(is, kind, "{}", path.display());
        }
        assert!(matches!(open(&at("nothing")), Err(NoFile::Io(_))));
    }

    #[test]
    fn no_more_is_read_than_is_allowed() {
        let endless = bytes_of(std::io::repeat(0)).unwrap_err();
        assert!(matches!(endless, NoFile::TooLarge), "{endless}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        let file = File::create(&path).unwrap();
        file.set_len(MAX_FILE_BYTES + 1).unwrap();
        assert!(matches!(bytes(&path), Err(NoFile::TooLarge)));
        file.set_len(3).unwrap();
        assert_eq!(bytes(&path).unwrap(), [0; 3]);
    }
}
