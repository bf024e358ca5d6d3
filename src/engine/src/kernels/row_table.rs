//! Where in memory each of an operator's rows lies: window partition and unpartition,
//! pixel shuffle, rows of a view. Folded into loads and stores, they cost no pass over
//! memory.
//!
//! A table is checked once, when it is made; a part of it shares its entries, so that a
//! plan that works in hundreds of groups holds them once.

use std::ops::Range;
use std::sync::Arc;

use super::ShapeError;

/// Marks a row of a [`RowTable`] that is not in memory: zeros on the way in, dropped on
/// the way out.
pub const NO_ROW: u32 = u32::MAX;

/// For each of an operator's rows, the row in memory.
#[derive(Debug, Clone)]
pub struct RowTable {
    entries: Arc<[u32]>,
    /// The part of them that this table is.
    part: Range<usize>,
    limit: usize,
    repeats: bool,
}

impl RowTable {
    /// A table into a memory of `limit` rows.
    ///
    /// # Errors
    /// Where an entry is neither below `limit` nor [`NO_ROW`].
    pub fn new(rows: Vec<u32>, limit: usize) -> Result<Self, ShapeError> {
        let mut seen = vec![false; limit];
        let mut repeats = false;
        for &row in rows.iter().filter(|&&row| row != NO_ROW) {
            let Some(seen) = seen.get_mut(row as usize) else {
                return Err(ShapeError {
                    what: "a row table's entry",
                    found: row as usize,
                    expected: limit,
                });
            };
            repeats |= std::mem::replace(seen, true);
        }
        Ok(Self::checked(rows, limit, repeats))
    }

    fn checked(rows: Vec<u32>, limit: usize, repeats: bool) -> Self {
        Self {
            part: 0..rows.len(),
            entries: rows.into(),
            limit,
            repeats,
        }
    }

    /// The table of these rows alone, into the same memory; `None` where there are fewer.
    #[must_use]
    pub fn part(&self, rows: Range<usize>) -> Option<Self> {
        self.rows().get(rows.clone())?;
        Some(Self {
            part: self.part.start + rows.start..self.part.start + rows.end,
            ..self.clone()
        })
    }

    /// Square windows of `side` over `batch` images of `height` by `width` rows, image by
    /// image, window by window, each row by row: the order of Hiera's window partition.
    /// Windows that reach over the right or lower edge hold [`NO_ROW`] there.
    #[must_use]
    pub fn windows(batch: usize, height: usize, width: usize, side: usize) -> Self {
        let side = side.max(1);
        let mut rows = Vec::new();
        for image in 0..batch {
            for top in (0..height).step_by(side) {
                for left in (0..width).step_by(side) {
                    for y in top..top + side {
                        rows.extend((left..left + side).map(|x| {
                            if y < height && x < width {
                                ((image * height + y) * width + x) as u32
                            } else {
                                NO_ROW
                            }
                        }));
                    }
                }
            }
        }
        Self::checked(rows, batch * height * width, false)
    }

    /// The rows that a transposed convolution with kernel 2 and stride 2 writes: for each
    /// input pixel of `batch` images of `height` by `width`, four output pixels, row by
    /// row. For an [`Output`](super::Output) with `groups: 4`.
    #[must_use]
    pub fn pixel_shuffle_2x2(batch: usize, height: usize, width: usize) -> Self {
        let mut rows = Vec::with_capacity(batch * height * width * 4);
        for y in 0..batch * height {
            for x in 0..width {
                for (dy, dx) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    rows.push(((2 * y + dy) * 2 * width + 2 * x + dx) as u32);
                }
            }
        }
        Self::checked(rows, batch * height * width * 4, false)
    }

    /// The number of the operator's rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.part.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.part.is_empty()
    }

    /// The entries.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.entries[self.part.clone()]
    }

    /// Rows of the memory that the entries point into.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether two rows share an entry.
    pub(super) fn repeats(&self) -> bool {
        self.repeats
    }

    pub(super) fn at(&self, row: usize) -> Option<usize> {
        let row = self.rows()[row];
        (row != NO_ROW).then_some(row as usize)
    }
}
