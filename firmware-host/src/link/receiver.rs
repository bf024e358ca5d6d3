//! The stream that comes in: pieces come in any order, bytes go out in their own. Called by the
//! link. Keeps no more than [`WINDOW`](super::WINDOW) bytes.

use super::WINDOW;
use super::ring::Ring;

/// The stream that comes in.
#[derive(Debug)]
pub(super) struct Receiver {
    ring: Ring,
    /// Which bytes of the ring came and were not taken, one bit each.
    came: [u8; WINDOW / 8],
    /// First byte that the reader has not taken.
    pub(super) taken: u16,
    pub(super) owes_ack: bool,
}

impl Receiver {
    pub(super) const fn new() -> Self {
        Self {
            ring: Ring { bytes: [0; WINDOW] },
            came: [0; WINDOW / 8],
            taken: 0,
            owes_ack: false,
        }
    }

    fn has(&self, sequence: u16) -> bool {
        let at = Ring::at(sequence);
        self.came[at / 8] & (1 << (at % 8)) != 0
    }

    /// Keeps what lies in the window; what was taken before is only acknowledged again.
    pub(super) fn take(&mut self, sequence: u16, bytes: &[u8]) {
        self.owes_ack = true;
        let mut at = sequence;
        for &byte in bytes {
            if usize::from(at.wrapping_sub(self.taken)) < WINDOW && !self.has(at) {
                self.ring.put(at, byte);
                let bit = Ring::at(at);
                self.came[bit / 8] |= 1 << (bit % 8);
            }
            at = at.wrapping_add(1);
        }
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> usize {
        let mut count = 0;
        for place in out {
            if !self.has(self.taken) {
                break;
            }
            let at = Ring::at(self.taken);
            *place = self.ring.bytes[at];
            self.came[at / 8] &= !(1 << (at % 8));
            self.taken = self.taken.wrapping_add(1);
            count += 1;
        }
        self.owes_ack |= count > 0;
        count
    }
}
