//! A finding: the answer to one exam's question for one image, with the region that it rests on.
//!
//! Made by the pipeline and part of the record. Decides nothing. Of the patient it holds no more
//! than age and sex.

use serde::{Deserialize, Serialize};

use super::Anatomy;
use crate::patient::Patient;

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
    /// The finding is of before there was this check, and its record has no key for it.
    #[serde(rename = "none", skip_deserializing)]
    NotYet,
}

impl Check {
    /// The value of a record that has no key for it.
    pub(super) fn not_yet() -> Self {
        Self::NotYet
    }

    /// Whether the record has no key for it.
    pub(super) fn is_not_yet(&self) -> bool {
        *self == Self::NotYet
    }

    /// Whether nothing looked.
    pub fn is_absent(self) -> bool {
        matches!(self, Self::Absent | Self::NotYet)
    }
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

/// The probability of one class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassProbability {
    /// The class's name, as in the manifest.
    pub class: String,
    /// Its label for people; its name, where no bundle says one.
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
    /// The exam that was asked.
    pub exam: String,
    /// Index into `probabilities` of the class that is answered.
    pub answer: usize,
    /// What is known of the patient.
    pub patient: Patient,
    /// What of the body the image shows.
    pub anatomy: Anatomy,
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

    /// The same with the labels that a bundle has for its classes: a finding that was read from
    /// JSON calls each by its name.
    #[must_use]
    pub fn labelled<'l>(mut self, label_of: impl Fn(&str) -> Option<&'l str>) -> Self {
        for class in &mut self.probabilities {
            if let Some(label) = label_of(&class.class) {
                label.clone_into(&mut class.label);
            }
        }
        self
    }

    /// What nothing looked at, in words; empty where gate and guard did.
    pub fn unchecked(&self) -> &'static str {
        match (self.gate.is_absent(), self.guard.is_absent()) {
            (true, true) => "no gate, no guard",
            (true, false) => "no gate",
            (false, true) => "no guard",
            (false, false) => "",
        }
    }
}
