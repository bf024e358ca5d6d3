//! Tensors on their way to tract and back. All that crosses the border of this crate is float:
//! whole numbers and truths are held exactly, or refused.

use tract_onnx::tract_hir::internal::*;

use crate::tensor::{self, ElementType};

/// The largest whole number up to which floats hold every one.
const LARGEST: f32 = (1 << 24) as f32;

const NOT_WHOLE: &str = "holds what is no whole number that a float holds exactly";

/// A tensor in this type.
///
/// # Errors
/// A sentence.
pub(super) fn into_tract(kind: ElementType, tensor: &tensor::Tensor) -> Result<TValue, String> {
    let shape = &tensor.shape;
    let made = match kind {
        ElementType::Int32 => Tensor::from_shape(shape, &whole(tensor, |v| v)?),
        ElementType::Int64 => Tensor::from_shape(shape, &whole(tensor, i64::from)?),
        ElementType::Bool => Tensor::from_shape(shape, &truths(tensor)?),
        ElementType::Float32 => Tensor::from_shape(shape, &tensor.data),
    };
    let made = made.map_err(|error| error.to_string())?;
    Ok(made.into_tvalue())
}

fn whole<T>(tensor: &tensor::Tensor, of: fn(i32) -> T) -> Result<Vec<T>, String> {
    let value = |v: &f32| {
        let is_whole = v.fract() == 0.0 && v.abs() <= LARGEST;
        is_whole.then(|| of(*v as i32)).ok_or(NOT_WHOLE.to_owned())
    };
    tensor.data.iter().map(value).collect()
}

fn truths(tensor: &tensor::Tensor) -> Result<Vec<bool>, String> {
    let value = |v: &f32| match *v {
        0.0 => Ok(false),
        1.0 => Ok(true),
        _ => Err("holds what is neither 0 nor 1".to_owned()),
    };
    tensor.data.iter().map(value).collect()
}

/// A tensor of tract's as floats; its file says that it is of type `said`.
///
/// # Errors
/// A sentence.
pub(super) fn from_tract(said: ElementType, value: &Tensor) -> Result<tensor::Tensor, String> {
    let fault = |error: TractError| error.to_string();
    let kind = value.datum_type();
    let as_said = match said {
        ElementType::Float32 => kind == f32::datum_type(),
        ElementType::Int32 => kind == i32::datum_type(),
        // Tract has a type of its own for shapes.
        ElementType::Int64 => [i64::datum_type(), TDim::datum_type()].contains(&kind),
        ElementType::Bool => kind == bool::datum_type(),
    };
    if !as_said {
        let said = said.name();
        return Err(format!("an output of type {kind:?}; the file says {said}"));
    }
    let data: Vec<f32> = if kind == f32::datum_type() {
        let plain = value.try_as_plain_ram().map_err(fault)?;
        plain.as_slice::<f32>().map_err(fault)?.to_vec()
    } else if kind == bool::datum_type() {
        let plain = value.try_as_plain_ram().map_err(fault)?;
        let truths = plain.as_slice::<bool>().map_err(fault)?;
        truths
            .iter()
            .map(|truth| f32::from(u8::from(*truth)))
            .collect()
    } else {
        let wide = value.cast_to::<i64>().map_err(fault)?;
        let plain = wide.try_as_plain_ram().map_err(fault)?;
        let whole = plain.as_slice::<i64>().map_err(fault)?.iter();
        let whole = whole.map(|v| {
            let fits = v.unsigned_abs() <= LARGEST as u64;
            fits.then_some(*v as f32).ok_or(NOT_WHOLE.to_owned())
        });
        whole.collect::<Result<_, _>>()?
    };
    Ok(tensor::Tensor {
        shape: value.shape().to_vec(),
        data,
    })
}
