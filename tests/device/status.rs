//! What is wrong with a device is told on every channel at once: each kind of trouble on the
//! real program, looked for in the state file, `medfocus health`, `STAT?`, the metrics, the
//! display, the control socket, and by the clients of socket and line.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::common::cable::{Cable as LinkCable, GOOD};
use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::{copy_of_starter, phantom, root, starter};
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use firmware_host::screens::{
    self, Canvas, Language, Page, Painter, Panel, Screen, lay_out, words,
};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Far more than a tick, since several programs are asked one after the other on a machine that
/// does other things beside; far less than the minutes that it took before.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A kind of trouble.
struct Case {
    name: &'static str,
    code: &'static str,
    /// What `submit` says: the device may refuse before there is a case.
    client_code: &'static str,
    state: &'static str,
    /// Lines of its configuration.
    config: &'static str,
    /// Whether the state folder lies on a small disk of its own.
    on_small_disk: bool,
    /// Whether the clock was never set.
    is_in_1970: bool,
    /// Makes the trouble on a device that is well.
    make: fn(&Home, &mut Bench),
}

const WELL: Case = Case {
    name: "",
    code: "",
    client_code: "",
    state: "ready",
    config: "",
    on_small_disk: false,
    is_in_1970: false,
    make: |_, _| (),
};

/// A folder for everything.
struct Home {
    folder: tempfile::TempDir,
    bundle: tempfile::TempDir,
}

/// A device and all that hangs on it.
struct Bench {
    device: Device,
    console: Cable,
    _link: LinkCable,
}

impl Home {
    fn new() -> Self {
        let home = Self {
            folder: tempfile::tempdir().unwrap(),
            bundle: copy_of_starter(),
        };
        for folder in ["in", "run", "state"] {
            std::fs::create_dir(home.at(folder)).unwrap();
        }
        home
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&self, case: &Case) -> Bench {
        let console = Cable::plug(&self.at("port"));
        let link = LinkCable::lay(self.folder.path(), GOOD);
        let at = |name: &str| self.at(name).display().to_string();
        let config = format!(
            "{}\n[[serial]]\nport = \"{}\"\n[[serial]]\nport = \"{}\"\nbaud = 4000000\n\
             [[folder]]\npath = \"{}\"\nexam = \"brain4\"\nsettle_s = 0\npoll_s = 1\n\
             [health]\nmetrics = \"{}\"\n[socket]\npath = \"{}\"\n[[display]]\nplace = \"png:{}\"\n",
            case.config,
            at("port"),
            at("right"),
            at("in"),
            at("metrics.prom"),
            at("socket"),
            at("pictures"),
        );
        std::fs::write(self.at("medfocus.toml"), config).unwrap();
        let file = at("medfocus.toml");
        let options = ["--config", &file, "--bundle"];
        let mut serve = Device::command(self.folder.path(), &[], 115_200, &options);
        serve.arg(self.bundle.path());
        let mut command = match case.on_small_disk {
            true => on_small_disk(&serve, &self.at("state")),
            false => serve,
        };
        command.env("RUNTIME_DIRECTORY", self.at("run"));
        if case.is_in_1970 {
            command.env("LD_PRELOAD", clock_of_1970(self.folder.path()));
        }
        let device = Device::start_as(self.folder.path(), &["port", "right"], command);
        Bench {
            device,
            console,
            _link: link,
        }
    }

    /// Runs the program as whoever looks after this device.
    fn medfocus(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
        command.env("RUNTIME_DIRECTORY", self.at("run"));
        command.current_dir(root()).args(arguments);
        command.output().unwrap()
    }

    fn health(&self) -> Output {
        self.medfocus(&["health", "--state", &self.at("state").display().to_string()])
    }

