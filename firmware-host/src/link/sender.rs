//! The stream that goes out: what was sent, what was acknowledged, and what is sent again.

use super::ring::Ring;
use super::{Millis, WINDOW};
use crate::wire::DATA_LENGTH;

/// The smallest piece, for lines that lose one byte in ten.
const SMALLEST: usize = 8;

/// Pieces that must come through before the line counts as good.
const CALM: u32 = 32;

/// Acknowledgements of the same byte that say that its piece was lost, as TCP has it.
const REPEATED: u8 = 3;

/// The stream that goes out: `base <= next <= sent <= written`, modulo 65536.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) ring: Ring,
    /// First byte that was not acknowledged.
    pub(super) base: u16,
    /// Next byte to send or to send again.
    next: u16,
    /// First byte that was never sent.
    pub(super) sent: u16,
    /// First byte that was never written.
    pub(super) written: u16,
    /// Bytes of a piece.
    pub(super) piece: usize,
    /// When `base` moved, or was sent.
    since: Millis,
    /// Times that patience ended since `base` moved.
    timeouts: u32,
    repeated: u8,
    /// The piece at `base` is to be sent again, alone.
    alone: bool,
    /// Pieces acknowledged since one was lost.
    calm: u32,
}

pub(super) struct Piece {
    pub(super) sequence: u16,
    pub(super) length: usize,
    pub(super) again: bool,
}

impl Sender {
    pub(super) const fn new() -> Self {
        Self {
            ring: Ring { bytes: [0; WINDOW] },
            base: 0,
            next: 0,
            sent: 0,
            written: 0,
            piece: DATA_LENGTH,
            since: 0,
            timeouts: 0,
            repeated: 0,
            alone: false,
            calm: CALM,
        }
    }

    pub(super) fn room(&self) -> usize {
        WINDOW - usize::from(self.written.wrapping_sub(self.base))
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.room());
        for &byte in &bytes[..count] {
            self.ring.put(self.written, byte);
            self.written = self.written.wrapping_add(1);
        }
        count
    }

    /// False where the number is none of this stream.
    pub(super) fn acknowledged(&mut self, sequence: u16, now: Millis) -> bool {
        let flying = self.sent.wrapping_sub(self.base);
        let moved = sequence.wrapping_sub(self.base);
        if moved > flying {
            // An old one that was overtaken cannot be: the line keeps the order.
            return false;
        }
        if moved == 0 {
            self.repeat(flying);
            return true;
        }
        // What is sent again need not be sent past what just came through.
        if self.next.wrapping_sub(self.base) < moved {
            self.next = sequence;
        }
        self.base = sequence;
        (self.since, self.timeouts, self.repeated) = (now, 0, 0);
        self.alone = false;
        self.calm += usize::from(moved).div_ceil(self.piece) as u32;
        if self.calm >= 2 * CALM && self.piece < DATA_LENGTH {
            self.piece = (2 * self.piece).min(DATA_LENGTH);
            self.calm = CALM;
        }
        true
    }

    fn repeat(&mut self, flying: u16) {
        if flying == 0 {
            return;
        }
        self.repeated = self.repeated.saturating_add(1);
        if self.repeated == REPEATED {
            self.alone = true;
            self.lost();
        }
    }

    /// A second loss within a few pieces says that the pieces are too large for the line.
    fn lost(&mut self) {
        if self.calm < CALM {
            self.piece = (self.piece / 2).max(SMALLEST);
        }
        self.calm = 0;
    }

    pub(super) fn next_piece(&mut self, now: Millis, patience: Millis) -> Option<Piece> {
        let flying = self.sent != self.base;
        if flying && now.saturating_sub(self.since) >= patience {
            self.timeout(now);
        }
        if core::mem::take(&mut self.alone) {
            return Some(self.piece_from(self.base, self.sent));
        }
        if self.next != self.sent {
            let piece = self.piece_from(self.next, self.sent);
            self.next = self.next.wrapping_add(piece.length as u16);
            return Some(piece);
        }
        if self.sent == self.written {
            return None;
        }
        if !flying {
            self.since = now;
        }
        let piece = self.piece_from(self.sent, self.written);
        self.sent = self.sent.wrapping_add(piece.length as u16);
        self.next = self.sent;
        Some(Piece {
            again: false,
            ..piece
        })
    }

    fn timeout(&mut self, now: Millis) {
        self.since = now;
        self.timeouts += 1;
        // The other end may only be slow: ask with one piece before sending everything.
        if self.calm >= CALM && self.timeouts == 1 {
            self.alone = true;
        } else {
            self.next = self.base;
            self.lost();
        }
    }

    fn piece_from(&self, sequence: u16, end: u16) -> Piece {
        let there = usize::from(end.wrapping_sub(sequence)).min(self.piece);
        Piece {
            sequence,
            length: self.ring.slice(sequence, there).len(),
            again: true,
        }
    }
}
