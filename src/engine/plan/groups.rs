//! Windowed attention, group of windows by group.
//!
//! The product before a windowed attention makes three values for each one that comes in,
//! and all of them would pass through memory twice. Windows do not see each other, so the
//! chain (product, pooled queries, attention, product) runs for a few windows at a time:
//! what passes between stays in the cache, and the arena need only hold one group's.

use super::lower::Lowered;
use super::step::{Added, Place, Product, Source, Step, Work};

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
            && matches!(last.input, Source::Rows { offset: 0, .. })
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
        let size = (GROUP_BYTES / window_bytes.max(1)).max(1);
        if size >= self.windows {
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
        let mut groups = Vec::new();
        for start in (0..self.windows).step_by(size) {
            let windows = start..self.windows.min(start + size);
            for (i, step) in self.steps.iter().enumerate() {
                let mut step = step.clone();
                step.work = self.part(&step.work, windows.clone())?;
                for read in &mut step.reads {
                    let made = self.steps[..last]
                        .iter()
                        .position(|s| Place::Buffer(s.writes) == *read);
                    if let Some(made) = made {
                        *read = Place::Buffer(inner[made]);
                    }
                }
                if i < last {
                    step.writes = inner[i];
                }
                groups.push(step);
            }
        }
        Some(groups)
    }

    /// What a step does for these windows alone.
    fn part(&self, work: &Work, windows: std::ops::Range<usize>) -> Option<Work> {
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

    fn product(&self, product: &Product, windows: std::ops::Range<usize>) -> Option<Product> {
        let window = product.rows / self.windows;
        let rows = windows.start * window..windows.end * window;
        let mut part = product.clone();
        part.rows = rows.len();
        if product.output.table.is_none() {
            // The first of the chain: its rows come from all over, and go to the start of
            // the group's own buffer.
            part.input = match &product.input {
                Source::Rows { offset, stride } => Source::Rows {
                    offset: offset + rows.start * stride,
                    stride: *stride,
                },
                Source::Table {
                    offset,
                    stride,
                    table,
                } => Source::Table {
                    offset: *offset,
                    stride: *stride,
                    table: table.part(rows)?,
                },
                Source::Patches(_) => return None,
            };
            return Some(part);
        }
        let groups = product.output.groups;
        let table = product.output.table.as_ref()?;
        part.output.table = Some(table.part(rows.start * groups..rows.end * groups)?);
        Some(part)
    }
}
