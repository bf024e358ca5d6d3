//! Lookup tables: an item or a palette's attributes come in, a table of whole entries comes out
//! (PS3.3, C.11.1.1, C.7.6.3.1.5; segmented ones, C.7.9.2, are expanded).
//!
//! Called by `rendering`. Never gives a table that has fewer entries than its descriptor says.

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::InMemDicomObject;

/// A lookup table.
#[derive(Debug)]
pub(super) struct Lut {
    /// The value that the first entry is of.
    first: f64,
    /// Bits of an entry, as the descriptor says them.
    bits: u32,
    entries: Vec<u16>,
}

impl Lut {
    /// The table of an item of a Modality or VOI LUT Sequence.
    pub fn of_item(item: &InMemDicomObject, name: &str) -> Result<Self, String> {
        let descriptor = Descriptor::of(item, tags::LUT_DESCRIPTOR, name)?;
        let bytes =
            bytes_of(item, tags::LUT_DATA).ok_or_else(|| format!("the {name} has no entries"))?;
        descriptor.table(descriptor.entries(&bytes), name)
    }

    /// One of the three tables of a palette, by the tags of its descriptor, its entries and its
    /// segments.
    pub fn of_palette(
        object: &InMemDicomObject,
        [descriptor, data, segments]: [Tag; 3],
    ) -> Result<Self, String> {
        let name = "colour table";
        let descriptor = Descriptor::of(object, descriptor, name)?;
        let entries = match (bytes_of(object, data), bytes_of(object, segments)) {
            (Some(bytes), _) => descriptor.entries(&bytes),
            (None, Some(bytes)) => expanded(&descriptor.words(&bytes), descriptor.word_size())
                .ok_or("the colour table's segments are damaged")?,
            (None, None) => return Err(format!("the {name} has no entries")),
        };
        descriptor.table(entries, name)
    }

    /// The entry for a value; values on either side get the nearest one.
    pub fn at(&self, value: f64) -> f64 {
        let index = (value - self.first).clamp(0.0, (self.entries.len() - 1) as f64);
        self.entries[index as usize].into()
    }

    fn largest(&self) -> u16 {
        self.entries.iter().copied().max().unwrap_or(0)
    }
}

/// The largest entry that tables of one depth can have.
pub(super) fn top(tables: &[Lut]) -> f64 {
    let said = tables.iter().map(|table| table.bits).max().unwrap_or(16);
    let largest = tables.iter().map(Lut::largest).max().unwrap_or(0);
    let used = u16::BITS - largest.leading_zeros();
    // Many writers say 16 bits and use 8, or the other way round.
    let bits = if used > said || (said == 16 && used <= 8) {
        used.max(8)
    } else {
        said
    };
    f64::from((1u32 << bits) - 1)
}

fn bytes_of(object: &InMemDicomObject, tag: Tag) -> Option<Vec<u8>> {
    let bytes = object.get(tag)?.to_bytes().ok()?.into_owned();
    (!bytes.is_empty()).then_some(bytes)
}

/// What a table's descriptor says.
struct Descriptor {
    count: usize,
    first: i32,
    bits: u32,
}

impl Descriptor {
    fn of(object: &InMemDicomObject, tag: Tag, name: &str) -> Result<Self, String> {
        let numbers = object.get(tag).and_then(|e| e.to_multi_int::<i32>().ok());
        let Some(&[count, first, bits]) = numbers.as_deref() else {
            return Err(format!("the {name}'s descriptor has no three numbers"));
        };
        if !(1..=16).contains(&bits) {
            return Err(format!("the {name} has entries of {bits} bits"));
        }
        Ok(Self {
            // 0 stands for 65536, which 16 bits cannot hold.
            count: match count & 0xffff {
                0 => 1 << 16,
                count => count as usize,
            },
            first,
            bits: bits as u32,
        })
    }

    /// Entries of two bytes, or of one where there are not enough bytes for that.
    fn entries(&self, bytes: &[u8]) -> Vec<u16> {
        if bytes.len() < 2 * self.count {
            bytes.iter().map(|&byte| byte.into()).collect()
        } else {
            pairs(bytes)
        }
    }

    /// Bytes that one word of a segment has.
    fn word_size(&self) -> usize {
        if self.bits <= 8 { 1 } else { 2 }
    }

    fn words(&self, bytes: &[u8]) -> Vec<u16> {
        match self.word_size() {
            1 => bytes.iter().map(|&byte| byte.into()).collect(),
            _ => pairs(bytes),
        }
    }

