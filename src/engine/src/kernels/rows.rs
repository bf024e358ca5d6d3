//! Where an operator's rows come from and go to.
//!
//! Window partition, padding, unpartition, pooling order and pixel shuffle are all
//! [`RowTable`]s here: folded into loads and stores, they cost no pass over memory.

use super::ShapeError;
use super::aligned::LINE;
use super::isa::Isa;
use super::lanes::{load_from, store_to};
use super::row_table::RowTable;

/// Rows that an operator reads.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Row `i` starts at `i * stride`.
    Rows {
        /// The values.
        data: &'a [f32],
        /// Floats from one row to the next.
        stride: usize,
    },
    /// Row `i` starts at `table[i] * stride`, or is zeros.
    Gathered {
        /// The values.
        data: &'a [f32],
        /// Floats from one row to the next.
        stride: usize,
        /// The row in memory of each row.
        table: &'a RowTable,
    },
    /// Row `i` is the patch under output pixel `i` of a convolution.
    Patches(Patches<'a>),
}

/// Patches of images, as a convolution sees them: output pixels image by image, row by
/// row. What lies outside an image is zeros.
#[derive(Debug, Clone, Copy)]
pub struct Patches<'a> {
    /// The values.
    pub data: &'a [f32],
    /// Number of images.
    pub batch: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// The order of the values in memory and in a patch.
    pub order: PatchOrder,
    /// Height and width of a patch.
    pub kernel: [usize; 2],
    /// Steps from one patch to the next, down and right.
    pub stride: [usize; 2],
    /// Zeros above, left, below and right of an image.
    pub padding: [usize; 4],
}

/// The order of an image's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PatchOrder {
    /// Images `[batch][channel][y][x]`, patches `[channel][y][x]`: ONNX's order, so a
    /// convolution's weights `[output][channel][y][x]` serve as they are.
    ChannelsFirst,
    /// Images `[batch][y][x][channel]`, patches `[y][x][channel]`.
    ChannelsLast,
}

impl Patches<'_> {
    /// Height and width of the convolution's output.
    #[must_use]
    pub fn output_size(&self) -> [usize; 2] {
        let [top, left, bottom, right] = self.padding;
        let steps = |side: usize, kernel: usize, stride: usize| {
            (side + 1)
                .checked_sub(kernel)
                .map_or(0, |n| n.div_ceil(stride.max(1)))
        };
        [
            steps(self.height + top + bottom, self.kernel[0], self.stride[0]),
            steps(self.width + left + right, self.kernel[1], self.stride[1]),
        ]
    }

    /// Number of patches.
    #[must_use]
    pub fn rows(&self) -> usize {
        let [height, width] = self.output_size();
        self.batch * height * width
    }

    /// Values in a patch.
    #[must_use]
    pub fn depth(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Writes patch `row`.
    fn fill(&self, row: usize, patch: &mut [f32]) {
        let [height, width] = self.output_size();
        let (image, y, x) = (row / (height * width), row / width % height, row % width);
        let size = self.channels * self.height * self.width;
        let data = &self.data[image * size..][..size];
        let (top, left) = (y * self.stride[0], x * self.stride[1]);
        let [pad_top, pad_left, ..] = self.padding;
        // Columns of the patch that lie inside the image.
        let from = pad_left.saturating_sub(left).min(self.kernel[1]);
        let to = (self.width + pad_left)
            .saturating_sub(left)
            .clamp(from, self.kernel[1]);
        let first = (left + from).saturating_sub(pad_left);
        let inside = |ky: usize| (top + ky).checked_sub(pad_top).filter(|&y| y < self.height);
        // Values from one column to the next, in memory and in the patch.
        let (planes, step) = match self.order {
            PatchOrder::ChannelsFirst => (self.channels, 1),
            PatchOrder::ChannelsLast => (1, self.channels),
        };
        let mut lines = patch.chunks_exact_mut(self.kernel[1] * step);
        for plane in 0..planes {
            for ky in 0..self.kernel[0] {
                let Some(line) = lines.next() else { return };
                let Some(y) = inside(ky).filter(|_| from < to) else {
                    line.fill(0.0);
                    continue;
                };
                let start = ((plane * self.height + y) * self.width + first) * step;
                let (before, rest) = line.split_at_mut(from * step);
                let (middle, after) = rest.split_at_mut((to - from) * step);
                before.fill(0.0);
                middle.copy_from_slice(&data[start..start + middle.len()]);
                after.fill(0.0);
            }
        }
    }
}

