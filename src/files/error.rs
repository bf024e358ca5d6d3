//! What every error of a file says: which file, what was in the way, and help. Made by this
//! module, handed on by whoever touches the disk.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::Kind;
use crate::shown;

/// Something could not be done with a file or folder.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", shown::name(path))]
pub struct FileError {
    /// Which one, as far as it was named.
    pub path: PathBuf,
    /// What was in the way.
    #[source]
    pub cause: Cause,
}

/// What was in the way.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// What the system says.
    #[error(transparent)]
    Io(Error),
    /// A link has this name.
    #[error("it is a link, and links are not followed here")]
    Link,
    /// The way to a folder leads over a link that somebody else could have made.
    #[error("the way leads over the link {}, which is another user's", shown::name(.0))]
    ForeignLink(PathBuf),
    /// Something else lies where a file should.
    #[error("it is {0} and no file")]
    NoFile(Kind),
    /// Something else lies where a folder should.
    #[error("it is {0} and no folder")]
    NoFolder(Kind),
    /// A file that would be written on has other names: it may be somebody else's.
    #[error("the file has {0} names (hard links): it may be somebody else's")]
    OtherNames(u64),
    /// Something else was put at its place while it was worked on.
    #[error("somebody put something else at its place meanwhile")]
    Swapped,
    /// What is made cannot be given to a group that this user is not in.
    #[error("this user is not in group {0}, which it is to belong to")]
    NotInGroup(u32),
    /// The file has more bytes than are read.
    #[error("the file has more than {most} bytes")]
    TooLarge {
        /// As many are read.
        most: u64,
    },
    /// Folders lie in folders, more than anybody makes.
    #[error("folders lie in it more than {0} deep")]
    TooDeep(usize),
    /// What should be one name is a path, or nothing.
    #[error("it is no single name of a file")]
    Name,
}

impl FileError {
    pub(super) fn at(path: &Path) -> impl FnOnce(Cause) -> Self + use<> {
        let path = path.to_owned();
        move |cause| Self { path, cause }
    }

    /// Whether nothing has the name.
    pub fn is_missing(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// Whether something has the name already.
    pub fn is_taken(&self) -> bool {
        self.kind() == ErrorKind::AlreadyExists
    }

    /// The kind, in the system's words.
    pub fn kind(&self) -> ErrorKind {
        self.cause.kind()
    }

    /// What can be done about it.
    pub fn help(&self) -> &'static str {
        match &self.cause {
            Cause::Io(error) => match error.kind() {
                ErrorKind::NotFound => "check the path",
                ErrorKind::PermissionDenied => "give this user the right to it, or name another",
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk",
                _ => "check the path, the right to it, and the disk",
            },
            Cause::Link | Cause::ForeignLink(_) => {
                "look who made the link and why; remove it, or name what it leads to"
            }
            Cause::NoFile(_) | Cause::NoFolder(_) => "look who put it there, and move it away",
            Cause::OtherNames(_) => "name a file of its own, or copy this one and move it away",
            Cause::Swapped => "look who else writes into the folder, and take the right from them",
            Cause::NotInGroup(_) => {
                "make this user a member of the group and start the device again, or name another group"
            }
            Cause::TooLarge { .. } => "name a smaller file",
            Cause::TooDeep(_) => "look who made them, and remove them by hand",
            Cause::Name => "name one file, without a slash",
        }
    }
}

impl Cause {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io(error) => error.kind(),
            Self::NoFolder(_) => ErrorKind::NotADirectory,
            Self::NoFile(Kind::Folder) => ErrorKind::IsADirectory,
            Self::TooLarge { .. } => ErrorKind::FileTooLarge,
            Self::NotInGroup(_) => ErrorKind::PermissionDenied,
            Self::Link
            | Self::ForeignLink(_)
            | Self::NoFile(_)
            | Self::OtherNames(_)
            | Self::Swapped
            | Self::TooDeep(_)
            | Self::Name => ErrorKind::InvalidInput,
        }
    }
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        Self::Io(error)
    }
}

impl From<Errno> for Cause {
    fn from(error: Errno) -> Self {
        match error {
            // What opening without following a link says of one.
            Errno::LOOP => Self::Link,
            other => Self::Io(other.into()),
        }
    }
}

impl From<FileError> for Error {
    /// Without the path, which who hands on errors of the system names as well.
    fn from(error: FileError) -> Self {
        match error.cause {
            Cause::Io(error) => error,
            other => Self::new(other.kind(), other.to_string()),
        }
    }
}
