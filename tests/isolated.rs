//! Images that a child process decodes, as the program reads every file. A binary of its own: who
//! decodes is said once for the whole process.

mod common;
#[path = "isolated/examples.rs"]
mod examples;

use std::path::Path;

use common::dicom::rows;
use common::{root, spoilt};
use medfocus::image::{FrameChoice, decode_frame, isolate, read};

/// As the program reads every file: in a child.
#[test]
fn changed_bytes_end_in_an_image_or_a_refusal_within_bounds() {
    isolate(Path::new(env!("CARGO_BIN_EXE_medfocus")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.dcm");
    let mut ends = [0, 0];
    for row in rows("made.csv") {
        let bytes = std::fs::read(root().join("tests/vectors/dicom").join(&row[0])).unwrap();
        for changed in spoilt(&bytes, 7).take(20) {
            std::fs::write(&path, &changed).unwrap();
            match read(&path) {
                Ok(_) => ends[0] += 1,
                Err(refusal) => {
                    ends[1] += 1;
                    let known = ["unreadable", "unsupported_format", "too_small", "too_large"];
                    let code = refusal.code.word();
                    let other = ["blank", "no_such_frame"];
                    assert!(known.contains(&code) || other.contains(&code), "{refusal}");
                    assert!(refusal.sentence().contains("changed.dcm"), "{refusal}");
                }
            }
        }
    }
    assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
    isolated_is_the_same();
}

/// What comes out of a child is what comes out of this process.
fn isolated_is_the_same() {
    for row in rows("made.csv") {
        let path = root().join("tests/vectors/dicom").join(&row[0]);
        let bytes = std::fs::read(&path).unwrap();
        let here = decode_frame(&bytes, FrameChoice::default()).unwrap();
        assert_eq!(read(&path).unwrap(), here, "{}", row[0]);
    }
}
