//! A container whose seccomp profile forbids what confines a child: each part stands for itself.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::process::{Command, Output};

use seccompiler::{SeccompAction, SeccompFilter, apply_filter};
use serde_json::Value;

/// Runs the program with these calls failing as forbidden.
fn run_without(calls: &[i64], arguments: &[&str]) -> Output {
    let rules: BTreeMap<_, _> = calls.iter().map(|call| (*call, Vec::new())).collect();
    let forbidden = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let target = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, forbidden, target).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments);
    // Of this thread and what it starts.
    let thread = std::thread::spawn(move || {
        apply_filter(&program).unwrap();
        command.output().unwrap()
    });
    thread.join().unwrap()
}

#[test]
fn what_is_forbidden_is_told_with_the_way_out_and_the_rest_holds() {
    struct Case {
        calls: &'static [i64],
        check: &'static str,
        says: &'static str,
        help: &'static str,
    }
    let cases = [
        Case {
            calls: &[libc::SYS_landlock_create_ruleset],
            check: "sandbox_files",
            says: "the container or the kernel forbids Landlock",
            help: "the container's seccomp profile",
        },
        Case {
            calls: &[libc::SYS_prlimit64, libc::SYS_setrlimit],
            check: "sandbox_limits",
            says: "limits cannot be set",
            help: "the container's seccomp profile",
        },
    ];
    for case in cases {
        let state = tempfile::tempdir().unwrap();
        let folder = state.path().to_str().unwrap();
        let output = run_without(case.calls, &["doctor", "--json", "--state", folder]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = said["checks"].as_array().unwrap();
        let find = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
        let check = find(case.check);
        assert_eq!(check["verdict"], "warned", "{check}");
        let text = check.to_string();
        assert!(
            text.contains(case.says) && text.contains(case.help),
            "{text}"
        );
        assert_eq!(find("sandbox_rights")["verdict"], "passed", "{said}");
        assert_eq!(find("sandbox_calls")["verdict"], "passed", "{said}");
        // Nothing else fails by it.
        let failed: Vec<_> = checks.iter().filter(|c| c["verdict"] == "failed").collect();
        assert!(failed.is_empty(), "{failed:?}");
    }
}
