//! A file in memory: what is read of it, and what of that is on the disk.

use super::Chance;

/// A disk writes so many bytes whole or not at all.
const BLOCK: usize = 512;

/// A file, whatever it is called.
#[derive(Debug, Default, Clone)]
pub(super) struct Inode {
    pub bytes: Vec<u8>,
    /// What is on the disk.
    pub lasting: Vec<u8>,
    /// What is not, byte by byte.
    pub dirty: Vec<bool>,
    pub modified: jiff::Timestamp,
    pub changes: u64,
}

impl Inode {
    pub fn sync(&mut self) {
        self.lasting.resize(self.bytes.len(), 0);
        for (at, dirty) in self.dirty.iter_mut().enumerate() {
            if std::mem::take(dirty) {
                self.lasting[at] = self.bytes[at];
            }
        }
    }

    pub fn write(&mut self, bytes: &[u8], at: usize, now: jiff::Timestamp) {
        let end = (at + bytes.len()).max(self.bytes.len());
        self.resize(end);
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        self.dirty[at..at + bytes.len()].fill(true);
        (self.modified, self.changes) = (now, self.changes + 1);
    }

    pub fn resize(&mut self, length: usize) {
        self.bytes.resize(length, 0);
        self.dirty.resize(length, true);
    }

    /// Of what is not on the disk, some blocks came to be.
    pub fn cut(&mut self, chance: &mut Chance) {
        let (old, new) = (self.lasting.len(), self.bytes.len());
        let length = match chance.below(3) {
            0 => old,
            1 => new,
            _ => old.min(new) + chance.below(old.abs_diff(new) as u64 + 1) as usize,
        };
        self.lasting.resize(length, 0);
        for begin in (0..length).step_by(BLOCK) {
            if chance.once_in(2) {
                for at in begin..(begin + BLOCK).min(length).min(new) {
                    if self.dirty[at] {
                        self.lasting[at] = self.bytes[at];
                    }
                }
            }
        }
        self.bytes.clone_from(&self.lasting);
        self.dirty = vec![false; length];
        self.changes += 1;
    }
}
