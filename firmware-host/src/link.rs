//! Protocol: a reliable stream of bytes in each direction over a line that loses and spoils bytes.
//!
//! The host opens the link, the device answers; then each end numbers the bytes that it
//! sends. The receiver keeps what comes out of order and acknowledges what its reader has
//! taken, so the sender never has more than [`WINDOW`] bytes on the way. What is not
//! acknowledged in time is sent again, in smaller pieces where the line is bad: each piece
//! is a frame that must come through whole. Nothing here waits, reads a clock or allocates.

mod receiver;
mod ring;
mod sender;

use crate::wire::Packet;
use receiver::Receiver;
use sender::Sender;

/// Bytes that may be on the way in each direction, and each end's memory for them.
pub const WINDOW: usize = 4096;

/// Milliseconds since any fixed time.
pub type Millis = u64;

/// An end that has nothing to say says so this often.
pub const HEARTBEAT: Millis = 500;

/// An end that has heard nothing for so long has lost the other one.
pub const SILENCE: Millis = 10_000;

/// The host asks again so often.
const OPEN_AGAIN: Millis = 50;

/// The device says at most so often that there is no link.
const RESET_AGAIN: Millis = 200;

/// What a frame takes on the line beside its stream bytes: ends, COBS, version, kind,
/// sequence, length, CRC.
const FRAME_OVERHEAD: usize = 15;

/// The time that adapters, drivers and programs add to the line's own.
const ADAPTERS: Millis = 60;

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Opens the link.
    Host,
    /// Answers.
    Device,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Opening { nonce: u32, asked: Option<Millis> },
    Open { nonce: u32 },
}

/// What a frame changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing but the streams.
    None,
    /// A link begins; what was read and written before is gone.
    Opened,
    /// The other end has no link any more.
    Closed,
}

/// Counts, for whoever wonders how good the line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pieces sent for the first time.
    pub sent: u32,
    /// Pieces sent again.
    pub sent_again: u32,
    /// Pieces received, new or not.
    pub received: u32,
}

/// One end of a link.
#[derive(Debug)]
pub struct Endpoint {
    role: Role,
    state: State,
    baud: u32,
    sender: Sender,
    receiver: Receiver,
    heard: Millis,
    spoke: Millis,
    owes_opened: bool,
    owes_reset: bool,
    owes_close: bool,
    reset_at: Option<Millis>,
    counts: Counts,
}

impl Endpoint {
    /// An end without a link, on a line of so many bits a second.
    pub fn new(role: Role, baud: u32) -> Self {
        Self {
            role,
            state: State::Closed,
            baud: baud.max(300),
            sender: Sender::new(),
            receiver: Receiver::new(),
            heard: 0,
            spoke: 0,
            owes_opened: false,
            owes_reset: false,
            owes_close: false,
            reset_at: None,
            counts: Counts::default(),
        }
    }

    /// The host begins a link; the nonce must be another than the last one.
    pub fn open(&mut self, nonce: u32, now: Millis) {
        self.restart();
        self.state = State::Opening { nonce, asked: None };
        self.heard = now;
    }

    /// Ends the link, and says so once.
    pub fn close(&mut self) {
        self.owes_close |= self.is_open();
        self.state = State::Closed;
    }

    /// Ends the link without a word: the line is gone.
    pub fn abandon(&mut self) {
        self.restart();
        self.state = State::Closed;
    }

    /// Ends a link on which nothing was heard for [`SILENCE`]; true where it just ended.
    pub fn expire(&mut self, now: Millis) -> bool {
        let silent = self.is_alive() && now.saturating_sub(self.heard) > SILENCE;
        if silent {
            self.state = State::Closed;
        }
        silent
    }

    /// Whether bytes go through.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Whether a link is being opened or is open.
    pub fn is_alive(&self) -> bool {
        self.state != State::Closed
    }

    /// Whether everything written was acknowledged: the other end's reader has it.
    pub fn is_settled(&self) -> bool {
        self.sender.base == self.sender.written
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes bytes to send, as many as there is room for.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.sender.write(bytes)
    }

    /// Room for bytes to send.
    pub fn room(&self) -> usize {
        self.sender.room()
    }

