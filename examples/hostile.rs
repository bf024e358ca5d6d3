//! Hostile files against the decoder's child process, as the program itself uses it:
//! truncations at every 64 bytes of ten files, then so many mutated files.
//!
//! `hostile PROGRAM FOLDER COUNT` prints what became of them; it ends with an error where
//! an answer took longer than the deadline or this process was harmed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use medfocus::image;

/// Knuth's 64-bit linear congruential generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end.max(1)
    }
}

/// A few bytes set, a piece removed, doubled or zeroed: what disks and networks do, and
/// what a hand does that looks for a way in.
fn mutated(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..1 + chance.below(6) {
        let at = chance.below(changed.len());
        let end = (at + 1 + chance.below(64)).min(changed.len());
        match chance.below(5) {
            0 => drop(changed.drain(at..end)),
            1 => {
                let piece = changed[at..end].to_vec();
                drop(changed.splice(at..at, piece));
            }
            2 => changed[at..end].fill(0),
            3 => changed[at] = [0, 1, 0x7f, 0x80, 0xff][chance.below(5)],
            _ => changed[at] ^= 1 << chance.below(8),
        }
        if changed.is_empty() {
            break;
        }
    }
    changed
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, program, folder, count] = &arguments[..] else {
        return Err("hostile PROGRAM FOLDER COUNT".into());
    };
    image::isolate(Path::new(program));
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    // A folder of vectors has its tables beside them.
    files.retain(|path| path.extension().is_some_and(|end| end != "csv"));
    files.sort_by_key(|path| path.metadata().map_or(u64::MAX, |about| about.len()));
    let small: Vec<Vec<u8>> = files.iter().map(std::fs::read).collect::<Result<_, _>>()?;
    let path = std::env::temp_dir().join(format!("hostile-{}", std::process::id()));
    let (mut ends, mut slowest) = (BTreeMap::new(), Duration::ZERO);
    let mut read = |bytes: &[u8], ends: &mut BTreeMap<&'static str, u64>| {
        std::fs::write(&path, bytes).expect("a temporary file");
        let since = Instant::now();
        let word = image::read(&path).map_or_else(|refusal| refusal.code.word(), |_| "image");
        *ends.entry(word).or_default() += 1;
        slowest = slowest.max(since.elapsed());
    };
    for bytes in small.iter().take(10) {
        for length in (0..bytes.len()).step_by(64) {
            read(&bytes[..length], &mut ends);
        }
    }
    println!("cut at every 64 bytes: {ends:?}");
    let mut chance = Chance(20_261_124);
    let mut mutants = BTreeMap::new();
    for _ in 0..count.parse::<u64>()? {
        let bytes = &small[chance.below(small.len())];
        read(&mutated(bytes, &mut chance), &mut mutants);
    }
    println!("mutated: {mutants:?}; slowest {slowest:.1?}");
    std::fs::remove_file(&path)?;
    Ok(())
}
