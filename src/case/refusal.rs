//! A refusal: the reason why there is no finding, as a code, a sentence and help.
//!
//! Every module that reads an image makes them, and never with a path in them. Whoever knows the
//! file's name adds it once ([`Refusal::about`]). It is put in front of the sentence when that is
//! shown, and left out where nothing may tell whose image it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Help;

/// Why there is no finding. The code is stable; scripts may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// No such file, or no right to read it.
    NotFound,
    /// A folder, a pipe, a socket or a device, and no file.
    NotAFile,
    /// The bytes are of no image format that is read here.
    UnsupportedFormat,
    /// An image format, but the file is damaged or cut short.
    Unreadable,
    /// Fewer pixels than the method can work with.
    TooSmall,
    /// More pixels than the memory budget allows.
    TooLarge,
    /// Every pixel has the same value.
    Blank,
    /// Neither the caller nor the image says which exam is asked for.
    ExamNeeded,
    /// The file holds fewer frames than the one that was asked for.
    NoSuchFrame,
    /// The file holds several pictures, and nothing says which is meant.
    SeveralFrames,
    /// Every pixel has one of two values: no shades of grey.
    OneBit,
    /// The image says that it is of another modality than the exam is for.
    WrongModality,
    /// The image says that it shows another part of the body.
    WrongBodyPart,
    /// The image says that it is another view.
    WrongView,
    /// The image says that it is of another side.
    WrongSide,
    /// The exam is not for patients of this age, or image and caller say two.
    Age,
    /// The exam is not for patients of this sex, or image and caller say two.
    Sex,
    /// The image does not look like what the exam is for.
    WrongKind,
    /// The image is turned.
    Rotated,
    /// The image is black where it should be white.
    Inverted,
    /// A photograph or a screenshot.
    Coloured,
    /// Too dark or too bright.
    BadlyExposed,
    /// Hardly any differences.
    LowContrast,
    /// Most of the image is border.
    Border,
    /// The picture holds several films.
    SeveralImages,
    /// The picture is a part of a film.
    PartialImage,
    /// Not sharp enough.
    Blurred,
    /// Unlike everything that the exam was trained on.
    OutOfDistribution,
    /// The picture may tell whose it is, where nothing may.
    BurnedIn,
    /// A prompt lies outside this image.
    PromptOutside,
    /// The image is not the one that was accepted.
    ImageChanged,
    /// The device has not the memory that this image's answer takes.
    Budget,
    /// The answer took longer than a case may take.
    Deadline,
    /// The device itself failed on this image.
    DeviceFault,
    /// It was dropped before it ran, by another than whoever gave it.
    Aborted,
}

impl RefusalCode {
    /// The code as written to JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotAFile => "not_a_file",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Unreadable => "unreadable",
            Self::TooSmall => "too_small",
            Self::TooLarge => "too_large",
            Self::Blank => "blank",
            Self::ExamNeeded => "exam_needed",
            Self::NoSuchFrame => "no_such_frame",
            Self::SeveralFrames => "several_frames",
            Self::OneBit => "one_bit",
            Self::WrongModality => "wrong_modality",
            Self::WrongBodyPart => "wrong_body_part",
            Self::WrongView => "wrong_view",
            Self::WrongSide => "wrong_side",
            Self::Age => "age",
            Self::Sex => "sex",
            Self::WrongKind => "wrong_kind",
            Self::Rotated => "rotated",
            Self::Inverted => "inverted",
            Self::Coloured => "coloured",
            Self::BadlyExposed => "badly_exposed",
            Self::LowContrast => "low_contrast",
            Self::Border => "border",
            Self::SeveralImages => "several_images",
            Self::PartialImage => "partial_image",
            Self::Blurred => "blurred",
            Self::OutOfDistribution => "out_of_distribution",
            Self::BurnedIn => "burned_in",
            Self::PromptOutside => "prompt_outside",
            Self::ImageChanged => "image_changed",
            Self::Budget => "budget",
            Self::Deadline => "deadline",
            Self::DeviceFault => "device_fault",
            Self::Aborted => "aborted",
        }
    }
}