impl Input<'_> {
    /// Refuses memory that does not hold `rows` rows of `depth` values.
    pub(super) fn check(&self, rows: usize, depth: usize) -> Result<(), ShapeError> {
        match self {
            Self::Rows { data, stride } => ShapeError::unless_at_least(
                "the input's length",
                data.len(),
                span(rows, *stride, depth),
            ),
            Self::Gathered {
                data,
                stride,
                table,
            } => {
                ShapeError::unless_equal("the input table's length", table.len(), rows)?;
                let expected = span(table.limit(), *stride, depth);
                ShapeError::unless_at_least("the input's length", data.len(), expected)
            }
            Self::Patches(patches) => {
                let size = patches.batch * patches.channels * patches.height * patches.width;
                ShapeError::unless_at_least("the images' length", patches.data.len(), size)?;
                ShapeError::unless_at_least(
                    "a patch's stride",
                    patches.stride[0].min(patches.stride[1]),
                    1,
                )?;
                ShapeError::unless_equal("a patch's length", patches.depth(), depth)?;
                ShapeError::unless_equal("the number of patches", patches.rows(), rows)
            }
        }
    }

    /// Row `row`: where it lies in memory, or written to `scratch`; `None` for zeros.
    pub(super) fn fetch<'s>(&'s self, row: usize, scratch: &'s mut [f32]) -> Option<&'s [f32]> {
        let depth = scratch.len();
        match self {
            Self::Rows { data, stride } => Some(&data[row * stride..][..depth]),
            Self::Gathered {
                data,
                stride,
                table,
            } => table.at(row).map(|row| &data[row * stride..][..depth]),
            Self::Patches(patches) => {
                patches.fill(row, scratch);
                Some(scratch)
            }
        }
    }
}

/// Rows that an operator writes.
///
/// Value `c` of row `i` goes to `i * row_stride + c * column_stride`: `[row][column]`
/// order has a `column_stride` of 1, `[column][row]` order (ONNX's channels first) a
/// `row_stride` of 1.
#[derive(Debug)]
pub struct Output<'a> {
    /// The values.
    pub data: &'a mut [f32],
    /// Floats from one row to the next.
    pub row_stride: usize,
    /// Floats from one value of a row to the next.
    pub column_stride: usize,
    /// The row in memory of each row; none twice.
    pub table: Option<&'a RowTable>,
    /// Into how many rows of memory each row is cut, evenly: its `g`-th part goes to the
    /// table's row `i * groups + g`. 1 where rows stay whole.
    pub groups: usize,
}

impl<'a> Output<'a> {
    /// Whole rows, one after the other.
    pub fn rows(data: &'a mut [f32], stride: usize) -> Self {
        Self {
            data,
            row_stride: stride,
            column_stride: 1,
            table: None,
            groups: 1,
        }
    }
}

/// What is added to the rows before they are written.
#[derive(Debug, Clone, Copy)]
pub enum Residual<'a> {
    /// Nothing.
    None,
    /// What the output holds.
    InPlace,
    /// Values laid out as the output.
    From(&'a [f32]),
}

/// An [`Output`] that several threads write, each its own rows or columns.
pub(super) struct Sink<'a> {
    data: *mut f32,
    row_stride: usize,
    column_stride: usize,
    table: Option<&'a RowTable>,
    groups: usize,
    group_width: usize,
    residual: Residual<'a>,
    /// Whether what is written to is in the cache already.
    near: bool,
    _data: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: `Sink::write` touches only the values of its row and columns, and its contract is that
// no two calls at one time are for the same.
unsafe impl Sync for Sink<'_> {}

impl<'a> Sink<'a> {
    /// Checks that `rows` rows of `width` values fit, and that no two share a place.
    pub(super) fn new(
        output: Output<'a>,
        residual: Residual<'a>,
        rows: usize,
        width: usize,
    ) -> Result<Self, ShapeError> {
        let Output {
            data,
            row_stride,
            column_stride,
            table,
            groups,
        } = output;
        ShapeError::unless_at_least("the output's groups", groups, 1)?;
        ShapeError::unless_equal(
            "the output's width over its groups, left",
            width % groups,
            0,
        )?;
        let group_width = width / groups;
        let targets = match table {
            Some(table) => {
                ShapeError::unless_equal("the output table's length", table.len(), rows * groups)?;
                ShapeError::unless_equal(
                    "repeated rows in the output table",
                    usize::from(table.repeats()),
                    0,
                )?;
                table.limit()
            }
            None => rows * groups,
        };
        let apart = if column_stride <= row_stride {
            ShapeError::unless_at_least(
                "the output's row stride",
                row_stride,
                span(group_width, column_stride, 1),
            )
        } else {
            ShapeError::unless_at_least(
                "the output's column stride",
                column_stride,
                span(targets, row_stride, 1),
            )
        };
        if targets > 1 && group_width > 1 {
            apart?;
        }
        ShapeError::unless_at_least("the output's strides", row_stride.min(column_stride), 1)?;
        let length = span(targets, row_stride, span(group_width, column_stride, 1));
        ShapeError::unless_at_least("the output's length", data.len(), length)?;
        if let Residual::From(values) = residual {
            ShapeError::unless_at_least("the residual's length", values.len(), length)?;
        }
        Ok(Self {
            data: data.as_mut_ptr(),
            row_stride,
            column_stride,
            table,
            groups,
            group_width,
            residual,
            near: false,
            _data: std::marker::PhantomData,
        })
    }

