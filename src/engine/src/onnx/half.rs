//! Weights of 16 bits, which a file widens itself: read as the floats that they stand for, exactly.

use super::Constant;
use super::proto::{DataType, TensorProto};

/// The constant of a tensor of 16-bit floats; `None` where it is no such tensor, or not whole.
pub(super) fn widened(tensor: &TensorProto) -> Option<Constant> {
    let widen = match DataType::try_from(tensor.data_type).ok()? {
        DataType::Float16 => from_f16,
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

/// IEEE 754 binary16 to binary32; every value of the one is one of the other.
fn from_f16(bits: u16) -> f32 {
    let (sign, exponent, fraction) = (bits >> 15, (bits >> 10) & 0x1f, bits & 0x3ff);
    let magnitude = match exponent {
        // Subnormal: so many 24ths of a power of two.
        0 => f32::from(fraction) * 2.0_f32.powi(-24),
        0x1f => f32::from_bits(0x7f80_0000 | u32::from(fraction) << 13),
        _ => f32::from_bits((u32::from(exponent) + 112) << 23 | u32::from(fraction) << 13),
    };
    if sign == 1 { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_half_is_widened_exactly() {
        let known = [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x0001, 5.960_464_5e-8),
            (0x03ff, 6.097_555e-5),
            (0x0400, 6.103_515_6e-5),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ];
        for (bits, float) in known {
            assert_eq!(from_f16(bits).to_bits(), f32::to_bits(float), "{bits:#x}");
        }
        assert!(from_f16(0x7e00).is_nan());
    }
}