    /// Gives received bytes in order; 0 where there are none.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        self.receiver.read(out)
    }

    /// Takes a packet that came whole.
    pub fn receive(&mut self, packet: &Packet<'_>, now: Millis) -> Change {
        match (*packet, self.role, self.state) {
            (Packet::Open { nonce }, Role::Device, State::Open { nonce: known })
                if nonce == known =>
            {
                self.owes_opened = true;
            }
            (Packet::Open { nonce }, Role::Device, _) => {
                self.restart();
                self.state = State::Open { nonce };
                self.owes_opened = true;
                self.heard = now;
                return Change::Opened;
            }
            (Packet::Opened { nonce }, Role::Host, State::Opening { nonce: asked, .. })
                if nonce == asked =>
            {
                self.state = State::Open { nonce };
                self.heard = now;
                return Change::Opened;
            }
            (Packet::Data { sequence, bytes }, _, State::Open { .. }) => {
                self.counts.received = self.counts.received.wrapping_add(1);
                self.receiver.take(sequence, bytes);
            }
            (Packet::Ack { sequence }, _, State::Open { .. }) => {
                if !self.sender.acknowledged(sequence, now) {
                    // It counts bytes that were never sent: it means another link.
                    self.state = State::Closed;
                    self.owes_reset = self.role == Role::Device;
                    return Change::Closed;
                }
            }
            (Packet::Data { .. } | Packet::Ack { .. }, Role::Device, _) => self.owes_reset = true,
            (Packet::Reset | Packet::Close, _, State::Open { .. }) => {
                self.state = State::Closed;
                return Change::Closed;
            }
            // What belongs to a link that is over, or to the other role.
            _ => return Change::None,
        }
        self.heard = now;
        Change::None
    }

    /// A frame came whose version is another.
    pub fn receive_other_version(&mut self) {
        self.owes_reset |= self.role == Role::Device;
    }

    /// The next packet to send now, if any; to be asked until there is none, and again
    /// whenever something came, was written or a few milliseconds went by.
    pub fn next_packet(&mut self, now: Millis) -> Option<Packet<'_>> {
        if core::mem::take(&mut self.owes_close) {
            return Some(Packet::Close);
        }
        self.expire(now);
        match self.state {
            State::Closed => self.reset(now),
            State::Opening { nonce, asked } => {
                let due = asked.is_none_or(|asked| now.saturating_sub(asked) >= OPEN_AGAIN);
                due.then(|| {
                    let asked = Some(now);
                    self.state = State::Opening { nonce, asked };
                    Packet::Open { nonce }
                })
            }
            State::Open { nonce } => self.of_open_link(nonce, now),
        }
    }

    fn reset(&mut self, now: Millis) -> Option<Packet<'_>> {
        let soon = |at: Millis| now.saturating_sub(at) < RESET_AGAIN;
        if !core::mem::take(&mut self.owes_reset) || self.reset_at.is_some_and(soon) {
            return None;
        }
        self.reset_at = Some(now);
        Some(Packet::Reset)
    }

    fn of_open_link(&mut self, nonce: u32, now: Millis) -> Option<Packet<'_>> {
        if core::mem::take(&mut self.owes_opened) {
            self.spoke = now;
            return Some(Packet::Opened { nonce });
        }
        let silent = now.saturating_sub(self.spoke) >= HEARTBEAT;
        if core::mem::take(&mut self.receiver.owes_ack) || silent {
            self.spoke = now;
            let sequence = self.receiver.taken;
            return Some(Packet::Ack { sequence });
        }
        let patience = self.patience();
        let piece = self.sender.next_piece(now, patience)?;
        self.spoke = now;
        if piece.again {
            self.counts.sent_again = self.counts.sent_again.wrapping_add(1);
        } else {
            self.counts.sent = self.counts.sent.wrapping_add(1);
        }
        Some(Packet::Data {
            sequence: piece.sequence,
            bytes: self.sender.ring.slice(piece.sequence, piece.length),
        })
    }

    /// How long an acknowledgement may take: twice what is on the way takes on the line,
    /// and the adapters' own time.
    fn patience(&self) -> Millis {
        let flying = usize::from(self.sender.sent.wrapping_sub(self.sender.base));
        let pieces = flying.div_ceil(self.sender.piece) + 2;
        let bits = 10 * (flying + pieces * FRAME_OVERHEAD) as u64;
        ADAPTERS + 2 * 1000 * bits / u64::from(self.baud)
    }

    fn restart(&mut self) {
        self.sender = Sender::new();
        self.receiver = Receiver::new();
        self.spoke = 0;
        self.reset_at = None;
        self.owes_opened = false;
        self.owes_reset = false;
        self.owes_close = false;
    }
}

#[cfg(test)]
mod tests;