    fn table(&self, mut entries: Vec<u16>, name: &str) -> Result<Lut, String> {
        if entries.len() < self.count {
            return Err(format!(
                "the {name} holds {} of {} entries",
                entries.len(),
                self.count
            ));
        }
        entries.truncate(self.count);
        Ok(Lut {
            first: self.first.into(),
            bits: self.bits,
            entries,
        })
    }
}

fn pairs(bytes: &[u8]) -> Vec<u16> {
    let pairs = bytes.chunks_exact(2);
    pairs.map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
}

/// No table has more entries.
const MOST: usize = 1 << 16;

/// The entries that segments stand for; `None` where they are damaged.
fn expanded(words: &[u16], word_size: usize) -> Option<Vec<u16>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let opcode = words[at];
        // A byte that fills up to an even length.
        if word_size == 1 && at + 1 == words.len() && opcode == 0 {
            break;
        }
        at = match opcode {
            INDIRECT => {
                let count = *words.get(at + 1)?;
                let parts = 4 / word_size;
                let place = words.get(at + 2..at + 2 + parts)?;
                let bits = 8 * word_size as u32;
                let offset = place
                    .iter()
                    .rev()
                    .fold(0, |all, &word| all << bits | usize::from(word));
                let mut from = offset / word_size;
                for _ in 0..count {
                    from = segment(words, from, &mut entries)?;
                }
                at + 2 + parts
            }
            _ => segment(words, at, &mut entries)?,
        };
    }
    Some(entries)
}

const DISCRETE: u16 = 0;
const LINEAR: u16 = 1;
const INDIRECT: u16 = 2;

/// One discrete or linear segment: where the next begins.
fn segment(words: &[u16], at: usize, entries: &mut Vec<u16>) -> Option<usize> {
    let (opcode, length) = (*words.get(at)?, usize::from(*words.get(at + 1)?));
    if length == 0 || entries.len() + length > MOST {
        return None;
    }
    match opcode {
        DISCRETE => {
            entries.extend_from_slice(words.get(at + 2..at + 2 + length)?);
            Some(at + 2 + length)
        }
        LINEAR => {
            let (from, to) = (f64::from(*entries.last()?), f64::from(*words.get(at + 2)?));
            let step = (to - from) / length as f64;
            let points = (1..=length).map(|i| (from + step * i as f64).round_ties_even() as u16);
            entries.extend(points);
            Some(at + 3)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(bits: u32, entries: &[u16]) -> Lut {
        Lut {
            first: 0.0,
            bits,
            entries: entries.to_vec(),
        }
    }

    #[test]
    fn depth_is_of_all_tables_together() {
        for (said, largest, top_of_all) in [
            (16, [65535, 65535, 255], 65535.0),
            (16, [255, 200, 10], 255.0),
            (16, [300, 200, 10], 65535.0),
            (8, [65535, 0, 0], 65535.0),
            (8, [255, 255, 0], 255.0),
        ] {
            let tables = largest.map(|value| table(said, &[0, value]));
            assert_eq!(top(&tables), top_of_all, "{said} {largest:?}");
        }
    }

    #[test]
    fn segments_are_expanded_as_the_standard_says() {
        for (words, size, entries) in [
            (&[0u16, 2, 7, 9][..], 2, Some(vec![7u16, 9])),
            (&[0, 1, 0, 1, 4, 8], 2, Some(vec![0, 2, 4, 6, 8])),
            (&[0, 1, 8, 1, 2, 5], 2, Some(vec![8, 6, 5])),
            // The two segments again, by their place in bytes.
            (
                &[0, 1, 0, 1, 2, 4, 2, 2, 0, 0],
                2,
                Some(vec![0, 2, 4, 0, 2, 4]),
            ),
            (&[0, 1, 5, 2, 1, 0, 0, 0, 0], 1, Some(vec![5, 5])),
            (&[0, 1, 5, 0], 1, Some(vec![5])),
            (&[1, 4, 8], 2, None),
            (&[0, 3, 1, 2], 2, None),
            (&[3, 1, 1], 2, None),
            (&[0, 0], 2, None),
            (&[0, 1, 5, 2, 1, 6, 0], 2, None),
            (&[0, 1, 5, 2, 1, 99, 0], 2, None),
        ] {
            assert_eq!(expanded(words, size), entries, "{words:?}");
        }
        let endless = [&[0u16, 1, 5][..], &[1, 60_000, 9], &[1, 60_000, 9]].concat();
        assert_eq!(expanded(&endless, 2), None);
    }
}
