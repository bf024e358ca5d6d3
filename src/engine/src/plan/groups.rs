//! Windowed attention, group of windows by group.
//!
//! The product before a windowed attention makes three values for each one that comes in,
//! and all of them would pass through memory twice. Windows do not see each other, so the
//! chain (product, pooled queries, attention, product) runs for a few windows at a time:
//! what passes between stays in the cache, and the arena need only hold one group's. Rows
//! that only fill up a window at the image's edge are not multiplied: zeros come to the
//! bias, and nobody reads what they attend to.

use std::ops::Range;

use super::elementwise::{Shared, Unary};
use super::lower::Lowered;
use super::step::{Added, Place, Product, RowsRead, Step, Work};
use super::view::View;
use crate::kernels::{Activation, NO_ROW, RowTable};

/// Bytes of the first product's output that one group may make: about what the caches
/// next to a core hold.
const GROUP_BYTES: usize = 3 << 19;

/// Cuts every such chain into groups.
pub(super) fn cut(mut lowered: Lowered) -> Lowered {
    let mut steps = Vec::with_capacity(lowered.steps.len());
    let mut at = 0;
    while at < lowered.steps.len() {
        let Some(chain) = Chain::at(&lowered, at) else {
            steps.push(lowered.steps[at].clone());
            at += 1;
            continue;
        };
        at += chain.steps.len();
        let Some(groups) = chain.groups(&mut lowered.buffers) else {
            steps.extend(chain.steps);
            continue;
        };
        steps.extend(groups);
    }
    lowered.steps = steps;
    lowered
}

/// Windows whose chain runs at once.
struct Group {
    windows: Range<usize>,
    /// Of a padded window, which stands alone, the rows of the image.
    held: Option<Vec<usize>>,
}

/// A first product, perhaps a pool, an attention and a last product, one after the other,
/// whose inner buffers nothing else reads.
struct Chain {
    steps: Vec<Step>,
    windows: usize,
}

impl Chain {
    fn at(lowered: &Lowered, at: usize) -> Option<Self> {
        let steps = &lowered.steps[at..];
        let pooled = matches!(steps.get(1)?.work, Work::MaxPool(_));
        let count = if pooled { 4 } else { 3 };
        let steps = steps.get(..count)?;
        let (Work::Product(first), Work::Attention(attention), Work::Product(last)) = (
            &steps[0].work,
            &steps[count - 2].work,
            &steps[count - 1].work,
        ) else {
            return None;
        };
        let windows = attention.shape.batch;
        let whole = |rows: usize| windows > 1 && rows.is_multiple_of(windows);
        let alone = steps[..count - 1].iter().all(|step| {
            let reads = |other: &&Step| other.reads.contains(&Place::Buffer(step.writes));
            let inside = steps.iter().filter(reads).count();
            let all = lowered.steps.iter().filter(reads).count();
            let kept = lowered
                .outputs
                .iter()
                .any(|(p, _)| *p == Place::Buffer(step.writes));
            inside == all && !kept
        });
        let fits = whole(first.rows)
            && whole(last.rows)
            && first.residual == Added::Nothing
            && first.output.is_plain()
            && last.output.table.is_some()
            && last.second.is_none()
            && matches!(last.input, RowsRead::Rows { offset: 0, .. })
            && steps[count - 1].reads[0] == Place::Buffer(steps[count - 2].writes);
        (alone && fits).then(|| Self {
            steps: steps.to_vec(),
            windows,
        })
    }

    /// The steps of all groups; `None` where one group would be all.
    fn groups(&self, buffers: &mut Vec<usize>) -> Option<Vec<Step>> {
        let last = self.steps.len() - 1;
        let window_bytes = buffers[self.steps[0].writes] / self.windows * size_of::<f32>();
        let size = (GROUP_BYTES / window_bytes.max(1)).clamp(1, self.windows);
        let groups = self.cut(size);
        if groups.len() == 1 {
            return None;
        }
        // One set of inner buffers serves all groups, one after the other.
        let inner: Vec<usize> = self.steps[..last]
            .iter()
            .map(|step| {
                buffers.push(buffers[step.writes] / self.windows * size);
                buffers.len() - 1
            })
            .collect();
        let mut steps = Vec::new();
        for group in &groups {
            for (i, work) in self.works(group)?.into_iter().enumerate() {
                steps.push(self.step(i, work, &inner));
                if i == 0 {
                    steps.extend(self.padding(group, inner[0])?);
                }
            }
        }
        Some(steps)
    }

