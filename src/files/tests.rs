use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, FlockOperation, Mode};

use super::*;

/// A folder that is held, and beside it what nobody may touch.
struct Place {
    root: tempfile::TempDir,
    held: Folder,
}

const KEPT: &str = "not yours";

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("held")).unwrap();
        std::fs::create_dir(at("outside")).unwrap();
        std::fs::write(at("outside/file"), KEPT).unwrap();
        let held = Folder::open(&at("held")).unwrap();
        Self { root, held }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn pipe(&self, name: &str) {
        let mode = Mode::RUSR | Mode::WUSR;
        rustix::fs::mknodat(CWD, self.at(name), FileType::Fifo, mode, 0).unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = self.held.list().unwrap().into_iter();
        entries.map(|e| e.name.into_string().unwrap()).collect()
    }

    /// What lies outside is as it was.
    #[track_caller]
    fn is_untouched(&self) {
        let names: Vec<_> = std::fs::read_dir(self.at("outside")).unwrap().collect();
        assert_eq!(names.len(), 1);
        assert_eq!(
            std::fs::read_to_string(self.at("outside/file")).unwrap(),
            KEPT
        );
    }
}

#[test]
fn a_file_is_replaced_whole_and_nothing_is_left_of_a_failure() {
    let place = Place::new();
    let path = place.at("held/a.json");
    for (way, text) in [(replace as fn(&Path, &[u8]) -> _, "one"), (swap, "two")] {
        way(&path, text.as_bytes()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    std::fs::create_dir_all(place.at("held/folder/full")).unwrap();
    assert!(place.held.replace("folder", b"three").is_err());
    assert_eq!(place.names(), ["a.json", "folder"]);
    assert!(place.held.fresh(OPEN_TO_ALL).is_ok(), "given up");
    assert_eq!(place.names(), ["a.json", "folder"]);
}

#[test]
fn what_others_planted_under_a_name_is_neither_read_nor_written() {
    struct Case {
        plant: fn(&Place),
        reads: &'static str,
    }
    let cases = [
        Case {
            plant: |place| symlink("../outside/file", place.at("held/name")).unwrap(),
            reads: "link",
        },
        Case {
            plant: |place| symlink(place.at("outside/new"), place.at("held/name")).unwrap(),
            reads: "link",
        },
        Case {
            plant: |place| place.pipe("held/name"),
            reads: "a pipe and no file",
        },
        Case {
            plant: |place| std::fs::create_dir(place.at("held/name")).unwrap(),
            reads: "a folder and no file",
        },
        Case {
            plant: |place| {
                std::fs::hard_link(place.at("outside/file"), place.at("held/name")).unwrap();
            },
            reads: "names (hard links)",
        },
    ];
    for case in cases {
        let place = Place::new();
        (case.plant)(&place);
        let error = place.held.append("name", OWN).unwrap_err();
        assert!(error.to_string().contains(case.reads), "{error}");
        assert!(!error.help().is_empty());
        if !case.reads.contains("names") {
            let error = place.held.read("name", 100).unwrap_err();
            assert!(error.to_string().contains(case.reads), "{error}");
        }
        assert!(place.held.create("name", OWN).unwrap_err().is_taken());
        let replaced = place.held.replace("name", b"ours");
        if case.reads.contains("folder") {
            assert!(replaced.is_err());
        } else {
            replaced.unwrap();
            assert_eq!(place.held.read("name", 4).unwrap(), b"ours");
        }
        place.is_untouched();
    }
}

#[test]
fn a_name_is_one_step_and_never_a_way() {
    let place = Place::new();
    for name in ["", ".", "..", "a/b", "/etc", "../outside/file", "a\0b"] {
        let error = place.held.read(name, 10).unwrap_err();
        assert!(matches!(error.cause, Cause::Name), "{name:?}: {error}");
        for error in [
            place.held.replace(name, b"").unwrap_err(),
            place.held.remove_tree(name).unwrap_err(),
            place.held.rename("x", &place.held, name).unwrap_err(),
            place.held.make_folder(name, OWN).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?}: {error}");
        }
    }
    assert!(Folder::above(Path::new("/")).is_err());
    let (above, name) = Folder::above(Path::new("Cargo.toml")).unwrap();
    assert!(above.open_file(name).is_ok());
}

#[test]
fn a_held_folder_is_the_same_one_whatever_comes_under_its_path() {
    let place = Place::new();
    std::fs::rename(place.at("held"), place.at("moved")).unwrap();
    symlink("outside", place.at("held")).unwrap();
    assert!(!place.held.is_still_at_its_path());
    place.held.replace("file", b"ours").unwrap();
    place.is_untouched();
    assert_eq!(std::fs::read(place.at("moved/file")).unwrap(), b"ours");
    assert!(!place.held.is(&Folder::open(&place.at("outside")).unwrap()));
    let moved = Folder::open(&place.at("moved")).unwrap();
    assert!(place.held.is(&moved) && moved.is_still_at_its_path());
}

#[test]
fn a_folder_knows_what_it_lies_in() {
    let place = Place::new();
    let root = Folder::open(place.root.path()).unwrap();
    let deep = place.held.make_folder("a", OWN).unwrap();
    let deep = deep.make_folder("b", OWN).unwrap();
    let outside = root.folder("outside").unwrap();
    for (folder, other, is_within) in [
        (&deep, &place.held, true),
        (&deep, &root, true),
        (&place.held, &place.held, true),
        (&place.held, &deep, false),
        (&deep, &outside, false),
    ] {
        assert_eq!(folder.is_within(other).unwrap(), is_within);
    }
}

#[test]
fn a_link_in_place_of_a_folder_is_not_entered() {
    let place = Place::new();
    symlink("../outside", place.at("held/taken")).unwrap();
    let error = place.held.make_folder("taken", OWN).unwrap_err();
    assert!(matches!(error.cause, Cause::Link), "{error}");
    place.pipe("held/pipe");
    let error = place.held.folder("pipe").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotADirectory, "{error}");
    let new = place.held.make_folder("new", OWN).unwrap();
    assert_eq!(new.about_itself().unwrap().mode() & 0o777, 0o700);
    assert!(place.held.new_folder("new", OWN).unwrap_err().is_taken());
}

