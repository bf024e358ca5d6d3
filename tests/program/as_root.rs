//! What root does on a device of another user: it gives up its rights for that user's, from
//! wherever it stands, and believes nothing that this user may have put there.
#![cfg(target_os = "linux")]

use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{copy_of_starter, phantom};

/// The user that a service runs as.
const SERVICE: u32 = 65_534;

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: only root has rights to give up");
    }
    is_root
}

fn mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A folder that everybody may enter; in it a bundle, a state folder of the service's, and a
/// folder of root's that nobody else may enter, where commands are run.
struct Place {
    folder: tempfile::TempDir,
    bundle: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
            bundle: copy_of_starter(),
        };
        mode(place.folder.path(), 0o755);
        mode(place.bundle.path(), 0o755);
        for name in ["state", "own"] {
            std::fs::create_dir(place.at(name)).unwrap();
        }
        mode(&place.at("own"), 0o700);
        place.give("state");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.at(name).display().to_string()
    }

    fn give(&self, name: &str) {
        lchown(self.at(name), Some(SERVICE), Some(SERVICE)).unwrap();
    }

    fn bundle(&self) -> &str {
        self.bundle.path().to_str().unwrap()
    }

    /// The exit code and all words of the program, run where only root may be.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.end(Command::new(env!("CARGO_BIN_EXE_medfocus")).args(arguments))
    }

    fn end(&self, command: &mut Command) -> (Option<i32>, String) {
        let ended = command.current_dir(self.at("own")).stdin(Stdio::null());
        let output = ended.env_remove("MEDFOCUS_STATE").output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    fn install(&self) -> (Option<i32>, String) {
        self.run(&[
            "bundle",
            "install",
            self.bundle(),
            "--state",
            &self.text("state"),
        ])
    }
}

/// Found: every command that gives up root failed in a folder like /root.
#[test]
fn a_current_folder_that_may_not_be_entered_is_in_nobodys_way() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let state = place.text("state");
    let (code, said) = place.install();
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = place.run(&["health", "--state", &state]);
    assert!(
        code == Some(3) && said.contains("no device is at work"),
        "{said}"
    );
    for command in [
        &["doctor", "--state", &state][..],
        &["journal", "--state", &state, "verify"],
    ] {
        let (_, said) = place.run(command);
        assert!(!said.contains("Permission denied"), "{command:?}: {said}");
    }
    let image = place.at("brain.png");
    std::fs::copy(phantom("brain.png"), &image).unwrap();
    mode(&image, 0o644);
    let user = SERVICE.to_string();
    let mut classify = Command::new("setpriv");
    classify.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    classify.args([env!("CARGO_BIN_EXE_medfocus"), "classify"]);
    classify
        .arg(&image)
        .args(["--bundle", place.bundle(), "--exam", "brain4"]);
    let (code, said) = place.end(&mut classify);
    assert_eq!(code, Some(0), "{said}");
}

/// Found: root wrote where a link of the service's led.
#[test]
fn whoever_made_a_link_on_the_way_is_whom_root_becomes() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.at("roots")).unwrap();
    symlink(place.at("roots"), place.at("state/link")).unwrap();
    place.give("state/link");
    let link = place.text("state/link");
    let (code, said) = place.run(&["bundle", "install", place.bundle(), "--state", &link]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("Permission denied"), "{said}");
    let left: Vec<_> = std::fs::read_dir(place.at("roots")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Found: a device's whole identity was made where a path was mistyped.
#[test]
fn what_is_no_devices_folder_is_not_taken_on() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    std::fs::create_dir(at("other")).unwrap();
    for name in ["mistyped", "other"] {
        let state = at(name);
        let adopt = ["journal", "--state", state.to_str().unwrap(), "adopt"];
        let output = crate::common::medfocus(&[&adopt[..], &["--because", "a test"]].concat());
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }
    assert!(!at("mistyped").exists());
    assert_eq!(std::fs::read_dir(at("other")).unwrap().count(), 0);
}

/// Found: what the service put into its own folder was copied into root's, and could be
/// rolled back to.
#[test]
fn a_bundle_that_the_service_planted_is_not_taken_over() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.at("state-bundles")).unwrap();
    std::fs::create_dir(place.at("state/bundles")).unwrap();
    let planted = copy_of_starter();
    let manifest = planted.path().join("bundle.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let text = text.replacen("version = \"0.1.0\"", "version = \"6.6.6\"", 1);
    std::fs::write(manifest, text).unwrap();
    symlink(planted.path(), place.at("state/bundles/current")).unwrap();
    // Found: the device's own user could take away what the device demands of its bundles.
    let (code, said) = place.install();
    assert!(code == Some(3) && said.contains("--config"), "{said}");
    let config = place.text("device.toml");
    let (state, named) = (place.text("state"), ["--config", &config]);
    std::fs::write(&config, "").unwrap();
    let install = ["bundle", "install", place.bundle(), "--state", &state];
    let (code, said) = place.run(&[&install[..], &named].concat());
    assert_eq!(code, Some(0), "{said}");
    let back = ["bundle", "rollback", "--state", &state];
    let (code, said) = place.run(&[&back[..], &named].concat());
    assert!(
        code == Some(3) && said.contains("bundle_not_found"),
        "{said}"
    );
    let names = std::fs::read_dir(place.at("state-bundles")).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    let is_planted = |name: &std::ffi::OsString| name.to_string_lossy().contains("6.6.6");
    assert!(!names.iter().any(is_planted), "{names:?}");
}

/// Found: a pipe that the device's user named as its configuration was waited for.
#[test]
fn what_the_device_says_of_its_start_is_read_without_waiting() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let pipe = place.at("state/pipe");
    let (kind, all) = (
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o666),
    );
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, all, 0).unwrap();
    for (config, key) in [
        (Some(pipe.as_path()), None),
        (Some(Path::new("/dev/zero")), None),
        (None, Some(pipe.as_path())),
    ] {
        let keys: Vec<_> = key.into_iter().collect();
        let note = serde_json::json!({
            "config": config, "keys": keys, "revoked": null, "folder": null
        });
        std::fs::write(place.at("state/trust.json"), note.to_string()).unwrap();
        let (code, said) = place.install();
        assert!(matches!(code, Some(2 | 3)), "{note}: {said}");
    }
}

/// Found: where the device may not look for its bundle, the starter bundle stood in for it.
#[test]
fn bundles_that_the_device_may_not_read_are_told_of() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.at("state-bundles")).unwrap();
    mode(&place.at("state-bundles"), 0o700);
    let doctor = ["doctor", "--state", &place.text("state")];
    let (code, said) = place.run(&doctor);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("state-bundles/current"), "{said}");
}
