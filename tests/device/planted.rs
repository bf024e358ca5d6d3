//! What others may plant in the folders that the program reads and writes: links, pipes,
//! folders and other files, under names that could be told beforehand. Nothing outside of a
//! folder is changed, nobody waits, and the device answers.
//!
//! The folders are open to all and not sticky: there the kernel's `fs.protected_*` keep nothing
//! back, so that only the program itself can.
#![cfg(target_os = "linux")]

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::{phantom, root, starter};

/// The user that a service runs as, and what a person of the same group may be.
const SERVICE: u32 = 65_533;
const OTHER: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

fn give(path: &Path, user: u32) {
    lchown(path, Some(user), Some(user)).unwrap();
}

fn open_to_all(path: &Path) {
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(path, mode).unwrap();
}

/// A device with a console, a watched folder, results and pictures.
struct Place {
    home: tempfile::TempDir,
    device: Device,
    console: Cable,
}

impl Place {
    fn open() -> Self {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name).display().to_string();
        let console = Cable::plug(&home.path().join("port"));
        for name in ["in", "results", "shown", "images"] {
            std::fs::create_dir(at(name)).unwrap();
            open_to_all(Path::new(&at(name)));
        }
        let options = [
            "--folder",
            &at("in"),
            "--results",
            &at("results"),
            "--display",
            &format!("png:{}", at("shown")),
            "--console-folder",
            &at("images"),
        ];
        let device = Device::start_with(home.path(), &["port"], 115_200, &options);
        Self {
            home,
            device,
            console,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", self.device.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Runs a case; its answer.
    fn run(&mut self) -> String {
        assert_eq!(self.console.ask("EXAM brain4"), "OK");
        let brain = phantom("brain.png").display().to_string();
        let case = self.console.ask(&format!("CASE:RUN \"{brain}\""));
        self.console.wait_for_end(&case)
    }

    fn is_well(&mut self) {
        let status = self.console.ask("STAT?");
        assert!(status.starts_with("ready "), "{status}");
    }
}

#[test]
fn a_link_in_the_result_folder_leads_the_device_to_none_of_its_own_files() {
    let mut place = Place::open();
    let identity = place.console.ask("*IDN?");
    let id = identity.split(',').nth(2).unwrap().to_owned();
    let journal = place.at("state/journal.ndjson");
    for case in 1..=3 {
        for name in [
            format!(".{id}-{case}.json.part"),
            format!(".{id}-{case}.overlay.png.part"),
            format!("{id}-{case}.json"),
        ] {
            symlink(&journal, place.at("results").join(name)).unwrap();
        }
    }
    let before = std::fs::read_to_string(&journal).unwrap();
    assert_eq!(place.run(), "1 finding");
    let result = place.at("results").join(format!("{id}-1.json"));
    let is_written = || {
        let is_file = result.symlink_metadata().is_ok_and(|about| about.is_file());
        is_file && std::fs::read_to_string(&result).is_ok_and(|text| text.ends_with("}\n"))
    };
    place.wait_for("the result", is_written);
    let after = std::fs::read_to_string(&journal).unwrap();
    assert!(after.starts_with(&before), "the journal was written on");
    place.is_well();
}

#[test]
fn a_link_in_the_folder_of_pictures_is_replaced_and_not_written_on() {
    let mut place = Place::open();
    let kept = place.at("kept");
    std::fs::write(&kept, "mine").unwrap();
    for name in [".finding.png.part", ".working.png.part", "finding.png"] {
        symlink(&kept, place.at("shown").join(name)).unwrap();
    }
    assert_eq!(place.run(), "1 finding");
    let finding = place.at("shown/finding.png");
    let is_shown = || {
        finding
            .symlink_metadata()
            .is_ok_and(|about| about.is_file())
    };
    place.wait_for("the picture", is_shown);
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "mine");
    place.is_well();
}

