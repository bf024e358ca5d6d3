//! What happens to a device whose worker hangs, ends or does not start: the real program,
//! and the signals that really end processes.
#![cfg(target_os = "linux")]

mod common;

use std::time::{Duration, Instant};

use common::console::Cable;
use common::device::{Device, PATIENCE};
use common::phantom;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Far longer than a case takes, so that the bounds below hold on a busy machine.
const DEADLINE: Duration = Duration::from_secs(5);

struct Bench {
    folder: tempfile::TempDir,
    cable: Cable,
    device: Device,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cable = Cable::plug(&folder.path().join("port"));
        let deadline = DEADLINE.as_secs().to_string();
        let more = ["--deadline", &deadline];
        let device = Device::start_with(folder.path(), &["port"], 115_200, &more);
        Self {
            folder,
            cable,
            device,
        }
    }

    fn accept(&mut self, name: &str) -> String {
        let path = phantom(name).display().to_string();
        self.cable.ask(&format!("CASE:RUN {path}"))
    }

    /// The worker, as soon as there is another one than `last`.
    fn worker(&self, last: Option<Pid>) -> Pid {
        let begin = Instant::now();
        loop {
            match self.device.worker() {
                Some(worker) if Some(worker) != last => return worker,
                _ => {}
            }
            assert!(begin.elapsed() < PATIENCE, "{}", self.device.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A worker that is stopped before it is asked is stuck for certain, whatever the machine
/// does beside.
#[test]
fn a_stuck_case_is_refused_in_time_and_the_next_one_is_answered() {
    let mut bench = Bench::new();
    let worker = bench.worker(None);
    kill_process(worker, Signal::STOP).unwrap();
    let begin = Instant::now();
    assert_eq!(bench.accept("brain.png"), "1");
    assert_eq!(bench.accept("brain.png"), "2");
    bench.cable.wait_for("STAT?", "running case=1");
    assert_eq!(bench.cable.ask("*OPC?"), "0", "the line goes on meanwhile");
    assert_eq!(bench.cable.wait_for_end("1"), "1 refusal");
    let took = begin.elapsed();
    assert!(took >= DEADLINE && took < 2 * DEADLINE, "{took:?}");
    let answer = bench.cable.ask("CASE:RES? 1");
    assert!(
        answer.starts_with("1 refusal code=deadline use=demonstration cure=\""),
        "{answer}"
    );
    assert_eq!(bench.cable.wait_for_end("2"), "2 finding");
    assert!(test_kill_process(worker).is_err(), "the stuck one is gone");
    assert!(
        !bench.device.log().contains(".png"),
        "a path went to the log"
    );
}

#[test]
fn a_case_whose_worker_dies_is_refused_and_the_next_one_is_answered() {
    let mut bench = Bench::new();
    let worker = bench.worker(None);
    kill_process(worker, Signal::STOP).unwrap();
    assert_eq!(bench.accept("brain.png"), "1");
    assert_eq!(bench.accept("brain.png"), "2");
    bench.cable.wait_for("STAT?", "running case=1");
    kill_process(worker, Signal::KILL).unwrap();
    assert_eq!(bench.cable.wait_for_end("1"), "1 refusal");
    let answer = bench.cable.ask("CASE:RES? 1");
    assert!(answer.contains(" code=device_fault "), "{answer}");
    let answer = bench.cable.ask("CASE:RES? 1,JSON");
    assert!(answer.contains("SIGKILL"), "{answer}");
    assert_eq!(bench.cable.wait_for_end("2"), "2 finding");
}

#[test]
fn a_worker_that_dies_idle_costs_no_case() {
    let mut bench = Bench::new();
    let worker = bench.worker(None);
    kill_process(worker, Signal::ABORT).unwrap();
    bench.worker(Some(worker));
    assert_eq!(bench.accept("brain.png"), "1");
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
    assert_eq!(bench.cable.ask("*TST?"), "0");
}

#[test]
fn workers_that_die_again_and_again_are_the_safe_state_and_cases_are_kept() {
    let mut bench = Bench::new();
    let mut last = None;
    let begin = Instant::now();
    let status = loop {
        let status = bench.cable.ask("STAT?");
        if status.starts_with("safe_state") {
            break status;
        }
        assert!(begin.elapsed() < PATIENCE, "{status}");
        let worker = bench.device.worker();
        if worker != last
            && let Some(worker) = worker
        {
            kill_process(worker, Signal::KILL).unwrap();
            last = Some(worker);
        }
    };
    assert!(
        status.contains(" code=worker use=demonstration cure=\""),
        "{status}"
    );
    assert_eq!(bench.accept("brain.png"), "1");
    // By itself, or by whoever does not want to wait.
    assert_eq!(bench.cable.ask("*TST?"), "0");
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
    bench.cable.wait_for("STAT?", "ready");
}

#[test]
fn no_worker_outlives_its_device() {
    let mut bench = Bench::new();
    let worker = bench.worker(None);
    kill_process(worker, Signal::STOP).unwrap();
    bench.device.kill();
    let begin = Instant::now();
    while test_kill_process(worker).is_ok() {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(bench.folder);
}
