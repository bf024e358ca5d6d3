//! A watched folder, as people and units use it: slowly, twice, and pulling the stick.
#![cfg(target_os = "linux")]

use std::fs::{File, create_dir, read, rename, write};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::hold::Hold;
use crate::common::phantom;
use sha2::{Digest, Sha256};

/// A device that watches `in`, and its console.
struct Place {
    home: tempfile::TempDir,
    device: Device,
    console: Cable,
}

impl Place {
    fn start(more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        create_dir(home.path().join("in")).unwrap();
        let (device, console) = switch_on(home.path(), more);
        Self {
            home,
            device,
            console,
        }
    }

    /// As if the power failed and came back.
    fn restart(&mut self, more: &str) {
        self.device.kill();
        (self.device, self.console) = switch_on(self.home.path(), more);
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join("in").join(name)
    }

    /// Puts a file in as a careful writer does: under another name first.
    fn put(&self, name: &str, bytes: &[u8]) {
        let part = self.home.path().join("part");
        write(&part, bytes).unwrap();
        rename(part, self.at(name)).unwrap();
    }

    /// Gives the one worker something to wait for.
    fn hold(&mut self) -> Hold {
        Hold::on_a_case(&self.device, &mut self.console)
    }

    fn accepted(&self) -> usize {
        self.device.journal("accepted").len()
    }
}

fn switch_on(home: &Path, more: &str) -> (Device, Cable) {
    let port = home.join("port");
    let console = Cable::plug(&port);
    let config = format!(
        "{more}\n[[serial]]\nport = \"{}\"\n[[folder]]\npath = \"{}\"\nsettle_s = 1\npoll_s = 1\n",
        port.display(),
        home.join("in").display(),
    );
    let device = Device::configured(home, &config);
    device.wait_for_open("port", 1);
    (device, console)
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn images_are_answered_and_put_away_and_what_is_none_is_rejected() {
    let place = Place::start("");
    let brain = read(phantom("brain.png")).unwrap();
    place.put("Ngozi Müller.png", &brain);
    wait_until("answered", || {
        place.at("taken/1-Ngozi Müller.png").is_file()
    });
    assert_eq!(read(place.at("taken/1-Ngozi Müller.png")).unwrap(), brain);
    place.put("notes.txt", b"no image");
    wait_until("refused", || place.at("rejected/2-notes.txt").is_file());
    let answered = place.device.journal("answered");
    assert_eq!(answered[0]["record"]["status"], "finding");
    assert_eq!(answered[1]["record"]["code"], "unsupported_format");
    // The same image again is the same case, whatever it is called.
    place.put("again.png", &brain);
    wait_until("known", || place.at("taken/1-again.png").is_file());
    assert_eq!(place.accepted(), 2);
    assert!(!place.device.log().contains("Ngozi"), "a name in the log");
}

#[test]
fn what_is_no_image_yet_is_left_alone() {
    let place = Place::start("");
    let left = ["half.png.part", ".hidden.png", "draft.png~", "empty.png"];
    for name in left {
        let bytes: &[u8] = if name == "empty.png" { b"" } else { b"x" };
        place.put(name, bytes);
    }
    create_dir(place.at("folder.png")).unwrap();
    // Looked at after all of them, and taken.
    place.put("last.png", &read(phantom("breast.png")).unwrap());
    wait_until("answered", || !place.at("last.png").exists());
    assert_eq!(place.accepted(), 1);
    assert!(left.iter().all(|name| place.at(name).is_file()));
}

#[test]
fn what_is_no_file_is_never_waited_for() {
    let place = Place::start("");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, place.at("a.png"), kind, mode, 0).unwrap();
    place.device.wait_for_log("are no files");
    place.put("b.png", &read(phantom("brain.png")).unwrap());
    wait_until("answered", || place.at("taken/1-b.png").is_file());
    assert!(place.at("a.png").exists(), "it is left alone");
    assert!(!place.device.log().contains("a.png"), "a name in the log");
}

