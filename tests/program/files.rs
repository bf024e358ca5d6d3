//! Files that hold several pictures, files of kinds that are not read, folders full of both,
//! and what is no file at all.
#![cfg(unix)]

use std::io::Cursor;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{assert_valid, classify, medfocus, phantom, root};
use image::{DynamicImage, ImageFormat};
use medfocus::case::Channel;
use medfocus::image::{FrameChoice, Image, Pixels, decode_frame};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tiff::encoder::{TiffEncoder, colortype};

fn vectors() -> PathBuf {
    root().join("tests/vectors/pictures")
}

/// The rows of one of the vectors' tables.
fn table(name: &str) -> Vec<csv::StringRecord> {
    let mut reader = csv::Reader::from_path(vectors().join(name)).unwrap();
    reader.records().map(Result::unwrap).collect()
}

fn luma(image: &Image) -> &[u8] {
    match &image.pixels {
        Pixels::Luma(luma) => luma,
        Pixels::Rgb(_) => panic!("it is grey"),
    }
}

fn code(bytes: &[u8], frame: FrameChoice) -> &'static str {
    match decode_frame(bytes, frame) {
        Ok(_) => "read",
        Err(refusal) => refusal.code.word(),
    }
}

#[test]
fn every_picture_that_other_programs_wrote_is_read_by_its_number() {
    for row in table("pages.csv") {
        let what = format!("{row:?}");
        let bytes = std::fs::read(vectors().join(&row[0])).unwrap();
        let (number, count): (u32, u32) = (row[1].parse().unwrap(), row[2].parse().unwrap());
        let image = decode_frame(&bytes, FrameChoice::Number(number)).expect(&what);
        assert_eq!(image.metadata.frame, Some((number, count)), "{what}");
        let hash: String = Sha256::digest(luma(&image))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        // A lossy one is another picture than the others, at least.
        if row[3].is_empty() {
            let other = FrameChoice::Number(number % count + 1);
            let other = decode_frame(&bytes, other).expect(&what);
            assert_eq!(count == 1, luma(&other) == luma(&image), "{what}");
        } else {
            assert_eq!(hash, row[3], "{what}");
        }
        let unsaid = if count == 1 { "read" } else { "several_frames" };
        assert_eq!(code(&bytes, FrameChoice::Unsaid), unsaid, "{what}");
        assert_eq!(code(&bytes, FrameChoice::Middle), "read", "{what}");
        let beyond = FrameChoice::Number(count + 1);
        assert_eq!(code(&bytes, beyond), "no_such_frame", "{what}");
    }
}

/// A phantom in grey, small.
fn small(name: &str) -> DynamicImage {
    let picture = image::open(phantom(name)).unwrap();
    DynamicImage::ImageLuma8(picture.thumbnail_exact(64, 64).into_luma8())
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture
        .write_to(&mut Cursor::new(&mut bytes), format)
        .unwrap();
    bytes
}

#[test]
fn pictures_one_behind_the_other_are_several() {
    for format in [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::Pnm,
        ImageFormat::Bmp,
    ] {
        let chest = encoded(&small("chest.png"), format);
        let brain = encoded(&small("brain.png"), format);
        let both = [&chest[..], &brain].concat();
        assert_eq!(code(&chest, FrameChoice::Unsaid), "read", "{format:?}");
        assert_eq!(
            code(&both, FrameChoice::Unsaid),
            "several_frames",
            "{format:?}"
        );
        for (number, alone) in [(1, &chest), (2, &brain)] {
            let read = |bytes: &[u8], frame| decode_frame(bytes, frame).unwrap();
            let one = read(&both, FrameChoice::Number(number));
            let alone = read(alone, FrameChoice::Unsaid);
            assert_eq!(one.pixels, alone.pixels, "{format:?} {number}");
            assert_eq!(one.metadata.frame, Some((number, 2)));
            assert_ne!(one.sha256, alone.sha256, "the file's");
        }
        // Half of the second is there all the same.
        let cut = &both[..chest.len() + brain.len() / 2];
        assert_eq!(
            code(cut, FrameChoice::Unsaid),
            "several_frames",
            "{format:?}"
        );
        assert_eq!(
            code(cut, FrameChoice::Number(2)),
            "unreadable",
            "{format:?}"
        );
    }
}

#[test]
fn a_tiff_whose_directories_lead_nowhere_is_refused() {
    let mut bytes = std::fs::read(vectors().join("pages.tif")).unwrap();
    let first = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
    let first = first as usize;
    let fields = usize::from(u16::from_le_bytes([bytes[first], bytes[first + 1]]));
    let next = first + 2 + 12 * fields;
    for (place, why) in [(first as u32, "circle"), (u32::MAX, "too early")] {
        bytes[next..next + 4].copy_from_slice(&place.to_le_bytes());
        let refusal = decode_frame(&bytes, FrameChoice::Number(1)).unwrap_err();
        assert_eq!(refusal.code.word(), "unreadable");
        assert!(refusal.message.contains(why), "{refusal}");
    }
}

