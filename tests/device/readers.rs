//! Outputs for those who are to read them: rights and group are as configured, whatever the umask
//! is, as under the unit.
#![cfg(target_os = "linux")]

use std::fs::{create_dir, metadata, read, rename, write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::device::{Device, PATIENCE};
use crate::common::{phantom, root, starter};

/// A group that no user of this machine needs to be in; root may give files to it.
const GROUP: u32 = 54_321;

/// A device by this configuration, under the unit's umask.
fn start(home: &Path, config: &str, user: Option<u32>) -> Device {
    let file = home.join("medfocus.toml");
    write(&file, config).unwrap();
    let program = env!("CARGO_BIN_EXE_medfocus");
    let script = format!("umask 0077; exec {program} serve \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", "--config"]).arg(file);
    command.arg("--state").arg(home.join("state"));
    command.arg("--bundle").arg(starter());
    command.current_dir(root()).env_remove("RUNTIME_DIRECTORY");
    command.env_remove("XDG_RUNTIME_DIR");
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    Device::start_as(home, &[], command)
}

fn config(home: &Path, mode: &str, group: &str) -> String {
    let at = |name: &str| home.join(name).display().to_string();
    let readers = format!("mode = \"{mode}\"\ngroup = \"{group}\"\n");
    format!(
        "[socket]\nmode = \"0666\"\ngroup = \"{group}\"\n\
         [health]\nmetrics = \"{}\"\n{readers}\
         [results]\nfolder = \"{}\"\n{readers}\
         [[folder]]\npath = \"{}\"\nsettle_s = 0\npoll_s = 1\n{readers}",
        at("medfocus.prom"),
        at("results"),
        at("in"),
    )
}

fn wait_until(device: &Device, what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}: {}", device.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn put(home: &Path, name: &str, bytes: &[u8]) {
    write(home.join("part"), bytes).unwrap();
    rename(home.join("part"), home.join("in").join(name)).unwrap();
}

fn results(home: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(home.join("results"))
        .into_iter()
        .flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with('.'))
        .collect()
}

#[test]
fn files_folders_and_socket_have_the_rights_and_the_group_that_are_configured() {
    let is_root = rustix::process::geteuid().is_root();
    let group = if is_root {
        GROUP
    } else {
        rustix::process::getegid().as_raw()
    };
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    create_dir(home.join("in")).unwrap();
    let device = start(home, &config(home, "0640", &group.to_string()), None);
    put(home, "Ann Müller.png", &read(phantom("brain.png")).unwrap());
    let taken = home.join("in/taken/1-Ann Müller.png");
    wait_until(&device, "answered", || taken.is_file());
    put(home, "notes.txt", b"no image");
    let rejected = home.join("in/rejected/2-notes.txt");
    wait_until(&device, "refused", || rejected.is_file());
    wait_until(&device, "delivered", || results(home).len() == 3);
    wait_until(&device, "metrics", || home.join("medfocus.prom").is_file());
    let files = [
        home.join("medfocus.prom"),
        home.join("state/health.json"),
        taken,
        rejected,
    ];
    for file in files.into_iter().chain(results(home)) {
        let about = metadata(&file).unwrap();
        let has = (about.mode() & 0o7777, about.gid());
        assert_eq!(has, (0o640, group), "{}", file.display());
    }
    for folder in ["results", "in/taken", "in/rejected"] {
        let about = metadata(home.join(folder)).unwrap();
        let has = (about.mode() & 0o777, about.gid());
        assert_eq!(has, (0o750, group), "{folder}");
    }
    let socket = metadata(home.join("state/medfocus.sock")).unwrap();
    assert!(socket.file_type().is_socket());
    assert_eq!((socket.mode() & 0o777, socket.gid()), (0o666, group));
    // Nothing else is opened.
    assert_eq!(
        metadata(home.join("state/journal.ndjson")).unwrap().mode() & 0o077,
        0
    );
    // The answer says what its file was called.
    let json = results(home)
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with("-1.json"));
    let json: Value = serde_json::from_slice(&read(json.unwrap()).unwrap()).unwrap();
    assert_eq!(json["file_name"], "Ann Müller.png");
    assert!(!device.log().contains("Ann"), "a name in the log");
}

#[test]
fn where_the_device_is_not_in_the_group_nothing_is_written_and_it_says_so() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tried: only root starts a device as another user");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    create_dir(home.join("in")).unwrap();
    for folder in ["", "in"] {
        std::os::unix::fs::chown(home.join(folder), Some(65_534), Some(65_534)).unwrap();
    }
    let text = config(home, "0640", &GROUP.to_string());
    let text = text.replace(&format!("0666\"\ngroup = \"{GROUP}\"\n"), "0666\"\n");
    // What is started as nobody must be reachable for nobody.
    if Command::new("setpriv")
        .args(["--reuid", "65534", "--clear-groups", "test", "-x"])
        .arg(env!("CARGO_BIN_EXE_medfocus"))
        .status()
        .is_ok_and(|status| !status.success())
    {
        eprintln!("not tried: another user cannot reach the program here");
        return;
    }
    let device = start(home, &text, Some(65_534));
    put(home, "a.png", &read(phantom("brain.png")).unwrap());
    device.wait_for_log("not in group 54321");
    wait_until(&device, "told", || {
        device.log().contains("results has it not")
    });
    assert!(results(home).is_empty());
    assert!(!home.join("medfocus.prom").exists());
    assert!(
        device
            .log()
            .contains("make this user a member of the group")
    );
}

#[test]
fn rights_and_groups_that_cannot_be_are_refused_before_anything_starts() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("medfocus.toml");
    for (mode, group, said) in [
        ("0646", "0", "anybody could change what is written"),
        ("0240", "0", "its owner must read and write it"),
        ("rw-r--r--", "0", "give three or four octal digits"),
        ("0640", "no-such-group", "/etc/group has no such group"),
    ] {
        write(&file, config(home.path(), mode, group)).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_medfocus"))
            .args(["serve", "--check-config", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(said), "{told}");
    }
}
