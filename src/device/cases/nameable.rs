//! The files that a console may name: a path comes in, an open regular file comes out, or why
//! there is none.
//!
//! Called where a line asks for a case by path. Whoever talks on the line is not always whom
//! the device's files are for. So a path counts only beneath the folders that the operator
//! named; no link beneath them is followed, nothing is waited for, and nothing of the device's
//! own state folder or of the system's (`/proc`, `/sys`, `/dev`) is ever opened.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FsWord, PROC_SUPER_MAGIC};

use crate::device::case_error::CaseError;
use crate::files::{Cause, FileError, Folder, Kind};
use crate::image::open::{NoFile, NonFile};

/// What the system makes files of that are none.
const OF_THE_SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// The kinds of file system that `/proc` and `/sys` are, wherever they lie (`statfs(2)`).
const KINDS_OF_THE_SYSTEM: [FsWord; 2] = [PROC_SUPER_MAGIC, 0x6265_6572];

/// The folders whose files may be named.
#[derive(Debug, Clone, Default)]
pub struct Nameable {
    folders: Vec<PathBuf>,
    /// Relative paths are looked up from here.
    start: PathBuf,
}

/// Where a path lies: the folder that it was allowed by, and the names from there on.
type Way<'a> = (&'a Path, Vec<&'a OsStr>);

impl Nameable {
    /// Files beneath these folders; relative paths of folders and files are looked up from
    /// `start`.
    pub fn beneath(folders: impl IntoIterator<Item = PathBuf>, start: &Path) -> Self {
        let place = |folder: PathBuf| start.join(folder).components().collect();
        Self {
            folders: folders.into_iter().map(place).collect(),
            start: start.to_owned(),
        }
    }

    /// Opens a file. The outer error is that the path may not be named at all.
    ///
    /// # Errors
    /// [`CaseError::NotNameable`].
    pub fn open(&self, path: &Path, state: &Path) -> Result<Result<File, NoFile>, CaseError> {
        let path = plain(&self.start.join(path));
        let (root, names) = self.way(&path).ok_or(CaseError::NotNameable)?;
        if OF_THE_SYSTEM.iter().any(|system| path.starts_with(system)) {
            return Err(CaseError::NotNameable);
        }
        let opened = Folder::open(root).and_then(|root| walk(&root, &names, state));
        match opened {
            Ok(None) => Err(CaseError::NotNameable),
            Ok(Some(file)) => match rustix::fs::fstatfs(&file) {
                Ok(disk) if KINDS_OF_THE_SYSTEM.contains(&disk.f_type) => {
                    Err(CaseError::NotNameable)
                }
                _ => Ok(Ok(file)),
            },
            Err(error) => Ok(Err(no_file(error))),
        }
    }

    /// The innermost folder that a path lies in, by its name or by where that leads.
    fn way<'a>(&'a self, path: &'a Path) -> Option<Way<'a>> {
        let inside = |folder: &'a PathBuf| {
            let rest = match path.strip_prefix(folder) {
                Ok(rest) => rest,
                Err(_) => path.strip_prefix(folder.canonicalize().ok()?).ok()?,
            };
            let names: Vec<&OsStr> = rest.iter().collect();
            (!names.is_empty()).then_some((folder.as_path(), names))
        };
        let ways = self.folders.iter().filter_map(inside);
        ways.min_by_key(|(_, names)| names.len())
    }
}

/// From a folder to a file, a name at a time; `None` where the way leads into the state folder.
fn walk(root: &Folder, names: &[&OsStr], state: &Path) -> Result<Option<File>, FileError> {
    let state = Folder::open(state)?;
    if root.is_within(&state)? {
        return Ok(None);
    }
    let Some((file, above)) = names.split_last() else {
        return Ok(None);
    };
    let mut here = root.clone();
    for name in above {
        here = here.folder(name)?;
        if here.is(&state) {
            return Ok(None);
        }
    }
    here.open_file(file).map(Some)
}

/// The path without steps up. Beneath an allowed folder no link is followed, so that a step up
/// leads to where it was written.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for step in path.components() {
        match step {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            step => plain.push(step),
        }
    }
    plain
}

fn no_file(error: FileError) -> NoFile {
    match error.cause {
        Cause::Link => NoFile::Other(NonFile::Link),
        Cause::NoFile(Kind::Folder) => NoFile::Other(NonFile::Folder),
        Cause::NoFile(Kind::Pipe) => NoFile::Other(NonFile::Pipe),
        Cause::NoFile(Kind::Socket) => NoFile::Other(NonFile::Socket),
        Cause::NoFile(_) => NoFile::Other(NonFile::Device),
        _ => NoFile::Io(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_files_beneath_the_folders_are_opened_and_no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for folder in ["in/deep", "in/state/images", "other"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        for file in [
            "in/a.png",
            "in/deep/a.png",
            "in/state/journal",
            "in/state/images/x",
        ] {
            std::fs::write(at(file), file).unwrap();
        }
        std::fs::write(at("other/secret"), "secret").unwrap();
        symlink("../other/secret", at("in/link.png")).unwrap();
        symlink("../other", at("in/away")).unwrap();
        symlink("in", at("named")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("in/pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let folders = ["in", "named", "state-away", "/proc", "/"];
        struct Case {
            folder: usize,
            path: &'static str,
            is: &'static str,
        }
        let case = |folder, path, is| Case { folder, path, is };
        for Case { folder, path, is } in [
            case(0, "in/a.png", "opened"),
            case(0, "in/./deep/../a.png", "opened"),
            case(0, "in/deep/a.png", "opened"),
            case(1, "named/a.png", "opened"),
            case(1, "in/a.png", "opened"),
            case(0, "in/none.png", "cannot be read"),
            case(0, "in/pipe", "a pipe and no file"),
            case(0, "in/deep", "a folder and no file"),
            case(0, "in/link.png", "a link and no file"),
            case(0, "in/away/secret", "a link and no file"),
            case(0, "in", "not nameable"),
            case(0, "other/secret", "not nameable"),
            case(0, "in/../other/secret", "not nameable"),
            case(0, "in/../../../../etc/passwd", "not nameable"),
            case(0, "/etc/passwd", "not nameable"),
            case(0, "in/state/journal", "not nameable"),
            case(0, "in/state/images/x", "not nameable"),
            case(0, "/dev/stdin", "not nameable"),
            case(0, "/proc/self/fd/0", "not nameable"),
            case(3, "/proc/self/environ", "not nameable"),
            case(4, "/proc/self/environ", "not nameable"),
            case(4, "/dev/zero", "not nameable"),
            case(4, "/sys/kernel/notes", "not nameable"),
        ] {
            let allowed = Nameable::beneath([folders[folder].into()], home.path());
            let told = match allowed.open(Path::new(path), &at("in/state")) {
                Ok(Ok(_)) => "opened".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(CaseError::NotNameable) => "not nameable".to_owned(),
                Err(error) => error.to_string(),
            };
            assert!(told.contains(is), "{path}: {told}, not {is}");
        }
        let images = Nameable::beneath(["in/state/images".into()], home.path());
        let path = at("in/state/images/x");
        assert!(images.open(&path, &at("in/state")).is_err());
    }
}