#[test]
fn two_values_are_no_shades_of_grey_however_they_are_stored() {
    let mut two = small("chest.png").into_luma8();
    two.pixels_mut()
        .for_each(|pixel| pixel.0[0] = if pixel.0[0] > 90 { 201 } else { 7 });
    let bits = two.pixels().map(|pixel| u8::from(pixel.0[0] > 90));
    let plain: String = bits.map(|bit| format!("{bit} ")).collect();
    let two = DynamicImage::ImageLuma8(two);
    for (what, bytes) in [
        ("PNG", encoded(&two, ImageFormat::Png)),
        ("BMP", encoded(&two, ImageFormat::Bmp)),
        ("RGB", encoded(&two.to_rgb8().into(), ImageFormat::Tiff)),
        ("PBM", format!("P1 64 64\n{plain}\n").into_bytes()),
    ] {
        assert_eq!(code(&bytes, FrameChoice::Unsaid), "one_bit", "{what}");
    }
}

/// Chest and brain as the pages of one TIFF.
fn two_patients(folder: &Path) -> String {
    let mut bytes = Vec::new();
    let mut encoder = TiffEncoder::new(Cursor::new(&mut bytes)).unwrap();
    for name in ["chest.png", "brain.png"] {
        let page = image::open(phantom(name)).unwrap().into_luma8();
        encoder
            .write_image::<colortype::Gray8>(page.width(), page.height(), &page)
            .unwrap();
    }
    let path = folder.join("two.tif");
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

#[test]
fn several_pages_are_answered_one_by_one_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = two_patients(folder.path());
    let (answers, exit) = classify(&[&path, "--exam", "brain4"]);
    assert_eq!((&answers[0]["code"], exit), (&"several_frames".into(), 1));
    assert_valid(&answers[0]);
    let told = answers[0]["message"].as_str().unwrap();
    assert!(told.contains("holds 2 pictures"), "{told}");
    let help = answers[0]["cure"].as_str().unwrap();
    assert!(help.contains("1 to 2 with --frame"), "{help}");

    let (answers, exit) = classify(&[&path, "--exam", "brain4", "--frame", "2"]);
    assert_eq!((&answers[0]["status"], exit), (&"finding".into(), 0));
    assert_valid(&answers[0]);
    let reasons = answers[0]["reasons"].to_string();
    assert!(reasons.contains("frame: 2 of 2 was read"), "{reasons}");
    let case = answers[0]["case"].as_str().unwrap();
    assert!(case.ends_with("-f2-brain4"), "{case}");
    let (alone, _) = classify(&[&phantom("brain.png").display().to_string()]);
    assert_eq!(answers[0]["probabilities"], alone[0]["probabilities"]);

    let (answers, exit) = classify(&[&path, "--exam", "brain4", "--frame", "all"]);
    let status = |answer: &Value| answer["status"].as_str().unwrap().to_owned();
    let codes: Vec<String> = answers.iter().map(status).collect();
    assert_eq!(
        (codes, exit),
        (vec!["refusal".to_owned(), "finding".to_owned()], 1),
        "a chest is no brain"
    );
    let (answers, exit) = classify(&[&path, "--exam", "brain4", "--frame", "3"]);
    assert_eq!((&answers[0]["code"], exit), (&"no_such_frame".into(), 1));
    assert_valid(&answers[0]);
}

