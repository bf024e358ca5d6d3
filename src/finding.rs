//! The words of an answer: finding, refusal, triage level, codes. Every module that answers or
//! shows an answer uses them. Holds no behaviour beyond naming things, and of the patient no more
//! than age and sex.

mod help;

use serde::{Deserialize, Serialize};

use crate::patient::Patient;
pub use help::{Channel, Help};

/// How soon a person should look at a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriageLevel {
    /// Nothing found that hurries.
    Routine,
    /// To be looked at today.
    Priority,
    /// To be looked at now.
    Urgent,
    /// The model is not sure enough: a person decides.
    Review,
}

impl TriageLevel {
    /// The word shown to people and written to JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Routine => "routine",
            Self::Priority => "priority",
            Self::Urgent => "urgent",
            Self::Review => "review",
        }
    }
}

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
    pub fn untelling(self) -> Option<&'static str> {
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({})", code.word())]
pub struct Refusal {
    /// Stable code.
    pub code: RefusalCode,
    /// One sentence that names the file and the place.
    pub message: String,
    /// What can be done about it.
    pub help: Help,
}

impl Refusal {
    /// A refusal from its three parts.
    pub fn new(code: RefusalCode, message: impl Into<String>, help: impl Into<Help>) -> Self {
        Self {
            code,
            message: message.into(),
            help: help.into(),
        }
    }

    /// The same without the header's own words.
    #[must_use]
    pub fn untelling(self) -> Self {
        match self.code.untelling() {
            Some(message) => Self {
                message: message.to_owned(),
                ..self
            },
            None => self,
        }
    }

    /// The same, naming the file: modules that know pixels only leave it out.
    #[must_use]
    pub fn about(self, file: &str) -> Self {
        Self {
            message: format!("{file}: {}", self.message),
            ..self
        }
    }
}

/// What came of looking whether an image is one that may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// It may.
    Passed,
    /// It may not, and was answered all the same because the user said so.
    Forced,
    /// Nothing looked: the bundle has nothing to look with.
    #[serde(rename = "none")]
    Absent,
}

/// The region a finding rests on, in the image's own pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MaskReport {
    /// `[x, y, width, height]`; all zero where no region was found.
    pub bbox: [u32; 4],
    /// Pixels of the region over pixels of the image.
    pub area_fraction: f64,
    /// Run lengths as COCO writes them uncompressed: column by column, the first
    /// run counts pixels outside the region.
    pub rle: Rle,
    /// The mask decoder's own estimate of the mask's IoU, 0 to 1.
    pub predicted_iou: f32,
}

/// COCO's uncompressed run-length form of a mask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rle {
    /// `[height, width]`.
    pub size: [u32; 2],
    /// Alternating runs of outside and inside.
    pub counts: Vec<u32>,
}

/// Which bundle answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleId {
    /// Name in the manifest.
    pub name: String,
    /// Version in the manifest.
    pub version: String,
    /// SHA-256 of `bundle.toml`, which holds the hash of every other file.
    pub sha256: String,
}

/// The probability of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassProbability {
    /// The class's name, as in the manifest.
    pub class: String,
    /// Its label for people.
    pub label: String,
    /// Calibrated probability; all of an exam sum to 1.
    pub probability: f64,
}

/// The classes that a case may be of, so that the true one is among them as often as stated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictionSet {
    /// How often the true class is among them, on cases like those it was calibrated on.
    pub coverage: f64,
    /// Whether that holds for the cases of each class, or only for all together.
    pub by_class: bool,
    /// Names of the classes in the bundle's order; none where no class fits.
    pub classes: Vec<String>,
}

impl PredictionSet {
    /// The classes for people, and `none` where there are none.
    pub fn words(&self) -> String {
        match self.classes.as_slice() {
            [] => "none".to_owned(),
            classes => classes.join(", "),
        }
    }

    /// The coverage in per cent.
    pub fn percent(&self) -> f64 {
        // What a decimal number is not in binary is nobody's affair.
        (self.coverage * 1e6).round() / 1e4
    }
}

/// The answer to one exam's question for one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The case's id: the image's content and the exam, so that the same question
    /// has the same id.
    pub case: String,
    /// The exam that was asked.
    pub exam: String,
    /// Index into `probabilities` of the class that is answered.
    pub answer: usize,
    /// What is known of the patient.
    pub patient: Patient,
    /// All classes in the bundle's order.
    pub probabilities: Vec<ClassProbability>,
    /// The classes that it may be, where the exam's calibration allows to say so.
    pub prediction_set: Option<PredictionSet>,
    /// How soon a person should look.
    pub triage_level: TriageLevel,
    /// The region that steered the answer.
    pub mask: MaskReport,
    /// `[x, y, width, height]` of the film in the image, where a border was left out.
    pub film: Option<[u32; 4]>,
    /// The focus style that was used.
    pub focus: String,
    /// What the gate before the models said.
    pub gate: Check,
    /// What the guard after them said.
    pub guard: Check,
    /// How far the image lies from those that the exam was trained on, as a share of the
    /// largest distance that is answered; `None` where the exam has no guard.
    pub guard_distance: Option<f64>,
    /// What else a reader must know, as `code: sentence`.
    pub reasons: Vec<String>,
}

impl Finding {
    /// The class that is answered.
    pub fn class(&self) -> &ClassProbability {
        &self.probabilities[self.answer]
    }

    /// What nothing looked at, in words; empty where gate and guard did.
    pub fn unchecked(&self) -> &'static str {
        match (self.gate, self.guard) {
            (Check::Absent, Check::Absent) => "no gate, no guard",
            (Check::Absent, _) => "no gate",
            (_, Check::Absent) => "no guard",
            _ => "",
        }
    }
}

/// What a case ends in.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A finding.
    Finding(Box<Finding>),
    /// A refusal; the exam is named where it was known.
    Refusal {
        /// The case's id, where the file could be read at all.
        case: Option<String>,
        /// The exam, where it was known.
        exam: Option<String>,
        /// Why.
        refusal: Refusal,
    },
}
