//! The examples: the device and the method as parts of another program.
#![cfg(target_os = "linux")]

#[path = "../../examples/device.rs"]
mod device;
#[path = "../../examples/pipeline.rs"]
mod pipeline;

use std::time::{Duration, Instant};

use medfocus::device::config::Config;
use medfocus::device::{Device, Setup};

use crate::common::phantom;

#[test]
fn another_program_starts_a_device_and_has_an_image_answered() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state").display().to_string();
    let image = phantom("brain.png").display().to_string();
    let medfocus = env!("CARGO_BIN_EXE_medfocus");
    // The second one finds the state folder free.
    for case in ["1", "2"] {
        let answer = device::answer(medfocus, &state, &image).unwrap();
        assert_eq!(answer["status"], "finding", "{answer}");
        assert_eq!(answer["exam"], "brain4");
        assert_eq!(answer["case"], case);
    }
}

/// However it ends, and whoever still holds a part of it.
#[test]
fn a_device_that_ended_lets_go_of_its_state_folder() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (watched, results) = (folder.path().join("in"), folder.path().join("out"));
    std::fs::create_dir(&watched).unwrap();
    let config = format!(
        "[[folder]]\npath = {watched:?}\npoll_s = 3600\n\
         [[folder]]\npath = {:?}\npoll_s = 3600\n[results]\nfolder = {results:?}\n",
        folder.path().join("away"),
    );
    let start = || {
        let config = Config::parse(&config).unwrap();
        let medfocus = env!("CARGO_BIN_EXE_medfocus");
        Device::start(Setup::new(config, &state, medfocus)).unwrap()
    };
    let device = start();
    // Its watchers wait for their next look by then.
    std::thread::sleep(Duration::from_secs(1));
    let (reloader, began) = (device.reloader(), Instant::now());
    device.stop().unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    let again = reloader.again();
    assert!(again.is_err(), "{again:?}");
    drop(start());
    start().stop().unwrap();
    drop(reloader);
}

#[test]
fn another_program_runs_the_method_alone() {
    let image = phantom("brain.png").display().to_string();
    let (finding, _) = pipeline::answer(&image, "brain4").unwrap().unwrap();
    assert_eq!(finding.exam, "brain4");
    assert!(pipeline::answer(&image, "knee").is_err());
    let missing = pipeline::answer("no/such/image.png", "brain4").unwrap();
    assert_eq!(missing.unwrap_err().code.word(), "not_found");
}
