//! What a device demands of its bundles, by the program itself: named keys are required
//! everywhere, a release is never lower than the one before in silence, what was revoked or has
//! ended is refused.
#![cfg(target_os = "linux")]

use std::path::Path;

use crate::common::bench::Bench;
use crate::common::maker::{Maker, OURS};
use rustix::process::Signal;
use serde_json::Value;

/// What a journal has of one kind.
fn journal(state: &Path, event: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(state.join("journal.ndjson")).unwrap_or_default();
    let entries = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    entries
        .filter(|entry: &Value| entry["event"] == event)
        .collect()
}

/// A maker whose folder has a device's configuration as well.
fn configured(more: &str) -> Maker {
    let maker = Maker::new();
    let text = format!("[bundle]\nkeys = [\"ours.key.pub\"]\n{more}");
    std::fs::write(maker.keys.path().join("device.toml"), text).unwrap();
    maker
}

const SERVE: [&str; 7] = [
    "serve",
    "--config",
    "device.toml",
    "--serial",
    "-",
    "--state",
    "state",
];

/// Found: with its signature taken away, a bundle with other thresholds was used.
#[test]
fn named_keys_are_required_everywhere() {
    let maker = configured("");
    maker.sign();
    maker.edit("review_below = 0.6", "review_below = 0.0");
    std::fs::remove_file(maker.bundle().join("bundle.minisig")).unwrap();
    let bundle = maker.bundle_text();
    let image = crate::common::phantom("brain.png").display().to_string();
    let with_bundle = ["--bundle", bundle];
    let commands: [&[&str]; 7] = [
        &[&["bundle", "inspect", bundle], &OURS[..]].concat(),
        &[&["bundle", "verify", bundle], &OURS[..]].concat(),
        &[
            &["bundle", "install", bundle, "--state", "state"],
            &OURS[..],
        ]
        .concat(),
        &[
            "bundle",
            "install",
            bundle,
            "--state",
            "state",
            "--config",
            "device.toml",
        ],
        &[&["classify", &image], &with_bundle[..], &OURS].concat(),
        &[&SERVE[..], &with_bundle].concat(),
        &[
            &["doctor", "--config", "device.toml", "--json"],
            &with_bundle[..],
        ]
        .concat(),
    ];
    for command in commands {
        let (code, said) = maker.said(command);
        assert_eq!(code, Some(3), "{command:?}: {said}");
        assert!(said.contains("bundle_unsigned"), "{command:?}: {said}");
    }
    assert!(!maker.keys.path().join("state/bundles/current").exists());
}

/// Found: what the device itself refuses was installed, and left it in the safe state.
#[test]
fn a_bundle_is_installed_only_where_the_device_takes_it() {
    let maker = configured("");
    maker.sign();
    let install = ["bundle", "install", maker.bundle_text(), "--state", "state"];
    let with_config = [&install[..], &["--config", "device.toml"]].concat();
    let (code, said) = maker.said(&with_config);
    assert_eq!(code, Some(0), "{said}");
    // From its first start on, the device tells what it demands.
    let (code, said) = maker.said(&SERVE);
    assert_eq!(code, Some(0), "{said}");
    std::fs::remove_file(maker.bundle().join("bundle.minisig")).unwrap();
    maker.edit("version = \"0.1.0\"", "version = \"0.2.0\"");
    for command in [&install[..], &with_config] {
        let (code, said) = maker.said(command);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("(bundle_unsigned)"), "{said}");
        assert!(
            said.contains(maker.bundle_text()),
            "the source is named: {said}"
        );
    }
    let (code, said) = maker.said(&SERVE);
    assert_eq!(code, Some(0), "the one before answers: {said}");
    // One that the device is told of by its command line alone.
    let key = maker.keys.path().join("ours.key.pub").display().to_string();
    let serve = [
        "serve", "--serial", "-", "--state", "other", "--trust", &key,
    ];
    let unsigned = [&serve[..], &["--bundle", maker.bundle_text()]].concat();
    assert_eq!(maker.said(&unsigned).0, Some(3));
    let (code, said) = maker.said(&["bundle", "install", maker.bundle_text(), "--state", "other"]);
    assert!(
        code == Some(3) && said.contains("(bundle_unsigned)"),
        "{said}"
    );
}

