//! DICOM decoding against values that others decoded.
//!
//! `tests/vectors/dicom/pydicom-data.csv` says of 79 public files what pydicom makes of
//! them; the files themselves are not shipped, so that part runs where they are at hand
//! (`MEDFOCUS_DICOM_DATA`, or `../shared/data/dicom`). The small files in
//! `tests/vectors/dicom` are, one for each way of compressing.

mod common;

use std::path::{Path, PathBuf};

use common::{root, spoilt};
use medfocus::finding::Refusal;
use medfocus::image::dicom::{Stored, stored_values};
use medfocus::image::{FrameChoice, decode_frame, isolate, read};
use sha2::{Digest, Sha256};

fn digest(values: impl Iterator<Item = i64>) -> String {
    let mut hash = Sha256::new();
    values.for_each(|value| hash.update(value.to_le_bytes()));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// All frames' values, hashed in order.
fn outcome(bytes: &[u8], frames: usize) -> Result<String, Refusal> {
    let all: Vec<Stored> = (0..frames)
        .map(|frame| stored_values(bytes, "file", frame))
        .collect::<Result<_, _>>()?;
    Ok(digest(all.iter().flat_map(Stored::values)))
}

fn rows(table: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(root().join("tests/vectors/dicom").join(table)).unwrap();
    let cell = |cell: &str| cell.trim_matches('"').to_owned();
    // A quoted name holds commas: the columns that count are taken from either end of it.
    let row = |line: &str| match line.split_once(",\"") {
        Some((file, rest)) if !file.contains(',') => {
            let (name, rest) = rest.split_once("\",").unwrap();
            let head = [file, name].map(cell);
            head.into_iter().chain(rest.split(',').map(cell)).collect()
        }
        _ => line.split(',').map(cell).collect(),
    };
    text.lines().skip(1).map(row).collect()
}

#[test]
fn the_public_files_decode_as_the_table_says() {
    let folder = std::env::var_os("MEDFOCUS_DICOM_DATA")
        .map_or_else(|| root().join("../shared/data/dicom"), PathBuf::from);
    let table = rows("pydicom-data.csv");
    let answered = table.iter().filter(|row| row[2] == "exact").count();
    assert!(answered >= 62 && table.len() == 79, "{answered}");
    if !folder.is_dir() {
        eprintln!("{} is not at hand", folder.display());
        return;
    }
    let mut wrong = Vec::new();
    for row in &table {
        let bytes = std::fs::read(folder.join(&row[0])).unwrap();
        let found = match outcome(&bytes, row[3].parse().unwrap()) {
            Ok(digest) => digest,
            Err(refusal) => refusal.code.word().to_owned(),
        };
        let expected = if row[2] == "exact" { &row[5] } else { &row[2] };
        if found != *expected {
            wrong.push(format!("{}: {found} instead of {expected}", row[0]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_way_of_compressing_gives_the_values_that_were_compressed() {
    let table = rows("made.csv");
    assert!(table.len() >= 12);
    for row in &table {
        let bytes = std::fs::read(root().join("tests/vectors/dicom").join(&row[0])).unwrap();
        let found = outcome(&bytes, row[1].parse().unwrap());
        let found = found.unwrap_or_else(|refusal| panic!("{}: {refusal}", row[0]));
        assert_eq!(found, row[2], "{}", row[0]);
    }
}

#[test]
fn lossy_jpeg_stays_near_the_picture() {
    let values = |name: &str| -> Vec<i64> {
        let bytes = std::fs::read(root().join("tests/vectors/dicom").join(name)).unwrap();
        stored_values(&bytes, name, 0).unwrap().values().collect()
    };
    let (lossy, exact) = (values("jpeg.dcm"), values("jpeg-lossless-14.dcm"));
    let apart: i64 = lossy.iter().zip(&exact).map(|(a, b)| (a - b).abs()).sum();
    let mean = apart as f64 / exact.len() as f64;
    assert!(lossy.len() == exact.len() && mean < 4.0, "{mean}");
}

#[test]
fn a_cut_file_is_refused_at_every_length() {
    for row in rows("made.csv") {
        let bytes = std::fs::read(root().join("tests/vectors/dicom").join(&row[0])).unwrap();
        for length in (0..bytes.len()).step_by(61) {
            let cut = decode_frame(&bytes[..length], "cut", FrameChoice::default());
            assert!(
                cut.is_err(),
                "{} cut at {length} of {}",
                row[0],
                bytes.len()
            );
        }
    }
}

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
                    assert!(refusal.message.contains("changed.dcm"), "{refusal}");
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
        let here = decode_frame(&bytes, "here", FrameChoice::default()).unwrap();
        assert_eq!(read(&path).unwrap(), here, "{}", row[0]);
    }
}
