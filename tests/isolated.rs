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
    a_large_jpeg_is_decoded();
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

/// A picture by a lossy JPEG that is as large as units make them: of one that wide, a decoder might
/// start threads, which no child may.
fn a_large_jpeg_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let (width, height) = (400, 300);
    for samples in [1, 3] {
        let shade = |i: usize| ((i / samples % width) / 2 + 20 * (i % samples)) as u8;
        let pixels: Vec<u8> = (0..width * height * samples).map(shade).collect();
        let mut jpeg = Vec::new();
        let colour = match samples {
            1 => image::ExtendedColorType::L8,
            _ => image::ExtendedColorType::Rgb8,
        };
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 100)
            .encode(&pixels, width as u32, height as u32, colour)
            .unwrap();
        let path = folder.path().join("large.dcm");
        common::dicom::write_jpeg(&path, jpeg, [width as u16, height as u16], samples as u16);
        let image = read(&path).unwrap();
        let decoded = match &image.pixels {
            medfocus::image::Pixels::Luma(bytes) | medfocus::image::Pixels::Rgb(bytes) => bytes,
        };
        let apart = decoded
            .iter()
            .zip(&pixels)
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        assert_eq!(decoded.len(), pixels.len());
        assert!(apart.unwrap() <= 4, "{apart:?} of {samples} samples");
    }
}