    /// Whole rows of `width` values, one after the other, in scratch memory.
    pub(super) fn block(data: &'a mut [f32], width: usize) -> Self {
        Self {
            data: data.as_mut_ptr(),
            row_stride: width,
            column_stride: 1,
            table: None,
            groups: 1,
            group_width: width,
            residual: Residual::None,
            near: true,
            _data: std::marker::PhantomData,
        }
    }

    /// Adds the residual and writes `values` as columns `column..` of row `row`.
    ///
    /// # Safety
    /// `row` and the columns are within what `new` checked, and no other thread is in
    /// here with the same row and a column of these.
    #[inline(always)]
    pub(super) unsafe fn write<I: Isa>(&self, isa: I, row: usize, column: usize, values: &[f32]) {
        // SAFETY of all blocks: handed on.
        if self.groups == 1 {
            if let Some(target) = self.target(row) {
                unsafe { self.write_run(isa, target, column, values) };
            }
            return;
        }
        let (mut column, mut values) = (column, values);
        while !values.is_empty() {
            let (group, within) = (column / self.group_width, column % self.group_width);
            let (now, later) = values.split_at(values.len().min(self.group_width - within));
            if let Some(target) = self.target(row * self.groups + group) {
                unsafe { self.write_run(isa, target, within, now) };
            }
            column += now.len();
            values = later;
        }
    }

    /// Asks for the cache lines where `width` values from `column` of row `row` will go, so
    /// that they come while the product is made.
    #[inline(always)]
    pub(super) fn prefetch<I: Isa>(&self, isa: I, row: usize, column: usize, width: usize) {
        if self.near || self.groups > 1 || self.column_stride != 1 {
            return;
        }
        if let Some(target) = self.target(row) {
            let start = self.data.wrapping_add(target * self.row_stride + column);
            for at in (0..width).step_by(LINE / size_of::<f32>()) {
                isa.prefetch_write(start.wrapping_add(at));
            }
        }
    }

    #[inline(always)]
    fn target(&self, row: usize) -> Option<usize> {
        match self.table {
            Some(table) => table.at(row),
            None => Some(row),
        }
    }

    /// # Safety
    /// As `write`: the run's places are in bounds and this thread's alone.
    #[inline(always)]
    unsafe fn write_run<I: Isa>(&self, isa: I, target: usize, column: usize, values: &[f32]) {
        let start = target * self.row_stride + column * self.column_stride;
        if self.column_stride != 1 {
            // SAFETY: handed on.
            return unsafe { self.write_apart(start, values) };
        }
        // SAFETY: in bounds, this thread's alone, and never seen as a slice by others.
        let to = unsafe { std::slice::from_raw_parts_mut(self.data.add(start), values.len()) };
        // The choice is made once: it stood in the loop, beside a load and a store.
        match self.residual {
            Residual::None => {
                for at in (0..values.len()).step_by(I::LANES) {
                    store_to(isa, load_from(isa, values, at, 0.0), to, at);
                }
            }
            Residual::InPlace => {
                for at in (0..values.len()).step_by(I::LANES) {
                    let before = load_from(isa, to, at, 0.0);
                    let value = isa.add(load_from(isa, values, at, 0.0), before);
                    store_to(isa, value, to, at);
                }
            }
            Residual::From(residual) => {
                let residual = &residual[start..][..values.len()];
                for at in (0..values.len()).step_by(I::LANES) {
                    let before = load_from(isa, residual, at, 0.0);
                    let value = isa.add(load_from(isa, values, at, 0.0), before);
                    store_to(isa, value, to, at);
                }
            }
        }
    }

    /// # Safety
    /// As `write`: the places are in bounds and this thread's alone.
    unsafe fn write_apart(&self, start: usize, values: &[f32]) {
        for (i, &value) in values.iter().enumerate() {
            let place = start + i * self.column_stride;
            // SAFETY: the contract.
            let to = unsafe { &mut *self.data.add(place) };
            *to = match self.residual {
                Residual::None => value,
                Residual::InPlace => *to + value,
                Residual::From(residual) => residual[place] + value,
            };
        }
    }
}

/// Values from the first of `count` runs of `length` to the end of the last.
fn span(count: usize, stride: usize, length: usize) -> usize {
    match count {
        0 => 0,
        count => (count - 1).saturating_mul(stride).saturating_add(length),
    }
}
