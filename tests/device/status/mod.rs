//! What is wrong with a device is told on every channel at once: each kind of trouble on the
//! real program, looked for in the state file, `medfocus health`, `STAT?`, the metrics, the
//! display, the control socket, and by the clients of socket and line.
#![cfg(target_os = "linux")]

mod channels;
mod home;

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::cable::{Cable as LinkCable, GOOD};
use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::{phantom, starter};
use rustix::process::Signal;

use channels::{tell_within, text, wait_until_well};
use home::{Bench, Case, Home, WELL, may_mount, on_hung_share, on_small_disk};

#[test]
fn every_channel_tells_of_every_trouble_at_once() {
    let cases = [
        Case {
            name: "a folder that cannot be read",
            code: "folder_unreadable",
            client_code: "folder_unreadable",
            // Root may read what is closed to others: a file lies where the folder should.
            make: |home, _| {
                std::fs::rename(home.at("in"), home.at("elsewhere")).unwrap();
                std::fs::write(home.at("in"), "").unwrap();
            },
            ..WELL
        },
        Case {
            name: "a share that is away",
            code: "folder_away",
            client_code: "folder_away",
            make: |home, _| std::fs::rename(home.at("in"), home.at("elsewhere")).unwrap(),
            ..WELL
        },
        Case {
            name: "a share that was not mounted when the device started",
            code: "folder_away",
            client_code: "folder_away",
            folder: "mounted = \"IN\"\n",
            ..WELL
        },
        Case {
            name: "a clock that was never set",
            code: "clock_unset",
            client_code: "clock_unset",
            is_in_1970: true,
            ..WELL
        },
        Case {
            name: "the safe state",
            code: "bundle_hash",
            client_code: "bundle_hash",
            state: "safe",
            make: |home, bench| {
                std::fs::write(
                    home.bundle.path().join("heads/brain4.safetensors"),
                    "spoilt",
                )
                .unwrap();
                assert_eq!(bench.console.ask("*TST?"), "1");
            },
            ..WELL
        },
        Case {
            name: "a full disk",
            code: "disk_full",
            client_code: "storage_full",
            state: "storage_fault",
            config: "[keep]\nfree_mib = 3\n",
            on_small_disk: true,
            make: |home, bench| {
                let mut filler =
                    std::fs::File::create(bench.device.sees(&home.at("state/filler"))).unwrap();
                while filler.write_all(&[0; 4096]).is_ok() {}
            },
            ..WELL
        },
    ];
    let may_mount = may_mount();
    for case in &cases {
        if case.on_small_disk && !may_mount {
            eprintln!("{}: not tried: no disk can be mounted here", case.name);
            continue;
        }
        let home = Home::new();
        let mut bench = home.start(case);
        wait_until_well(&home, &bench);
        (case.make)(&home, &mut bench);
        tell_within(&home, &mut bench, case);
        let output = home.submit(&["--timeout", "2"]);
        let said = text(&output.stderr);
        assert!(said.contains(case.client_code), "{}: {said}", case.name);
        let code = match case.state {
            "ready" => 0,
            "safe" => 4,
            _ => 1,
        };
        assert_eq!(output.status.code(), Some(code), "{}: {said}", case.name);
    }
}

#[test]
fn a_share_that_is_unmounted_under_the_device_is_away() {
    let tools = ["nsenter", "umount"].map(|tool| Command::new(tool).arg("--version").output());
    if !may_mount() || tools.iter().any(Result::is_err) {
        eprintln!("not tried: no disk can be mounted here");
        return;
    }
    let home = Home::new();
    let case = Case {
        name: "an empty place where a share was",
        code: "folder_away",
        ..WELL
    };
    let console = Cable::plug(&home.at("port"));
    let link = LinkCable::lay(home.folder.path(), GOOD);
    let folder = home.at("in").display().to_string();
    let picture = format!("png:{}", home.at("pictures").display());
    let [metrics, socket] =
        ["metrics.prom", "socket"].map(|name| home.at(name).display().to_string());
    let options = [
        "--folder",
        &folder,
        "--display",
        &picture,
        "--metrics",
        &metrics,
        "--socket",
        &socket,
    ];
    let serve = Device::command(home.folder.path(), &["port", "right"], 4_000_000, &options);
    let mut command = on_small_disk(&serve, &home.at("in"));
    command.env("RUNTIME_DIRECTORY", home.at("run"));
    let device = Device::start_as(home.folder.path(), &["port", "right"], command);
    let mut bench = Bench {
        device,
        console,
        _link: link,
    };
    wait_until_well(&home, &bench);
    let begin = Instant::now();
    // Once it was looked at.
    while home.state_file()["uptime_s"].as_u64() < Some(2) {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(50));
    }
    let pid = home.state_file()["pid"].to_string();
    let unmounted = Command::new("nsenter")
        .args(["--user", "--mount", "--target", &pid, "umount", "--lazy"])
        .arg(home.at("in"))
        .status();
    assert!(unmounted.unwrap().success());
    tell_within(&home, &mut bench, &case);
}