#[test]
fn a_file_that_is_written_slowly_is_taken_whole() {
    let place = Place::start("");
    let bytes = read(phantom("brain.png")).unwrap();
    let mut file = File::create(place.at("slow.png")).unwrap();
    for piece in bytes.chunks(bytes.len().div_ceil(8)) {
        file.write_all(piece).unwrap();
        file.flush().unwrap();
        std::thread::sleep(Duration::from_millis(400));
    }
    drop(file);
    wait_until("answered", || place.at("taken/1-slow.png").is_file());
    let answered = place.device.journal("answered");
    let hash: String = Sha256::digest(&bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(answered.len(), 1);
    assert_eq!(answered[0]["image"], hash.as_str());
    assert_eq!(answered[0]["record"]["status"], "finding");
}

#[test]
fn a_power_failure_between_acceptance_and_move_makes_no_second_case() {
    let mut place = Place::start("");
    let hold = place.hold();
    place.put("a.png", &read(phantom("brain.png")).unwrap());
    wait_until("accepted", || place.accepted() == 2);
    assert!(place.at("a.png").is_file(), "it has no answer yet");
    place.restart("");
    // Accepted after the file was met again: the folder is looked at oldest first.
    place.put("b.png", &read(phantom("breast.png")).unwrap());
    wait_until("accepted", || place.accepted() >= 3);
    hold.let_go();
    wait_until("answered", || place.at("taken/2-a.png").is_file());
    wait_until("answered", || place.at("taken/3-b.png").is_file());
    assert_eq!(place.accepted(), 3);
    let answered = place.device.journal("answered");
    let of_two = answered.iter().filter(|entry| entry["case"] == 2);
    assert_eq!(of_two.count(), 1);
}

#[test]
fn files_wait_in_the_folder_while_the_queue_is_full() {
    let mut place = Place::start("[queue]\nmost_waiting = 2\n");
    let hold = place.hold();
    for number in 0..6 {
        place.put(
            &format!("{number}.txt"),
            format!("text {number}").as_bytes(),
        );
    }
    place.console.wait_for("STAT?", "running case=1 waiting=2 ");
    hold.let_go();
    for number in 0..6 {
        let name = format!("{number}.txt");
        wait_until("put away", || !place.at(&name).exists());
    }
    let journal = read(place.home.path().join("state/journal.ndjson")).unwrap();
    let lines = journal.split(|byte| *byte == b'\n');
    let events = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    let before_the_first_end = events.take_while(|entry| entry["event"] != "answered");
    let accepted = before_the_first_end.filter(|entry| entry["event"] == "accepted");
    assert_eq!(
        accepted.count(),
        3,
        "the one that is held and two that wait"
    );
    assert_eq!(place.accepted(), 7);
}

#[test]
fn a_stick_that_is_pulled_and_comes_back_goes_on() {
    let mut place = Place::start("");
    let hold = place.hold();
    place.put("a.png", &read(phantom("brain.png")).unwrap());
    wait_until("accepted", || place.accepted() == 2);
    let (here, away) = (place.at(""), place.home.path().join("away"));
    rename(&here, &away).unwrap();
    wait_until("noticed", || place.device.log().contains("No such file"));
    hold.let_go();
    assert_eq!(
        place.console.wait_for_end("2"),
        "2 finding",
        "of the device's copy"
    );
    rename(&away, &here).unwrap();
    wait_until("put away", || place.at("taken/2-a.png").is_file());
    wait_until("noticed", || place.device.log().contains("works again"));
    place.put("b.png", &read(phantom("breast.png")).unwrap());
    wait_until("answered", || place.at("taken/3-b.png").is_file());
    assert_eq!(place.accepted(), 3);
}

#[test]
fn an_answered_file_is_deleted_where_that_is_wanted() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("in");
    create_dir(&folder).unwrap();
    let config = format!(
        "[[folder]]\npath = \"{}\"\nexam = \"brain4\"\npriority = \"urgent\"\nafter = \"delete\"\n",
        folder.display()
    );
    let device = Device::configured(home.path(), &config);
    std::fs::copy(phantom("brain.png"), folder.join("a.png")).unwrap();
    wait_until("deleted", || !folder.join("a.png").exists());
    write(folder.join("b.png"), b"no image").unwrap();
    wait_until("refused", || folder.join("rejected/2-b.png").exists());
    assert!(!folder.join("taken").exists());
    let orders = device.journal("accepted");
    assert_eq!(orders[0]["order"]["exam"], "brain4");
    assert_eq!(orders[0]["order"]["priority"], "urgent");
}

