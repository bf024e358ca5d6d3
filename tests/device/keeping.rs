//! What a device keeps on its disk and for how long, and what it does where the disk is full.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::receivers::dead_port;
use crate::common::{medfocus, phantom};
use medfocus::case::Order;
use medfocus::clock::Clock;
use medfocus::journal::{Entry, Journal, history};
use sha2::{Digest, Sha256};

fn accepted(case: u64, source: &Path) -> Entry {
    let order = Order {
        source: source.display().to_string(),
        exam: Some("brain4".to_owned()),
        ..Order::default()
    };
    Entry::Accepted { case, order }
}

/// Gives an image to the device of this state folder, as a line does, and has a case wait
/// for it; gives where it lies and where it would be kept.
fn given(state: &Path) -> (PathBuf, PathBuf) {
    let bytes = std::fs::read(phantom("brain.png")).unwrap();
    let digest = Sha256::digest(&bytes);
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let source = state.join("images").join(&name);
    std::fs::create_dir_all(source.parent().unwrap()).unwrap();
    std::fs::write(&source, bytes).unwrap();
    let (mut journal, _) = Journal::open(state, Clock::system()).unwrap();
    journal.append(accepted(1, &source)).unwrap();
    (source, state.join("kept").join(name))
}

fn replay(state: &Path) -> (String, Option<i32>) {
    let state = state.display().to_string();
    let output = medfocus(&["journal", "--state", &state, "replay", "1"]);
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code())
}

fn wait(device: &Device, mut until: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !until() {
        assert!(begin.elapsed() < PATIENCE, "{}", device.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_kept_image_can_be_run_again_until_it_is_purged() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (source, kept) = given(&state);
    let _line = Cable::plug(&folder.path().join("port"));
    let serial = format!("[[serial]]\nport = \"{}/port\"\n", folder.path().display());
    let device = Device::configured(folder.path(), &format!("{serial}[keep]\nimages_days = 1\n"));
    wait(&device, || kept.exists());
    assert!(!source.exists());
    drop(device);
    let (said, code) = replay(&state);
    assert_eq!(
        (said.as_str(), code),
        ("case 1: the same answer, key by key\n", Some(0))
    );
    let bytes = std::fs::read(&kept).unwrap();
    std::fs::write(&kept, std::fs::read(phantom("chest.png")).unwrap()).unwrap();
    let (said, code) = replay(&state);
    assert!(said.contains("the image's SHA-256 was"), "{said}");
    assert_eq!(code, Some(3));
    std::fs::write(&kept, bytes).unwrap();

    // It outlasts a restart, but not that it is to be kept no longer.
    let device = Device::configured(folder.path(), &format!("{serial}[keep]\nimages_days = 1\n"));
    device.wait_for_open("port", 1);
    assert!(kept.exists());
    drop(device);
    let device = Device::configured(folder.path(), &serial);
    wait(&device, || !kept.exists());
    assert_eq!(device.journal("purged").len(), 1);
    assert!(history(&state).unwrap().cases()[&1].is_purged);
    let (said, code) = replay(&state);
    assert!(said.contains("its image is kept no longer"), "{said}");
    assert_eq!(code, Some(3));
}

#[test]
fn an_image_that_nobody_keeps_goes_without_an_entry() {
    let folder = tempfile::tempdir().unwrap();
    let (source, kept) = given(&folder.path().join("state"));
    let _line = Cable::plug(&folder.path().join("port"));
    let device = Device::start(folder.path(), &["port"], 115_200);
    wait(&device, || !source.exists());
    assert!(!kept.exists());
    assert!(device.journal("purged").is_empty());
}

#[test]
fn a_sink_goes_without_an_image_that_there_is_no_room_for() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    given(&state);
    let _line = Cable::plug(&folder.path().join("port"));
    let config = format!(
        "[[serial]]\nport = \"{}/port\"\n[hl7]\nto = \"127.0.0.1:{}\"\n[keep]\nimages_mib = 0\n",
        folder.path().display(),
        dead_port()
    );
    let device = Device::configured(folder.path(), &config);
    let case = || history(&state).unwrap().cases().remove(&1).unwrap();
    wait(&device, || !case().declined.is_empty());
    let case = case();
    assert!(case.is_purged);
    assert_eq!(case.declined["hl7"], "image_gone");
    let log = device.log();
    assert!(log.contains("a sink goes without it"), "{log}");
}

/// Mounts a small disk over the folder `$0`, puts there what is in `$1`, fills it to the last
/// byte and runs the rest.
const ON_A_FULL_DISK: &str = "\
set -e
mount -t tmpfs -o size=16m tmpfs \"$0\"
cp \"$1\"/* \"$0\"
cat /dev/zero 2>/dev/null > \"$0/filler\" || true
shift
exec \"$@\"";

/// Whether this system lets a test mount a disk of its own.
fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .args(["sh", "-c", "mount -t tmpfs tmpfs /tmp"])
        .output();
    tried.is_ok_and(|output| output.status.success())
}

