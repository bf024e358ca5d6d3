//! What in a watched folder may be an image, by its name and kind alone: an open folder comes in,
//! files with their marks come out, where it is asked for those of the folders in it as well. Called
//! at each look. Reads no file and follows no link.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::done::Markers;
use super::settle::Mark;
use super::{REJECTED, TAKEN};
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
/// So deep is looked: folders that scanners make are a few levels deep.
const DEEPEST: usize = 16;
/// Folders that are looked into at one look.
const MOST_FOLDERS: usize = 4096;

/// What is looked for.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    /// Whether what lies in folders within it counts.
    pub subfolders: bool,
    /// The ending of markers, which are no images.
    pub marker: Option<&'a str>,
    /// A folder that is never looked into.
    pub never: Option<&'a Folder>,
}

/// What lies in a folder.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The files that may be images, by their path within the folder. Folders, links and what
    /// begins with a dot are none.
    pub files: BTreeMap<PathBuf, Mark>,
    /// The markers that files are whole.
    pub markers: Markers,
    /// The folders that were looked into, by their paths within the first one, which is empty.
    pub folders: Vec<PathBuf>,
    /// Pipes, sockets and devices: nobody waits for what may come out of them.
    pub no_files: usize,
    /// There are more files than are looked at: their turn comes when others have gone.
    pub has_more: bool,
}

/// Looks into a folder, and into those in it where it is asked; no file is opened.
pub(super) fn look(folder: &Folder, wanted: &Wanted<'_>) -> std::io::Result<Found> {
    let mut found = Found::default();
    let mut next = vec![(folder.clone(), PathBuf::new())];
    while let Some((folder, way)) = next.pop() {
        let within = look_into(&folder, &way, wanted, &mut found);
        // One that is gone meanwhile, or closed, keeps nobody from the others.
        let within = match within {
            Err(error) if way.as_os_str().is_empty() => return Err(error),
            other => other.unwrap_or_default(),
        };
        found.folders.push(way);
        let room = MOST_FOLDERS.saturating_sub(found.folders.len() + next.len());
        found.has_more |= within.len() > room;
        next.extend(within.into_iter().take(room));
    }
    Ok(found)
}

/// Notes what lies in one folder, and gives the folders in it.
fn look_into(
    folder: &Folder,
    way: &Path,
    wanted: &Wanted<'_>,
    found: &mut Found,
) -> std::io::Result<Vec<(Folder, PathBuf)>> {
    let mut within = Vec::new();
    for name in folder.names()? {
        if found.files.len() >= MOST {
            found.has_more = true;
            break;
        }
        let is_marker = wanted
            .marker
            .is_some_and(|ending| name.as_bytes().ends_with(ending.as_bytes()));
        if is_left_out(&name) && !is_marker {
            continue;
        }
        // What is gone meanwhile is left out.
        let Ok(about) = folder.about(&name) else {
            continue;
        };
        let path = way.join(&name);
        match Kind::of(about.file_type()) {
            Kind::File if is_marker => found.markers.note(path, Mark::of(&about)),
            // One without a byte has only begun to come.
            Kind::File if about.len() > 0 => {
                found.files.insert(path, Mark::of(&about));
            }
            Kind::Pipe | Kind::Socket | Kind::Device => found.no_files += 1,
            Kind::Folder if wanted.subfolders && !is_own(&path) => {
                let is_deep = path.components().count() > DEEPEST;
                found.has_more |= is_deep;
                let is_wanted =
                    |folder: &Folder| !wanted.never.is_some_and(|never| never.is(folder));
                let opened = folder.folder(&name).ok().filter(|_| !is_deep);
                within.extend(opened.filter(is_wanted).map(|folder| (folder, path)));
            }
            Kind::File | Kind::Folder | Kind::Link => {}
        }
    }
    Ok(within)
}

/// Whether a folder is one that the device itself puts files into.
fn is_own(way: &Path) -> bool {
    [TAKEN, REJECTED].iter().any(|own| way == Path::new(own))
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
        let held = Folder::open(folder.path()).unwrap();
        let found = look(&held, &Wanted::default()).unwrap();
        assert_eq!(
            found.files.into_keys().collect::<Vec<_>>(),
            [Path::new("a.png")]
        );
        assert_eq!(found.no_files, 1);
    }

    #[test]
    fn folders_in_it_are_looked_into_where_it_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        };
        let deep = ["d"; DEEPEST].join("/");
        let left = [
            "taken/1-a.png",
            "rejected/2-a.png",
            ".hidden/a.png",
            "state/a.png",
            "one/.done",
        ];
        let images = [
            "a.png",
            "one/b.png",
            "one/two/c.png",
            "one/taken/d.png",
            &format!("{deep}/e.png"),
        ];
        for path in left.iter().chain(&images) {
            put(path);
        }
        put(&format!("{deep}/d/too-deep.png"));
        std::os::unix::fs::symlink(folder.path().join("one"), folder.path().join("link")).unwrap();
        let held = Folder::open(folder.path()).unwrap();
        let wanted = Wanted {
            subfolders: true,
            marker: Some(".done"),
            never: Some(&held.folder("state").unwrap()),
        };
        let found = look(&held, &wanted).unwrap();
        let mut sought = images.map(PathBuf::from).to_vec();
        sought.sort();
        assert_eq!(found.files.into_keys().collect::<Vec<_>>(), sought);
        assert!(found.has_more, "what lies too deep is told");
    }
}
