//! Weights of 16 bits, which a file widens itself: read as the floats that they stand for, exactly.

use tract_onnx::prelude::f16;

use super::Constant;
use super::proto::{DataType, TensorProto};

/// The constant of a tensor of 16-bit floats; `None` where it is no such tensor, or not whole.
pub(super) fn widened(tensor: &TensorProto) -> Option<Constant> {
    let widen = match DataType::try_from(tensor.data_type).ok()? {
        DataType::Float16 => |bits| f16::from_bits(bits).to_f32(),
        DataType::Bfloat16 => |bits| f32::from_bits(u32::from(bits) << 16),
        _ => return None,
    };
    let bits: Vec<u16> = if tensor.raw_data.is_empty() {
        let narrow = |wide: &i32| u16::try_from(*wide).ok();
        tensor
            .int32_data
            .iter()
            .map(narrow)
            .collect::<Option<_>>()?
    } else {
        let (words, rest) = tensor.raw_data.as_chunks::<2>();
        rest.is_empty().then_some(())?;
        words.iter().map(|word| u16::from_le_bytes(*word)).collect()
    };
    let sides = tensor.dims.iter().map(|side| usize::try_from(*side).ok());
    let shape: Vec<usize> = sides.collect::<Option<_>>()?;
    let count = shape
        .iter()
        .try_fold(1_usize, |n, side| n.checked_mul(*side));
    let values = bits.into_iter().map(widen).collect();
    (tensor.external_data.is_empty() && count == Some(Vec::len(&values)))
        .then(|| Constant::float(&shape, values))
}
