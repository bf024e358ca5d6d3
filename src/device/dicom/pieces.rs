//! A DIMSE message cut into P-DATA-TF PDUs (PS3.8, 9.3.5), none longer than the peer takes. Bytes
//! come in, PDUs go out; both directions send by it. Nothing here reads or writes a socket.

/// Type, reserved byte and length of a PDU.
pub(crate) const HEADER: usize = 6;
/// Length, presentation context and control byte of a value in it.
const VALUE: usize = 6;
/// Most bytes behind the header of a PDU that is sent, whatever the peer would take.
const MOST: usize = 64 << 10;
/// The fewest that a peer may ask for: fewer hold no value.
const FEWEST: usize = 32;

/// What part of a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its command set.
    Command,
    /// Its data set.
    Data,
}

/// How long PDUs may be for a peer that says so; 0 is any length.
pub(crate) fn length_for(said: u32) -> usize {
    match usize::try_from(said).unwrap_or(MOST) {
        0 => MOST,
        said => said.clamp(FEWEST, MOST),
    }
}

/// The PDUs of one part of a message.
pub(crate) fn pdus(
    context: u8,
    part: Part,
    bytes: &[u8],
    most: usize,
) -> impl Iterator<Item = Vec<u8>> {
    // Values have an even length.
    let size = (most.clamp(FEWEST, MOST) - VALUE) & !1;
    let count = bytes.len().div_ceil(size).max(1);
    (0..count).map(move |number| {
        let end = bytes.len().min((number + 1) * size);
        let piece = &bytes[number * size..end];
        let is_command = u8::from(part == Part::Command);
        let is_last = u8::from(number + 1 == count) << 1;
        let length = |more: usize| ((piece.len() + more) as u32).to_be_bytes();
        let mut pdu = Vec::with_capacity(HEADER + VALUE + piece.len());
        pdu.extend([4, 0]);
        pdu.extend(length(VALUE));
        pdu.extend(length(2));
        pdu.extend([context, is_command | is_last]);
        pdu.extend(piece);
        pdu
    })
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::{PDataValueType, Pdu, read_pdu};

    use super::*;

    #[test]
    fn no_pdu_is_longer_than_the_peer_takes_and_all_together_are_the_message() {
        for (said, length) in [
            (0, MOST),
            (1, FEWEST),
            (1000, 1000),
            (16_384, 16_384),
            (u32::MAX, MOST),
        ] {
            assert_eq!(length_for(said), length, "{said}");
        }
        for (bytes, most) in [(0, 32), (1, 32), (26, 32), (27, 33), (100_000, 16_384)] {
            let message: Vec<u8> = (0..bytes).map(|byte: u32| byte as u8).collect();
            let mut joined: Vec<u8> = Vec::new();
            let pdus: Vec<_> = pdus(3, Part::Data, &message, most).collect();
            for (number, pdu) in pdus.iter().enumerate() {
                assert!(pdu.len() <= HEADER + most, "{bytes} {most}");
                let Some(Pdu::PData { data }) = read_pdu(&pdu[..], 1 << 20, true).unwrap() else {
                    panic!("no data");
                };
                assert_eq!(data[0].value_type, PDataValueType::Data);
                assert_eq!(data[0].is_last, number + 1 == pdus.len());
                joined.extend(&data[0].data);
            }
            assert_eq!(joined, message);
        }
    }
}
