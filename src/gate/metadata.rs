//! What an image says of itself against what an exam asks: modality, body part, view and side, by
//! word and by code. An image that says nothing contradicts nothing.

use super::ExamGate;
use crate::case::{Help, Refusal, RefusalCode};
use crate::image::ImageMetadata;

/// One thing that an exam asks of what an image says of itself.
struct Rule<'a> {
    what: &'static str,
    /// By word and by code.
    says: [Option<&'a String>; 2],
    allowed: &'a [String],
    code: RefusalCode,
}

/// The rules that the exam has; an empty one asks nothing.
fn rules<'a>(exam: &ExamGate<'a>, said: &'a ImageMetadata) -> impl Iterator<Item = Rule<'a>> {
    use RefusalCode::{WrongBodyPart, WrongModality, WrongSide, WrongView};
    let rule = |what, word: &'a Option<String>, by_code: &'a Option<String>, allowed, code| Rule {
        what,
        says: [word.as_ref(), by_code.as_ref()],
        allowed,
        code,
    };
    let (modality, part, coded) = (&said.modality, &said.body_part, &said.coded);
    let (parts, sides) = (exam.body_parts, exam.lateralities);
    let (side, coded_side) = (&said.laterality, &coded.laterality);
    let rules = [
        rule("modality", modality, &None, exam.modalities, WrongModality),
        rule("body part", part, &coded.body_part, parts, WrongBodyPart),
        rule("view", &said.view, &coded.view, exam.views, WrongView),
        rule("side", side, coded_side, sides, WrongSide),
    ];
    rules.into_iter().filter(|rule| !rule.allowed.is_empty())
}

/// Whether what the image says of itself fits the exam; silence does.
///
/// # Errors
/// `wrong_modality`, `wrong_body_part`, `wrong_view` or `wrong_side`.
pub fn fits(exam: &ExamGate<'_>, said: &ImageMetadata) -> Result<(), Refusal> {
    for rule in rules(exam, said) {
        let unfit = |says: &&&String| !rule.allowed.contains(**says);
        if let Some(says) = rule.says.iter().flatten().find(unfit) {
            return Err(Refusal::new(
                rule.code,
                format!(
                    "the image's {} is {says}; exam {} is for {}",
                    rule.what,
                    exam.name,
                    rule.allowed.join(", ")
                ),
                Help::OtherExam,
            ));
        }
    }
    Ok(())
}

/// What the exam asks and the image does not say, if anything.
pub fn unsaid(exam: &ExamGate<'_>, said: &ImageMetadata) -> Option<&'static str> {
    let mut rules = rules(exam, said);
    rules
        .find(|rule| rule.says == [None, None])
        .map(|rule| rule.what)
}
