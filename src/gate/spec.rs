//! The gate's thresholds, as they stand in the bundle's manifest; what an exam asks of its images.
//! Read with the manifest, used by the other files of this module. Decides nothing.

use serde::{Deserialize, Serialize};

use crate::patient::{Ages, Sex};

/// The manifest's `[gate]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateSpec {
    /// File of the graph: luma `[1, 1, S, S]` to logits `[1, 5 kinds + 1]`.
    pub graph: String,
    /// Pixels a side of its input.
    pub input_size: usize,
    /// Mean subtracted from the luma (values in 0 to 1).
    pub mean: f32,
    /// Standard deviation that it is divided by.
    pub std: f32,
    /// Largest share of coloured pixels.
    pub coloured_up_to: f64,
    /// Least and largest mean luma.
    pub brightness: [f64; 2],
    /// Least standard deviation of the luma.
    pub contrast_from: f64,
    /// Least share of the image inside its border.
    pub content_from: f64,
    /// How the film is found in its picture; absent in bundles that were made before, which
    /// answer from the whole picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub film: Option<FilmSpec>,
    /// File of the models that tell whether a picture is one whole film
    /// ([`layout`](super::layout)); absent in bundles that were made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layouts: Option<String>,
    /// The kinds of image, in the order of the logits.
    pub kinds: Vec<KindSpec>,
}

/// The manifest's `[gate.film]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilmSpec {
    /// The least that an anatomy without edges takes of its film's short side.
    pub anatomy_from: f64,
    /// Width of the black rim that is kept beside a round anatomy, as a share of the film.
    pub rim: f64,
    /// Largest distance, in grey levels, that a border's pixels keep from its grey.
    pub uniform_within: u8,
}

/// One kind of image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindSpec {
    /// Short name, as exams name it.
    pub name: String,
    /// What it is called in a sentence.
    pub label: String,
    /// Least probability of this kind, upright, that is accepted.
    pub accept_from: f64,
    /// Least sharpness.
    pub sharpness_from: f64,
    /// Least number of pixels on the film's shorter side: below it the exams were measured to
    /// be worse. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortest_side: Option<u32>,
    /// Least and largest width over height of whole films as they usually are. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aspect: Option<[f64; 2]>,
    /// Least chance that a film of another shape is whole. Absent: none is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unusual_whole_from: Option<f64>,
    /// Least chance that the picture is one whole film and no other number of films, where
    /// the gate has `layouts`. Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_from: Option<f64>,
}

/// What an exam asks of an image.
#[derive(Debug, Clone, Copy)]
pub struct ExamGate<'a> {
    /// The exam's name.
    pub name: &'a str,
    /// Its kind of image.
    pub kind: Option<&'a str>,
    /// DICOM modalities; empty for any.
    pub modalities: &'a [String],
    /// DICOM body parts; empty for any.
    pub body_parts: &'a [String],
    /// DICOM view positions; empty for any.
    pub views: &'a [String],
    /// DICOM lateralities; empty for any.
    pub lateralities: &'a [String],
    /// Ages in whole years; `None` for any.
    pub ages: Option<Ages>,
    /// What becomes of an image that does not say the patient's age.
    pub age_unsaid: Unsaid,
    /// Sexes; empty for any.
    pub sexes: &'a [Sex],
    /// What becomes of an image that does not say the patient's sex.
    pub sex_unsaid: Unsaid,
}

/// What becomes of an image where neither it nor the caller says what an exam asks of the
/// patient.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unsaid {
    /// It is answered, and the finding says so.
    #[default]
    Note,
    /// It is refused.
    Refuse,
}

impl Unsaid {
    /// Whether it is what holds where a manifest says nothing.
    pub(crate) fn is_note(&self) -> bool {
        *self == Self::Note
    }
}

impl GateSpec {
    /// The kind of this name, and its place.
    pub fn kind(&self, name: &str) -> Option<(usize, &KindSpec)> {
        self.kinds
            .iter()
            .enumerate()
            .find(|(_, kind)| kind.name == name)
    }

    /// What is wrong with it, where something is.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.input_size == 0 || self.kinds.is_empty() {
            return Some("gate.input_size and gate.kinds must not be empty".to_owned());
        }
        let normal = self.mean.is_finite() && self.std.is_finite() && self.std > 0.0;
        if !normal {
            return Some("gate.std must be above 0".to_owned());
        }
        let shares = self.film.map(|film| [film.rim, film.anatomy_from]);
        let is_share = |share: &f64| (0.0..=1.0).contains(share);
        let wrong = shares.is_some_and(|shares| !shares.iter().all(is_share));
        wrong.then(|| "gate.film: rim and anatomy_from must be from 0 to 1".to_owned())
    }
}
