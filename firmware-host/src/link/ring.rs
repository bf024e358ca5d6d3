//! The bytes of one direction that are on the way, by their sequence numbers. Used by sender and
//! receiver of the link. Never allocates.

use super::WINDOW;

/// Bytes by their sequence number.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) bytes: [u8; WINDOW],
}

impl Ring {
    pub(super) fn at(sequence: u16) -> usize {
        usize::from(sequence) % WINDOW
    }

    /// At most `length` bytes from `sequence` on: fewer where the ring ends.
    pub(super) fn slice(&self, sequence: u16, length: usize) -> &[u8] {
        let at = Self::at(sequence);
        &self.bytes[at..WINDOW.min(at + length)]
    }

    pub(super) fn put(&mut self, sequence: u16, byte: u8) {
        self.bytes[Self::at(sequence)] = byte;
    }
}
