//! The examples: the device and the method as parts of another program.
#![cfg(target_os = "linux")]

#[path = "../../examples/device.rs"]
mod device;
#[path = "../../examples/pipeline.rs"]
mod pipeline;

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

#[test]
fn another_program_runs_the_method_alone() {
    let image = phantom("brain.png").display().to_string();
    let (finding, _) = pipeline::answer(&image, "brain4").unwrap().unwrap();
    assert_eq!(finding.exam, "brain4");
    assert!(pipeline::answer(&image, "knee").is_err());
    let missing = pipeline::answer("no/such/image.png", "brain4").unwrap();
    assert_eq!(missing.unwrap_err().code.word(), "not_found");
}