#[test]
fn taken_and_rejected_as_links_are_not_followed() {
    let place = Place::open();
    let away = place.at("away");
    std::fs::create_dir(&away).unwrap();
    for name in ["taken", "rejected"] {
        symlink(&away, place.at("in").join(name)).unwrap();
    }
    std::fs::copy(phantom("brain.png"), place.at("in/Ann.png")).unwrap();
    std::fs::write(place.at("in/none.png"), "no image").unwrap();
    place.device.wait_for_log("it is a link");
    let answered = || place.device.journal("answered").len() == 2;
    place.wait_for("both answers", answered);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(std::fs::read_dir(&away).unwrap().count(), 0);
    assert!(place.at("in/Ann.png").is_file() && place.at("in/none.png").is_file());
    assert!(
        !place.device.log().contains("Ann"),
        "a name went to the log"
    );
    // Once they are folders, the files are put away.
    for name in ["taken", "rejected"] {
        std::fs::remove_file(place.at("in").join(name)).unwrap();
    }
    let is_put_away = || place.at("in/taken").is_dir() && place.at("in/rejected").is_dir();
    place.wait_for("the folders", is_put_away);
}

#[test]
fn a_watched_folder_that_leads_into_the_state_folder_is_not_watched() {
    let place = Place::open();
    std::fs::rename(place.at("in"), place.at("moved")).unwrap();
    symlink(place.at("state"), place.at("in")).unwrap();
    place.device.wait_for_log("it leads into the state folder");
    let state = place.at("state");
    assert!(!state.join("taken").exists() && !state.join("rejected").exists());
    assert!(state.join("journal.ndjson").is_file());
}

#[test]
fn a_console_names_regular_files_of_its_folders_and_nothing_else() {
    let mut place = Place::open();
    let at = |name: &str| place.home.path().join(name);
    std::fs::copy(phantom("brain.png"), at("images/brain.png")).unwrap();
    std::fs::create_dir(at("elsewhere")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::copy(phantom("brain.png"), outside.path().join("brain.png")).unwrap();
    symlink(outside.path().join("brain.png"), at("images/link.png")).unwrap();
    symlink(outside.path(), at("images/away")).unwrap();
    symlink(at("state"), at("images/state")).unwrap();
    pipe(&at("images/pipe.png"));
    let home = place.home.path().display().to_string();
    let outside = outside.path().join("brain.png").display().to_string();
    place.console.ask("EXAM brain4");
    for (path, expected) in [
        (format!("{home}/images/brain.png"), "finding"),
        (format!("{home}/images/../images/./brain.png"), "finding"),
        (format!("{home}/images/link.png"), "not_a_file"),
        (format!("{home}/images/away/brain.png"), "not_a_file"),
        (format!("{home}/images/state/device-id"), "not_a_file"),
        (format!("{home}/images/pipe.png"), "not_a_file"),
        (format!("{home}/images/none.png"), "not_found"),
        (outside, "ERR 37,"),
        ("/dev/stdin".to_owned(), "ERR 37,"),
        ("/proc/self/fd/0".to_owned(), "ERR 37,"),
        ("/proc/self/environ".to_owned(), "ERR 37,"),
        ("/etc/passwd".to_owned(), "ERR 37,"),
        (format!("{home}/state/journal.ndjson"), "ERR 37,"),
        (format!("{home}/images/../state/device-id"), "ERR 37,"),
    ] {
        let begin = Instant::now();
        let case = place.console.ask(&format!("CASE:RUN \"{path}\""));
        assert!(begin.elapsed().as_secs() < 10, "{path}: it waits");
        if case.starts_with("ERR") {
            assert!(case.starts_with(expected), "{path}: {case}");
            assert!(
                case.contains("console.folders or --console-folder"),
                "{case}"
            );
            continue;
        }
        let end = place.console.wait_for_end(&case);
        let told = place.console.ask(&format!("CASE:RES? {case}"));
        let is_it = end.ends_with(expected) || told.contains(&format!("code={expected} "));
        assert!(is_it, "{path}: {told}");
    }
    place.is_well();
}

/// Runs the program as root.
fn medfocus(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_medfocus"))
        .current_dir(root())
        .args(arguments)
        .output()
        .unwrap()
}

/// A state folder of the service's, and beside it what is root's alone.
fn services_state() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (state, of_root) = (home.path().join("state"), home.path().join("root"));
    std::fs::create_dir(&state).unwrap();
    give(&state, SERVICE);
    std::fs::create_dir(&of_root).unwrap();
    std::fs::write(of_root.join("file"), "root's").unwrap();
    (home, state, of_root)
}

