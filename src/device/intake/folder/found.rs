//! What in a watched folder may be an image, by its name and kind alone: an open folder comes in,
//! files with their marks come out. Called at each look. Reads no file and follows no link.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::settle::Mark;
use crate::files::{Folder, Kind};

/// Endings of what is still being written, and of what systems leave behind.
const TEMPORARY: [&str; 8] = [
    "~",
    ".part",
    ".partial",
    ".tmp",
    ".temp",
    ".swp",
    ".filepart",
    ".crdownload",
];
const LEFT_BEHIND: [&str; 2] = ["thumbs.db", "desktop.ini"];

/// Files that are looked at, at most: their names must fit in memory, whoever puts them there.
const MOST: usize = 65_536;

/// What lies in a folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files that may be images, by name. Folders, links and what begins with a dot
    /// are none.
    pub files: BTreeMap<OsString, Mark>,
    /// Pipes, sockets and devices: nobody waits for what may come out of them.
    pub no_files: usize,
    /// There are more files than are looked at: their turn comes when others have gone.
    pub has_more: bool,
}

/// Looks into a folder; nothing is opened.
pub(super) fn look(folder: &Folder) -> std::io::Result<Found> {
    let mut found = Found::default();
    for name in folder.names()? {
        if found.files.len() >= MOST {
            found.has_more = true;
            break;
        }
        if is_left_out(&name) {
            continue;
        }
        // What is gone meanwhile is left out.
        let Ok(about) = folder.about(&name) else {
            continue;
        };
        match Kind::of(about.file_type()) {
            // One without a byte has only begun to come.
            Kind::File if about.len() > 0 => {
                found.files.insert(name, Mark::of(&about));
            }
            Kind::Pipe | Kind::Socket | Kind::Device => found.no_files += 1,
            Kind::File | Kind::Folder | Kind::Link => {}
        }
    }
    Ok(found)
}

fn is_left_out(name: &OsStr) -> bool {
    let name = name.as_bytes().to_ascii_lowercase();
    let ends = |ending: &str| name.ends_with(ending.as_bytes());
    name.starts_with(b".")
        || name.starts_with(b"~")
        || TEMPORARY.iter().any(|ending| ends(ending))
        || LEFT_BEHIND.iter().any(|other| name == other.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_written_or_was_left_behind_is_left_out() {
        for name in [
            ".hidden.png",
            "~lock.png",
            "a.png.part",
            "a.png~",
            "a.PNG.TMP",
            "b.crdownload",
            "Thumbs.db",
            "desktop.ini",
        ] {
            assert!(is_left_out(OsStr::new(name)), "{name}");
        }
        for name in ["a.png", "IM000001", "apart", "a.dcm", "tmp"] {
            assert!(!is_left_out(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn only_files_with_something_in_them_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.png"), b"x").unwrap();
        std::fs::write(at("empty.png"), b"").unwrap();
        std::fs::create_dir(at("taken")).unwrap();
        std::os::unix::fs::symlink(at("a.png"), at("link.png")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let found = look(&Folder::open(folder.path()).unwrap()).unwrap();
        assert_eq!(found.files.into_keys().collect::<Vec<_>>(), ["a.png"]);
        assert_eq!(found.no_files, 1);
    }
}
