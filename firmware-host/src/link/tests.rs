//! Two ends over a line with a clock of its own that loses and spoils bytes.

use super::*;
use crate::wire::DATA_LENGTH;
use crate::wire::{Run, Splitter, pack};
use proptest::prelude::*;
use std::vec::Vec;

/// A line of its own clock that drops and flips bytes, and delivers the others after a
/// byte's time each.
struct Line {
    /// Thousandths of the bytes that are dropped, and flipped.
    dropped: u32,
    flipped: u32,
    seed: u64,
}

impl Line {
    /// Splitmix64 (Steele, Lea and Flood, 2014).
    fn chance(&mut self) -> u32 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 33) as u32
    }

    fn carry(&mut self, byte: u8) -> Option<u8> {
        match self.chance() % 1000 {
            chance if chance < self.dropped => None,
            chance if chance < self.dropped + self.flipped => {
                Some(byte ^ (1 << (self.chance() % 8)))
            }
            _ => Some(byte),
        }
    }
}

struct End {
    endpoint: Endpoint,
    splitter: Splitter,
    received: Vec<u8>,
    opened: usize,
    on_the_line: u64,
}

impl End {
    fn new(role: Role, baud: u32) -> Self {
        Self {
            endpoint: Endpoint::new(role, baud),
            splitter: Splitter::default(),
            received: Vec::new(),
            opened: 0,
            on_the_line: 0,
        }
    }

    fn hear(&mut self, byte: u8, now: Millis) {
        let Some(Run::Frame(Ok(packet))) = self.splitter.push(byte) else {
            return;
        };
        if self.endpoint.receive(&packet, now) == Change::Opened {
            self.opened += 1;
        }
        let mut bytes = [0; 100];
        loop {
            let count = self.endpoint.read(&mut bytes);
            if count == 0 {
                return;
            }
            self.received.extend_from_slice(&bytes[..count]);
        }
    }

    /// Sends what is due in this millisecond, as much as the line takes.
    fn speak(&mut self, other: &mut End, line: &mut Line, now: Millis, budget: u64) {
        let mut said = 0;
        while said < budget {
            let Some(packet) = self.endpoint.next_packet(now) else {
                return;
            };
            let wire = pack(&packet).unwrap();
            said += wire.len() as u64;
            self.on_the_line += wire.len() as u64;
            for byte in wire.iter().filter_map(|byte| line.carry(*byte)) {
                other.hear(byte, now);
            }
        }
    }
}

/// Sends `up` and `down` over the line; gives the ends and the milliseconds it took.
fn exchange(up: &[u8], down: &[u8], line: &mut Line, baud: u32) -> (End, End, Millis) {
    let (mut host, mut device) = (End::new(Role::Host, baud), End::new(Role::Device, baud));
    host.endpoint.open(7, 0);
    let (mut sent_up, mut sent_down) = (0, 0);
    let per_ms = u64::from(baud) / 10_000;
    for now in 0..10_000_000 {
        if host.endpoint.is_open() {
            sent_up += host.endpoint.write(&up[sent_up..]);
        }
        if device.endpoint.is_open() {
            sent_down += device.endpoint.write(&down[sent_down..]);
        }
        host.speak(&mut device, line, now, per_ms);
        device.speak(&mut host, line, now, per_ms);
        let done = device.received.len() == up.len() && host.received.len() == down.len();
        if done && host.endpoint.is_settled() && device.endpoint.is_settled() {
            return (host, device, now);
        }
        assert!(now < 1000 || host.endpoint.is_alive(), "silence at {now}");
    }
    panic!("never done");
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * at + at / 7) as u8).collect()
}

#[test]
fn a_good_line_is_filled_and_nothing_is_sent_again() {
    let up = bytes(300_000);
    let mut line = Line {
        dropped: 0,
        flipped: 0,
        seed: 1,
    };
    let (host, device, _) = exchange(&up, b"", &mut line, 115_200);
    assert_eq!(device.received, up);
    assert_eq!(host.endpoint.counts().sent_again, 0);
    let share = up.len() as f64 / host.on_the_line as f64;
    assert!(share > 0.95, "{share}");
}

