//! Lines that hold each other: each ends in a hash over itself and the line before, so that
//! none can be changed, taken out or put in between unseen.
//!
//! `{...,"chain":"HASH"}`, where `HASH` is SHA-256 over the hash of the line before and the
//! bytes of this one up to `,"chain"`. Knows nothing of what a line says.

use sha2::{Digest, Sha256};

/// A line's hash.
pub(super) type Link = [u8; 32];

/// What the first line follows.
pub(super) const START: Link = [0; 32];

const MARK: &[u8] = b",\"chain\":\"";
const END: &[u8] = b"\"}\n";
const HEX: usize = 2 * size_of::<Link>();

fn link(before: &Link, body: &[u8]) -> Link {
    Sha256::new()
        .chain_update(before)
        .chain_update(body)
        .finalize()
        .into()
}

/// The line of a JSON object that follows `before`, and its hash.
pub(super) fn seal(before: &Link, mut object: Vec<u8>) -> (Vec<u8>, Link) {
    debug_assert_eq!(object.last(), Some(&b'}'));
    object.pop();
    let link = link(before, &object);
    object.extend_from_slice(MARK);
    object.extend_from_slice(hex(&link).as_bytes());
    object.extend_from_slice(END);
    (object, link)
}

/// A hash as it is written.
pub(super) fn hex(link: &Link) -> String {
    link.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_hex(text: &[u8]) -> Option<Link> {
    let text = std::str::from_utf8(text).ok()?;
    let mut link = START;
    for (byte, digits) in link.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    // `+1` is a number as well, and no hash.
    (hex(&link).as_bytes() == text.as_bytes()).then_some(link)
}

/// As many bytes at the end of a line hold its hash.
pub(super) const TAIL: usize = MARK.len() + HEX + END.len();

/// The hash that a line's last bytes say; `None` where they are damaged.
pub(super) fn written_in(tail: &[u8]) -> Option<Link> {
    of_hex(tail.strip_prefix(MARK)?.strip_suffix(END)?)
}

/// How many lines of ours these bytes hold: two, where the newline between them is damaged.
pub(super) fn lines_in(bytes: &[u8]) -> u64 {
    let marks = bytes.windows(MARK.len()).filter(|part| *part == MARK);
    (marks.count() as u64).max(1)
}

/// A walk along the lines of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chain {
    /// The last line's hash as it is written.
    written: Link,
    /// The last line's hash as its bytes give it: where only the written one was damaged,
    /// the next line still follows this one.
    found: Link,
}

impl Chain {
    pub fn new() -> Self {
        Self::after(START)
    }

    /// One that goes on after a line of this hash.
    pub fn after(before: Link) -> Self {
        Self {
            written: before,
            found: before,
        }
    }

    /// What the next line is to follow.
    pub fn end(&self) -> Link {
        self.written
    }

    /// The last line's hash as it is written, and as its bytes give it.
    pub fn links(&self) -> [Link; 2] {
        [self.written, self.found]
    }

    /// Goes on to a line, its newline included; whether it is whole and follows the last.
    pub fn follow(&mut self, line: &[u8]) -> bool {
        let (body, tail) = line.split_at(line.len().saturating_sub(TAIL));
        let written = written_in(tail);
        let befores = [self.written, self.found];
        self.found = link(&self.written, body);
        self.written = written.unwrap_or(self.found);
        written.is_some_and(|written| befores.iter().any(|b| link(b, body) == written))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<Vec<u8>> {
        let mut before = START;
        let line = |i| {
            let (line, link) = seal(&before, format!("{{\"i\":{i}}}").into_bytes());
            before = link;
            line
        };
        (0..count).map(line).collect()
    }

    fn broken(lines: &[Vec<u8>]) -> Vec<usize> {
        let mut chain = Chain::new();
        let whole: Vec<bool> = lines.iter().map(|line| chain.follow(line)).collect();
        (0..lines.len()).filter(|i| !whole[*i]).collect()
    }

    #[test]
    fn whole_lines_follow_each_other_and_are_json() {
        let lines = lines(3);
        assert_eq!(broken(&lines), [0_usize; 0]);
        let value: serde_json::Value = serde_json::from_slice(&lines[1]).unwrap();
        assert_eq!(value["i"], 1);
        assert_eq!(value["chain"].as_str().unwrap().len(), HEX);
    }

    #[test]
    fn every_flipped_bit_is_found_in_its_own_line() {
        let lines = lines(4);
        for at in 0..lines[1].len() - 1 {
            for bit in 0..8 {
                let mut spoilt = lines.clone();
                spoilt[1][at] ^= 1 << bit;
                assert_eq!(broken(&spoilt), [1], "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_line_taken_out_or_put_in_shows() {
        let lines = lines(4);
        let without: Vec<_> = [0, 2, 3].map(|i| lines[i].clone()).into();
        assert_eq!(broken(&without), [1]);
        let twice: Vec<_> = [0, 1, 1, 2, 3].map(|i| lines[i].clone()).into();
        assert_eq!(broken(&twice), [2]);
    }
}