#[test]
fn a_state_folder_whose_disk_is_pulled_is_away_and_takes_no_case() {
    if !may_mount() || Command::new("nsenter").arg("--version").output().is_err() {
        eprintln!("not tried: no disk can be mounted here");
        return;
    }
    let home = Home::new();
    let case = Case {
        name: "a card that was pulled",
        code: "state_away",
        state: "storage_fault",
        on_small_disk: true,
        config: "[keep]\nfree_mib = 3\n",
        ..WELL
    };
    let mut bench = home.start(&case);
    wait_until_well(&home, &bench);
    let pid = home.state_file()["pid"].to_string();
    let unmounted = Command::new("nsenter")
        .args(["--user", "--mount", "--target", &pid, "umount", "--lazy"])
        .arg(home.at("state"))
        .status();
    assert!(unmounted.unwrap().success());
    tell_within(&home, &mut bench, &case);
    let output = home.submit(&["--timeout", "2"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("(storage)"), "{said}");
}

#[test]
fn a_share_of_metrics_that_hangs_holds_up_nothing() {
    let home = Home::new();
    let hung = home.at("hung");
    std::fs::create_dir(&hung).unwrap();
    let tried = on_hung_share(Command::new("true").current_dir("/"), &hung).output();
    if !tried.is_ok_and(|tried| tried.status.success()) {
        eprintln!("not tried: no share that hangs can be mounted here");
        return;
    }
    let [metrics, socket] =
        [hung.join("metrics.prom"), home.at("socket")].map(|path| path.display().to_string());
    let options = ["--metrics", &metrics, "--socket", &socket];
    let serve = Device::command(home.folder.path(), &[], 115_200, &options);
    let mut command = on_hung_share(&serve, &hung);
    command.env("RUNTIME_DIRECTORY", home.at("run"));
    let mut device = Device::start_as(home.folder.path(), &[], command);
    let until = |what: &str, is_so: &dyn Fn(&serde_json::Value) -> bool| {
        let begin = Instant::now();
        while !is_so(&home.state_file()) {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", device.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("ready", &|said| said["state"] == "ready");
    let output = home.submit(&[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    until("answered", &|said| said["queue"]["answered"] == 1);
    device.signal(Signal::TERM);
    let begin = Instant::now();
    assert!(device.wait().success(), "{}", device.log());
    assert!(begin.elapsed() < PATIENCE / 4, "{:?}", begin.elapsed());
    assert!(!home.at("run/health.json").exists());
}

#[test]
fn clients_say_why_they_wait_and_end_when_their_time_is_up() {
    let home = Home::new();
    let head = home.bundle.path().join("heads/brain4.safetensors");
    std::fs::write(head, "spoilt").unwrap();
    let bench = home.start(&WELL);
    let begin = Instant::now();
    while home.state_file()["state"] != "safe" {
        assert!(begin.elapsed() < PATIENCE, "{}", bench.device.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let image = phantom("brain.png").display().to_string();
    let time = ["--timeout", "1"];
    for (client, output) in [
        ("submit", home.submit(&time)),
        ("link", home.link(&[&[image.as_str()][..], &time].concat())),
    ] {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{client}: {said}");
        assert!(
            said.contains("answers none: bundle_hash; "),
            "{client}: {said}"
        );
        assert!(
            said.contains("not everything was answered within 1 s"),
            "{client}: {said}"
        );
        assert!(said.contains("not answered yet: case"), "{client}: {said}");
        assert!(said.contains("time_is_up"), "{client}: {said}");
    }
}

#[test]
fn the_state_file_is_found_wherever_it_lies() {
    let home = Home::new();
    let folder = home.folder.path();
    let user = home.at("user");
    std::fs::create_dir(&user).unwrap();
    let config = home.at("config");
    let named = home.at("named.json");
    std::fs::write(
        &config,
        format!("[health]\nfile = \"{}\"\n", named.display()),
    )
    .unwrap();
    let state = home.at("state").display().to_string();
    let config = config.display().to_string();
    for (place, variable, options, ask) in [
        (
            "the service's",
            Some(("RUNTIME_DIRECTORY", home.at("run"))),
            &[][..],
            &[][..],
        ),
        ("the user's", Some(("XDG_RUNTIME_DIR", user)), &[], &[]),
        ("the state folder", None, &[], &[]),
        (
            "a named file",
            None,
            &["--config", config.as_str()],
            &["--file"],
        ),
    ] {
        let bundle = starter().display().to_string();
        let options = [&["--bundle", bundle.as_str()][..], options].concat();
        let mut command = Device::command(folder, &[], 115_200, &options);
        command.envs(variable.clone());
        let device = Device::start_as(folder, &[], command);
        let ask: Vec<String> = ask.iter().map(|word| (*word).to_owned()).collect();
        let file = (!ask.is_empty()).then(|| named.display().to_string());
        let begin = Instant::now();
        loop {
            let mut health = Command::new(env!("CARGO_BIN_EXE_medfocus"));
            health
                .args(["health", "--state", &state])
                .args(&ask)
                .args(&file);
            health
                .env_remove("RUNTIME_DIRECTORY")
                .env_remove("XDG_RUNTIME_DIR");
            health.envs(variable.clone());
            let output = health.output().unwrap();
            if output.status.success() {
                break;
            }
            let said = text(&output.stderr);
            assert!(
                begin.elapsed() < PATIENCE,
                "{place}: {said}\n{}",
                device.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let is_in_state = home.at("state/health.json").exists();
        assert_eq!(is_in_state, place == "the state folder", "{place}");
        device.signal(Signal::TERM);
        let mut device = device;
        assert!(device.wait().success());
        assert!(
            !home.at("state/health.json").exists() && !named.exists(),
            "{place}"
        );
    }
}

#[test]
fn another_device_s_state_file_is_not_taken_for_this_one_s() {
    let (home, other) = (Home::new(), Home::new());
    let bench = home.start(&WELL);
    wait_until_well(&home, &bench);
    let output = home.medfocus(&[
        "health",
        "--state",
        &other.at("state").display().to_string(),
    ]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
}
