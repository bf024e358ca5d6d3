//! Protocol: bytes on the line: console lines and frames, and which is which.
//!
//! The line has no modes. Bytes run until one that ends them, and that byte says what they
//! were: CR or LF ends a console line, 0x00 ends a frame. No byte of a frame is 0x00, CR or
//! LF, so no part of a frame, however the line damages it, can be taken for a command, and
//! the next end byte is always in step again.
//!
//! A frame is `00 stuff(cobs(body crc)) 00`: the body is postcard, the CRC-32 (ISO-HDLC, as
//! Ethernet and zip have it) follows in little-endian order, COBS takes the 0x00 out, and
//! the stuffing takes CR, LF and DLE itself out.

use crc::{CRC_32_ISO_HDLC, Crc};
use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::console::{DEVICE_CLEAR, LINE_LENGTH};
use crate::fault::Fault;

/// The protocol's version, the first byte of every body.
pub const VERSION: u8 = 1;

/// The most stream bytes that one frame carries.
pub const DATA_LENGTH: usize = 960;

/// The longest run of bytes that is kept: a full frame with its COBS and CRC bytes.
const RUN_LENGTH: usize = 1024;

/// The longest frame on the line: every byte stuffed, and both ends.
pub const WIRE_LENGTH: usize = 2 * RUN_LENGTH + 2;

const CRC_LENGTH: usize = 4;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

const END: u8 = 0x00;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;
/// Says that the next byte was changed by [`STUFFED`].
const DLE: u8 = 0x10;
const STUFFED: u8 = 0x20;

/// A frame as it is written.
pub type WireBytes = Vec<u8, WIRE_LENGTH>;

/// What a frame says. Sequence numbers count the bytes of one direction's stream, modulo
/// 65536; [`crate::link`] says what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Packet<'a> {
    /// The host begins: both streams start at 0. The nonce tells a repetition from a new
    /// beginning.
    Open {
        /// Any number that the last beginnings did not have.
        nonce: u32,
    },
    /// The device has begun as well.
    Opened {
        /// The host's number.
        nonce: u32,
    },
    /// Bytes of the sender's stream.
    Data {
        /// Number of the first byte.
        sequence: u16,
        /// At least one, at most [`DATA_LENGTH`].
        bytes: &'a [u8],
    },
    /// All bytes of the receiver's stream before this one were taken. Also the heartbeat.
    Ack {
        /// Number of the first byte that was not.
        sequence: u16,
    },
    /// There is no link: begin again.
    Reset,
    /// The link ends.
    Close,
}

/// Why a run that ended as a frame is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// Longer than any frame.
    TooLong,
    /// Not COBS, too short, or the CRC is another: the line spoilt it.
    Checksum,
    /// Whole, and of another protocol version.
    Version(u8),
    /// Whole, and not a packet.
    Malformed,
}

