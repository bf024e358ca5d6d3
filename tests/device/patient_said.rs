//! What an image says of its patient and of itself, in DICOM and in PNG, and what becomes of it.
#![cfg(unix)]

use std::path::Path;

use crate::common::film::{Word, answer_of, chest_film, codes};
use crate::common::phantom;
use dicom_core::VR;
use dicom_dictionary_std::tags;
use png::text_metadata::{EncodableTextChunk, ITXtChunk, TEXtChunk, ZTXtChunk};
use serde_json::{Value, json};

/// From 15 years on, in the starter bundle.
const EXAM: &str = "lung_tb2";

/// What an image says, and what becomes of it: the patient in the answer, and its codes.
type ImageMetadata<'a, W> = (Vec<W>, Value, &'a [&'a str]);

/// The chest phantom as PNG with these text chunks.
fn chest_picture(path: &Path, texts: &[(&str, &str)]) -> String {
    let pixels = image::open(phantom("chest.png")).unwrap().into_luma8();
    let file = std::fs::File::create(path).unwrap();
    let mut encoder = png::Encoder::new(file, pixels.width(), pixels.height());
    encoder.set_color(png::ColorType::Grayscale);
    for (key, text) in texts {
        let text = (*text).to_owned();
        encoder.add_text_chunk((*key).to_owned(), text).unwrap();
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&pixels).unwrap();
    path.display().to_string()
}

#[test]
fn what_a_dicom_object_says_is_read_and_an_exam_may_be_for_others() {
    use tags::{
        ACQUISITION_DATE, CONTENT_DATE, PATIENT_AGE, PATIENT_BIRTH_DATE, PATIENT_SEX, SERIES_DATE,
        STUDY_DATE,
    };
    let folder = tempfile::tempdir().unwrap();
    let age = |text| (PATIENT_AGE, VR::AS, text);
    let date = |tag, text| (tag, VR::DA, text);
    let sex = |text| (PATIENT_SEX, VR::CS, text);
    let unknown = &["age_unknown"][..];
    let unread = &["age_unread", "age_unknown"][..];
    let refused = &["refused age"][..];
    let film = |words: &[Word<'_>]| chest_film(&folder.path().join("film.dcm"), words);
    let dates = |birth, study| [date(PATIENT_BIRTH_DATE, birth), date(STUDY_DATE, study)];
    let and_dates = |text, birth| [&[age(text)][..], &dates(birth, "20260314")].concat();
    let disputed = &["age_disputed"][..];
    let inexact = &["age_inexact"][..];
    let cases = [
        (vec![], Value::Null, unknown),
        (vec![age("034Y")], json!({ "age_years": 34 }), &[]),
        (
            vec![age("015Y"), sex("F")],
            json!({ "age_years": 15, "sex": "F" }),
            &[],
        ),
        (vec![age("014Y")], Value::Null, refused),
        (vec![age("018M")], Value::Null, refused),
        (vec![age("003W")], Value::Null, refused),
        (vec![age("OLD")], Value::Null, unread),
        (vec![age("")], Value::Null, unknown),
        (vec![sex("m")], json!({ "sex": "M" }), unknown),
        (
            vec![sex("FEMALE")],
            Value::Null,
            &["sex_unread", "age_unknown"],
        ),
        (
            vec![
                date(PATIENT_BIRTH_DATE, "19900615"),
                date(STUDY_DATE, "20240614"),
            ],
            json!({ "age_years": 33 }),
            &[],
        ),
        (
            // The day that the image was taken counts, not that of the study.
            vec![
                date(PATIENT_BIRTH_DATE, "19900615"),
                date(STUDY_DATE, "20240614"),
                date(ACQUISITION_DATE, "20240615"),
            ],
            json!({ "age_years": 34 }),
            &[],
        ),
        (
            vec![
                date(PATIENT_BIRTH_DATE, "20200101"),
                date(STUDY_DATE, "20240614"),
            ],
            Value::Null,
            refused,
        ),
        (
            vec![
                date(PATIENT_BIRTH_DATE, "20250101"),
                date(STUDY_DATE, "20240614"),
            ],
            Value::Null,
            unread,
        ),
        (
            vec![date(PATIENT_BIRTH_DATE, "19900615")],
            Value::Null,
            unknown,
        ),
        // Which of two is right nobody knows: the exam must be for both.
        (and_dates("034Y", "20200101"), Value::Null, refused),
        (and_dates("012Y", "20110401"), Value::Null, refused),
        (and_dates("005Y", "19800101"), Value::Null, refused),
        (and_dates("003M", "19800101"), Value::Null, refused),
        (and_dates("014Y", "19800101"), Value::Null, refused),
        (and_dates("015Y", "20110401"), Value::Null, refused),
        (and_dates("034Y", "19800101"), Value::Null, disputed),
        (
            and_dates("035Y", "19900601"),
            json!({ "age_years": 35 }),
            &[],
        ),
        (and_dates("036Y", "19900601"), Value::Null, inexact),
        // What cannot be read leaves the other.
        (and_dates("ADULT", "20200101"), Value::Null, refused),
        (
            and_dates("ADULT", "19800101"),
            json!({ "age_years": 46 }),
            &["age_unread"],
        ),
        (
            and_dates("034Y", "1990"),
            json!({ "age_years": 34 }),
            // No output can hold such a date of birth.
            &["age_unread", "value_unfit"],
        ),
    ];
    let of_day = |tag| {
        let words = vec![date(PATIENT_BIRTH_DATE, "20200101"), date(tag, "20260314")];
        (words, Value::Null, refused)
    };
    let days = [ACQUISITION_DATE, STUDY_DATE, SERIES_DATE, CONTENT_DATE].map(of_day);
    let cases: Vec<ImageMetadata<'_, Word<'_>>> = cases.into_iter().chain(days).collect();
    for (words, patient, expected) in cases {
        let answer = answer_of(&[&film(&words), "--exam", EXAM]);
        assert_eq!(codes(&answer), expected, "{words:?}: {answer}");
        assert_eq!(answer["patient"], patient, "{words:?}: {answer}");
    }
}

#[test]
fn what_a_png_says_is_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let unread = &["age_unread", "age_unknown"][..];
    let (refused, disputed) = (&["refused age"][..], &["age_disputed"][..]);
    let picture = |texts: &[(&str, &str)]| chest_picture(&folder.path().join("a.png"), texts);
    let cases: [ImageMetadata<'_, (&str, &str)>; 9] = [
        (
            vec![("PatientAge", "34"), ("PatientSex", "f")],
            json!({ "age_years": 34, "sex": "F" }),
            &[],
        ),
        (
            vec![("PatientAge", "034Y")],
            json!({ "age_years": 34 }),
            &[],
        ),
        (vec![("PatientAge", "018M")], Value::Null, refused),
        (vec![("PatientAge", "young")], Value::Null, unread),
        (
            vec![("PatientAge", "34"), ("PatientAge", "5")],
            Value::Null,
            refused,
        ),
        (
            vec![("PatientAge", "34"), ("PatientAge", "70")],
            Value::Null,
            disputed,
        ),
        (
            vec![("PatientSex", "M"), ("PatientSex", "F")],
            Value::Null,
            &["sex_disputed", "age_unknown"],
        ),
        (
            vec![("ViewPosition", "PA"), ("ViewPosition", "LL")],
            Value::Null,
            &["text_disputed", "age_unknown"],
        ),
        (
            vec![("PatientSex", "W")],
            Value::Null,
            &["sex_unread", "age_unknown"],
        ),
    ];
    for (texts, patient, expected) in cases {
        let answer = answer_of(&[&picture(&texts), "--exam", EXAM]);
        assert_eq!(codes(&answer), expected, "{texts:?}: {answer}");
        assert_eq!(answer["patient"], patient, "{texts:?}: {answer}");
    }
}

fn chunk(text: &impl EncodableTextChunk) -> Vec<u8> {
    let mut bytes = Vec::new();
    text.encode(&mut bytes).unwrap();
    bytes
}

#[test]
fn every_kind_of_png_text_counts_wherever_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let plain = |keyword: &str, text: &str| chunk(&TEXtChunk::new(keyword, text));
    let zipped = |keyword: &str, text: &str| chunk(&ZTXtChunk::new(keyword, text));
    let wide = |keyword: &str, text: &str, compressed| {
        let mut text = ITXtChunk::new(keyword, text);
        text.compressed = compressed;
        chunk(&text)
    };
    let path = folder.path().join("a.png");
    chest_picture(&path, &[]);
    let picture = std::fs::read(&path).unwrap();
    let (behind_header, before_end) = (8 + 25, picture.len() - 12);
    for (text, expected) in [
        (plain("PatientAge", "5"), "refused age"),
        (zipped("PatientAge", "5"), "refused age"),
        (wide("PatientAge", "5", false), "refused age"),
        (wide("PatientAge", "5", true), "refused age"),
        (zipped("Modality", "US"), "refused wrong_modality"),
        (
            wide("BodyPartExamined", "KNEE", false),
            "refused wrong_body_part",
        ),
        (wide("ViewPosition", "LL", true), "refused wrong_view"),
        (zipped("PatientAge", &" ".repeat(64 << 20)), "age_unread"),
    ] {
        for place in [behind_header, before_end] {
            let bytes = [&picture[..place], &text, &picture[place..]].concat();
            std::fs::write(&path, bytes).unwrap();
            let answer = answer_of(&[&path.display().to_string(), "--exam", EXAM]);
            assert_eq!(codes(&answer)[0], expected, "{place}: {answer}");
        }
    }
}