#[test]
fn a_full_disk_refuses_new_cases_by_code_and_answers_those_it_has() {
    if !may_mount() {
        eprintln!("not tried: no disk can be mounted here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (state, before) = (folder.path().join("state"), folder.path().join("before"));
    std::fs::create_dir(&state).unwrap();
    let (mut journal, _) = Journal::open(&before, Clock::system()).unwrap();
    for case in 1..=4 {
        journal
            .append(accepted(case, &phantom("brain.png")))
            .unwrap();
    }
    drop(journal);
    let mut cable = Cable::plug(&folder.path().join("port"));
    let config = folder.path().join("config");
    std::fs::write(&config, "[keep]\nfree_mib = 3\n").unwrap();
    let config = config.display().to_string();
    let device = Device::command(folder.path(), &["port"], 115_200, &["--config", &config]);
    let mut on_a_full_disk = Command::new("unshare");
    on_a_full_disk
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            ON_A_FULL_DISK,
        ])
        .args([&state, &before])
        .arg(device.get_program())
        .args(device.get_args())
        .current_dir(device.get_current_dir().unwrap());
    let device = Device::start_as(folder.path(), &["port"], on_a_full_disk);
    let state = device.sees(&state);
    let reserve = state.join("reserve");
    let ended = cable.wait_for_end("4");
    assert!(ended.ends_with("finding"), "{}", device.log());
    assert!(!reserve.exists(), "it was not needed");
    let run = format!("CASE:RUN \"{}\"", phantom("brain.png").display());
    assert!(cable.ask(&run).starts_with("ERR 22,"), "{}", device.log());
    cable.wait_for("STAT?", "storage_fault");

    // Others go on filling it.
    let mut filler = std::fs::OpenOptions::new()
        .append(true)
        .open(state.join("filler"))
        .unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    assert!(cable.ask(&run).starts_with("ERR 22,"), "{}", device.log());
    // Nor can the journal be written, once its reserve is spent.
    let begin = Instant::now();
    while !cable.ask("STAT?").contains("journal_unwritable") {
        assert!(begin.elapsed() < PATIENCE, "{}", device.log());
        cable.ask("*TST?");
        while filler.write_all(&[0; 4096]).is_ok() {}
    }
    filler.set_len(0).unwrap();
    // No case has to come for it to be well again.
    cable.wait_for("STAT?", "ready");
    assert_eq!(cable.wait_for(&run, "5"), "5");
    assert!(reserve.exists(), "it is held again");
    assert!(
        cable.wait_for_end("5").ends_with("finding"),
        "{}",
        device.log()
    );
    cable.wait_for("STAT?", "ready");
    // `/proc/PID/root` is no way that a state folder is opened by: a copy is read.
    let copy = tempfile::tempdir().unwrap();
    let file = medfocus::journal::FILE;
    std::fs::copy(state.join(file), copy.path().join(file)).unwrap();
    let history = history(copy.path()).unwrap();
    assert!(history.damaged.is_empty());
    assert_eq!(history.cases().len(), 5);
    assert!(
        device.log().contains("the disk is nearly full"),
        "{}",
        device.log()
    );
}
