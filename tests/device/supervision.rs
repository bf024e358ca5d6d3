//! How a device is switched off, and what the service manager hears of it: the real program,
//! real signals, a real socket.
#![cfg(target_os = "linux")]

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::common::bench::Bench;
use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::phantom;
use medfocus::case::Order;
use medfocus::clock::Clock;
use medfocus::journal::{Entry, Journal};
use rustix::process::{Signal, kill_process};

/// No test waits so long: a case that ends by it has not been waited for.
const FOR_EVER: Duration = Duration::from_secs(3600);

#[test]
fn a_device_that_is_switched_off_under_load_loses_nothing() {
    // More than are answered while they are told.
    const CASES: usize = 40;
    let mut bench = Bench::with_deadline(FOR_EVER);
    for case in 1..=CASES {
        assert_eq!(bench.accept("brain.png"), case.to_string());
    }
    bench.device.signal(Signal::TERM);
    assert_eq!(bench.device.wait().code(), Some(0));
    let answered = bench.device.journal("answered").len();
    let started = bench.device.journal("started").len();
    assert_eq!(answered, started, "what began was ended");
    assert!(answered < CASES, "the signal came in time");
    bench.restart();
    for case in 1..=CASES {
        let case = case.to_string();
        assert_eq!(bench.cable.wait_for_end(&case), format!("{case} finding"));
    }
    assert_eq!(bench.device.journal("answered").len(), CASES, "none twice");
}

#[test]
fn a_case_that_does_not_end_is_put_back_when_somebody_insists() {
    let mut bench = Bench::with_deadline(FOR_EVER);
    bench.stick();
    assert_eq!(bench.accept("brain.png"), "1");
    bench.cable.wait_for("STAT?", "running case=1");
    bench.device.signal(Signal::TERM);
    let begin = Instant::now();
    // It still waits for the case, but takes no other.
    loop {
        let answer = bench.accept("brain.png");
        if answer.starts_with("ERR 21,") {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "{answer}");
    }
    bench.device.signal(Signal::INT);
    assert_eq!(bench.device.wait().code(), Some(0));
    assert_eq!(bench.device.journal("returned").len(), 1);
    bench.restart();
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
}

#[test]
fn a_case_that_misses_its_deadline_while_switching_off_is_put_back() {
    let mut bench = Bench::with_deadline(Duration::from_secs(5));
    bench.stick();
    assert_eq!(bench.accept("brain.png"), "1");
    bench.cable.wait_for("STAT?", "running case=1");
    bench.device.signal(Signal::TERM);
    assert_eq!(bench.device.wait().code(), Some(0));
    assert_eq!(bench.device.journal("returned").len(), 1);
    assert_eq!(bench.device.journal("answered").len(), 0);
    bench.restart();
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
}

#[test]
fn a_case_that_was_put_back_often_is_not_taken_for_what_ends_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(&folder.path().join("state"), Clock::system()).unwrap();
    let order = Order {
        source: phantom("brain.png").display().to_string(),
        exam: Some("brain4".to_owned()),
        ..Order::default()
    };
    journal.append(Entry::Accepted { case: 1, order }).unwrap();
    for _ in 0..5 {
        journal.append(Entry::Started { case: 1 }).unwrap();
        journal.append(Entry::Returned { case: 1 }).unwrap();
    }
    drop(journal);
    let mut cable = Cable::plug(&folder.path().join("port"));
    let _device = Device::start(folder.path(), &["port"], 115_200);
    assert_eq!(cable.wait_for_end("1"), "1 finding");
}

#[test]
fn a_signal_to_all_processes_ends_no_case_early() {
    let mut bench = Bench::with_deadline(FOR_EVER);
    let worker = bench.worker(None);
    for case in 1..=4 {
        assert_eq!(bench.accept("brain.png"), case.to_string());
    }
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        kill_process(worker, signal).unwrap();
    }
    for case in 1..=4 {
        let case = case.to_string();
        assert_eq!(bench.cable.wait_for_end(&case), format!("{case} finding"));
    }
    assert_eq!(bench.worker(None), worker);
}

/// What a service manager is told at this socket. It always listens: a device that starts
/// slowly says more than a socket holds.
fn manager(socket: &Path) -> Receiver<String> {
    let socket = UnixDatagram::bind(socket).unwrap();
    let (sender, words) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 256];
        while let Ok(length) = socket.recv(&mut bytes) {
            let word = String::from_utf8_lossy(&bytes[..length]);
            if sender.send(word.trim_end().to_owned()).is_err() {
                return;
            }
        }
    });
    words
}

#[test]
fn the_service_manager_hears_when_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let words = manager(&socket);
    let mut bench = Bench::with(&[], |command| {
        command.env("NOTIFY_SOCKET", &socket);
        command.env("WATCHDOG_USEC", "1000000");
    });
    let hear_until = |word: &str| {
        let begin = Instant::now();
        let mut heard = Vec::new();
        while heard.last().is_none_or(|last| last != word) {
            assert!(begin.elapsed() < PATIENCE, "{word}: {heard:?}");
            heard.push(words.recv_timeout(PATIENCE).expect("a word in time"));
        }
        heard
    };
    let start = hear_until("READY=1");
    assert!(start.contains(&"STATUS=ready".to_owned()), "{start:?}");
    hear_until("WATCHDOG=1");
    // A case that hangs is the deadline's affair: the device is alive.
    let worker = bench.stick();
    assert_eq!(bench.accept("brain.png"), "1");
    bench.cable.wait_for("STAT?", "running case=1");
    words.try_iter().for_each(drop);
    hear_until("WATCHDOG=1");
    hear_until("WATCHDOG=1");
    kill_process(worker, Signal::CONT).unwrap();
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
    bench.device.signal(Signal::TERM);
    hear_until("STOPPING=1");
    assert_eq!(bench.device.wait().code(), Some(0));
}

#[test]
fn a_killed_device_without_rights_finds_its_line_again() {
    // What closes a line to others does not bind root, who is nobody in a namespace of its own.
    let without_rights = ["unshare", "--user", "--map-root-user"];
    let [program, options @ ..] = without_rights;
    let tried = Command::new(program).args(options).arg("true").status();
    if !tried.is_ok_and(|status| status.success()) {
        eprintln!("not tried: no user namespace can be made here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut cable = Cable::plug(&folder.path().join("port"));
    for _ in 0..2 {
        let serve = Device::command(folder.path(), &["port"], 115_200, &[]);
        let mut command = Command::new(program);
        command.args(options);
        command.arg(serve.get_program()).args(serve.get_args());
        command.current_dir(serve.get_current_dir().unwrap());
        let mut device = Device::start_as(folder.path(), &["port"], command);
        assert_eq!(cable.ask("*OPC?"), "1");
        device.kill();
    }
}