/// Found: an older signed version took the place of a newer one in silence.
#[test]
fn an_older_release_needs_a_word_and_the_journal_has_it() {
    let maker = configured("");
    let state = maker.keys.path().join("state");
    let device = ["--state", "state", "--config", "device.toml"];
    let install = [&["bundle", "install", maker.bundle_text()], &device[..]].concat();
    let installs = |more: &[&str]| maker.said(&[&install[..], more].concat());
    let current = || std::fs::read_link(state.join("bundles/current")).unwrap();
    maker.release(2);
    assert_eq!(installs(&[]).0, Some(0));
    let second = current();
    for number in [1, 0] {
        maker.release(number);
        let (code, said) = installs(&[]);
        assert_eq!(code, Some(3), "{said}");
        assert!(
            said.contains("(bundle_older)") && said.contains("--allow-older"),
            "{said}"
        );
    }
    assert_eq!(current(), second);
    maker.release(1);
    let (code, said) = installs(&["--allow-older"]);
    assert_eq!(code, Some(0), "{said}");
    let first = current();
    assert_eq!(maker.said(&SERVE).0, Some(0));
    let back = journal(&state, "went_back");
    assert_eq!(back.len(), 1, "{back:?}");
    assert_eq!(
        (&back[0]["release"], &back[0]["highest"]),
        (&1.into(), &2.into())
    );
    assert_eq!(back[0]["by"], rustix::process::getuid().as_raw());
    // The way back and forth: the higher one is nothing to tell of, the lower one again is.
    let rollback = [&["bundle", "rollback"], &device[..]].concat();
    assert_eq!(maker.said(&rollback).0, Some(0));
    assert_eq!(current(), second);
    assert_eq!(maker.said(&SERVE).0, Some(0));
    assert_eq!(journal(&state, "went_back").len(), 1);
    assert_eq!(maker.said(&rollback).0, Some(0));
    assert_eq!(current(), first);
    assert_eq!(maker.said(&SERVE).0, Some(0));
    assert_eq!(journal(&state, "went_back").len(), 2);
    // No other hand than an installation's goes back.
    assert_eq!(maker.said(&rollback).0, Some(0));
    std::fs::remove_file(state.join("bundles/current")).unwrap();
    std::os::unix::fs::symlink(&first, state.join("bundles/current")).unwrap();
    let (code, said) = maker.said(&SERVE);
    assert!(code == Some(3) && said.contains("(bundle_older)"), "{said}");
}