/// What a run of bytes was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run<'a> {
    /// A console line, or what was wrong with it.
    Line(Result<&'a str, Fault>),
    /// A frame, or what was wrong with it.
    Frame(Result<Packet<'a>, Damage>),
    /// A device clear: what was typed of a line is taken back. Where a frame follows, it was its first byte.
    Clear,
}

/// Cuts bytes into runs.
#[derive(Debug, Default)]
pub struct Splitter {
    bytes: Vec<u8, RUN_LENGTH>,
    /// The last byte was DLE.
    stuffed: bool,
    /// A byte came that no line may hold.
    binary: bool,
    too_long: bool,
    /// Where the line begins: what stands before was taken back by a device clear.
    line_from: usize,
    /// The run was given out; the next byte begins another.
    ended: bool,
}

impl Splitter {
    /// Takes one byte; gives the run that it ends. Empty runs are none.
    pub fn push(&mut self, byte: u8) -> Option<Run<'_>> {
        if self.ended {
            self.forget();
        }
        match byte {
            END => {
                self.ended = true;
                self.frame()
            }
            b'\r' | b'\n' => {
                self.ended = true;
                self.line()
            }
            DEVICE_CLEAR if !self.binary => {
                if self.too_long {
                    self.bytes.clear();
                    self.too_long = false;
                }
                // A frame may begin with it.
                self.too_long |= self.bytes.push(byte).is_err();
                self.line_from = self.bytes.len();
                Some(Run::Clear)
            }
            DLE => {
                self.stuffed = true;
                self.binary = true;
                None
            }
            _ => {
                self.binary |= byte < b' ' && byte != b'\t' && byte != BACKSPACE;
                let byte = if core::mem::take(&mut self.stuffed) {
                    byte ^ STUFFED
                } else {
                    byte
                };
                self.too_long |= self.bytes.push(byte).is_err();
                None
            }
        }
    }

    /// Forgets a run that was begun, as when the other end went away.
    pub fn forget(&mut self) {
        self.bytes.clear();
        self.stuffed = false;
        self.binary = false;
        self.too_long = false;
        self.line_from = 0;
        self.ended = false;
    }

    fn frame(&mut self) -> Option<Run<'_>> {
        if self.too_long {
            return Some(Run::Frame(Err(Damage::TooLong)));
        }
        if self.bytes.is_empty() {
            return None;
        }
        Some(Run::Frame(unpack(&mut self.bytes)))
    }

    fn line(&mut self) -> Option<Run<'_>> {
        if self.too_long {
            return Some(Run::Line(Err(Fault::LineTooLong)));
        }
        if self.binary {
            return Some(Run::Line(Err(Fault::InvalidCharacter)));
        }
        let cleared = self.line_from;
        self.bytes.copy_within(cleared.., 0);
        self.bytes.truncate(self.bytes.len() - cleared);
        take_back(&mut self.bytes);
        match self.bytes.len() {
            0 => None,
            1..=LINE_LENGTH => {
                let line = core::str::from_utf8(&self.bytes).map_err(|_| Fault::InvalidCharacter);
                Some(Run::Line(line))
            }
            _ => Some(Run::Line(Err(Fault::LineTooLong))),
        }
    }
}

/// Backspaces take back the byte before them, for people who type.
fn take_back(bytes: &mut Vec<u8, RUN_LENGTH>) {
    let mut kept = 0;
    for at in 0..bytes.len() {
        match bytes[at] {
            BACKSPACE | DELETE => kept = usize::saturating_sub(kept, 1),
            byte => {
                bytes[kept] = byte;
                kept += 1;
            }
        }
    }
    bytes.truncate(kept);
}

fn unpack(bytes: &mut [u8]) -> Result<Packet<'_>, Damage> {
    let length = cobs::decode_in_place(bytes).map_err(|_| Damage::Checksum)?;
    let (body, crc) = bytes[..length]
        .split_last_chunk::<CRC_LENGTH>()
        .ok_or(Damage::Checksum)?;
    if CRC.checksum(body) != u32::from_le_bytes(*crc) {
        return Err(Damage::Checksum);
    }
    match body.split_first() {
        Some((&VERSION, packet)) => match postcard::take_from_bytes(packet) {
            // What is left over would be a frame that someone else reads otherwise.
            Ok((packet, [])) => Ok(packet),
            _ => Err(Damage::Malformed),
        },
        Some((&other, _)) => Err(Damage::Version(other)),
        None => Err(Damage::Malformed),
    }
}

