//! The chest phantom as an X-ray unit sends it, and what was answered.

use std::path::Path;

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use serde_json::Value;

use super::dicom::write_grey;
use super::{assert_valid, classify, phantom};

/// A word of a DICOM object.
pub type Word<'a> = (Tag, VR, &'a str);

/// The chest phantom as an X-ray unit sends it, with these words.
pub fn chest_film(path: &Path, words: &[Word<'_>]) -> String {
    let pixels = image::open(phantom("chest.png")).unwrap().into_luma8();
    let unit = [
        (
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::COMPUTED_RADIOGRAPHY_IMAGE_STORAGE,
        ),
        (tags::MODALITY, VR::CS, "CR"),
        (tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
        (tags::VIEW_POSITION, VR::CS, "PA"),
    ];
    let element = |(tag, vr, word): &(Tag, VR, &str)| {
        DataElement::new(*tag, *vr, PrimitiveValue::from(*word))
    };
    write_grey(path, &pixels, unit.iter().chain(words).map(element));
    path.display().to_string()
}

/// The codes of a finding's reasons but for the window of a film's greys, or the refusal's.
pub fn codes(answer: &Value) -> Vec<String> {
    if answer["status"] == "refusal" {
        return vec![format!("refused {}", answer["code"].as_str().unwrap())];
    }
    let reasons = answer["reasons"].as_array().unwrap().iter();
    let code = |reason: &Value| reason.as_str()?.split(':').next().map(str::to_owned);
    let codes = reasons.filter_map(code);
    codes.filter(|code| code != "window").collect()
}

/// The only answer of `classify`.
pub fn answer_of(arguments: &[&str]) -> Value {
    let (mut answers, _) = classify(arguments);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_valid(&answers[0]);
    answers.remove(0)
}
