//! Where a value's elements lie in a buffer.
//!
//! Reshapes, transposes, splits, slices and broadcasts only change the [`View`] of a
//! value; nothing is copied until an operator needs rows that lie otherwise. Each
//! logical axis is a list of [`Run`]s, so that an axis merged from others (a window's
//! number, say, from its row and column) is still a view.

/// One run of equal strides; outer runs stand before inner ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub length: usize,
    pub stride: usize,
}

/// A strided view of a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct View {
    /// Offset of the first element.
    pub offset: usize,
    /// The logical axes, each made of runs.
    axes: Vec<Vec<Run>>,
}

impl View {
    /// A row-major buffer of this shape.
    pub fn contiguous(shape: &[usize]) -> Self {
        let mut stride = 1;
        let mut axes = vec![Vec::new(); shape.len()];
        for (axis, &length) in axes.iter_mut().zip(shape).rev() {
            axis.push(Run { length, stride });
            stride *= length;
        }
        Self { offset: 0, axes }
    }

    /// Length of each logical axis.
    pub fn shape(&self) -> Vec<usize> {
        self.axes
            .iter()
            .map(|runs| runs.iter().map(|run| run.length).product())
            .collect()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.runs().map(|run| run.length).product()
    }

    fn runs(&self) -> impl Iterator<Item = Run> {
        self.axes.iter().flatten().copied()
    }

    /// The runs of all axes with neighbours joined where one continues the other, and
    /// without those of length one.
    pub fn joined(&self) -> Vec<Run> {
        join(self.runs())
    }

    /// Each axis as one run, where it is one.
    pub fn axis_runs(&self) -> Vec<Option<Run>> {
        self.axes
            .iter()
            .map(|runs| match join(runs.iter().copied())[..] {
                // Of one element: any stride will do.
                [] => Some(Run {
                    length: 1,
                    stride: 1,
                }),
                [run] => Some(run),
                _ => None,
            })
            .collect()
    }

    /// The same elements without gaps, in the order in which they lie now.
    pub fn packed(&self) -> Self {
        let mut runs: Vec<(usize, usize, Run)> = Vec::new();
        for (a, axis) in self.axes.iter().enumerate() {
            runs.extend(axis.iter().enumerate().map(|(r, run)| (a, r, *run)));
        }
        // Inner runs last; of equal strides (broadcast ones) the later axis is inner.
        runs.sort_by_key(|(_, _, run)| std::cmp::Reverse(run.stride));
        let mut axes = self.axes.clone();
        let mut stride = 1;
        for (a, r, run) in runs.into_iter().rev() {
            axes[a][r].stride = stride;
            stride *= run.length;
        }
        Self { offset: 0, axes }
    }

    /// Whether the elements lie one after the other, in order.
    pub fn is_contiguous(&self) -> bool {
        matches!(self.joined()[..], [] | [Run { stride: 1, .. }])
    }

    /// The same elements under another shape of as many; `None` where the new axes cut
    /// across runs.
    pub fn reshaped(&self, shape: &[usize]) -> Option<Self> {
        if shape.iter().product::<usize>() != self.len() {
            return None;
        }
        if self.len() == 0 {
            return Some(Self::contiguous(shape));
        }
        let mut left: Vec<Run> = self.joined();
        left.reverse();
        let mut axes = Vec::with_capacity(shape.len());
        for &length in shape {
            axes.push(take(&mut left, length)?);
        }
        Some(Self {
            offset: self.offset,
            axes,
        })
    }

    /// The axes in another order.
    pub fn transposed(&self, order: &[usize]) -> Self {
        Self {
            offset: self.offset,
            axes: order.iter().map(|&axis| self.axes[axis].clone()).collect(),
        }
    }

    /// Elements `start..start + length` of one axis; `None` where that cuts across runs.
    pub fn sliced(&self, axis: usize, start: usize, length: usize) -> Option<Self> {
        let mut view = self.clone();
        let runs = join(self.axes[axis].iter().copied());
        let runs = match runs[..] {
            _ if length == 1 => {
                view.offset += offset_in(&runs, start);
                Vec::new()
            }
            // An axis of length one lost its run: it is whole or nothing.
            [] => runs,
            [run] => {
                view.offset += start * run.stride;
                vec![Run { length, ..run }]
            }
            [first, ref inner @ ..] => {
                let size: usize = inner.iter().map(|run| run.length).product();
                if !start.is_multiple_of(size) || !length.is_multiple_of(size) {
                    return None;
                }
                view.offset += start / size * first.stride;
                let first = Run {
                    length: length / size,
                    ..first
                };
                std::iter::once(first)
                    .chain(inner.iter().copied())
                    .collect()
            }
        };
        view.axes[axis] = runs;
        Some(view)
    }

    /// The view with axes of length one stretched to `shape`, aligned at the last axis,
    /// as ONNX broadcasts; `None` where the shapes do not fit.
    pub fn broadcast(&self, shape: &[usize]) -> Option<Self> {
        let missing = shape.len().checked_sub(self.axes.len())?;
        let own = self.shape();
        let axes = shape.iter().enumerate().map(|(i, &length)| {
            let stretched = vec![Run { length, stride: 0 }];
            match i.checked_sub(missing).map(|j| (own[j], &self.axes[j])) {
                Some((found, runs)) if found == length => Some(runs.clone()),
                Some((1, _)) | None => Some(stretched),
                Some(_) => None,
            }
        });
        Some(Self {
            offset: self.offset,
            axes: axes.collect::<Option<_>>()?,
        })
    }

