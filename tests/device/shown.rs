//! Names that others gave, on terminals, in logs and on consoles: none adds a line, moves a
//! cursor or turns the reading direction, and programs still get them exactly.
#![cfg(unix)]

use std::process::Output;
use std::time::{Duration, Instant};

use crate::common::device::{Device, PATIENCE};
use crate::common::{copy_of_starter, medfocus, phantom};
use serde_json::Value;

/// A file of this name once wrote a finding of its own below the real ones.
const HOSTILE: &str =
    "a\nFORGED.png  lung_tb2  normal 0.999  routine\u{1b}[2K\u{202e}gnp\u{200b}\u{9b}3m.png";

/// A folder with one image and one text of hostile names.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(phantom("chest.png"), folder.path().join(HOSTILE)).unwrap();
    std::fs::write(folder.path().join(format!("{HOSTILE}.txt")), "no image").unwrap();
    std::fs::copy(phantom("chest.png"), folder.path().join("z.png")).unwrap();
    folder
}

fn said(output: &Output) -> String {
    let out = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    out + &String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// No line is another's, and every character is just shown.
fn assert_plain(what: &str, said: &str) {
    for line in said.lines() {
        assert!(!line.trim_start().starts_with("FORGED"), "{what}: {said}");
    }
    let foreign = |c: &char| {
        *c != '\n' && (c.is_control() || "\u{202e}\u{200b}\u{2028}\u{feff}".contains(*c))
    };
    let found = said.chars().find(foreign);
    assert!(found.is_none(), "{what}: {found:?} in {said}");
}

#[test]
fn no_command_repeats_a_hostile_name_as_it_is() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (all, image, text) = (
        folder.path().to_str().unwrap(),
        &path(HOSTILE),
        &path(&format!("{HOSTILE}.txt")),
    );
    let missing = &path("b\nFORGED\u{202e}");
    for arguments in [
        &["classify", all, "--exam", "covid3"][..],
        &["classify", image, "--exam", "covid3"],
        &["classify", image, "--exam", "covid3", "--format", "json"],
        &["classify", text, "--exam", "covid3"],
        &[
            "classify", text, image, "--exam", "covid3", "--format", "ndjson",
        ],
        &["classify", missing, "--exam", "covid3"],
        &["classify", image, "--exam", missing],
        &["classify", image, "--bundle", missing],
        &[
            "classify",
            image,
            "--exam",
            "covid3",
            "--overlay",
            &format!("{missing}/x/o.png"),
        ],
        &["classify", "--no-such-option", missing],
        &["classify", image, "--prompt", missing],
        &["submit", image, "--state", missing, "--patience", "0"],
        &["link", missing, text, "--patience", "0"],
        &["bundle", "verify", missing],
        &["bundle", "inspect", image],
        &["bundle", "install", missing, "--state", all],
        &["journal", "verify", "--state", missing],
        &["health", "--state", missing],
        &["serve", "--check-config", "--config", text],
        &["serve", "--check-config", "--config", missing],
        &["engine", "audit", missing],
        &["engine", "audit", image],
        &["enroll", missing, "--exam", "covid3", "--state", all],
        &["man", &format!("{image}/x")],
        &[missing],
    ] {
        let output = medfocus(arguments);
        assert_plain(&format!("{arguments:?}"), &said(&output));
    }
}

#[test]
fn a_list_has_a_line_for_each_image_and_two_spaces_part_its_fields() {
    let folder = folder();
    let output = medfocus(&[
        "classify",
        folder.path().to_str().unwrap(),
        "--exam",
        "covid3",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let fields = |line: &str| {
        line.split("  ")
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(fields(lines[0]), fields(lines[1]));
    assert!(
        lines[0].contains("a\\u{a}FORGED.png \\u{20}lung_tb2"),
        "{text}"
    );
}

#[test]
fn programs_get_the_exact_name() {
    let folder = folder();
    let image = folder.path().join(HOSTILE);
    let output = medfocus(&[
        "classify",
        image.to_str().unwrap(),
        "--exam",
        "covid3",
        "--format",
        "json",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("\\u202e") && text.contains("\\u009b"),
        "{text}"
    );
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["source"].as_str(), image.to_str());
}

/// A copy of the starter bundle with one text in place of another.
fn bundle_with(text: &str, by: &str) -> tempfile::TempDir {
    let bundle = copy_of_starter();
    let manifest = bundle.path().join("bundle.toml");
    let was = std::fs::read_to_string(&manifest).unwrap();
    assert!(was.contains(text), "{text}");
    std::fs::write(&manifest, was.replacen(text, by, 1)).unwrap();
    bundle
}

#[test]
fn a_bundle_whose_names_are_none_is_refused() {
    let name = "name = \"starter\"";
    for (text, by, why) in [
        // This once put a second line on the serial line, at `SYST:VERS?`.
        (name, "name = \"starter\\r\\nFORGED finding\"", "U+000D"),
        (name, "name = \"starter\\u202e\"", "U+202E"),
        (
            "label = \"Normal\"",
            "label = \"Normal\\u001b[2K\"",
            "U+001B",
        ),
        (
            "name = \"brain4\"",
            "name = \"brain4 p=1\"",
            "holds a space",
        ),
    ] {
        let bundle = bundle_with(text, by);
        let folder = bundle.path().to_str().unwrap();
        for arguments in [
            &["bundle", "verify", folder][..],
            &["bundle", "inspect", folder],
            &["bundle", "prepare", folder],
            &["classify", "tests/phantoms/chest.png", "--bundle", folder],
            &["engine", "audit", folder],
        ] {
            let output = medfocus(arguments);
            let said = said(&output);
            assert_eq!(output.status.code(), Some(3), "{arguments:?}: {said}");
            assert!(said.contains(why) && said.contains("bundle.toml"), "{said}");
            assert!(output.stdout.is_empty(), "{said}");
            assert_plain(by, &said);
        }
    }
}

/// A device of which a folder has a hostile name says so on one line; and what it leaves in its
/// state folder may be anybody's by the time that somebody looks at it.
#[test]
fn a_log_and_a_planted_health_file_are_shown_plainly() {
    let home = tempfile::tempdir().unwrap();
    let watched = home.path().join("in\nFORGED\u{202e}");
    // A file where a folder should be: it complains, and goes on.
    std::fs::write(&watched, "").unwrap();
    let more = ["--folder", watched.to_str().unwrap()];
    let mut device = Device::start_with(home.path(), &[], 115_200, &more);
    device.wait_for_log("in\\u{a}FORGED\\u{202e}");
    let state = home.path().join("state");
    let health = state.join("health.json");
    let begin = Instant::now();
    while !health.exists() {
        assert!(begin.elapsed() < PATIENCE, "{}", device.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    device.kill();
    assert_plain("the log", &device.log());
    let mut planted: Value = serde_json::from_slice(&std::fs::read(&health).unwrap()).unwrap();
    let hostile = "starter\nFORGED\u{1b}[2J\u{202e}";
    planted["bundle"]["name"] = hostile.into();
    planted["warnings"] = serde_json::json!([hostile]);
    planted["trouble"] = serde_json::json!({ "code": hostile, "what": hostile, "cure": hostile });
    std::fs::write(&health, planted.to_string()).unwrap();
    for more in [&[][..], &["--json"]] {
        let fixed = ["health", "--state", state.to_str().unwrap()];
        let said = said(&medfocus(&[&fixed[..], more].concat()));
        assert!(said.contains("FORGED"), "{said}");
        assert_plain("health", &said);
    }
}
