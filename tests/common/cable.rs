//! A serial cable between two pseudo-terminals that loses, flips and delays bytes, as
//! smoltcp's fault injector does it for networks: seeded, so that a failure comes again.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::pty;

/// What the cable does to bytes.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Bytes in a thousand that vanish.
    pub dropped: u32,
    /// Bytes in a thousand of which one bit is flipped.
    pub flipped: u32,
    /// Bits a second, ten to a byte; a pseudo-terminal itself has no rate.
    pub baud: Option<u32>,
    /// Of the choices.
    pub seed: u64,
}

/// A cable that does nothing to bytes.
pub const GOOD: Quality = Quality {
    dropped: 0,
    flipped: 0,
    baud: None,
    seed: 0,
};

/// Carries bytes between the paths `left` and `right` in the folder until it is dropped.
pub struct Cable {
    ended: Arc<AtomicBool>,
    /// Bytes that were sent into each end, left and right.
    pub carried: [Arc<AtomicU64>; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Cable {
    /// Lays a cable.
    pub fn lay(folder: &Path, quality: Quality) -> Self {
        let (left, left_kept) = pty::pair(&folder.join("left"));
        let (right, right_kept) = pty::pair(&folder.join("right"));
        let (left_out, right_out) = (left.again(), right.again());
        let ended = Arc::new(AtomicBool::new(false));
        let carried = [Arc::<AtomicU64>::default(), Arc::default()];
        let carry = |from: pty::End, to: pty::End, kept, count: &Arc<AtomicU64>, seed| {
            let (ended, count) = (Arc::clone(&ended), Arc::clone(count));
            std::thread::spawn(move || {
                // Held so that an end may be closed and opened again.
                let _kept = kept;
                carry(from, to, Quality { seed, ..quality }, &ended, &count);
            })
        };
        let threads = vec![
            carry(left, right_out, left_kept, &carried[0], quality.seed),
            carry(right, left_out, right_kept, &carried[1], !quality.seed),
        ];
        Self {
            ended,
            carried,
            threads,
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn carry(
    mut from: pty::End,
    mut to: pty::End,
    quality: Quality,
    ended: &AtomicBool,
    count: &AtomicU64,
) {
    let mut chance = Chance(quality.seed);
    let mut bytes = [0; 256];
    // When the line is free again.
    let mut free = Instant::now();
    while !ended.load(Ordering::Relaxed) {
        let Ok(length) = from.read(&mut bytes) else {
            continue;
        };
        count.fetch_add(length as u64, Ordering::Relaxed);
        if let Some(baud) = quality.baud {
            let takes = Duration::from_secs_f64(10.0 * length as f64 / f64::from(baud));
            free = free.max(Instant::now()) + takes;
            std::thread::sleep(free.saturating_duration_since(Instant::now()));
        }
        let came: Vec<u8> = bytes[..length]
            .iter()
            .filter_map(|byte| match chance.next() % 1000 {
                n if n < quality.dropped => None,
                n if n < quality.dropped + quality.flipped => {
                    Some(byte ^ (1 << (chance.next() % 8)))
                }
                _ => Some(*byte),
            })
            .collect();
        // An end that nobody reads loses bytes, as an adapter does.
        let _ = to.write_all(&came);
    }
}

/// Splitmix64 (Steele, Lea and Flood, 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z >> 33) as u32
    }
}