    /// The windows, up to `size` in a group; one that is padded is a group of its own.
    fn cut(&self, size: usize) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        for window in 0..self.windows {
            let held = self.held(window);
            match groups.last_mut() {
                Some(Group {
                    windows,
                    held: None,
                }) if held.is_none() && windows.len() < size => {
                    windows.end += 1;
                }
                _ => groups.push(Group {
                    windows: window..window + 1,
                    held,
                }),
            }
        }
        groups
    }

    /// The rows of a padded window that are in the image; `None` where all are, or where
    /// their order matters to a pool.
    ///
    /// Whoever cut the windows filled them up with zeros, and drops what comes of those: of
    /// 1764 rows of SAM2's third stage at 512, 1024 are in the image.
    fn held(&self, window: usize) -> Option<Vec<usize>> {
        let [first, attention, last] = &self.steps[..] else {
            return None;
        };
        let (Work::Product(first), Work::Attention(attention), Work::Product(last)) =
            (&first.work, &attention.work, &last.work)
        else {
            return None;
        };
        let (RowsRead::Table { table: from, .. }, Some(to)) = (&first.input, &last.output.table)
        else {
            return None;
        };
        let count = first.rows / self.windows;
        let rows = window * count..(window + 1) * count;
        let is_held = |row: &usize| from.rows()[*row] != NO_ROW;
        let fits = last.output.groups == 1
            && last.rows == first.rows
            && attention.shape.queries == count
            && attention.shape.keys == count
            && first.layer.activation == Activation::Identity
            && first.layer.bias_at.is_some()
            && rows
                .clone()
                .all(|row| is_held(&row) == (to.rows()[row] != NO_ROW));
        let held: Vec<usize> = rows.filter(is_held).collect();
        (fits && !held.is_empty() && held.len() < count).then_some(held)
    }

    /// What each of the chain's steps does for a group.
    fn works(&self, group: &Group) -> Option<Vec<Work>> {
        let steps = self.steps.iter();
        let Some(held) = &group.held else {
            let part = |step: &Step| self.part(&step.work, group.windows.clone());
            return steps.map(part).collect();
        };
        steps.map(|step| of_held(&step.work, held)).collect()
    }

    /// A step of the chain with this work, between the group's own buffers.
    fn step(&self, i: usize, work: Work, inner: &[usize]) -> Step {
        let mut step = Step {
            work,
            ..self.steps[i].clone()
        };
        for read in &mut step.reads {
            let made = self.steps[..inner.len()]
                .iter()
                .position(|s| Place::Buffer(s.writes) == *read);
            if let Some(made) = made {
                *read = Place::Buffer(inner[made]);
            }
        }
        if let Some(buffer) = inner.get(i) {
            step.writes = *buffer;
        }
        step
    }

    /// What comes of a padded window's zeros, behind the rows that it holds: the bias.
    fn padding(&self, group: &Group, buffer: usize) -> Option<Option<Step>> {
        let (Some(held), Work::Product(first)) = (&group.held, &self.steps[0].work) else {
            return Some(None);
        };
        let (width, rows) = (first.output.row_stride, first.rows / self.windows);
        let bias = View::contiguous(&[1, width]).broadcast(&[rows - held.len(), width])?;
        let target = View::contiguous(&[rows, width]).sliced(0, held.len(), rows - held.len())?;
        Some(Some(Step {
            node: self.steps[0].node.clone(),
            work: Work::Unary(Unary::Copy, Shared::of([&target, &bias])?),
            reads: vec![self.steps[0].reads[first.layer.bias_at?]],
            writes: buffer,
        }))
    }

    /// What a step does for these windows alone.
    fn part(&self, work: &Work, windows: Range<usize>) -> Option<Work> {
        Some(match work {
            Work::Product(product) => Work::Product(Box::new(self.product(product, windows)?)),
            Work::Attention(attention) => {
                let mut attention = attention.clone();
                attention.shape.batch = windows.len();
                Work::Attention(attention)
            }
            Work::MaxPool(pool) => Work::MaxPool(Box::new(pool.of_images(windows.len()))),
            _ => return None,
        })
    }

    fn product(&self, product: &Product, windows: Range<usize>) -> Option<Product> {
        let window = product.rows / self.windows;
        let rows = windows.start * window..windows.end * window;
        let mut part = product.clone();
        part.rows = rows.len();
        if product.output.table.is_none() {
            // The first of the chain: its rows come from all over, and go to the start of
            // the group's own buffer.
            part.input = match &product.input {
                RowsRead::Rows { offset, stride } => RowsRead::Rows {
                    offset: offset + rows.start * stride,
                    stride: *stride,
                },
                RowsRead::Table {
                    offset,
                    stride,
                    table,
                } => RowsRead::Table {
                    offset: *offset,
                    stride: *stride,
                    table: table.part(rows)?,
                },
                RowsRead::Patches(_) => return None,
            };
            return Some(part);
        }
        let groups = product.output.groups;
        let table = product.output.table.as_ref()?;
        part.output.table = Some(table.part(rows.start * groups..rows.end * groups)?);
        Some(part)
    }
}

/// What a step does for these rows alone of one window: they come first, and what a padded
/// window's zeros come to follows them as keys and values.
fn of_held(work: &Work, held: &[usize]) -> Option<Work> {
    let of = |table: &RowTable| {
        let entries = held.iter().map(|row| table.rows()[*row]).collect();
        RowTable::new(entries, table.limit()).ok()
    };
    let product = match work {
        Work::Attention(attention) => {
            return Some(Work::Attention(Box::new(attention.of_queries(held.len()))));
        }
        Work::Product(product) => product,
        _ => return None,
    };
    let mut part = product.clone();
    part.rows = held.len();
    match (&mut part.output.table, &mut part.input) {
        (Some(table), _) => *table = of(table)?,
        (None, RowsRead::Table { table, .. }) => *table = of(table)?,
        _ => return None,
    }
    Some(Work::Product(part))
}