impl RefusalCode {
    /// Whether it lies in the device and not in the image: the same image may be answered
    /// another time.
    pub fn lies_in_device(self) -> bool {
        matches!(
            self,
            Self::ImageChanged | Self::Budget | Self::Deadline | Self::DeviceFault | Self::Aborted
        )
    }

    /// What is said where nothing may tell whose image it is, for codes whose messages quote the
    /// header: anybody may have written anything into it.
    pub fn deidentified(self) -> Option<&'static str> {
        Some(match self {
            Self::WrongModality => "the image is of another modality than the exam is for",
            Self::WrongBodyPart => "the image is of another body part than the exam is for",
            Self::WrongView => "the image is of another view than the exam is for",
            Self::WrongSide => "the image is of another side than the exam is for",
            Self::ExamNeeded => "the image does not say which one exam it is for",
            _ => return None,
        })
    }
}

/// A named, coded reason why there is no finding, with the way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable code.
    pub code: RefusalCode,
    /// One sentence that names the place and not the file.
    pub message: String,
    /// What can be done about it.
    pub help: Help,
    /// What the file is called by whoever gave it, where that may be told.
    #[serde(default)]
    pub file: Option<String>,
}

impl Refusal {
    /// A refusal of a file that has no name yet.
    pub fn new(code: RefusalCode, message: impl Into<String>, help: impl Into<Help>) -> Self {
        Self {
            code,
            message: message.into(),
            help: help.into(),
            file: None,
        }
    }

    /// The same of a file that is called so.
    #[must_use]
    pub fn about(self, file: &str) -> Self {
        Self {
            file: Some(file.to_owned()).filter(|file| !file.is_empty()),
            ..self
        }
    }

    /// The sentence, with the file's name in front.
    pub fn sentence(&self) -> String {
        match &self.file {
            Some(file) => format!("{file}: {}", self.message),
            None => self.message.clone(),
        }
    }

    /// The same without the file's name and without the header's own words.
    #[must_use]
    pub fn deidentified(self) -> Self {
        Self {
            message: match self.code.deidentified() {
                Some(message) => message.to_owned(),
                None => self.message,
            },
            file: None,
            ..self
        }
    }

    /// The same with the name of this file taken out of the sentence: before there was a field
    /// for it, the sentence began with it.
    #[must_use]
    pub fn taken_apart(self, file: &str) -> Self {
        let rest = self.message.strip_prefix(file);
        match rest.and_then(|rest| rest.strip_prefix(": ")) {
            Some(message) if !file.is_empty() && self.file.is_none() => Self {
                message: message.to_owned(),
                ..self
            }
            .about(file),
            _ => self,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.sentence(), self.code.word())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn dark() -> Refusal {
        Refusal::new(RefusalCode::BadlyExposed, "it is dark", "take it again")
    }

    #[test]
    fn a_file_is_named_in_front_and_left_out_by_its_field() {
        assert_eq!(dark().to_string(), "it is dark (badly_exposed)");
        let named = dark().about("/p/Ann.png");
        assert_eq!(named.sentence(), "/p/Ann.png: it is dark");
        assert_eq!(named.deidentified(), dark());
        assert_eq!(dark().about(""), dark());
        let quoted = Refusal::new(RefusalCode::WrongView, "the view is ANN", "x").about("a.png");
        let told = quoted.deidentified().sentence();
        assert_eq!(told, "the image is of another view than the exam is for");
    }

    #[test]
    fn a_sentence_of_before_is_taken_apart_and_told_as_it_was() {
        struct Case(&'static str, &'static str, Option<&'static str>);
        for Case(message, file, found) in [
            Case("a.png: it is dark", "a.png", Some("a.png")),
            Case("a: b.png: it is dark", "a: b.png", Some("a: b.png")),
            Case("it is dark", "a.png", None),
            Case("a.pngs: it is dark", "a.png", None),
            Case(": it is dark", "", None),
        ] {
            let old = Refusal {
                message: message.to_owned(),
                ..dark()
            };
            let now = old.taken_apart(file);
            assert_eq!(now.file.as_deref(), found, "{message}");
            assert_eq!(now.sentence(), message);
            assert_eq!(now.clone().taken_apart(file), now, "{message}");
        }
    }
}