#[test]
fn one_byte_in_ten_lost_and_one_in_a_hundred_spoilt() {
    let (up, down) = (bytes(3_000), bytes(9_000));
    for seed in 0..3 {
        let mut line = Line {
            dropped: 100,
            flipped: 10,
            seed,
        };
        let (host, device, _) = exchange(&up, &down, &mut line, 1_000_000);
        assert_eq!(device.received, up, "seed {seed}");
        assert_eq!(host.received, down, "seed {seed}");
        assert_eq!((host.opened, device.opened), (1, 1));
    }
}

#[test]
fn a_line_that_recovers_is_used_with_long_pieces_again() {
    let (mut host, mut device) = (End::new(Role::Host, 115_200), End::new(Role::Device, 9600));
    host.endpoint.open(1, 0);
    let up = bytes(400_000);
    let (mut sent, mut now) = (0, 0);
    while device.received.len() < up.len() {
        let bad = now < 3000;
        let mut line = Line {
            dropped: if bad { 50 } else { 0 },
            flipped: 0,
            seed: now,
        };
        if host.endpoint.is_open() {
            sent += host.endpoint.write(&up[sent..]);
        }
        host.speak(&mut device, &mut line, now, 11);
        device.speak(&mut host, &mut line, now, 11);
        now += 1;
        assert!(now < 1_000_000);
    }
    assert_eq!(device.received, up);
    assert_eq!(host.endpoint.sender.piece, DATA_LENGTH);
}

#[test]
fn a_restarted_end_is_noticed() {
    let mut line = Line {
        dropped: 0,
        flipped: 0,
        seed: 1,
    };
    let (mut host, _, now) = exchange(b"hello", b"", &mut line, 115_200);
    let mut device = End::new(Role::Device, 115_200);
    host.endpoint.write(b"who are you");
    host.speak(&mut device, &mut line, now, 100);
    device.speak(&mut host, &mut line, now, 100);
    assert!(
        !host.endpoint.is_alive(),
        "the device says that it has no link"
    );
    host.endpoint.open(8, now);
    host.speak(&mut device, &mut line, now, 100);
    device.speak(&mut host, &mut line, now, 100);
    assert!(host.endpoint.is_open());
    assert_eq!(device.opened, 1);
    // A repeated opening, as when the device's answer was lost, changes nothing.
    host.endpoint.write(b"abc");
    host.speak(&mut device, &mut line, now, 100);
    device.endpoint.receive(&Packet::Open { nonce: 8 }, now);
    assert_eq!(
        (device.opened, device.received.as_slice()),
        (1, b"abc".as_slice())
    );
    let nobody = now + SILENCE + 1;
    assert_eq!(device.endpoint.next_packet(nobody), None);
    assert!(!device.endpoint.is_alive(), "silence ends a link");
}

#[test]
fn a_reader_that_sleeps_is_waited_for() {
    let mut receiver = Receiver::new();
    receiver.take(0, &[1; WINDOW]);
    receiver.take(WINDOW as u16, &[2; 10]);
    let mut out = [0; WINDOW + 10];
    assert_eq!(
        receiver.read(&mut out),
        WINDOW,
        "what had no room is sent again"
    );
    assert_eq!(receiver.taken, WINDOW as u16);
}

proptest! {
    /// Whatever comes, in whatever order: no panic, and never a byte out of order.
    #[test]
    fn any_packets_do_no_harm(
        packets in prop::collection::vec((0..6_u8, any::<u16>(), 1..DATA_LENGTH), 0..60),
    ) {
        for role in [Role::Host, Role::Device] {
            let mut endpoint = Endpoint::new(role, 115_200);
            endpoint.open(1, 0);
            endpoint.write(&[7; 1000]);
            let bytes = [9; DATA_LENGTH];
            for (now, (kind, number, length)) in (0_u64..).zip(&packets) {
                let (nonce, sequence) = (u32::from(*number % 3), *number);
                let packet = match kind {
                    0 => Packet::Open { nonce },
                    1 => Packet::Opened { nonce },
                    2 => Packet::Data { sequence, bytes: &bytes[..*length] },
                    3 => Packet::Ack { sequence: sequence % 2000 },
                    4 => Packet::Reset,
                    _ => Packet::Close,
                };
                endpoint.receive(&packet, now * 100);
                for _ in 0..5 {
                    let _ = endpoint.next_packet(now * 100);
                }
                let mut out = [0; 64];
                let count = endpoint.read(&mut out);
                prop_assert!(out[..count].iter().all(|byte| *byte == 9));
            }
        }
    }
}