/// Turns the console's section and the folder's around, so that more of the folder can be said.
fn of_folder(keys: &str) -> impl FnOnce(&Path) -> String + '_ {
    move |home| {
        let folder = home.join("in").display().to_string();
        format!("[[folder]]\npath = \"{folder}\"\nsettle_s = 1\npoll_s = 1\n{keys}\n")
    }
}

fn watching(keys: &str) -> (tempfile::TempDir, Device) {
    let home = tempfile::tempdir().unwrap();
    create_dir(home.path().join("in")).unwrap();
    let device = Device::configured(home.path(), &of_folder(keys)(home.path()));
    (home, device)
}

#[test]
fn images_in_folders_within_are_taken_where_it_is_configured() {
    let (home, device) = watching("subfolders = true");
    let at = |path: &str| home.path().join("in").join(path);
    std::fs::create_dir_all(at("study 1/series")).unwrap();
    write(
        at("study 1/series/IM0001"),
        read(phantom("brain.png")).unwrap(),
    )
    .unwrap();
    write(at("study 1/a.txt"), b"no image").unwrap();
    let both = || at("taken").is_dir() && at("rejected").is_dir();
    wait_until("answered", both);
    let finding = device
        .journal("answered")
        .into_iter()
        .find(|e| e["record"]["status"] == "finding");
    let finding = finding.unwrap();
    assert_eq!(finding["record"]["file_name"], "IM0001");
    let name = format!("taken/{}-IM0001", finding["case"]);
    wait_until("moved", || {
        at(&name).is_file() && !at("study 1/series/IM0001").exists()
    });
    // What came to lie in taken is no image once more, and one that comes later is seen.
    std::fs::create_dir(at("study 2")).unwrap();
    write(at("study 2/IM0001"), read(phantom("chest.png")).unwrap()).unwrap();
    wait_until("answered", || !at("study 2/IM0001").exists());
    assert_eq!(device.journal("accepted").len(), 3);
    assert!(!device.log().contains("IM0001"), "a name in the log");
}

#[test]
fn a_file_is_taken_once_its_marker_is_there_however_long_it_pauses() {
    let (home, device) = watching("done = \".done\"");
    let at = |path: &str| home.path().join("in").join(path);
    let bytes = read(phantom("brain.png")).unwrap();
    // Closed half written, and left for longer than it takes to settle.
    write(at("a.png.done"), b"").unwrap();
    std::thread::sleep(Duration::from_millis(20));
    write(at("a.png"), &bytes[..bytes.len() / 2]).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(
        device.journal("accepted").is_empty(),
        "an old marker speaks of another file"
    );
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(at("a.png"))
        .unwrap();
    file.write_all(&bytes[bytes.len() / 2..]).unwrap();
    drop(file);
    std::thread::sleep(Duration::from_millis(20));
    write(at("a.png.done"), b"").unwrap();
    wait_until("answered", || at("taken/1-a.png").is_file());
    wait_until("its marker goes with it", || !at("a.png.done").exists());
    assert_eq!(device.journal("answered")[0]["record"]["status"], "finding");
    assert_eq!(device.journal("accepted").len(), 1);
}

#[test]
fn folders_whose_images_would_come_twice_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let at = |path: &str| home.path().join(path).display().to_string();
    let folder = |path: &str| format!("[[folder]]\npath = \"{}\"\n", at(path));
    for (config, is_refused) in [
        (format!("{}subfolders = true\n", folder("in")), false),
        (format!("{}{}", folder("in"), folder("in/ward")), false),
        (
            format!("{}subfolders = true\n{}", folder("in"), folder("in/ward")),
            true,
        ),
        (
            format!(
                "{}subfolders = true\n[results]\nfolder = \"{}\"\n",
                folder("in"),
                at("in/out")
            ),
            true,
        ),
    ] {
        let file = home.path().join("medfocus.toml");
        write(&file, &config).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_medfocus"))
            .args(["serve", "--check-config", "--config"])
            .arg(file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            output.status.code() == Some(2),
            is_refused,
            "{config}{said}"
        );
        assert_eq!(said.contains("folder.subfolders"), is_refused, "{said}");
    }
}
