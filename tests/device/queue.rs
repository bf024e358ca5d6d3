//! Whose turn it is, and what happens when too many wait.
#![cfg(unix)]

use crate::common::console::Cable;
use crate::common::device::Device;
use crate::common::hold::Hold;
use crate::common::phantom;

const CONFIG: &str = "[queue]\nmost_waiting = 3\n[[serial]]\nport = \"PORT\"\n";

/// A device with room for three cases of a priority, and its console.
fn start(folder: &std::path::Path) -> (Device, Cable) {
    let port = folder.join("port");
    let cable = Cable::plug(&port);
    let config = CONFIG.replace("PORT", &port.display().to_string());
    let device = Device::configured(folder, &config);
    device.wait_for_open("port", 1);
    (device, cable)
}

/// The cases that began since the device was last switched on, in order.
fn began(folder: &std::path::Path) -> Vec<u64> {
    let journal = std::fs::read_to_string(folder.join("state/journal.ndjson")).unwrap();
    let entries = journal
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut cases = Vec::new();
    for entry in entries {
        match entry["event"].as_str() {
            Some("booted") => cases.clear(),
            Some("started") => cases.extend(entry["case"].as_u64()),
            _ => {}
        }
    }
    cases
}

#[test]
fn what_hurries_goes_first_and_is_let_in_where_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let (mut device, mut console) = start(folder.path());
    let hold = Hold::worker(&device);
    let run = format!("CASE:RUN \"{}\"", phantom("brain.png").display());
    assert_eq!(console.ask(&run), "1");
    console.wait_for("CASE:STAT? 1", "1 running");
    for case in 2..=4 {
        assert_eq!(console.ask(&run), case.to_string());
    }
    assert!(console.ask(&run).starts_with("ERR 12,"), "three wait");
    assert!(console.ask("CASE:PRI now").starts_with("ERR -224,"));
    assert_eq!(console.ask("CASE:PRI urgent"), "OK");
    assert_eq!(console.ask(&run), "5");
    assert!(
        console.ask(&run).starts_with("ERR 12,"),
        "for one case only"
    );
    assert_eq!(console.ask("CASE:PRIORITY STAT"), "OK");
    assert_eq!(console.ask(&run), "6");
    assert!(console.ask("STAT?").contains(" waiting=5 "));
    hold.let_go();
    assert_eq!(console.wait_for_end("4"), "4 finding");
    assert_eq!(began(folder.path()), [1, 6, 5, 2, 3, 4]);
    assert_eq!(console.ask(&run), "7", "there is room again");
    device.kill();
}

#[test]
fn what_hurries_still_does_after_the_power_failed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut device, mut console) = start(folder.path());
    let hold = Hold::worker(&device);
    let run = format!("CASE:RUN \"{}\"", phantom("brain.png").display());
    assert_eq!(console.ask(&run), "1");
    for (case, priority) in [(2, "routine"), (3, "stat"), (4, "urgent")] {
        assert_eq!(console.ask(&format!("CASE:PRI {priority}")), "OK");
        assert_eq!(console.ask(&run), case.to_string());
    }
    device.kill();
    hold.let_go();
    let (mut device, mut console) = start(folder.path());
    assert_eq!(console.wait_for_end("2"), "2 finding");
    assert_eq!(began(folder.path()), [3, 4, 1, 2]);
    device.kill();
}
