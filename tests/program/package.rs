//! What packages are made of.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::common::root;

#[test]
fn systemd_understands_the_unit_and_finds_it_safe() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("not tried: there is no systemd-analyze here");
        return;
    }
    let output = Command::new(root().join("scripts/package/check"))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    // It warns of keys that it does not know, and goes on.
    assert!(!said.contains("Unknown key"), "{said}");
}

#[test]
fn prometheus_understands_the_alerts_and_they_come_when_they_should() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!("NOT TRIED: there is no promtool here (Debian's package prometheus)");
        return;
    }
    for arguments in [
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ] {
        let output = Command::new("promtool")
            .current_dir(root().join("docs"))
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{said}");
    }
}
