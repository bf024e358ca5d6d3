//! `medfocus serve --config`: the device that a file describes.
#![cfg(unix)]

use crate::common::device::Device;
use crate::common::{medfocus, pty};

/// The hash that `--check-config` prints.
fn hash(file: &str, options: &[&str]) -> String {
    let output = medfocus(&[&["serve", "--config", file, "--check-config"], options].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    text.trim_end().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn a_device_runs_from_its_file_and_writes_down_which() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (_end, _other) = pty::pair(&folder.path().join("port"));
    let config = format!("[[serial]]\nport = \"{}\"\nbaud = 9600\n", at("port"));
    let device = Device::configured(folder.path(), &config);
    device.wait_for_open("port", 1);
    assert!(
        device.log().contains("open at 9600 baud"),
        "{}",
        device.log()
    );
    let starter = crate::common::starter().display().to_string();
    let (file, state) = (at("medfocus.toml"), at("state"));
    let (root, home) = (crate::common::root().display().to_string(), at(""));
    let home = home.trim_end_matches('/');
    let mut options = vec!["--state", &state, "--bundle", &starter];
    options.extend(["--console-folder", &root, "--console-folder", home]);
    let configured = device.journal("configured");
    assert_eq!(configured.len(), 1);
    assert_eq!(configured[0]["sha256"], hash(&file, &options));
    let other = hash(&file, &[&options[..], &["--baud", "300"]].concat());
    assert_ne!(
        configured[0]["sha256"], other,
        "what the command line says counts"
    );
}
