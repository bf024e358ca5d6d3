use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::case::{BundleId, IntendedUse};

/// A state folder, and a bundle that nobody reads but these tests.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        fs::create_dir(bench.state()).unwrap();
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn state(&self) -> PathBuf {
        self.at("state")
    }

    fn store(&self) -> Store {
        Store::of(&self.state())
    }

    fn source(&self, version: &str) -> PathBuf {
        let from = self.at("from");
        let _ = fs::remove_dir_all(&from);
        fs::create_dir_all(from.join("heads")).unwrap();
        fs::write(from.join("bundle.toml"), version).unwrap();
        fs::write(from.join("heads/a"), version).unwrap();
        from
    }

    fn install(&self, version: &str) -> PathBuf {
        let from = self.source(version);
        let installed = self
            .store()
            .install(&Source::open(&from).unwrap(), |_| Ok(verified(version)));
        installed.map_err(|error: BundleError| error).unwrap()
    }

    fn roll_back(&self) -> Result<String, &'static str> {
        let judge = |place: &Path| {
            let version = fs::read_to_string(place.join("bundle.toml")).unwrap();
            Ok(verified(&version).release)
        };
        let back = self.store().roll_back(judge);
        back.map_err(|error: BundleError| error.code())
    }

    fn in_use(&self) -> Option<String> {
        let current = self.store().current()?;
        let head = fs::read_to_string(current.join("heads/a")).unwrap();
        assert_eq!(
            head,
            fs::read_to_string(current.join("bundle.toml")).unwrap()
        );
        Some(head)
    }

    fn names(&self) -> Vec<String> {
        names(self.store().folder())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn verified(version: &str) -> Verified {
    let sha256 = "0123456789abcdef".repeat(4);
    let name = "starter/x".to_owned();
    let id = BundleId {
        name: name.clone(),
        version: version.to_owned(),
        sha256: sha256.clone(),
    };
    Verified {
        outline: Outline {
            id,
            older: None,
            intended_use: IntendedUse::Demonstration,
            exams: Vec::new(),
        },
        release: Release {
            name,
            key: String::new(),
            number: 0,
            sha256,
        },
        clock_is_right: false,
    }
}

#[test]
fn the_one_before_is_kept_and_comes_back_by_one_call() {
    let bench = Bench::new();
    assert_eq!(bench.in_use(), None);
    assert_eq!(bench.roll_back(), Err("bundle_not_found"));
    let place = bench.install("1");
    assert!(place.ends_with("starter_x-1-0123456789abcdef"), "{place:?}");
    assert_eq!(bench.in_use().as_deref(), Some("1"));
    assert_eq!(bench.roll_back(), Err("bundle_not_found"));
    bench.install("2");
    bench.roll_back().unwrap();
    assert_eq!(bench.in_use().as_deref(), Some("1"));
    bench.roll_back().unwrap();
    assert_eq!(bench.in_use().as_deref(), Some("2"));
    bench.install("3");
    assert_eq!(bench.in_use().as_deref(), Some("3"));
    let bundles = bench.names();
    assert_eq!(bundles.iter().filter(|n| n.ends_with("cdef")).count(), 2);
    bench.roll_back().unwrap();
    assert_eq!(bench.in_use().as_deref(), Some("2"));
}

#[test]
fn installed_again_it_is_whole_again_and_what_was_before_stays_so() {
    let bench = Bench::new();
    bench.install("1");
    let place = bench.install("2");
    fs::write(place.join("heads/a"), "spoilt").unwrap();
    fs::create_dir_all(place.with_extension("prepared")).unwrap();
    bench.install("2");
    assert_eq!(bench.in_use().as_deref(), Some("2"));
    bench.roll_back().unwrap();
    assert_eq!(bench.in_use().as_deref(), Some("1"));
}

/// Whatever an installation that power cut short has left, the next one works.
#[test]
fn what_was_cut_short_is_swept_away() {
    let bench = Bench::new();
    bench.install("1");
    let folder = bench.state().join("bundles");
    fs::create_dir_all(folder.join(PART).join("heads")).unwrap();
    symlink("nowhere", folder.join(FORMER_PART)).unwrap();
    bench.install("2");
    assert_eq!(bench.in_use().as_deref(), Some("2"));
    assert!(!bench.names().iter().any(|name| name.starts_with('.')));
}

#[test]
fn what_is_judged_is_the_copy_and_one_that_is_no_good_changes_nothing() {
    let bench = Bench::new();
    bench.install("1");
    let before = bench.names();
    let from = bench.source("2");
    let source = Source::open(&from).unwrap();
    let judge = |copy: &Path| {
        // The source changes while it is judged.
        fs::write(from.join("heads/a"), "another").unwrap();
        assert_eq!(fs::read_to_string(copy.join("heads/a")).unwrap(), "2");
        Ok::<_, BundleError>(verified("2"))
    };
    bench.store().install(&source, judge).unwrap();
    assert_eq!(bench.in_use().as_deref(), Some("2"));
    bench.roll_back().unwrap();
    let refused = |_: &Path| Err(BundleError::NoneBefore);
    let third = Source::open(&bench.source("3")).unwrap();
    assert!(bench.store().install(&third, refused).is_err());
    assert_eq!(bench.in_use().as_deref(), Some("1"));
    let gone: Vec<String> = before
        .into_iter()
        .filter(|name| !bench.names().contains(name))
        .collect();
    assert_eq!(gone, [""; 0]);
    assert!(!bench.names().iter().any(|name| name.starts_with('.')));
}

/// Found: what lay in the folder that a link of the service's led to was deleted by root.
#[test]
fn nothing_of_anybody_else_is_removed_or_written_over() {
    let bench = Bench::new();
    let (outside, precious) = (bench.at("outside"), bench.at("outside/precious"));
    fs::create_dir(&outside).unwrap();
    fs::write(&precious, "mine").unwrap();
    symlink(&outside, bench.state().join("bundles")).unwrap();
    bench.install("1");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
    fs::remove_file(bench.state().join("bundles")).unwrap();

    bench.install("1");
    let folder = bench.state().join("bundles");
    let beside = format!("{}.{PREVIOUS}", names(&folder)[1]);
    for name in [
        ".part",
        ".part.current",
        &format!(".{beside}.part"),
        &beside,
    ] {
        let _ = fs::remove_file(folder.join(name));
        symlink(&precious, folder.join(name)).unwrap();
    }
    symlink(&outside, folder.join("elsewhere-0123456789abcdef")).unwrap();
    fs::write(folder.join("notes.txt"), "mine").unwrap();
    bench.install("2");
    bench.install("1");
    assert_eq!(fs::read_to_string(&precious).unwrap(), "mine");
    assert!(folder.join("notes.txt").exists(), "no name of the store's");
}

#[test]
fn a_folder_beside_the_state_folder_is_used_where_nobody_else_may_write_it() {
    let bench = Bench::new();
    bench.install("1");
    let beside = bench.at("state-bundles");
    fs::create_dir(&beside).unwrap();
    let mode = |mode| fs::set_permissions(&beside, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o775);
    assert!(!bench.store().is_apart());
    // Found: the device could not read what was said to be in use.
    mode(0o700);
    assert!(bench.store().is_apart());
    // Found: whoever took the service over put a bundle in its own folder, and the device
    // answered with it. What lies there is told of, and nothing stands in for it.
    let current = bench.store().current().unwrap();
    assert!(current.starts_with(beside.canonicalize().unwrap()) && !current.exists());
    assert_eq!(
        bench.store().left(),
        Some(bench.state().join("bundles/current"))
    );
    let place = bench.install("2");
    assert!(place.starts_with(beside.canonicalize().unwrap()));
    assert_eq!(bench.in_use().as_deref(), Some("2"));
    assert_eq!(bench.store().left(), None);
    assert_eq!(bench.roll_back(), Err("bundle_not_found"), "taken over");
    let read_by_all = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(read_by_all(&beside), 0o755);
    assert_eq!(read_by_all(&place.join("heads/a")), 0o644);
}

/// Found: a file that only root may read lay open while it was judged, and for good where it
/// could not be removed.
#[test]
fn a_copy_is_nobody_elses_to_read_until_it_is_judged() {
    let bench = Bench::new();
    let from = bench.source("1");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let judge = |part: &Path| {
        let seen = ["", "heads", "heads/a", "bundle.toml"].map(|name| mode(&part.join(name)));
        assert_eq!(seen.map(|mode| mode & 0o077), [0; 4]);
        Ok::<_, BundleError>(verified("1"))
    };
    let source = Source::open(&from).unwrap();
    let place = bench.store().install(&source, judge).unwrap();
    let seen = ["", "heads", "heads/a", "bundle.toml"].map(|name| mode(&place.join(name)));
    assert_eq!(seen, [0o755, 0o755, 0o644, 0o644]);
}

#[test]
fn a_hard_link_to_a_file_of_somebody_else_is_not_copied() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can make files of others");
        return;
    }
    let bench = Bench::new();
    let from = bench.source("1");
    fs::write(bench.at("secret"), "root's").unwrap();
    std::os::unix::fs::chown(&from, Some(65534), None).unwrap();
    let installed = || {
        let source = Source::open(&from).unwrap();
        let installed = bench.store().install(&source, |_| Ok(verified("1")));
        installed.map_err(|error: BundleError| error.to_string())
    };
    assert!(installed().is_ok(), "one name: root put it there");
    fs::hard_link(bench.at("secret"), from.join("graph.onnx")).unwrap();
    let why = installed().unwrap_err();
    assert!(why.contains("hard link"), "{why}");
    std::os::unix::fs::chown(bench.at("secret"), Some(65534), None).unwrap();
    assert!(installed().is_ok(), "it is the same user's");
}