/// Writes a frame. `None` where [`Packet::Data`] holds more than [`DATA_LENGTH`] bytes.
pub fn pack(packet: &Packet<'_>) -> Option<WireBytes> {
    if matches!(packet, Packet::Data { bytes, .. } if bytes.len() > DATA_LENGTH) {
        return None;
    }
    let mut body = [0; RUN_LENGTH];
    body[0] = VERSION;
    let length = 1 + postcard::to_slice(packet, &mut body[1..]).ok()?.len();
    let crc = CRC.checksum(&body[..length]).to_le_bytes();
    body.get_mut(length..length + CRC_LENGTH)?
        .copy_from_slice(&crc);
    let mut coded = [0; RUN_LENGTH];
    let length = cobs::try_encode(&body[..length + CRC_LENGTH], &mut coded).ok()?;
    let mut wire = WireBytes::new();
    wire.push(END).ok()?;
    for &byte in &coded[..length] {
        if matches!(byte, b'\r' | b'\n' | DLE) {
            wire.push(DLE).ok()?;
            wire.push(byte ^ STUFFED).ok()?;
        } else {
            wire.push(byte).ok()?;
        }
    }
    wire.push(END).ok()?;
    Some(wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;
    use std::string::{String, ToString};
    use std::vec;

    /// What came of some bytes, owned.
    fn runs(bytes: &[u8]) -> vec::Vec<String> {
        let mut splitter = Splitter::default();
        let mut runs = vec::Vec::new();
        for &byte in bytes {
            if let Some(run) = splitter.push(byte) {
                runs.push(match run {
                    // The first byte of a frame may be one.
                    Run::Clear => continue,
                    Run::Line(Ok(line)) => line.to_string(),
                    other => format!("{other:?}"),
                });
            }
        }
        runs
    }

    fn shown(packet: &Packet<'_>) -> String {
        format!("{:?}", Run::Frame(Ok(*packet)))
    }

    #[test]
    fn a_broken_line_is_one_error_and_the_next_one_works() {
        let mut bytes = vec![b'x'; 10_000];
        bytes.extend_from_slice(b"\n*IDN?\n\x01\x02\x03\r\n*OPC?\r\n\xff\xfe\nSTAT?\x08?\n\n\n");
        bytes.extend_from_slice(&[b'y'; LINE_LENGTH + 1]);
        bytes.extend_from_slice(b"\x7f\r");
        let y = "y".repeat(LINE_LENGTH);
        let expected = [
            "Line(Err(LineTooLong))",
            "*IDN?",
            "Line(Err(InvalidCharacter))",
            "*OPC?",
            "Line(Err(InvalidCharacter))",
            "STAT?",
            &y,
        ];
        assert_eq!(runs(&bytes), expected);
    }

    #[test]
    fn a_device_clear_takes_back_what_was_typed() {
        let long = [b"x".repeat(10_000).as_slice(), b"\x03*IDN?\n"].concat();
        assert_eq!(
            runs(b"CASE:ABOR\x03*IDN?\r\n\x03\n*OPC?\n"),
            ["*IDN?", "*OPC?"]
        );
        assert_eq!(runs(&long), ["*IDN?"]);
        assert_eq!(runs(b"\x03\x03EXAM?\n"), ["EXAM?"]);
        // Behind a byte of a frame it clears nothing: what a line spoilt is no command.
        assert_eq!(
            runs(b"\x01\x03CASE:ABOR\n"),
            ["Line(Err(InvalidCharacter))"]
        );
        let mut splitter = Splitter::default();
        assert_eq!(splitter.push(DEVICE_CLEAR), Some(Run::Clear), "at once");
    }

    #[test]
    fn lines_and_frames_alternate() {
        let packet = Packet::Data {
            sequence: 0x0a0d,
            bytes: b"\x00\n\r\x10\nCASE:ABOR\n",
        };
        let mut bytes = b"half a li".to_vec();
        bytes.extend_from_slice(&pack(&packet).unwrap());
        bytes.extend_from_slice(b"*IDN?\n");
        bytes.extend_from_slice(&pack(&Packet::Reset).unwrap());
        let expected = [
            "Frame(Err(Checksum))".to_string(),
            shown(&packet),
            "*IDN?".to_string(),
            shown(&Packet::Reset),
        ];
        assert_eq!(runs(&bytes), expected);
    }

    #[test]
    fn another_version_is_named_and_what_is_left_over_is_refused() {
        let frame = |body: &[u8]| {
            let mut body = body.to_vec();
            body.extend_from_slice(&CRC.checksum(&body).to_le_bytes());
            let mut coded = vec![0; 2 * body.len() + 2];
            let length = cobs::encode(&body, &mut coded);
            coded.truncate(length);
            coded.push(END);
            coded
        };
        let expected = [
            "Frame(Err(Version(2)))",
            "Frame(Err(Malformed))",
            "Frame(Err(Malformed))",
            "Frame(Err(Malformed))",
            "Frame(Ok(Reset))",
        ];
        let bodies: [&[u8]; 5] = [&[2, 4], &[1, 9], &[1, 4, 0], &[], &[1, 4]];
        let bytes: vec::Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        assert_eq!(runs(&bytes), expected);
    }

    #[test]
    fn the_longest_frame_of_the_worst_bytes_goes_through() {
        for byte in [0, b'\n', b'\r', DLE, 0xff] {
            let bytes = [byte; DATA_LENGTH];
            let (sequence, bytes) = (u16::MAX, bytes.as_slice());
            let packet = Packet::Data { sequence, bytes };
            assert_eq!(runs(&pack(&packet).unwrap()), [shown(&packet)]);
        }
        let bytes = &[0; DATA_LENGTH + 1];
        assert_eq!(pack(&Packet::Data { sequence: 0, bytes }), None);
    }

    fn packets() -> impl Strategy<Value = (u8, u32, u16, vec::Vec<u8>)> {
        let bytes = prop::collection::vec(any::<u8>(), 1..DATA_LENGTH);
        (0..6_u8, any::<u32>(), any::<u16>(), bytes)
    }

    fn packet((kind, nonce, sequence, bytes): &(u8, u32, u16, vec::Vec<u8>)) -> Packet<'_> {
        let (nonce, sequence) = (*nonce, *sequence);
        match kind {
            0 => Packet::Open { nonce },
            1 => Packet::Opened { nonce },
            2 => Packet::Data { sequence, bytes },
            3 => Packet::Ack { sequence },
            4 => Packet::Reset,
            _ => Packet::Close,
        }
    }

    proptest! {
        #[test]
        fn any_noise_then_a_frame_gives_that_frame(
            noise in prop::collection::vec(any::<u8>(), 0..3000),
            parts in packets(),
        ) {
            let packet = packet(&parts);
            let wire = pack(&packet).unwrap();
            prop_assert!(!wire[1..wire.len() - 1].iter().any(|b| matches!(b, 0 | b'\n' | b'\r')));
            let bytes = [&noise, wire.as_slice()].concat();
            let last = runs(&bytes).pop();
            prop_assert_eq!(last, Some(shown(&packet)));
        }

        #[test]
        fn any_noise_then_a_line_gives_that_line(noise in prop::collection::vec(any::<u8>(), 0..3000)) {
            let bytes = [&noise, b"\n*IDN?\n".as_slice()].concat();
            let last = runs(&bytes).pop();
            prop_assert_eq!(last.as_deref(), Some("*IDN?"));
        }

        /// What the line spoils is never taken for another packet or for a command.
        #[test]
        fn a_damaged_frame_is_no_frame_and_no_line(
            parts in packets(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8, any::<bool>()), 1..6),
        ) {
            let packet = packet(&parts);
            let mut wire = pack(&packet).unwrap().to_vec();
            for (at, flip, drop) in damage {
                let at = at.index(wire.len());
                if drop && wire.len() > 1 {
                    wire.remove(at);
                } else {
                    wire[at] ^= flip;
                }
            }
            for run in runs(&wire) {
                // A byte that was spoilt to a line's end may leave a letter or two before it.
                let harmless = run == shown(&packet)
                    || run.contains("Err(")
                    || crate::console::Request::parse(&run).and_then(|line| line.first()).is_err();
                prop_assert!(harmless, "{}", run);
            }
        }
    }
}