    /// Offset of the row at each index of all axes but the last, where the last lies
    /// element by element; in logical order.
    pub fn rows(&self) -> Option<Vec<usize>> {
        let (last, outer) = self.axes.split_last()?;
        if !matches!(join(last.iter().copied())[..], [] | [Run { stride: 1, .. }]) {
            return None;
        }
        let mut rows = vec![self.offset];
        for run in join(outer.iter().flatten().copied()) {
            rows = rows
                .iter()
                .flat_map(|row| (0..run.length).map(move |i| row + i * run.stride))
                .collect();
        }
        Some(rows)
    }
}

fn join(runs: impl Iterator<Item = Run>) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in runs.filter(|run| run.length != 1) {
        match joined.last_mut() {
            Some(outer) if outer.stride == run.stride * run.length => {
                outer.length *= run.length;
                outer.stride = run.stride;
            }
            _ => joined.push(run),
        }
    }
    joined
}

/// Takes runs that make up an axis of `length` from the outer end of `left`, whose last
/// element is the outermost run.
fn take(left: &mut Vec<Run>, length: usize) -> Option<Vec<Run>> {
    let mut axis = Vec::new();
    let mut lacking = length;
    while lacking > 1 {
        let run = left.pop()?;
        if run.length <= lacking {
            if !lacking.is_multiple_of(run.length) {
                return None;
            }
            lacking /= run.length;
            axis.push(run);
        } else {
            if !run.length.is_multiple_of(lacking) {
                return None;
            }
            let inner = run.length / lacking;
            axis.push(Run {
                length: lacking,
                stride: run.stride * inner,
            });
            left.push(Run {
                length: inner,
                stride: run.stride,
            });
            lacking = 1;
        }
    }
    Some(axis)
}

fn offset_in(runs: &[Run], mut index: usize) -> usize {
    let mut offset = 0;
    for run in runs.iter().rev() {
        offset += index % run.length * run.stride;
        index /= run.length;
    }
    offset
}

/// The shape that two broadcast to.
pub(super) fn broadcast_shape(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let side =
        |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|i| match (side(a, i), side(b, i)) {
            (a, b) if a == b => Ok(a),
            (1, b) => Ok(b),
            (a, 1) => Ok(a),
            _ => Err(format!("has inputs {a:?} and {b:?}, which do not fit")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Offsets of all elements in logical order.
    fn offsets(view: &View) -> Vec<usize> {
        view.runs().fold(vec![view.offset], |offsets, run| {
            let each = |o: &usize| {
                (0..run.length)
                    .map(|i| o + i * run.stride)
                    .collect::<Vec<_>>()
            };
            offsets.iter().flat_map(each).collect()
        })
    }

    #[test]
    fn a_window_partition_is_a_view() {
        let image = View::contiguous(&[1, 4, 6, 5]);
        let windows = image
            .reshaped(&[1, 2, 2, 2, 3, 5])
            .and_then(|v| v.transposed(&[0, 1, 3, 2, 4, 5]).reshaped(&[4, 6, 5]))
            .unwrap();
        assert_eq!(windows.shape(), [4, 6, 5]);
        let rows = windows.rows().unwrap();
        assert_eq!(rows[..7], [0, 5, 10, 30, 35, 40, 15]);
        let whole = windows
            .reshaped(&[1, 2, 2, 2, 3, 5])
            .and_then(|v| v.transposed(&[0, 1, 3, 2, 4, 5]).reshaped(&[1, 4, 6, 5]))
            .unwrap();
        assert!(whole.is_contiguous());
    }

    #[test]
    fn an_axis_that_cuts_across_runs_is_no_view() {
        let turned = View::contiguous(&[4, 3]).transposed(&[1, 0]);
        assert!(turned.reshaped(&[12]).is_some(), "one axis of two runs");
        assert!(turned.reshaped(&[2, 6]).is_none());
        assert!(turned.rows().is_none());
    }

    #[test]
    fn broadcasts_as_onnx_does() {
        let row = View::contiguous(&[1, 3]);
        assert_eq!(
            offsets(&row.broadcast(&[2, 2, 3]).unwrap()),
            [0, 1, 2].repeat(4)
        );
        assert!(row.broadcast(&[2, 4]).is_none());
        assert!(row.broadcast(&[3]).is_none());
    }

    proptest! {
        #[test]
        fn reshape_and_slice_keep_the_order(
            shape in proptest::collection::vec(1_usize..5, 3),
            seed in 0_usize..6,
            start in 0_usize..4,
        ) {
            let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
            let view = View::contiguous(&shape).transposed(&orders[seed]);
            let found = view.shape();
            if let Some(flat) = view.reshaped(&[found[0] * found[1], found[2]]) {
                prop_assert_eq!(offsets(&flat), offsets(&view));
            }
            let start = start.min(found[0] - 1);
            let sliced = view.sliced(0, start, found[0] - start).unwrap();
            let inner = found[1] * found[2];
            prop_assert_eq!(offsets(&sliced), offsets(&view)[start * inner..].to_vec());
        }
    }
}