#[test]
fn a_kind_that_is_not_read_is_named_with_help() {
    let rows = table("kinds.csv");
    let files: Vec<String> = rows
        .iter()
        .map(|row| vectors().join(&row[0]).display().to_string())
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let (answers, exit) = classify(&[&files[..], &["--exam", "lung_tb2"]].concat());
    assert_eq!((answers.len(), exit), (rows.len(), 1));
    for (answer, row) in answers.iter().zip(&rows) {
        assert_eq!(answer["code"], "unsupported_format", "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(message.contains(&row[1]), "{row:?}: {message}");
        assert!(
            !answer["cure"].as_str().unwrap().contains("copy"),
            "{answer}"
        );
        assert_valid(answer);
    }
}

/// A DICOM object of this class with nothing else in it.
fn object(class: &str) -> Vec<u8> {
    let mut class = class.as_bytes().to_vec();
    if class.len() % 2 == 1 {
        class.push(0);
    }
    let element = [&b"\x02\0\x02\0UI"[..], &[class.len() as u8, 0], &class].concat();
    [&[0; 128][..], b"DICM", &element].concat()
}

#[test]
fn every_file_of_a_folder_is_judged_by_its_first_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    put("IM000001", &std::fs::read(phantom("brain.png")).unwrap());
    put("notes.txt", b"a list of names");
    put("list.csv", b"name,age\n");
    put("DICOMDIR", &object("1.2.840.10008.1.3.10"));
    put("report", &object("1.2.840.10008.5.1.4.1.1.88.22"));
    let given = folder.path().to_str().unwrap();
    let output = medfocus(&["classify", given, "--format", "ndjson"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        answer["class"], "meningioma",
        "one image, without an ending"
    );
    assert!(told.contains("4 files are no images"), "{told}");
    for name in ["notes.txt", "list.csv", "DICOMDIR", "report"] {
        assert!(told.contains(name), "{told}");
    }

    put(
        "IM000002",
        &std::fs::read(vectors().join("image.webp")).unwrap(),
    );
    put("cut.png", b"no PNG");
    let (answers, exit) = classify(&[given]);
    assert_eq!((answers.len(), exit), (3, 1));
    let of = |name: &str| {
        let ends = |answer: &&Value| answer["source"].as_str().unwrap().ends_with(name);
        answers.iter().find(ends).unwrap()
    };
    assert!(
        of("IM000002")["message"]
            .to_string()
            .contains("a WebP image")
    );
    assert_eq!(
        of("cut.png")["code"],
        "unsupported_format",
        "it says that it is one"
    );
}

/// What a program printed; it must not wait for anything.
fn at_once(mut command: Command) -> (String, String, Option<i32>) {
    let begin = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("it waits");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
    command.current_dir(root()).args(arguments);
    command
}

fn pipe(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, path, kind, mode, 0).unwrap();
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    pipe(&folder.path().join("pipe.png"));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for (given, what) in [
        (at("pipe.png"), "a pipe"),
        (at(""), "a pipe"),
        (at("socket"), "a socket"),
        ("/dev/zero".to_owned(), "a device"),
        ("/dev/stdin".to_owned(), "a pipe"),
    ] {
        let mut command = program(&["classify", &given, "--format", "ndjson"]);
        command.stdin(Stdio::piped());
        let (out, told, exit) = at_once(command);
        assert_eq!(exit, Some(1), "{given}: {told}");
        let answer: Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
        assert_eq!(answer["code"], "not_a_file", "{answer}");
        assert!(answer["message"].to_string().contains(what), "{answer}");
        assert_valid(&answer);
    }
    // A file that comes by standard input is one.
    let mut command = program(&["classify", "/dev/stdin", "--format", "ndjson"]);
    command.stdin(std::fs::File::open(phantom("brain.png")).unwrap());
    assert_eq!(at_once(command).2, Some(0));
}

#[test]
fn help_says_what_the_channel_can() {
    let refusal = decode_frame(
        &std::fs::read(vectors().join("pages.tif")).unwrap(),
        FrameChoice::Unsaid,
    )
    .unwrap_err();
    let told = |channel| refusal.help.words(channel);
    assert!(told(Channel::CommandLine).contains("--frame"));
    for channel in [Channel::Console, Channel::Link, Channel::Record] {
        assert!(told(channel).contains("a file of its own"), "{channel:?}");
    }
}

/// The program as a user who is not root: root may read everything.
fn as_anybody(arguments: &[&str], folder: &Path) -> Command {
    const NOBODY: u32 = 65_534;
    let mut command = program(arguments);
    if std::fs::metadata(folder).unwrap().uid() == 0 {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

#[test]
fn a_folder_without_the_right_to_read_it_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let deep = folder.path().join("deep");
    std::fs::create_dir(&deep).unwrap();
    std::fs::copy(root().join("tests/phantoms/brain.png"), deep.join("a.png")).unwrap();
    allow(folder.path(), 0o755);
    // Not listed; listed, and none of its files opened.
    for (mode, named) in [(0o000, &deep), (0o444, &deep.join("a.png"))] {
        allow(&deep, mode);
        let given = folder.path().display().to_string();
        let command = as_anybody(&["classify", &given, "--format", "ndjson"], folder.path());
        let (out, told, exit) = at_once(command);
        assert_eq!(exit, Some(1), "{mode:o}: {told}");
        let answer: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(answer["code"], "not_found", "{answer}");
        let message = answer["message"].as_str().unwrap();
        assert!(
            message.starts_with(&named.display().to_string()),
            "{message}"
        );
        assert!(message.contains("Permission denied"), "{message}");
        assert_eq!(answer["cure"], "check the path and the right to read it");
    }
    allow(&deep, 0o755);
}
