//! What happens to a device whose worker hangs, ends or does not start: the real program,
//! and the signals that really end processes.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use crate::common::bench::Bench;
use crate::common::device::PATIENCE;
use crate::common::phantom;
use rustix::process::{Signal, kill_process, test_kill_process};

/// No case of these tests takes so long.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Far longer than a case takes, also where the machine is busy or emulated: a whole start
/// of the program and a case, three times over.
fn deadline() -> Duration {
    let begin = Instant::now();
    crate::common::classify(&[&phantom("brain.png").display().to_string()]);
    let seconds = 3 * begin.elapsed().as_secs();
    Duration::from_secs(seconds.clamp(5, PATIENCE.as_secs() / 2))
}

#[test]
fn a_stuck_case_is_refused_in_time_and_the_next_one_is_answered() {
    let deadline = deadline();
    let mut bench = Bench::with_deadline(deadline);
    let worker = bench.stick();
    let begin = Instant::now();
    assert_eq!(bench.accept("brain.png"), "1");
    assert_eq!(bench.accept("brain.png"), "2");
    bench.cable.wait_for("STAT?", "running case=1");
    assert_eq!(bench.cable.ask("*OPC?"), "0", "the line goes on meanwhile");
    assert_eq!(bench.cable.wait_for_end("1"), "1 refusal");
    let took = begin.elapsed();
    assert!(took >= deadline && took < 2 * deadline, "{took:?}");
    let answer = bench.cable.ask("CASE:RES? 1");
    assert!(
        answer.starts_with("1 refusal code=deadline image=")
            && answer.contains(" use=demonstration cure=\""),
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
    let mut bench = Bench::with_deadline(FOR_EVER);
    let worker = bench.stick();
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
    let mut bench = Bench::with_deadline(FOR_EVER);
    let worker = bench.worker(None);
    kill_process(worker, Signal::ABORT).unwrap();
    bench.worker(Some(worker));
    assert_eq!(bench.accept("brain.png"), "1");
    assert_eq!(bench.cable.wait_for_end("1"), "1 finding");
    assert_eq!(bench.cable.ask("*TST?"), "0");
}

#[test]
fn workers_that_die_again_and_again_are_the_safe_state_and_cases_are_kept() {
    let mut bench = Bench::with_deadline(FOR_EVER);
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
    let mut bench = Bench::with_deadline(FOR_EVER);
    let worker = bench.stick();
    bench.device.kill();
    let begin = Instant::now();
    while test_kill_process(worker).is_ok() {
        assert!(begin.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(20));
    }
}