/// Found: a clock that was ahead once left the device without a bundle for good, with an untrue
/// reason.
#[test]
fn a_clock_that_was_ahead_is_named_and_set_back_by_a_person() {
    let maker = Maker::new();
    maker.sign();
    let key = "[bundle]\nkeys = [\"ours.key.pub until 2998-12-31\"]\n";
    std::fs::write(maker.keys.path().join("device.toml"), key).unwrap();
    let state = maker.keys.path().join("state");
    let device = ["--state", "state", "--config", "device.toml"];
    let install = [&["bundle", "install", maker.bundle_text()], &device[..]].concat();
    let installs = |more: &[&str]| maker.said(&[&install[..], more].concat());
    assert_eq!(installs(&[]).0, Some(0));
    let releases = state.join("bundles/releases.json");
    let text = std::fs::read_to_string(&releases).unwrap();
    let mut ahead: Value = serde_json::from_str(&text).unwrap();
    ahead["written"] = "2999-06-01T00:00:00Z".into();
    std::fs::write(&releases, ahead.to_string()).unwrap();
    for (code, said) in [
        installs(&[]),
        installs(&["--allow-older"]),
        maker.said(&SERVE),
    ] {
        assert_eq!(code, Some(3), "{said}");
        let is_told = said.contains("seen 2999-06-01") && said.contains("--clock-is-right");
        assert!(is_told, "{said}");
    }
    let (_, said) = maker.said(&[&["doctor"], &device[..]].concat());
    assert!(said.contains("this device has seen 2999-06-01"), "{said}");
    let (code, said) = installs(&["--clock-is-right"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(maker.said(&SERVE).0, Some(0));
    let believed = journal(&state, "clock_believed");
    assert_eq!(believed[0]["from"], "2999-06-01T00:00:00Z", "{believed:?}");
    let (code, said) = installs(&[]);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_has_ended_or_was_revoked_is_refused() {
    let maker = Maker::new();
    maker.sign();
    let inspect = |until: &str, more: &[&str]| {
        let key = format!("ours.key.pub{until}");
        maker.inspect(&[&["--trust", &key], more].concat())
    };
    let (code, said) = inspect(" until 2999-12-31", &[]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = inspect(" until 2025-12-31", &[]);
    assert!(
        code == Some(3) && said.contains("(bundle_signature)"),
        "{said}"
    );
    assert!(said.contains("until 2025-12-31"), "{said}");
    assert_eq!(inspect(" until soon", &[]).0, Some(2));

    let list = maker.keys.path().join("revoked");
    let (_, said) = inspect("", &[]);
    let line = |what: &str| {
        let line = said
            .lines()
            .find(|line| line.trim_start().starts_with(what));
        line.unwrap()
            .split_whitespace()
            .nth(if what == "sha256" { 1 } else { 2 })
            .unwrap()
    };
    let key = line("signed with").trim_end_matches(':');
    let lists = [
        (String::new(), 0, ""),
        (format!("key {key} # lost\n"), 3, "(bundle_revoked)"),
        (
            format!("bundle {}\n", line("sha256")),
            3,
            "(bundle_revoked)",
        ),
        (format!("bundle {}\n", "0".repeat(64)), 0, ""),
        ("kex 1\n".to_owned(), 3, "(revoked_list)"),
    ];
    for (text, expected, says) in lists {
        std::fs::write(&list, &text).unwrap();
        let (code, said) = inspect("", &["--revoked", "revoked"]);
        assert_eq!(code, Some(expected), "{text}: {said}");
        assert!(said.contains(says), "{text}: {said}");
        // Found: without a key that is named, a revoked one was passed over in silence.
        let (code, said) = maker.inspect(&["--revoked", "revoked"]);
        assert_eq!(code, Some(expected), "{text}: {said}");
    }
    std::fs::remove_file(&list).unwrap();
    let (code, said) = inspect("", &["--revoked", "revoked"]);
    assert!(code == Some(3) && said.contains("(revoked_list)"), "{said}");
}

/// A device that answers stops where its bundle is revoked, or its key taken away.
#[test]
fn a_running_device_takes_up_what_is_trusted_no_longer() {
    let maker = Maker::new();
    maker.sign();
    let folder = tempfile::tempdir().unwrap();
    let (file, list) = (
        folder.path().join("medfocus.toml"),
        folder.path().join("revoked"),
    );
    let configure = |key: &str| {
        let text = format!(
            "[bundle]\nfolder = {:?}\nkeys = [{:?}]\nrevoked = {:?}\n",
            maker.bundle(),
            maker.keys.path().join(key),
            list
        );
        std::fs::write(&file, text).unwrap();
    };
    std::fs::write(&list, "# nothing yet\n").unwrap();
    configure("ours.key.pub");
    let mut bench = Bench::on(folder, &["--config", &file.display().to_string()], |_| ());
    let mut reload_to = |what: &str| {
        bench.device.signal(Signal::HUP);
        bench.cable.wait_until("STAT?", |said| said.contains(what))
    };
    configure("theirs.key.pub");
    let status = reload_to("bundle_signature");
    assert!(!status.starts_with("ready "), "{status}");
    configure("ours.key.pub");
    reload_to("ready ");
    let (_, said) = maker.inspect(&OURS);
    let sha256 = said
        .lines()
        .find(|line| line.trim_start().starts_with("sha256"));
    let sha256 = sha256.unwrap().split_whitespace().nth(1).unwrap();
    std::fs::write(&list, format!("bundle {sha256}\n")).unwrap();
    let status = reload_to("bundle_revoked");
    assert!(!status.starts_with("ready "), "{status}");
}

/// Found: the service's user linked `bundles` elsewhere, and root's installation deleted all that
/// lay there; a link that was planted where a file was to be written had root write through it.
#[test]
fn root_installs_over_what_the_service_planted_and_nothing_else_is_touched() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can be fooled so");
        return;
    }
    let maker = Maker::new();
    let device = tempfile::tempdir().unwrap();
    let at = |name: &str| device.path().join(name);
    let (state, outside) = (at("state"), at("outside"));
    let theirs = |path: &Path| std::os::unix::fs::lchown(path, Some(65534), Some(65534)).unwrap();
    let link = |to: &Path, path: &Path| {
        std::os::unix::fs::symlink(to, path).unwrap();
        theirs(path);
    };
    let mode = |path: &Path, mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(device.path(), 0o755);
    mode(maker.bundle(), 0o755);
    for folder in [&state, &outside] {
        std::fs::create_dir(folder).unwrap();
    }
    theirs(&state);
    std::fs::write(outside.join("precious"), "root's").unwrap();
    mode(&outside.join("precious"), 0o600);
    let text = state.display().to_string();
    let install = || maker.said(&["bundle", "install", maker.bundle_text(), "--state", &text]);
    link(&outside, &state.join("bundles"));
    let (code, said) = install();
    assert_eq!(code, Some(3), "{said}");
    std::fs::remove_file(state.join("bundles")).unwrap();
    let (code, said) = install();
    assert_eq!(code, Some(0), "{said}");
    let current = std::fs::read_link(state.join("bundles/current")).unwrap();
    let current = current.display();
    maker.edit("version = \"0.1.0\"", "version = \"0.2.0\"");
    for name in [
        ".part".to_owned(),
        ".part.current".to_owned(),
        format!("{current}.previous"),
        format!(".{current}.previous.part"),
    ] {
        let path = state.join("bundles").join(name);
        let _ = std::fs::remove_file(&path);
        link(&outside.join("precious"), &path);
    }
    let (code, said) = install();
    assert_eq!(code, Some(0), "{said}");
    // What the device has had cannot be told from there: whoever goes on says so.
    let releases = state.join("bundles/releases.json");
    std::fs::remove_file(&releases).unwrap();
    link(&outside.join("precious"), &releases);
    let (code, said) = install();
    assert!(
        code == Some(3) && said.contains("(bundle_releases)"),
        "{said}"
    );
    let again = ["bundle", "install", maker.bundle_text(), "--state", &text];
    let (code, said) = maker.said(&[&again[..], &["--allow-older"]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(!releases.is_symlink());
    let left: Vec<_> = std::fs::read_dir(&outside).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let precious = std::fs::read_to_string(outside.join("precious")).unwrap();
    assert_eq!(precious, "root's");
}
