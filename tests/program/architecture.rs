//! How the modules may use each other: no forbidden arrow, no circle, no file that is too long to
//! read, and the picture in `docs/architecture.md` is of this code.

use std::process::Command;

use crate::common::root;

#[test]
fn modules_use_each_other_as_the_design_says() {
    let script = root().join("scripts/architecture");
    let Ok(output) = Command::new("python3").arg(script).arg("--check").output() else {
        eprintln!("not tried: there is no python3 here");
        return;
    };
    let found = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{found}");
}

/// Modules that do what must not be done are found out.
#[test]
fn an_arrow_that_must_not_be_is_noticed() {
    let script = root().join("scripts/tests/test_architecture.py");
    let Ok(output) = Command::new("python3").arg(script).output() else {
        eprintln!("not tried: there is no python3 here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
