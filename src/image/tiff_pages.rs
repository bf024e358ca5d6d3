//! The pictures of a TIFF (TIFF 6.0, BigTIFF, and its first supplement's trees of
//! directories). Its directories are walked and nothing is decoded.
//!
//! A directory that says that it is a smaller copy of another, or a mask, is no picture of
//! its own. The general decoder only ever reads the first directory, so that another
//! picture is shown to it as a file whose head names another place.

use std::borrow::Cow;
use std::collections::HashSet;

/// Directories that are walked; a file of this size has fewer.
const MOST: usize = 1 << 16;

const NEW_SUBFILE_TYPE: u16 = 254;
const SUBFILE_TYPE: u16 = 255;
const PHOTOMETRIC: u16 = 262;
const SUB_DIRECTORIES: u16 = 330;
const DNG_VERSION: u16 = 50706;

/// What the directories say.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pages {
    /// Where the directory of each picture lies.
    pub places: Vec<u64>,
    /// Whether it is a camera's raw image in the clothes of a TIFF.
    pub is_raw: bool,
}

/// The file's pictures.
///
/// # Errors
/// What is wrong with its directories.
pub(super) fn list(bytes: &[u8]) -> Result<Pages, &'static str> {
    let file = Tiff::of(bytes).ok_or(CUT)?;
    let mut walk = Walk {
        file: &file,
        seen: HashSet::new(),
        whole: Vec::new(),
        smaller: Vec::new(),
        is_raw: file.bytes.get(8..10) == Some(b"CR"),
    };
    walk.chain(file.offset(file.head.first).ok_or(CUT)?, true)?;
    let Walk {
        whole,
        smaller,
        is_raw,
        ..
    } = walk;
    // Where all say that they are copies, there is nothing that they are copies of.
    let places = if whole.is_empty() { smaller } else { whole };
    if places.is_empty() {
        return Err("it has no directory");
    }
    Ok(Pages { places, is_raw })
}

/// The file with this directory as its first.
pub(super) fn with_first(bytes: &[u8], place: u64) -> Cow<'_, [u8]> {
    let Some(file) = Tiff::of(bytes) else {
        return Cow::Borrowed(bytes);
    };
    if file.offset(file.head.first) == Some(place) {
        return Cow::Borrowed(bytes);
    }
    let size = file.head.offset;
    let mut changed = bytes.to_vec();
    let little = place.to_le_bytes();
    let target = &mut changed[file.head.first..file.head.first + size];
    target.copy_from_slice(&little[..size]);
    if file.is_big_endian {
        target.reverse();
    }
    Cow::Owned(changed)
}

const CUT: &str = "its directories end too early";
const CIRCLE: &str = "its directories go in a circle";

/// Sizes that differ between TIFF and BigTIFF, in bytes.
struct Sizes {
    /// Where the first directory's place stands.
    first: usize,
    /// Of a place in the file.
    offset: usize,
    /// Of the number of fields in a directory.
    count: usize,
    /// Of a field.
    field: usize,
}

const CLASSIC: Sizes = Sizes {
    first: 4,
    offset: 4,
    count: 2,
    field: 12,
};
const BIG: Sizes = Sizes {
    first: 8,
    offset: 8,
    count: 8,
    field: 20,
};

struct Tiff<'a> {
    bytes: &'a [u8],
    is_big_endian: bool,
    head: Sizes,
}

impl<'a> Tiff<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (is_big_endian, head) = match bytes.get(..4)? {
            b"II*\0" => (false, CLASSIC),
            b"MM\0*" => (true, CLASSIC),
            b"II+\0" => (false, BIG),
            b"MM\0+" => (true, BIG),
            _ => return None,
        };
        Some(Self {
            bytes,
            is_big_endian,
            head,
        })
    }

    /// An unsigned number of so many bytes, 8 at most.
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(if self.is_big_endian {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        })
    }

    fn offset(&self, at: usize) -> Option<u64> {
        self.number(at, self.head.offset)
    }

    /// The numbers that a field holds, whichever unsigned type they have.
    fn values(&self, field: usize) -> Option<Vec<u64>> {
        let size = match self.number(field + 2, 2)? {
            1 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            _ => return Some(Vec::new()),
        };
        let count = usize::try_from(self.number(field + 4, self.head.offset)?).ok()?;
        let length = count.checked_mul(size)?;
        let own = field + 4 + self.head.offset;
        let start = match length <= self.head.offset {
            true => own,
            false => usize::try_from(self.offset(own)?).ok()?,
        };
        // Checked before anything is kept of it: the count may be a lie.
        self.bytes.get(start..start.checked_add(length)?)?;
        (0..count)
            .map(|i| self.number(start + i * size, size))
            .collect()
    }
}

struct Walk<'a> {
    file: &'a Tiff<'a>,
    seen: HashSet<u64>,
    whole: Vec<u64>,
    smaller: Vec<u64>,
    is_raw: bool,
}

impl Walk<'_> {
    /// The directories from here on, and those within them.
    fn chain(&mut self, mut place: u64, may_nest: bool) -> Result<(), &'static str> {
        while place != 0 {
            if self.seen.len() == MOST || !self.seen.insert(place) {
                return Err(CIRCLE);
            }
            place = self.directory(place, may_nest).ok_or(CUT)??;
        }
        Ok(())
    }

    /// Notes what a directory says; the place of the next.
    fn directory(&mut self, place: u64, may_nest: bool) -> Option<Result<u64, &'static str>> {
        const REDUCED: u64 = 1;
        const MASK: u64 = 4;
        let (file, head) = (self.file, &self.file.head);
        let start = usize::try_from(place).ok()?;
        let count = usize::try_from(file.number(start, head.count)?).ok()?;
        let first = start.checked_add(head.count)?;
        let next = first.checked_add(count.checked_mul(head.field)?)?;
        let next_place = file.offset(next)?;
        let (mut is_copy, mut within) = (false, Vec::new());
        for field in (first..next).step_by(head.field) {
            let tag = file.number(field, 2)?;
            let value = |number: u64| {
                let values = file.values(field)?;
                Some(values.first().is_some_and(|value| value & number != 0))
            };
            match tag as u16 {
                NEW_SUBFILE_TYPE => is_copy |= value(REDUCED | MASK)?,
                SUBFILE_TYPE => is_copy |= file.values(field)?.first() == Some(&2),
                SUB_DIRECTORIES => within = file.values(field)?,
                PHOTOMETRIC => {
                    // A colour filter array, or linear raw.
                    let value = file.values(field)?.first().copied();
                    self.is_raw |= matches!(value, Some(32803 | 34892));
                }
                DNG_VERSION => self.is_raw = true,
                _ => {}
            }
        }
        let list = if is_copy {
            &mut self.smaller
        } else {
            &mut self.whole
        };
        list.push(place);
        if may_nest {
            for place in within {
                if let Err(error) = self.chain(place, false) {
                    return Some(Err(error));
                }
            }
        }
        Some(Ok(next_place))
    }
}
