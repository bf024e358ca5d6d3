//! The known answers of a bundle: images that it ships with, and what another
//! implementation of the method made of them. The self-test must reproduce them, so
//! that a device whose arithmetic has gone wrong says so before it answers anybody.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{BundleError, Checked, ExamSpec, limits};
use crate::image::{self, Image};

/// Known answers, ready to be compared with.
#[derive(Debug)]
pub struct KnownAnswers {
    /// How far an answer may lie from the known one.
    pub tolerance: Tolerance,
    /// Exams whose values this program made itself, when their head was fitted to a clinic's
    /// own cases: for them the self-test says that the arithmetic is as it was then.
    pub recomputed: BTreeMap<String, String>,
    /// The images.
    pub images: Vec<KnownImage>,
}

/// How far an answer may lie from the known one.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Of a probability.
    pub probability: f64,
    /// Of the region's share of the image.
    pub area_fraction: f64,
    /// Of the predicted IoU.
    pub predicted_iou: f32,
}

/// One image and what is known of it.
#[derive(Debug)]
pub struct KnownImage {
    /// Its file in the bundle.
    pub file: String,
    /// The image.
    pub image: Image,
    /// What is known.
    pub answer: KnownAnswer,
}

/// What is known of one image.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownAnswer {
    /// The region's share of the image.
    pub area_fraction: f64,
    /// The decoder's estimate of the mask's IoU.
    pub predicted_iou: f32,
    /// The probabilities of each exam, in the order of its classes.
    pub probabilities: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tolerance: Tolerance,
    /// Exams whose values no other implementation made, and who did.
    #[serde(default)]
    recomputed: BTreeMap<String, String>,
    images: BTreeMap<String, KnownAnswer>,
}

impl KnownAnswers {
    /// Reads the known answers of a verified bundle.
    ///
    /// # Errors
    /// [`BundleError::Known`], which names the file.
    pub(super) fn read(checked: &Checked) -> Result<Self, BundleError> {
        let file = &checked.manifest.known_answers;
        let wrong = |name: &str, why: String| BundleError::Known {
            path: checked.folder.join(name),
            why,
        };
        let known: File = serde_json::from_slice(&checked.files[file])
            .map_err(|error| wrong(file, error.to_string()))?;
        if known.images.is_empty() {
            return Err(wrong(file, "it holds no image".to_owned()));
        }
        limits::tolerance(known.tolerance).map_err(|why| wrong(file, why))?;
        let mut images = Vec::new();
        for (name, answer) in known.images {
            check_exams(&checked.manifest.exams, &answer)
                .and_then(|()| check_values(&answer))
                .map_err(|why| wrong(file, format!("{name}: {why}")))?;
            let bytes = checked.files.get(&name).ok_or_else(|| {
                wrong(&name, "is a known answer but not in the bundle".to_owned())
            })?;
            let image = image::decode(bytes).map_err(|r| wrong(&name, r.message))?;
            images.push(KnownImage {
                file: name,
                image,
                answer,
            });
        }
        Ok(Self {
            tolerance: known.tolerance,
            recomputed: known.recomputed,
            images,
        })
    }
}

/// Every exam is answered, with one probability a class.
fn check_exams(exams: &[ExamSpec], answer: &KnownAnswer) -> Result<(), String> {
    for exam in exams {
        let (expected, found) = (
            exam.classes.len(),
            answer.probabilities.get(&exam.name).map_or(0, Vec::len),
        );
        if found != expected {
            return Err(format!(
                "{found} probabilities for exam {}; expected {expected}",
                exam.name
            ));
        }
    }
    Ok(())
}

/// What is known is what an answer can be: shares, and probabilities that add up.
fn check_values(answer: &KnownAnswer) -> Result<(), String> {
    let is_share = |value: f64| (0.0..=1.0).contains(&value);
    // The decoder's estimate is a regression, which may overshoot.
    let is_iou = (-0.5..=1.5).contains(&answer.predicted_iou);
    if !is_share(answer.area_fraction) || !is_iou {
        return Err("area_fraction or predicted_iou is none".to_owned());
    }
    for (exam, probabilities) in &answer.probabilities {
        let sum: f64 = probabilities.iter().sum();
        if !probabilities.iter().all(|p| is_share(*p)) || (sum - 1.0).abs() > 1e-3 {
            return Err(format!(
                "the probabilities of exam {exam} do not add up to 1"
            ));
        }
    }
    Ok(())
}
