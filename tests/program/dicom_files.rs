//! DICOM decoding against values that others decoded.
//!
//! `tests/vectors/dicom/pydicom-data.csv` says of 79 public files what pydicom makes of
//! them; the files themselves are not shipped, so that part runs where they are at hand
//! (`MEDFOCUS_DICOM_DATA`, or `../shared/data/dicom`). The small files in
//! `tests/vectors/dicom` are, one for each way of compressing.

use std::path::PathBuf;

use crate::common::dicom::{element, rows, ultrasound_region};
use crate::common::root;
use dicom_core::VR;
use dicom_core::value::PrimitiveValue;
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use medfocus::case::Refusal;
use medfocus::image::dicom::{Stored, stored_values};
use medfocus::image::{FrameChoice, decode_frame};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sha2::{Digest, Sha256};

fn digest(values: impl Iterator<Item = i64>) -> String {
    let mut hash = Sha256::new();
    values.for_each(|value| hash.update(value.to_le_bytes()));
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// All frames' values, hashed in order.
fn outcome(bytes: &[u8], frames: usize) -> Result<String, Refusal> {
    let all: Vec<Stored> = (0..frames)
        .map(|frame| stored_values(bytes, frame))
        .collect::<Result<_, _>>()?;
    Ok(digest(all.iter().flat_map(Stored::values)))
}

#[test]
fn the_public_files_decode_as_the_table_says() {
    let folder = std::env::var_os("MEDFOCUS_DICOM_DATA")
        .map_or_else(|| root().join("../shared/data/dicom"), PathBuf::from);
    let table = rows("pydicom-data.csv");
    let answered = table.iter().filter(|row| row[2] == "exact").count();
    assert!(answered >= 67 && table.len() == 79, "{answered}");
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
fn a_file_without_its_head_is_read_where_its_data_set_says_how() {
    for row in &rows("made.csv") {
        let name = row[0].as_str();
        let bytes = std::fs::read(root().join("tests/vectors/dicom").join(name)).unwrap();
        let frames = row[1].parse().unwrap();
        // Preamble and magic word, then the meta group's length, then all of it.
        for from in [132, 144] {
            let found = outcome(&bytes[from..], frames);
            let found = found.unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            assert_eq!(found, row[2], "{name} from {from}");
        }
        let length = u32::from_le_bytes(bytes[140..144].try_into().unwrap());
        let data = &bytes[144 + length as usize..];
        if ["implicit.dcm", "big.dcm"].contains(&name) {
            assert_eq!(outcome(data, frames).unwrap(), row[2], "{name}");
        } else {
            let refusal = decode_frame(data, FrameChoice::default()).unwrap_err();
            assert_eq!(refusal.code.word(), "unsupported_format", "{refusal}");
        }
    }
}

#[test]
fn lossy_jpeg_stays_near_the_picture() {
    let values = |name: &str| -> Vec<i64> {
        let bytes = std::fs::read(root().join("tests/vectors/dicom").join(name)).unwrap();
        stored_values(&bytes, 0).unwrap().values().collect()
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
            let cut = decode_frame(&bytes[..length], FrameChoice::default());
            assert!(
                cut.is_err(),
                "{} cut at {length} of {}",
                row[0],
                bytes.len()
            );
        }
    }
}

#[test]
fn another_copy_is_asked_for_only_where_it_would_help() {
    let folder = root().join("tests/vectors/dicom");
    let open = |name: &str| dicom_object::open_file(folder.join(name)).unwrap();
    let written = |object: &dicom_object::DefaultDicomObject| {
        let mut bytes = Vec::new();
        object.write_all(&mut bytes).unwrap();
        bytes
    };
    let without = |tag| {
        let mut object = open("implicit.dcm");
        object.remove_element(tag);
        written(&object)
    };
    // Restart intervals behind the start of the picture's codestream.
    let mut restarting = open("jpegls.dcm");
    let mut fragments = restarting
        .element(tags::PIXEL_DATA)
        .unwrap()
        .fragments()
        .unwrap()
        .to_vec();
    fragments[0].splice(2..2, [0xff, 0xdd, 0, 4, 0, 5]);
    restarting.put(dicom_core::DataElement::new(
        tags::PIXEL_DATA,
        VR::OB,
        dicom_core::value::PixelFragmentSequence::new_fragments(fragments),
    ));
    let mut table = open("implicit.dcm");
    let entries = InMemDicomObject::from_element_iter([
        element(
            tags::LUT_DESCRIPTOR,
            VR::US,
            PrimitiveValue::U16([4, 0].as_slice().into()),
        ),
        element(
            tags::LUT_DATA,
            VR::US,
            PrimitiveValue::U16([0, 1, 2, 3].as_slice().into()),
        ),
    ]);
    table.put(dicom_core::DataElement::new(
        tags::MODALITY_LUT_SEQUENCE,
        VR::SQ,
        dicom_core::value::DataSetSequence::from(vec![entries]),
    ));
    let whole = written(&open("implicit.dcm"));
    struct Case {
        what: &'static str,
        bytes: Vec<u8>,
        code: &'static str,
        help: &'static str,
    }
    const ANEW: &str = "another copy of this file will not help";
    for Case {
        what,
        bytes,
        code,
        help,
    } in [
        Case {
            what: "cut short",
            bytes: whole[..whole.len() - 100].to_vec(),
            code: "unreadable",
            help: "copy or export the file again",
        },
        Case {
            what: "no rows",
            bytes: without(tags::ROWS),
            code: "unreadable",
            help: ANEW,
        },
        Case {
            what: "no photometric interpretation",
            bytes: without(tags::PHOTOMETRIC_INTERPRETATION),
            code: "unreadable",
            help: ANEW,
        },
        Case {
            what: "a table without a descriptor",
            bytes: written(&table),
            code: "unreadable",
            help: ANEW,
        },
        Case {
            what: "restart intervals",
            bytes: written(&restarting),
            code: "unsupported_format",
            help: "export the image uncompressed",
        },
    ] {
        let refusal = decode_frame(&bytes, FrameChoice::default()).unwrap_err();
        assert_eq!(refusal.code.word(), code, "{what}: {refusal}");
        let said = refusal.help.words(medfocus::case::Channel::CommandLine);
        assert!(said.contains(help), "{what}: {said}");
    }
}

/// A header of any numbers over too few, enough or too many pixels, as `scripts/fuzz` finds
/// them in longer runs.
fn any_object() -> impl Strategy<Value = InMemDicomObject> {
    let side = prop_oneof![32..80u16, any::<u16>()];
    let words = [
        (
            tags::PHOTOMETRIC_INTERPRETATION,
            &[
                "MONOCHROME1",
                "MONOCHROME2",
                "RGB",
                "YBR_FULL_422",
                "PALETTE COLOR",
            ][..],
        ),
        (tags::WINDOW_CENTER, &["", "40", "1e300", "nan"]),
        (tags::WINDOW_WIDTH, &["", "0", "400", "-1"]),
        (tags::RESCALE_SLOPE, &["", "0", "1e-300", "-2"]),
        (
            tags::PIXEL_ASPECT_RATIO,
            &["", "1\\1", "0\\0", "9\\1", "1\\1000"],
        ),
        (tags::NUMBER_OF_FRAMES, &["", "0", "2", "4000000000"]),
    ];
    let words = words.map(|(tag, words)| {
        select(words).prop_map(move |word| element(tag, VR::LO, PrimitiveValue::from(word)))
    });
    let number = |tag, values: &'static [u16]| {
        select(values).prop_map(move |value| element(tag, VR::US, PrimitiveValue::from(value)))
    };
    let numbers = [
        number(tags::SAMPLES_PER_PIXEL, &[1, 3, 4]),
        number(tags::BITS_ALLOCATED, &[8, 16, 32, 1, 0]),
        number(tags::BITS_STORED, &[8, 12, 16, 32, 0]),
        number(tags::HIGH_BIT, &[7, 11, 15, 31, 0]),
        number(tags::PIXEL_REPRESENTATION, &[0, 1]),
        number(tags::PLANAR_CONFIGURATION, &[0, 1]),
    ];
    let corners = proptest::array::uniform4(prop_oneof![0..100u32, any::<u32>()]);
    let pixels = vec(any::<u8>(), 0..40_000);
    (side.clone(), side, words, numbers, corners, pixels).prop_map(
        |(rows, columns, words, numbers, corners, pixels)| {
            let sides = [(tags::ROWS, rows), (tags::COLUMNS, columns)];
            let sides = sides.map(|(tag, side)| element(tag, VR::US, PrimitiveValue::from(side)));
            let all = words.into_iter().chain(numbers).chain(sides);
            let mut object = InMemDicomObject::from_element_iter(all);
            let class = PrimitiveValue::from(uids::ULTRASOUND_IMAGE_STORAGE);
            object.put(element(tags::SOP_CLASS_UID, VR::UI, class));
            object.put(ultrasound_region(corners));
            object.put(element(
                tags::PIXEL_DATA,
                VR::OB,
                PrimitiveValue::from(pixels),
            ));
            object
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn any_header_over_any_pixels_is_an_image_or_a_refusal(object in any_object()) {
        let mut bytes = Vec::new();
        object.write_dataset_with_ts(&mut bytes, &EXPLICIT_VR_LITTLE_ENDIAN.erased()).unwrap();
        match decode_frame(&bytes, FrameChoice::default()) {
            Ok(image) => {
                if let Some([x, y, width, height]) = image.metadata.region {
                    prop_assert!(x + width <= image.width && y + height <= image.height);
                }
                prop_assert!(image.cleaned().is_ok_and(|cleaned| cleaned.width == image.width));
            }
            // What a panic would become.
            Err(refusal) => prop_assert!(!refusal.message.contains("gave up"), "{refusal}"),
        }
    }
}