fn is_untouched(of_root: &Path) {
    assert_eq!(std::fs::read_dir(of_root).unwrap().count(), 1);
    let text = std::fs::read_to_string(of_root.join("file")).unwrap();
    assert_eq!(text, "root's");
}

#[test]
fn root_in_a_services_state_folder_does_nothing_that_the_service_could_not() {
    if !is_root() {
        println!("skipped: only root has rights to lose");
        return;
    }
    let starter = starter().display().to_string();
    // `doctor` wrote a file of this name.
    let (_home, state, of_root) = services_state();
    let link = state.join(".doctor.part");
    symlink(of_root.join("file"), &link).unwrap();
    give(&link, SERVICE);
    let folder = state.display().to_string();
    let output = medfocus(&["doctor", "--state", &folder, "--bundle", &starter]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains("can be written"), "{told}");
    is_untouched(&of_root);

    // `bundle install` emptied the folder that `bundles` led to.
    let (_home, state, of_root) = services_state();
    symlink(&of_root, state.join("bundles")).unwrap();
    give(&state.join("bundles"), SERVICE);
    let folder = state.display().to_string();
    let output = medfocus(&["bundle", "install", &starter, "--state", &folder]);
    assert!(!output.status.success());
    is_untouched(&of_root);

    // And wrote chosen text over what a link led to.
    let (_home, state, of_root) = services_state();
    let folder = state.display().to_string();
    let output = medfocus(&["bundle", "install", &starter, "--state", &folder]);
    assert!(output.status.success(), "{output:?}");
    let owner = |path: &Path| path.symlink_metadata().unwrap().uid();
    assert_eq!(owner(&state.join("bundles/current")), SERVICE);
    let name = std::fs::read_link(state.join("bundles/current")).unwrap();
    let name = name.display();
    for link in [format!(".{name}.previous.part"), ".part.current".to_owned()] {
        let link = state.join("bundles").join(link);
        symlink(of_root.join("file"), &link).unwrap();
        give(&link, SERVICE);
    }
    medfocus(&["bundle", "install", &starter, "--state", &folder]);
    medfocus(&["bundle", "rollback", "--state", &folder]);
    is_untouched(&of_root);
}

#[test]
fn outputs_of_the_command_line_are_written_on_nothing_that_lies_there() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    std::fs::create_dir(at("out")).unwrap();
    std::fs::write(at("kept"), "mine").unwrap();
    let brain = phantom("brain.png").display().to_string();
    let out = at("out").display().to_string();
    let run = || {
        medfocus(&[
            "classify", &brain, "--exam", "brain4", "--write", "page", "--to", &out,
        ])
    };
    assert!(run().status.success());
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&out).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let [name] = &names()[..] else {
        panic!("{:?}", names());
    };
    std::fs::remove_file(at("out").join(name)).unwrap();
    symlink(at("kept"), at("out").join(name)).unwrap();
    if is_root() {
        chown(at("out"), Some(OTHER), None).unwrap();
        lchown(at("out").join(name), Some(OTHER), None).unwrap();
    }
    assert!(run().status.success());
    assert_eq!(std::fs::read_to_string(at("kept")).unwrap(), "mine");
    assert!(at("out").join(name).symlink_metadata().unwrap().is_file());
}
