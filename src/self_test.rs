//! The self-test: the bundle's known answers, run through the whole method.
//!
//! Hashes say that the files are the right ones; this says that this device, with this
//! build, computes the right thing with them. Never changes anything.

use crate::bundle::{Bundle, KnownImage};
use crate::case::{RefusalCode, Timings};
use crate::engine::MORE_MEMORY;
use crate::pipeline::{self, Overrides, Stopped};

/// The largest differences that were seen, where all lay within the tolerance.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Passed {
    /// Images that were run.
    pub images: usize,
    /// Largest difference of a probability.
    pub probability: f64,
    /// Largest difference of the region's share of the image.
    pub area_fraction: f64,
    /// Largest difference of the predicted IoU.
    pub predicted_iou: f32,
}

/// Why the self-test did not pass.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// An image had no answer.
    #[error("known answer {file}: {stopped}")]
    Stopped {
        /// The image's file in the bundle.
        file: String,
        /// Why.
        stopped: Stopped,
    },
    /// An answer lies too far from the known one.
    #[error("known answer {file}: {what} is {found:.6}; expected {expected:.6} within {within}")]
    Differs {
        /// The image's file in the bundle.
        file: String,
        /// What differs.
        what: String,
        /// The value here.
        found: f64,
        /// The known value.
        expected: f64,
        /// How far it may lie.
        within: f64,
    },
}

crate::coded::coded!(SelfTestError);

impl SelfTestError {
    /// Stable code for scripts.
    pub fn code(&self) -> &'static str {
        if self.lacks_memory() {
            "budget"
        } else {
            "self_test"
        }
    }

    /// The way out.
    pub fn help(&self) -> &'static str {
        if self.lacks_memory() {
            MORE_MEMORY
        } else {
            "copy the program and the bundle again; if it stays, do not use this device"
        }
    }

    fn lacks_memory(&self) -> bool {
        let refusal = match self {
            Self::Stopped { stopped, .. } => stopped.refusal(),
            Self::Differs { .. } => None,
        };
        refusal.is_some_and(|refusal| refusal.code == RefusalCode::Budget)
    }
}

/// Runs every known answer of the bundle.
///
/// # Errors
/// The first answer that cannot be given or lies outside the tolerance.
pub fn run(bundle: &Bundle) -> Result<Passed, SelfTestError> {
    let mut passed = Passed::default();
    for known in &bundle.known_answers.images {
        check(bundle, known, &mut passed)?;
        passed.images += 1;
    }
    Ok(passed)
}

fn check(bundle: &Bundle, known: &KnownImage, passed: &mut Passed) -> Result<(), SelfTestError> {
    let tolerance = bundle.known_answers.tolerance;
    let compare = |what: String, found: f64, expected: f64, within: f64| {
        let apart = (found - expected).abs();
        // A difference that is no number must not pass.
        if apart <= within {
            return Ok(apart);
        }
        Err(SelfTestError::Differs {
            file: known.file.clone(),
            what,
            found,
            expected,
            within,
        })
    };
    let reading = pipeline::read(
        bundle,
        &known.image,
        &Overrides::default(),
        &mut Timings::new(),
    )
    .map_err(|stopped| SelfTestError::Stopped {
        file: known.file.clone(),
        stopped,
    })?;
    let apart = compare(
        "area_fraction".to_owned(),
        reading.mask.area_fraction(),
        known.answer.area_fraction,
        tolerance.area_fraction,
    )?;
    passed.area_fraction = passed.area_fraction.max(apart);
    let apart = compare(
        "predicted_iou".to_owned(),
        reading.predicted_iou.into(),
        known.answer.predicted_iou.into(),
        tolerance.predicted_iou.into(),
    )?;
    passed.predicted_iou = passed.predicted_iou.max(apart as f32);
    for exam in &bundle.exams {
        let finding = pipeline::answer(exam, &known.image, &reading);
        let expected = &known.answer.probabilities[&exam.spec.name];
        for (found, expected) in finding.probabilities.iter().zip(expected) {
            let what = format!("{} {}", exam.spec.name, found.class);
            let apart = compare(what, found.probability, *expected, tolerance.probability)?;
            passed.probability = passed.probability.max(apart);
        }
    }
    Ok(())
}
