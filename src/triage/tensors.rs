//! Tensors of a head's file, read and written. Nothing is believed before its type, its shape and
//! each of its values were looked at.
//!
//! Numbers are little-endian in the file, whatever the processor: they are read one by one, where
//! `bytemuck` would take this processor's own order.

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::HeadError;

/// A file of tensors.
pub(super) struct File<'a>(SafeTensors<'a>);

impl<'a> File<'a> {
    /// # Errors
    /// [`HeadError::Format`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, HeadError> {
        let file = SafeTensors::deserialize(bytes);
        file.map(Self)
            .map_err(|error| HeadError::Format(error.to_string()))
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    /// The length of a tensor's first side.
    ///
    /// # Errors
    /// It is missing, or has no side.
    pub fn rows(&self, name: &'static str) -> Result<usize, HeadError> {
        let view = self.view(name)?;
        let rows = view.shape().first().copied().filter(|rows| *rows > 0);
        rows.ok_or_else(|| HeadError::Shape {
            name,
            found: format!("{:?} {:?}", view.dtype(), view.shape()),
            expected: vec![1],
        })
    }

    /// The values of a tensor of this shape.
    ///
    /// # Errors
    /// It is missing, has another type or shape, or holds a value that is not a number.
    pub fn values(&self, name: &'static str, expected: &[usize]) -> Result<Vec<f32>, HeadError> {
        let view = self.view(name)?;
        if view.dtype() != Dtype::F32 || view.shape() != expected {
            return Err(HeadError::Shape {
                name,
                found: format!("{:?} {:?}", view.dtype(), view.shape()),
                expected: expected.to_vec(),
            });
        }
        let values: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        if values.iter().all(|value| value.is_finite()) {
            Ok(values)
        } else {
            Err(HeadError::Value(name))
        }
    }

    /// The single value of a tensor `[1]` that must lie in a range.
    ///
    /// # Errors
    /// As [`values`](Self::values); it lies outside.
    pub fn number(
        &self,
        name: &'static str,
        range: impl std::ops::RangeBounds<f32>,
    ) -> Result<f32, HeadError> {
        let value = self.values(name, &[1])?[0];
        if range.contains(&value) {
            Ok(value)
        } else {
            Err(HeadError::Value(name))
        }
    }

    fn view(&self, name: &'static str) -> Result<TensorView<'_>, HeadError> {
        self.0.tensor(name).map_err(|_| HeadError::Missing(name))
    }
}

/// Tensors on their way into a file.
#[derive(Default)]
pub(super) struct Writer(Vec<(&'static str, Vec<usize>, Vec<u8>)>);

impl Writer {
    /// Adds a tensor. The values fill the shape.
    pub fn put(&mut self, name: &'static str, shape: &[usize], values: &[f32]) {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.0.push((name, shape.to_vec(), bytes.collect()));
    }

    /// The file's bytes: the same for the same tensors.
    ///
    /// # Errors
    /// [`HeadError::Format`].
    pub fn bytes(&self) -> Result<Vec<u8>, HeadError> {
        let wrong = |error: safetensors::SafeTensorError| HeadError::Format(error.to_string());
        let views = self.0.iter().map(|(name, shape, bytes)| {
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(wrong)?;
            Ok((*name, view))
        });
        let views: Vec<(&str, TensorView<'_>)> = views.collect::<Result<_, HeadError>>()?;
        safetensors::serialize(views, None).map_err(wrong)
    }
}
