//! The fusion head of one exam.
//!
//! With unit embeddings `z_w` (whole image) and `z_f` (focused image), prototypes `P`
//! (`K` rows) and the trained `W`, `b`, `C`, `c`, scale `s` and temperature `t`:
//!
//! ```text
//! q = unit((z_w + z_f) / 2)                     zero = s P q
//! u = unit((z_w + z_f) / 2 + W [z_w; z_f] + b)
//! trained = s P u + C u + c  [+ alpha exp(-beta (1 - keys q)) values]
//! logits = (1 - blend) zero + blend trained
//! p = softmax(logits / t)
//! ```
//!
//! trained with L = lambda Lc + (1 - lambda) Le (MedFocusCLIP, section 3), or on the device
//! from labelled cases ([`probe`](super::probe)). The key-value cache, the blend (1 where
//! absent) and the thresholds of prediction sets are optional tensors of its file.

use super::cache::KeyValueCache;
use super::probe::Probe;
use super::reference::Reference;
use super::sets::{Members, PredictionSets};
use super::tensors::{File, Writer};
use super::vectors::{dot, unit};

/// A head whose file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not a safetensors file.
    #[error("not a safetensors file: {0}")]
    Format(String),
    /// A tensor is missing.
    #[error("tensor {0} is missing")]
    Missing(&'static str),
    /// A tensor has another shape or type.
    #[error("tensor {name} is {found}; expected F32 {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: &'static str,
        /// Its type and shape.
        found: String,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A tensor holds a value that is no number, or outside what it may be.
    #[error("tensor {0} holds a value that cannot be used")]
    Value(&'static str),
    /// The exam asks for prediction sets that the head cannot give.
    #[error("it has no prediction sets at coverage {asked}; it has {has}")]
    Coverage {
        /// What the exam asks for.
        asked: String,
        /// What there is.
        has: String,
    },
}

/// The head of one exam with `K` classes on embeddings of length `D`.
#[derive(Debug, Clone, PartialEq)]
pub struct FusionHead {
    dimension: usize,
    prototypes: Vec<f32>,
    fusion_weight: Vec<f32>,
    fusion_bias: Vec<f32>,
    classifier_weight: Vec<f32>,
    classifier_bias: Vec<f32>,
    logit_scale: f32,
    temperature: f32,
    blend: f32,
    cache: Option<KeyValueCache>,
    sets: Option<PredictionSets>,
    reference: Option<Reference>,
}

/// The rows of a file's tensor `prototypes` `[K, D]`.
///
/// # Errors
/// [`HeadError`], which names the tensor.
pub fn prototypes(
    bytes: &[u8],
    classes: usize,
    dimension: usize,
) -> Result<Vec<Vec<f32>>, HeadError> {
    let values = File::read(bytes)?.values("prototypes", &[classes, dimension])?;
    Ok(values
        .chunks_exact(dimension)
        .map(<[f32]>::to_vec)
        .collect())
}

/// One case on its way through a head.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    /// `u`, which the classifier sees.
    pub fused: Vec<f32>,
    /// The prototypes' own logits.
    pub zero: Vec<f64>,
    /// The trained logits.
    pub trained: Vec<f64>,
}

impl FusionHead {
    const BLEND: &str = "blend";

    /// Reads a head from the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`HeadError`], which names the tensor.
    pub fn read(bytes: &[u8], classes: usize, dimension: usize) -> Result<Self, HeadError> {
        let file = File::read(bytes)?;
        let blend = if file.has(Self::BLEND) {
            file.number(Self::BLEND, 0.0..=1.0)?
        } else {
            1.0
        };
        Ok(Self {
            dimension,
            prototypes: file.values("prototypes", &[classes, dimension])?,
            fusion_weight: file.values("fusion.weight", &[dimension, 2 * dimension])?,
            fusion_bias: file.values("fusion.bias", &[dimension])?,
            classifier_weight: file.values("classifier.weight", &[classes, dimension])?,
            classifier_bias: file.values("classifier.bias", &[classes])?,
            logit_scale: file.number("logit_scale", 1e-3..=1e4)?,
            temperature: file.number("temperature", 1e-3..=1e3)?,
            blend,
            cache: KeyValueCache::read(&file, classes, dimension)?,
            sets: PredictionSets::read(&file, classes)?,
            reference: Reference::read(&file, classes)?,
        })
    }

