//! The guard after the model: how far an image's embedding lies from those that the exam
//! was trained on.
//!
//! With the embedding `z`, the classes' mean embeddings `m` and the inverse `P` of their
//! shared covariance: the least of `(z - m)' P (z - m)` (Lee et al., NeurIPS 2018).

use safetensors::{Dtype, SafeTensors};

/// Means and inverse covariance of one exam.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// One row a class.
    means: Vec<Vec<f64>>,
    /// Row by row.
    precision: Vec<f64>,
    /// The largest distance that is answered.
    up_to: f64,
}

impl Guard {
    /// Reads `means` `[K, D]` and `precision` `[D, D]`, both f32.
    ///
    /// # Errors
    /// A sentence that says what is missing or has another size.
    pub fn read(bytes: &[u8], embedding: usize, up_to: f64) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let tensor = |name: &str| -> Result<(Vec<usize>, Vec<f64>), String> {
            let view = file.tensor(name).map_err(|error| error.to_string())?;
            if view.dtype() != Dtype::F32 {
                return Err(format!("{name} is {:?}; F32 is read", view.dtype()));
            }
            let values: Vec<f64> = view
                .data()
                .chunks_exact(4)
                .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
                .collect();
            if values.iter().any(|value| !value.is_finite()) {
                return Err(format!("{name} holds a value that is not a number"));
            }
            Ok((view.shape().to_vec(), values))
        };
        let (means_shape, means) = tensor("means")?;
        let (precision_shape, precision) = tensor("precision")?;
        if means_shape.len() != 2 || means_shape[0] == 0 || means_shape[1] != embedding {
            return Err(format!(
                "means is {means_shape:?}; [K, {embedding}] is needed"
            ));
        }
        if precision_shape != [embedding, embedding] {
            return Err(format!(
                "precision is {precision_shape:?}; [{embedding}, {embedding}] is needed"
            ));
        }
        if !(up_to.is_finite() && up_to > 0.0) {
            return Err(format!("guard_up_to is {up_to}; above 0 is needed"));
        }
        let guard = Self {
            means: means.chunks_exact(embedding).map(<[f64]>::to_vec).collect(),
            precision,
            up_to,
        };
        if guard.lets_all_pass() {
            let what = "it lets pass what no image's embedding is like";
            return Err(format!("up_to is {up_to}: {what}"));
        }
        Ok(guard)
    }

    /// Whether most directions that an embedding can have are near enough. Those of the images
    /// of one exam lie close together: what lies along an axis, either way, is none of them.
    fn lets_all_pass(&self) -> bool {
        let width = self.means.first().map_or(0, Vec::len);
        let mut nearest = vec![f64::INFINITY; 2 * width];
        for mean in &self.means {
            let rows = self.precision.chunks_exact(width.max(1));
            let by: Vec<f64> = rows
                .map(|row| row.iter().zip(mean).map(|(p, m)| p * m).sum())
                .collect();
            let own: f64 = by.iter().zip(mean).map(|(b, m)| b * m).sum();
            for axis in 0..width {
                // (e - m)' P (e - m) for e along the axis, forwards and backwards.
                let length = self.precision[axis * width + axis] + own;
                for (to, way) in nearest[2 * axis..].iter_mut().zip([1.0, -1.0]) {
                    *to = to.min(length - way * 2.0 * by[axis]);
                }
            }
        }
        // A distance that is no number is not far.
        let far = nearest.iter().filter(|distance| **distance > self.up_to);
        2 * far.count() < nearest.len()
    }

    /// The distance of an embedding to the nearest class.
    pub fn distance(&self, embedding: &[f32]) -> f64 {
        let to = |mean: &Vec<f64>| {
            let apart: Vec<f64> = embedding
                .iter()
                .zip(mean)
                .map(|(z, m)| f64::from(*z) - m)
                .collect();
            let rows = self.precision.chunks_exact(apart.len());
            rows.zip(&apart)
                .map(|(row, a)| a * row.iter().zip(&apart).map(|(p, b)| p * b).sum::<f64>())
                .sum::<f64>()
        };
        self.means.iter().map(to).fold(f64::INFINITY, f64::min)
    }

    /// The same as a share of the largest distance that is answered.
    pub fn share(&self, embedding: &[f32]) -> f64 {
        self.distance(embedding) / self.up_to
    }

    /// The largest distance that is answered.
    pub fn up_to(&self) -> f64 {
        self.up_to
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_to_the_nearest_class_in_the_covariances_measure() {
        let guard = Guard {
            means: vec![vec![1.0, 0.0], vec![0.0, 1.0]],
            precision: vec![4.0, 0.0, 0.0, 1.0],
            up_to: 1.0,
        };
        assert_eq!(guard.distance(&[1.0, 0.0]), 0.0);
        assert_eq!(guard.distance(&[0.0, 3.0]), 4.0);
        assert_eq!(guard.distance(&[2.0, 0.0]), 4.0);
        assert!(Guard::read(b"no tensors", 2, 1.0).is_err());
    }
}