    fn state_file(&self) -> Value {
        let bytes = std::fs::read(self.at("run/health.json")).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    fn status_by_socket(&self) -> Value {
        let mut stream = UnixStream::connect(self.at("socket")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"{\"do\":\"status\"}\n").unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn submit(&self, more: &[&str]) -> Output {
        let (image, socket) = (phantom("brain.png"), self.at("socket"));
        let [image, socket] = [image, socket].map(|path| path.display().to_string());
        let wait = [
            "submit", &image, "--wait", "--exam", "brain4", "--socket", &socket,
        ];
        self.medfocus(&[&wait[..], more].concat())
    }

    fn link(&self, more: &[&str]) -> Output {
        let port = self.at("left").display().to_string();
        self.medfocus(&[&["link", &port, "--baud", "4000000"], more].concat())
    }
}

/// Mounts a small disk over the folder `$0` and runs the rest on it.
const ON_A_SMALL_DISK: &str = "\
set -e
mount -t tmpfs -o size=16m tmpfs \"$0\"
exec \"$@\"";
const IN_A_NAMESPACE: [&str; 3] = ["--user", "--map-root-user", "--mount"];

fn on_small_disk(serve: &Command, over: &Path) -> Command {
    let mut command = Command::new("unshare");
    command.args(IN_A_NAMESPACE);
    command.args(["sh", "-c", ON_A_SMALL_DISK]).arg(over);
    command.arg(serve.get_program()).args(serve.get_args());
    command.current_dir(serve.get_current_dir().unwrap());
    command
}

/// Whether this system lets a test mount a disk of its own.
fn may_mount() -> bool {
    let mut command = Command::new("unshare");
    command.args(IN_A_NAMESPACE);
    command.args(["sh", "-c", "mount -t tmpfs tmpfs /tmp"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// A clock as that of a board without a battery: a library that a program loads before its own.
fn clock_of_1970(folder: &Path) -> PathBuf {
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    let code = "\
#define _GNU_SOURCE
#include <time.h>
#include <sys/syscall.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *to) {
  if (clock == CLOCK_REALTIME) clock = CLOCK_BOOTTIME, syscall(SYS_clock_gettime, clock, to), to->tv_sec %= 100000;
  else return syscall(SYS_clock_gettime, clock, to);
  return 0;
}
";
    std::fs::write(&source, code).unwrap();
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let built = Command::new(compiler)
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.unwrap().success());
    library
}

/// A screen as the picture of a display.
fn drawn(screen: &Screen<'_>, code: &str, help: &str) -> Vec<u8> {
    let panel = Panel::COLOUR_320X240;
    let health = screens::Health {
        version: env!("CARGO_PKG_VERSION"),
        bundle: "",
        intended_use: Some(screens::Use::Demonstration),
        self_test: true,
        storage: true,
        waiting: 0,
        answered: 0,
        warning: code,
        warning_help: help,
    };
    let frame = lay_out(screen, Page::Summary, &health, panel, Language::English);
    let mut canvas = Canvas::<Vec<Rgb888>>::filled(panel.size, Rgb888::BLACK);
    let Ok(_) = Painter::default().paint(&frame, &mut canvas);
    canvas.bytes().collect()
}

fn shown(home: &Home) -> Vec<u8> {
    let picture = image::open(home.at("pictures/now.png"));
    picture.map_or_else(|_| Vec::new(), |picture| picture.into_rgb8().into_raw())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every channel, and whether it tells of this code and what to do about it. The last one makes
/// a case, so it comes last.
fn channels(home: &Home, bench: &mut Bench, case: &Case) -> Vec<(&'static str, bool, String)> {
    let code = case.code;
    let is_safe = case.state == "safe";
    let mut all = Vec::new();

    let file = home.state_file();
    let help = match is_safe {
        true => file["trouble"]["cure"].clone(),
        false => {
            let told = file["warning_help"].as_array().cloned().unwrap_or_default();
            let told = told.into_iter().find(|told| told["code"] == code);
            told.map_or(Value::Null, |told| told["cure"].clone())
        }
    };
    let help = help.as_str().unwrap_or_default().to_owned();
    let named = match is_safe {
        true => file["trouble"]["code"] == code,
        false => file["warnings"]
            .as_array()
            .is_some_and(|w| w.contains(&json!(code))),
    };
    let is_told = named && !help.is_empty() && file["state"] == case.state;
    all.push(("state file", is_told, file.to_string()));

    let health = home.health();
    let said = text(&health.stdout);
    let exit = if case.state == "ready" { 0 } else { 1 };
    let is_told = said.contains(code) && said.contains(&help) && health.status.code() == Some(exit);
    all.push(("medfocus health", is_told, said));

    let said = bench.console.ask("STAT?");
    let is_told =
        said.contains(code) && said.contains(&format!("cure=\"{}\"", help.replace('"', "'")));
    all.push(("STAT?", is_told, said));

    let said = std::fs::read_to_string(home.at("metrics.prom")).unwrap_or_default();
    let metric = if is_safe { "trouble" } else { "warning" };
    let named = said.contains(&format!("medfocus_{metric}{{code=\"{code}\"}} 1\n"));
    let is_told = named
        && said.contains(&format!(
            "medfocus_help{{code=\"{code}\",help=\"{help}\"}} 1\n"
        ));
    all.push(("metrics", is_told, said));

    let words = words::help(code, Language::English).unwrap_or(&help);
    let screen = match case.state {
        "ready" => Screen::Ready,
        _ => Screen::Fault { code, help: words },
    };
    let is_told = shown(home) == drawn(&screen, code, words);
    all.push(("display", is_told, "another picture".to_owned()));

    let said = home.status_by_socket();
    let mut notices = said["notices"].as_array().into_iter().flatten();
    let is_told = notices.any(|notice| notice["code"] == code && notice["cure"] == help.as_str());
    all.push(("control socket", is_told, said.to_string()));

    let said = text(&home.link(&["--console", "*IDN?"]).stderr);
    let words = match is_safe {
        true => format!("answers none: {code}; {help}"),
        false => format!("the device warns: {code}"),
    };
    let is_told = said.contains(&words) && said.contains(&help);
    all.push(("link", is_told, said));
    all
}

/// Waits until every channel tells of it, and says how long that took.
fn tell_within(home: &Home, bench: &mut Bench, case: &Case) {
    let begin = Instant::now();
    loop {
        let all = channels(home, bench, case);
        let took = begin.elapsed();
        let Some((channel, _, said)) = all.iter().find(|(_, is_told, _)| !is_told) else {
            println!(
                "{}: told on {} channels after {took:.2?}",
                case.name,
                all.len()
            );
            return;
        };
        assert!(
            took < AT_ONCE,
            "{}: {channel} does not tell of it: {said}\n{}",
            case.name,
            bench.device.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait_until_well(home: &Home, bench: &Bench) {
    let begin = Instant::now();
    while home.state_file()["state"] != "ready" {
        assert!(begin.elapsed() < PATIENCE, "{}", bench.device.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

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