    /// The head that prototypes alone make: rows of unit length.
    ///
    /// # Errors
    /// [`HeadError`]: a prototype is of no length or no number, or the scale not above 0.
    pub fn zero_shot(prototypes: &[Vec<f32>], logit_scale: f32) -> Result<Self, HeadError> {
        let dimension = prototypes.first().map_or(0, Vec::len);
        let units: Vec<f32> = prototypes.iter().flat_map(|row| unit(row)).collect();
        let classes = prototypes.len();
        let has_length = |row: &[f32]| (0.99..=1.01).contains(&dot(row, row));
        if dimension == 0
            || units.len() != classes * dimension
            || !units.chunks_exact(dimension).all(has_length)
        {
            return Err(HeadError::Value("prototypes"));
        }
        if !(logit_scale.is_finite() && logit_scale > 0.0) {
            return Err(HeadError::Value("logit_scale"));
        }
        Ok(Self {
            dimension,
            prototypes: units,
            fusion_weight: vec![0.0; 2 * dimension * dimension],
            fusion_bias: vec![0.0; dimension],
            classifier_weight: vec![0.0; classes * dimension],
            classifier_bias: vec![0.0; classes],
            logit_scale,
            temperature: 1.0,
            blend: 0.0,
            cache: None,
            sets: None,
            reference: None,
        })
    }

    /// The same head with a classifier that was trained on top of it, and another blend.
    /// Prediction sets and reference were another head's: they are left out.
    #[must_use]
    pub fn with_probe(&self, probe: &Probe, blend: f64) -> Self {
        let add = |to: &[f32], by: &[f64]| {
            let sums = to.iter().zip(by).map(|(a, b)| (f64::from(*a) + b) as f32);
            sums.collect()
        };
        Self {
            classifier_weight: add(&self.classifier_weight, &probe.weight),
            classifier_bias: add(&self.classifier_bias, &probe.bias),
            blend: blend as f32,
            sets: None,
            reference: None,
            ..self.clone()
        }
    }

    /// The same head with another temperature; prediction sets were made for the one before
    /// and are left out.
    #[must_use]
    pub fn with_temperature(&self, temperature: f64) -> Self {
        Self {
            temperature: temperature as f32,
            sets: None,
            ..self.clone()
        }
    }

    /// The same head with prediction sets, or without.
    #[must_use]
    pub fn with_sets(&self, sets: Option<PredictionSets>) -> Self {
        Self {
            sets,
            ..self.clone()
        }
    }

    /// The same head with what later answers are compared with.
    #[must_use]
    pub fn with_reference(&self, reference: Option<Reference>) -> Self {
        Self {
            reference,
            ..self.clone()
        }
    }

    /// Its file: the same bytes for the same head.
    ///
    /// # Errors
    /// [`HeadError::Format`].
    pub fn write(&self) -> Result<Vec<u8>, HeadError> {
        let (classes, dimension) = (self.classes(), self.dimension);
        let mut file = Writer::default();
        file.put("prototypes", &[classes, dimension], &self.prototypes);
        let square = [dimension, 2 * dimension];
        file.put("fusion.weight", &square, &self.fusion_weight);
        file.put("fusion.bias", &[dimension], &self.fusion_bias);
        let rows = [classes, dimension];
        file.put("classifier.weight", &rows, &self.classifier_weight);
        file.put("classifier.bias", &[classes], &self.classifier_bias);
        file.put("logit_scale", &[1], &[self.logit_scale]);
        file.put("temperature", &[1], &[self.temperature]);
        file.put(Self::BLEND, &[1], &[self.blend]);
        if let Some(cache) = &self.cache {
            cache.write(classes, dimension, &mut file);
        }
        if let Some(sets) = &self.sets {
            sets.write(classes, &mut file);
        }
        if let Some(reference) = &self.reference {
            reference.write(&mut file);
        }
        file.bytes()
    }

    /// How many classes it tells apart.
    pub fn classes(&self) -> usize {
        self.classifier_bias.len()
    }

