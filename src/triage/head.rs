//! The fusion head of one exam.
//!
//! With unit embeddings `z_w` (whole image) and `z_f` (focused image), prototypes `P`
//! (`K` rows) and the trained `W`, `b`, `C`, `c`, scale `s` and temperature `t`:
//!
//! ```text
//! u = unit((z_w + z_f) / 2 + W [z_w; z_f] + b)
//! logits = s P u + C u + c
//! p = softmax(logits / t)
//! ```
//!
//! trained with L = lambda Lc + (1 - lambda) Le (MedFocusCLIP, section 3).

use safetensors::{Dtype, SafeTensors};

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
    /// A tensor holds a value that is no number, or a scale that is not above 0.
    #[error("tensor {0} holds a value that cannot be used")]
    Value(&'static str),
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
}

impl FusionHead {
    /// Reads a head from the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`HeadError`], which names the tensor.
    pub fn read(bytes: &[u8], classes: usize, dimension: usize) -> Result<Self, HeadError> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| HeadError::Format(e.to_string()))?;
        let read = |name, shape: &[usize]| tensor(&file, name, shape);
        let head = Self {
            dimension,
            prototypes: read("prototypes", &[classes, dimension])?,
            fusion_weight: read("fusion.weight", &[dimension, 2 * dimension])?,
            fusion_bias: read("fusion.bias", &[dimension])?,
            classifier_weight: read("classifier.weight", &[classes, dimension])?,
            classifier_bias: read("classifier.bias", &[classes])?,
            logit_scale: read("logit_scale", &[1])?[0],
            temperature: read("temperature", &[1])?[0],
        };
        if head.logit_scale <= 0.0 {
            return Err(HeadError::Value("logit_scale"));
        }
        if head.temperature <= 0.0 {
            return Err(HeadError::Value("temperature"));
        }
        Ok(head)
    }

    /// Logits `[K]`, before the temperature, of two unit embeddings.
    pub fn logits(&self, whole: &[f32], focused: &[f32]) -> Vec<f32> {
        let joined = [whole, focused].concat();
        let mixed: Vec<f32> = (0..self.dimension)
            .map(|i| {
                let row = &self.fusion_weight[i * joined.len()..(i + 1) * joined.len()];
                0.5 * (whole[i] + focused[i]) + dot(row, &joined) + self.fusion_bias[i]
            })
            .collect();
        let fused = unit(&mixed);
        self.prototypes
            .chunks_exact(self.dimension)
            .zip(self.classifier_weight.chunks_exact(self.dimension))
            .zip(&self.classifier_bias)
            .map(|((p, c), bias)| self.logit_scale * dot(p, &fused) + dot(c, &fused) + bias)
            .collect()
    }

    /// Calibrated probabilities `[K]` of logits; they sum to 1.
    pub fn probabilities(&self, logits: &[f32]) -> Vec<f64> {
        let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = logits
            .iter()
            .map(|l| f64::from((l - top) / self.temperature).exp())
            .collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|p| p / sum).collect()
    }
}

/// The vector of length 1 with this direction; a zero vector stays zero.
pub fn unit(vector: &[f32]) -> Vec<f32> {
    let length = dot(vector, vector).sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    vector.iter().map(|v| v * scale).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn tensor(
    file: &SafeTensors<'_>,
    name: &'static str,
    expected: &[usize],
) -> Result<Vec<f32>, HeadError> {
    let view = file.tensor(name).map_err(|_| HeadError::Missing(name))?;
    if view.dtype() != Dtype::F32 || view.shape() != expected {
        let found = format!("{:?} {:?}", view.dtype(), view.shape());
        return Err(HeadError::Shape {
            name,
            found,
            expected: expected.to_vec(),
        });
    }
    let values: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    if values.iter().all(|v| v.is_finite()) {
        Ok(values)
    } else {
        Err(HeadError::Value(name))
    }
}