#[test]
fn a_tree_is_removed_and_nothing_that_its_links_lead_to() {
    let place = Place::new();
    std::fs::create_dir_all(place.at("held/tree/deep/er")).unwrap();
    std::fs::write(place.at("held/tree/deep/file"), "x").unwrap();
    symlink("../../outside", place.at("held/tree/link")).unwrap();
    symlink(place.at("outside"), place.at("held/tree/deep/er/link")).unwrap();
    symlink("../outside", place.at("held/link")).unwrap();
    place.held.remove_tree("tree").unwrap();
    place.held.remove_tree("link").unwrap();
    assert!(place.held.remove_tree("link").unwrap_err().is_missing());
    assert!(place.names().is_empty());
    place.is_untouched();
    let mut deep = place.held.make_folder("deep", OWN).unwrap();
    for _ in 0..100 {
        deep = deep.make_folder("deep", OWN).unwrap();
    }
    let error = place.held.remove_tree("deep").unwrap_err();
    assert!(matches!(error.cause, Cause::TooDeep(_)), "{error}");
}

#[test]
fn only_what_was_left_half_made_is_swept() {
    let place = Place::new();
    let own = ".medfocus-0123456789abcdef.part";
    for name in [
        own,
        ".a.json.part",
        ".medfocus-x.part",
        ".medfocus-0123456789ABCDEF.part",
    ] {
        std::fs::write(place.at("held").join(name), "x").unwrap();
    }
    symlink(
        "../outside/file",
        place.at("held/.medfocus-0000000000000001.part"),
    )
    .unwrap();
    std::fs::create_dir(place.at("held/.medfocus-0000000000000002.part")).unwrap();
    place.pipe("held/.medfocus-0000000000000003.part");
    let written = place.held.fresh(OWN).unwrap();
    let before = place.names();
    assert_eq!(place.held.sweep().unwrap(), 1);
    let mut left = before.clone();
    left.retain(|name| name != own);
    assert_eq!(place.names(), left);
    place.is_untouched();
    written.keep("whole").unwrap();
    assert!(place.names().contains(&"whole".to_owned()));
}

#[test]
fn a_file_of_another_user_is_not_swept() {
    let place = Place::new();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can make files of others");
        return;
    }
    let name = ".medfocus-0123456789abcdef.part";
    std::fs::write(place.at("held").join(name), "x").unwrap();
    std::os::unix::fs::chown(place.at("held").join(name), Some(65534), None).unwrap();
    assert_eq!(place.held.sweep().unwrap(), 0);
}

#[test]
fn a_temporary_file_that_was_swapped_is_told() {
    let place = Place::new();
    for plant in [
        (|path| std::fs::write(path, "theirs").unwrap()) as fn(&Path),
        |path| symlink("../outside/file", path).unwrap(),
    ] {
        let mut fresh = place.held.fresh(OWN).unwrap();
        fresh.write_all(b"ours").unwrap();
        let name = place.names().into_iter().find(|name| name.starts_with('.'));
        let part = place.at("held").join(name.unwrap());
        std::fs::rename(&part, place.at("stolen")).unwrap();
        plant(&part);
        let error = fresh.keep_durably("name").unwrap_err();
        assert!(matches!(error.cause, Cause::Swapped), "{error}");
        place.is_untouched();
    }
}

