//! DICOM's run-length coding (PS3.5, annex G): byte planes, the most significant first. In goes one
//! frame's data, out come samples; called by `codecs`. It takes no memory but the frame's, and a frame
//! that is cut short is an error.
//!
//! `dicom-transfer-syntax-registry` has a decoder of its own, which is not used: it panics on a header of
//! fewer than four bytes and on a plane that ends too soon, and it takes as much memory as the header's
//! count of planes says, up to 16 GiB.

/// Decodes one frame of `pixels` with `samples` of `bytes` bytes each; samples of a
/// pixel come out side by side, little endian.
pub(super) fn decode(
    data: &[u8],
    pixels: usize,
    samples: usize,
    bytes: usize,
) -> Result<Vec<u8>, String> {
    let header = |index: usize| {
        let word = data.get(4 * index..4 * index + 4)?;
        Some(u32::from_le_bytes([word[0], word[1], word[2], word[3]]) as usize)
    };
    let count = header(0).ok_or("the run-length header is cut short")?;
    if count != samples * bytes || count > 15 {
        return Err(format!(
            "{count} byte planes; {} were to be expected",
            samples * bytes
        ));
    }
    let mut out = vec![0; pixels * samples * bytes];
    for plane in 0..count {
        let cut = || "a byte plane is cut short".to_owned();
        let start = header(1 + plane).ok_or_else(cut)?;
        let end = if plane + 1 < count {
            header(2 + plane).ok_or_else(cut)?
        } else {
            data.len()
        };
        let (sample, byte) = (plane / bytes, bytes - 1 - plane % bytes);
        let first = sample * bytes + byte;
        let segment = data.get(start..end).ok_or_else(cut)?;
        unpack(segment, out[first..].iter_mut().step_by(samples * bytes)).ok_or_else(cut)?;
    }
    Ok(out)
}

/// PackBits into `out`, which must be filled.
fn unpack<'a>(mut packed: &[u8], mut out: impl ExactSizeIterator<Item = &'a mut u8>) -> Option<()> {
    while out.len() > 0 {
        let (&length, rest) = packed.split_first()?;
        packed = rest;
        match length.cast_signed() {
            -128 => {}
            length @ 0.. => {
                let count = length as usize + 1;
                let literal = packed.get(..count)?;
                out.by_ref().zip(literal).for_each(|(to, from)| *to = *from);
                packed = &packed[count..];
            }
            length => {
                let (&value, rest) = packed.split_first()?;
                packed = rest;
                let count = usize::from(length.unsigned_abs()) + 1;
                out.by_ref().take(count).for_each(|to| *to = value);
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_come_back_in_little_endian_order() {
        let mut data = [2u32, 64, 67].map(u32::to_le_bytes).concat();
        data.resize(64, 0);
        // High bytes: 9 three times. Low bytes: 1, 2, 3 as they are.
        data.extend([0xfe, 9, 0x80]);
        data.extend([2, 1, 2, 3]);
        assert_eq!(decode(&data, 3, 1, 2).unwrap(), [1, 9, 2, 9, 3, 9]);
        for cut in 0..data.len() {
            assert!(decode(&data[..cut], 3, 1, 2).is_err(), "cut at {cut}");
        }
    }
}
