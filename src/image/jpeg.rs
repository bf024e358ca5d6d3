//! Whether a JPEG is whole. The decoder fills what is missing from a cut file with
//! grey; a device must refuse it instead. Nothing is decoded here.

/// True where the marker segments lead to an end-of-image marker
/// (ITU-T T.81, annex B.1.1).
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    let mut at = 2;
    let mut in_scan = false;
    while at + 1 < bytes.len() {
        if bytes[at] != 0xff {
            if !in_scan {
                return false;
            }
            at += 1;
            continue;
        }
        match bytes[at + 1] {
            0xd9 => return true,
            0xff => at += 1,
            // A stuffed zero, a restart or a lone marker: no segment follows.
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
            marker => {
                let Some(length) = bytes.get(at + 2..at + 4) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                in_scan = marker == 0xda;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    const WHOLE: &[u8] = &[
        0xff, 0xd8, 0xff, 0xe0, 0, 4, 0xff, 0xd9, 0xff, 0xda, 0, 2, 1, 2, 0xff, 0, 3, 0xff, 0xd9,
    ];

    #[test]
    fn end_marker_inside_a_segment_does_not_count() {
        assert!(is_whole(WHOLE));
        for length in 0..WHOLE.len() {
            assert!(!is_whole(&WHOLE[..length]), "cut at {length}");
        }
    }
}