    /// The length of the embeddings that it reads.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// What its logits are divided by.
    pub fn temperature(&self) -> f64 {
        f64::from(self.temperature)
    }

    /// The scale of the prototypes' logits.
    pub fn logit_scale(&self) -> f32 {
        self.logit_scale
    }

    /// How much of the trained logits is in the answer, beside the prototypes' own.
    pub fn blend(&self) -> f64 {
        f64::from(self.blend)
    }

    /// Its prediction sets, where it has any.
    pub fn sets(&self) -> Option<&PredictionSets> {
        self.sets.as_ref()
    }

    /// Whether it can give the prediction sets that are asked for.
    ///
    /// # Errors
    /// [`HeadError::Coverage`].
    pub fn covers(&self, asked: Option<f64>) -> Result<(), HeadError> {
        let Some(asked) = asked else {
            return Ok(());
        };
        let has: Vec<f64> = self
            .sets
            .iter()
            .flat_map(PredictionSets::coverages)
            .collect();
        if has.iter().any(|level| (level - asked).abs() < 1e-6) {
            return Ok(());
        }
        let has: Vec<String> = has.iter().map(f64::to_string).collect();
        Err(HeadError::Coverage {
            asked: asked.to_string(),
            has: if has.is_empty() {
                "none".to_owned()
            } else {
                has.join(", ")
            },
        })
    }

    /// What later answers are compared with, where it has that.
    pub fn reference(&self) -> Option<&Reference> {
        self.reference.as_ref()
    }

    /// Logits `[K]`, before the temperature, of two unit embeddings.
    pub fn logits(&self, whole: &[f32], focused: &[f32]) -> Vec<f32> {
        let Steps { zero, trained, .. } = self.steps(whole, focused);
        let blended = blended(&zero, &trained, self.blend());
        blended.into_iter().map(|logit| logit as f32).collect()
    }

    /// The same, with what it is made of.
    pub fn steps(&self, whole: &[f32], focused: &[f32]) -> Steps {
        let joined = [whole, focused].concat();
        let middle: Vec<f32> = whole
            .iter()
            .zip(focused)
            .map(|(w, f)| 0.5 * (w + f))
            .collect();
        let query = unit(&middle);
        let rows = self.fusion_weight.chunks_exact(joined.len());
        let mixed: Vec<f32> = rows
            .zip(middle.iter().zip(&self.fusion_bias))
            .map(|(row, (middle, bias))| middle + dot(row, &joined) as f32 + bias)
            .collect();
        let fused = unit(&mixed);
        let scale = f64::from(self.logit_scale);
        let prototypes = || self.prototypes.chunks_exact(self.dimension);
        let zero: Vec<f64> = prototypes().map(|row| scale * dot(row, &query)).collect();
        let mut trained: Vec<f64> = prototypes()
            .zip(self.classifier_weight.chunks_exact(self.dimension))
            .zip(&self.classifier_bias)
            .map(|((p, c), bias)| scale * dot(p, &fused) + dot(c, &fused) + f64::from(*bias))
            .collect();
        if let Some(cache) = &self.cache {
            cache.add(&query, &mut trained);
        }
        Steps {
            fused,
            zero,
            trained,
        }
    }

    /// Calibrated probabilities `[K]` of logits; they sum to 1.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        let logits: Vec<f64> = logits.iter().map(|logit| f64::from(*logit)).collect();
        softmax(&logits, self.temperature())
    }

    /// The prediction set of a case with these probabilities; `None` where nothing is
    /// claimed at this coverage.
    pub fn prediction_set(&self, probabilities: &[f64], coverage: f64) -> Option<Members> {
        self.sets.as_ref()?.members(probabilities, coverage)
    }
}

/// The logits between the prototypes' own and the trained ones.
pub(super) fn blended(zero: &[f64], trained: &[f64], blend: f64) -> Vec<f64> {
    let pairs = zero.iter().zip(trained);
    let mixed = pairs.map(|(zero, trained)| (1.0 - blend) * zero + blend * trained);
    mixed.collect()
}

/// Probabilities that sum to 1.
pub(super) fn softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers = logits.iter().map(|l| ((l - top) / temperature).exp());
    let powers: Vec<f64> = powers.collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

#[cfg(test)]
mod tests;
