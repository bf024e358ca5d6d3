//! Labelled cases that a head remembers (Tip-Adapter's key-value cache, Zhang et al. 2022): a
//! query that is like a key adds that key's values to the logits.

use super::HeadError;
use super::tensors::{File, Writer};
use super::vectors::dot;

/// Keys `[N, D]` of unit length, and the values `[N, K]` that they stand for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct KeyValueCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    weight: f32,
    sharpness: f32,
}

impl KeyValueCache {
    const KEYS: &str = "cache.keys";
    const VALUES: &str = "cache.values";
    const WEIGHT: &str = "cache.alpha";
    const SHARPNESS: &str = "cache.beta";
    /// Of weight and sharpness; far above what anybody uses, and far below what overflows.
    const MOST: f32 = 1000.0;
    /// A key is of unit length, within rounding.
    const LENGTH: std::ops::RangeInclusive<f32> = 0.999..=1.001;

    /// Reads the cache, where the file has one: all of its tensors or none.
    pub fn read(
        file: &File<'_>,
        classes: usize,
        dimension: usize,
    ) -> Result<Option<Self>, HeadError> {
        let names = [Self::KEYS, Self::VALUES, Self::WEIGHT, Self::SHARPNESS];
        if !names.iter().any(|name| file.has(name)) {
            return Ok(None);
        }
        let count = file.rows(Self::KEYS)?;
        let cache = Self {
            keys: file.values(Self::KEYS, &[count, dimension])?,
            values: file.values(Self::VALUES, &[count, classes])?,
            weight: file.number(Self::WEIGHT, 0.0..=Self::MOST)?,
            sharpness: file.number(Self::SHARPNESS, 0.0..=Self::MOST)?,
        };
        let mut keys = cache.keys.chunks_exact(dimension);
        if !keys.all(|key| Self::LENGTH.contains(&(dot(key, key).sqrt() as f32))) {
            return Err(HeadError::Value(Self::KEYS));
        }
        Ok(Some(cache))
    }

    /// Adds `alpha exp(-beta (1 - keys q)) values` to the logits.
    pub fn add(&self, query: &[f32], logits: &mut [f64]) {
        let keys = self.keys.chunks_exact(query.len());
        for (key, values) in keys.zip(self.values.chunks_exact(logits.len())) {
            let far = f64::from(self.sharpness) * (1.0 - dot(key, query));
            let near = f64::from(self.weight) * (-far).exp();
            for (logit, value) in logits.iter_mut().zip(values) {
                *logit += near * f64::from(*value);
            }
        }
    }

    pub fn write(&self, classes: usize, dimension: usize, to: &mut Writer) {
        let count = self.keys.len() / dimension;
        to.put(Self::KEYS, &[count, dimension], &self.keys);
        to.put(Self::VALUES, &[count, classes], &self.values);
        to.put(Self::WEIGHT, &[1], &[self.weight]);
        to.put(Self::SHARPNESS, &[1], &[self.sharpness]);
    }
}