#[test]
fn names_are_moved_kept_and_exchanged() {
    let place = Place::new();
    let (held, to) = (&place.held, Folder::make(&place.at("a/b")).unwrap());
    held.replace("one", b"1").unwrap();
    held.replace("two", b"2").unwrap();
    held.rename_new("one", &to, "one").unwrap();
    assert!(held.rename_new("two", &to, "one").unwrap_err().is_taken());
    held.rename("two", &to, "one").unwrap();
    assert_eq!(to.read("one", 1).unwrap(), b"2");
    held.replace("three", b"3").unwrap();
    match held.exchange("three", &to, "one") {
        Ok(()) => assert_eq!(to.read("one", 1).unwrap(), b"3"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
    }
    to.link("one", held, "same").unwrap();
    assert!(to.link("one", held, "same").unwrap_err().is_taken());
    let fresh = held.fresh(OWN).unwrap();
    assert!(fresh.keep_new("same").unwrap_err().is_taken());
    held.fresh(OWN).unwrap().keep_new("new").unwrap();
    assert_eq!(place.names(), ["new", "same", "three"]);
}

#[test]
fn a_link_is_switched_and_read() {
    let place = Place::new();
    for target in ["a", "b"] {
        place
            .held
            .switch_link("current", Path::new(target))
            .unwrap();
        assert_eq!(place.held.read_link("current").unwrap(), Path::new(target));
    }
    std::fs::create_dir(place.at("held/folder")).unwrap();
    assert!(place.held.switch_link("folder", Path::new("a")).is_err());
    assert_eq!(place.names(), ["current", "folder"]);
}

#[test]
fn files_are_made_once_appended_to_and_read_to_a_bound() {
    let place = Place::new();
    let mut file = place.held.create("new", OWN).unwrap();
    file.write_all(b"one").unwrap();
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600);
    let mut file = place.held.append("new", OWN).unwrap();
    file.write_all(b"two").unwrap();
    assert_eq!(place.held.read("new", 6).unwrap(), b"onetwo");
    let error = place.held.read("new", 5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FileTooLarge, "{error}");
    let mut bytes = String::new();
    let mut made = place.held.append("made", OPEN_TO_ALL).unwrap();
    assert_eq!(made.read_to_string(&mut bytes).unwrap(), 0);
    assert!(place.held.read("missing", 1).unwrap_err().is_missing());
    assert!(place.held.has("made").unwrap() && !place.held.has("missing").unwrap());
}

#[test]
fn links_on_the_operators_way_are_followed_where_others_cannot_have_made_them() {
    let place = Place::new();
    symlink("outside", place.at("own")).unwrap();
    symlink("own", place.at("twice")).unwrap();
    symlink("round", place.at("round")).unwrap();
    let outside = Folder::open(&place.at("outside")).unwrap();
    for name in ["own", "twice", "held/../own/.", "own/../twice"] {
        assert!(
            Folder::open(&place.at(name)).unwrap().is(&outside),
            "{name}"
        );
    }
    for (name, kind) in [
        ("own/file", ErrorKind::NotADirectory),
        ("none", ErrorKind::NotFound),
        ("own/file/deep", ErrorKind::NotADirectory),
    ] {
        assert_eq!(
            Folder::open(&place.at(name)).unwrap_err().kind(),
            kind,
            "{name}"
        );
    }
    assert!(Folder::open(&place.at("round")).is_err());
    assert!(Folder::open(Path::new("")).is_err());
    Folder::make(&place.at("own/new/deep")).unwrap();
    assert!(place.at("outside/new/deep").is_dir());
}

#[test]
fn another_users_link_on_the_way_is_followed_only_through_their_own_folder() {
    let place = Place::new();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can make links of others");
        return;
    }
    const OTHER: Option<u32> = Some(65534);
    for (folder_of, mode, is_followed) in [
        (OTHER, 0o755, true),
        (OTHER, 0o775, false),
        (OTHER, 0o1777, false),
        (Some(0), 0o755, false),
    ] {
        let link = place.at("held/link");
        let _ = std::fs::remove_file(&link);
        symlink("../outside", &link).unwrap();
        std::os::unix::fs::lchown(&link, OTHER, None).unwrap();
        std::os::unix::fs::chown(place.at("held"), folder_of, None).unwrap();
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(place.at("held"), mode).unwrap();
        match Folder::open(&link) {
            Ok(_) => assert!(is_followed, "{folder_of:?}"),
            Err(error) => {
                assert!(!is_followed, "{error}");
                assert!(matches!(error.cause, Cause::ForeignLink(_)), "{error}");
            }
        }
    }
}

#[test]
fn a_lock_tells_what_is_written_now() {
    let place = Place::new();
    let fresh = place.held.fresh(OWN).unwrap();
    let name = place.names().remove(0);
    let other = File::open(place.at("held").join(name)).unwrap();
    let lock = |file: &File| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
    assert!(lock(&other).is_err());
    drop(fresh);
    assert!(lock(&other).is_ok());
}
