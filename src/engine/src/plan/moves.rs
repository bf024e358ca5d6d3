//! Operators that only move values: new views where that is possible, copies where not.

use super::elementwise::{Shared, Unary};
use super::known::{axis, clamped, new_shape};
use super::lower::{Lower, Lowering, is_held};
use super::step::{Place, Work};
use super::tensor::{Layout, Tensor, Value};
use super::view::{View, broadcast_shape};
use crate::typed::Node;

impl<'a> Lowering<'a> {
    /// The same elements in a new shape.
    pub fn in_new_shape(&mut self, node: &'a Node) -> Lower<Tensor> {
        let x = self.tensor(node, 0)?;
        let given = self.numbers_if_any(node, 1)?;
        let shape = new_shape(&node.operator, &x.shape(), given.as_deref())?;
        self.reshaped(x, &shape)
    }

    pub fn reshaped(&mut self, x: Tensor, shape: &[usize]) -> Lower<Tensor> {
        let layout = match &x.layout {
            Layout::View(view) => view.reshaped(shape).map(Layout::View),
            Layout::Rows { shape: from, rows } => {
                (from.last() == shape.last()).then(|| Layout::Rows {
                    shape: shape.to_vec(),
                    rows: rows.clone(),
                })
            }
        };
        if let Some(layout) = layout {
            return Ok(Tensor { layout, ..x });
        }
        let factor = x.factor;
        let mut copy = self.copied("reshape", &x, Unary::Copy)?;
        copy.factor = factor;
        let view = View::contiguous(shape);
        Ok(copy.seen(view))
    }

    pub fn transpose(&mut self, node: &'a Node, given: &[i64]) -> Lower<Tensor> {
        let x = self.tensor(node, 0)?;
        let rank = x.shape().len();
        let order: Vec<usize> = match given {
            [] => (0..rank).rev().collect(),
            given => given.iter().filter_map(|a| axis(*a, rank)).collect(),
        };
        let mut seen = vec![false; rank];
        order.iter().for_each(|axis| seen[*axis] = true);
        if order.len() != rank || seen.contains(&false) {
            return Err(format!(
                "has an order of axes that does not fit rank {rank}"
            ));
        }
        match &x.layout {
            Layout::View(view) => {
                let view = view.transposed(&order);
                Ok(x.seen(view))
            }
            Layout::Rows { shape, rows } if order.last() == Some(&(rank - 1)) => {
                let outer = View::contiguous(&shape[..rank - 1]).transposed(&order[..rank - 1]);
                let picked = pick(&outer, rows)?;
                let shape = order.iter().map(|axis| shape[*axis]).collect();
                Ok(with_rows(&x, shape, picked))
            }
            Layout::Rows { .. } => {
                let x = self.dense_with_factor(&x)?;
                let view = x.view().ok_or("has no view")?.transposed(&order);
                Ok(x.seen(view))
            }
        }
    }

    fn dense_with_factor(&mut self, x: &Tensor) -> Lower<Tensor> {
        let mut copy = self.copied("copy", x, Unary::Copy)?;
        copy.factor = x.factor;
        Ok(copy)
    }

    pub fn slice(&mut self, node: &'a Node) -> Lower<Tensor> {
        let mut x = self.tensor(node, 0)?;
        let numbers = |i: usize| self.numbers(node, i);
        let (Some(starts), Some(ends)) = (numbers(1), numbers(2)) else {
            return Err("slices between places that are not known beforehand".to_owned());
        };
        let axes = self.numbers_if_any(node, 3)?;
        let axes = axes.unwrap_or_else(|| (0..starts.len() as i64).collect());
        if starts.len() != ends.len() || starts.len() != axes.len() {
            return Err("slices between places that do not fit each other".to_owned());
        }
        let steps = self.numbers_if_any(node, 4)?;
        if steps.is_some_and(|steps| steps.iter().any(|s| *s != 1)) {
            return Err("slices in steps".to_owned());
        }
        for ((start, end), at) in starts.iter().zip(&ends).zip(&axes) {
            let shape = x.shape();
            let at = axis(*at, shape.len()).ok_or("slices an axis that is not there")?;
            let range = clamped(*start, *end, shape[at]);
            x = self.sliced(x, at, range.start, range.len())?;
        }
        Ok(x)
    }

    /// Elements `start..start + length` of one axis.
    pub fn sliced(&mut self, x: Tensor, at: usize, start: usize, length: usize) -> Lower<Tensor> {
        let mut shape = x.shape();
        if length == 0 {
            return Err("slices nothing".to_owned());
        }
        if shape[at] == length {
            return Ok(x);
        }
        if let Layout::View(view) = &x.layout
            && let Some(view) = view.sliced(at, start, length)
        {
            return Ok(x.seen(view));
        }
        let rank = shape.len();
        let rows = x.layout.rows().filter(|_| at + 1 < rank);
        let Some(rows) = rows else {
            let copy = self.dense_with_factor(&x)?;
            return self.sliced(copy, at, start, length);
        };
        let outer = View::contiguous(&shape[..rank - 1]).sliced(at, start, length);
        let picked = pick(&outer.ok_or("has an axis that cannot be sliced")?, &rows)?;
        shape[at] = length;
        Ok(with_rows(&x, shape, picked))
    }

    pub fn gather(&mut self, node: &'a Node, along: i64) -> Lower<Tensor> {
        let x = self.tensor(node, 0)?;
        let shape = x.shape();
        let at = axis(along, shape.len()).ok_or("gathers an axis that is not there")?;
        let Some(Value::Known(indices)) = node.input(1).and_then(|n| self.value(n).ok()) else {
            return Err("gathers by indices that are not known beforehand".to_owned());
        };
        let index = |i: &i64| axis(*i, shape[at]).ok_or("gathers an index that is not there");
        let places = indices
            .values
            .iter()
            .map(index)
            .collect::<Result<Vec<_>, _>>()?;
        let first = *places.first().ok_or("gathers nothing")?;
        if places
            .iter()
            .enumerate()
            .any(|(i, place)| *place != first + i)
        {
            let picked = self.picked(node.made(), x, at, &places)?;
            return self.gathered(picked, &shape, at, &indices.shape);
        }
        let taken = self.sliced(x, at, first, places.len())?;
        self.gathered(taken, &shape, at, &indices.shape)
    }

    /// What was taken of one axis of `shape`, with the indices' axes in its place.
    fn gathered(
        &mut self,
        taken: Tensor,
        shape: &[usize],
        at: usize,
        indices: &[usize],
    ) -> Lower<Tensor> {
        let mut new = shape[..at].to_vec();
        new.extend(indices);
        new.extend(&shape[at + 1..]);
        self.reshaped(taken, &new)
    }

    /// These places of one axis, copied one by one.
    fn picked(&mut self, node: &str, x: Tensor, at: usize, places: &[usize]) -> Lower<Tensor> {
        const MOST: usize = 1 << 10;
        if places.len() > MOST {
            return Err(format!(
                "gathers more than {MOST} indices that are not neighbours"
            ));
        }
        let x = self.settled(Value::Tensor(x))?;
        let x = self.viewed(x)?;
        let mut shape = x.shape();
        shape[at] = places.len();
        let whole = View::contiguous(&shape);
        let buffer = self.buffer(whole.len());
        for (i, place) in places.iter().enumerate() {
            let from = x.view().and_then(|view| view.sliced(at, *place, 1));
            let pair = whole.sliced(at, i, 1).zip(from);
            let shared = pair.and_then(|(to, from)| Shared::of([&to, &from]));
            let shared = shared.ok_or("has a layout that cannot be copied")?;
            let work = Work::Unary(Unary::Copy, shared);
            self.push_into(node, work, vec![x.place], buffer);
        }
        Ok(Self::fresh(Place::Buffer(buffer), &shape))
    }

    pub fn expand(&mut self, node: &'a Node) -> Lower<Tensor> {
        let x = self.tensor(node, 0)?;
        let asked = self
            .numbers(node, 1)
            .ok_or("expands to a shape that is not known")?;
        let asked: Option<Vec<usize>> = asked.iter().map(|s| usize::try_from(*s).ok()).collect();
        let shape = broadcast_shape(&x.shape(), &asked.ok_or("expands to a negative length")?)?;
        let x = match &x.layout {
            Layout::View(_) => x,
            Layout::Rows { .. } => self.dense_with_factor(&x)?,
        };
        let view = x.view().and_then(|view| view.broadcast(&shape));
        Ok(x.seen(view.ok_or("expands to a shape that does not fit")?))
    }

    /// Zeros around outer axes.
    pub fn pad(&mut self, node: &'a Node) -> Lower<Tensor> {
        let x = self.tensor(node, 0)?;
        let pads = self.numbers(node, 1);
        let pads = pads.ok_or("pads by lengths that are not known beforehand")?;
        let value = node.input(2);
        let zero = value.is_none_or(|name| self.scalar(name) == Some(0.0));
        let mut shape = x.shape();
        let rank = shape.len();
        if !zero || pads.len() != 2 * rank {
            return Err("pads by something else than zeros".to_owned());
        }
        let (before, after) = pads.split_at(rank);
        let plain =
            pads.iter().all(|pad| *pad >= 0) && before[rank - 1] == 0 && after[rank - 1] == 0;
        let Some(mut rows) = x.layout.rows().filter(|_| plain) else {
            return Err("pads the last axis, or cuts".to_owned());
        };
        let around = before.iter().zip(after);
        let padded = shape.iter().zip(around).map(|(side, (before, after))| {
            side.saturating_add(*before as usize)
                .saturating_add(*after as usize)
        });
        if !is_held(&padded.collect::<Vec<_>>()) {
            return Err("pads to what no machine here could hold".to_owned());
        }
        for at in 0..rank - 1 {
            let (before, after) = (before[at] as usize, after[at] as usize);
            let inner: usize = shape[at + 1..rank - 1].iter().product();
            let block = shape[at] * inner;
            rows = rows
                .chunks(block.max(1))
                .flat_map(|block| {
                    let zeros = |count: usize| std::iter::repeat_n(None, count * inner);
                    zeros(before)
                        .chain(block.iter().copied())
                        .chain(zeros(after))
                        .collect::<Vec<_>>()
                })
                .collect();
            shape[at] += before + after;
        }
        Ok(with_rows(&x, shape, rows))
    }

    /// Split: views, one an output.
    pub fn split(&mut self, node: &'a Node, along: i64, sizes: &[i64]) -> Lower<()> {
        let x = self.tensor(node, 0)?;
        let shape = x.shape();
        let at = axis(along, shape.len()).ok_or("splits an axis that is not there")?;
        let count = node.outputs.len();
        let even = || vec![(shape[at].div_ceil(count)) as i64; count];
        let given = self.numbers_if_any(node, 1)?;
        let own = || Some(sizes.to_vec()).filter(|sizes| !sizes.is_empty());
        let mut sizes = given.or_else(own).unwrap_or_else(even);
        if let [others @ .., last] = sizes.as_mut_slice() {
            // Where the axis does not split evenly, ONNX makes the last part smaller.
            *last = (*last).min(shape[at] as i64 - others.iter().sum::<i64>());
        }
        let whole: i64 = sizes.iter().sum();
        if sizes.len() != count || whole != shape[at] as i64 {
            return Err(format!("splits {} into {sizes:?}", shape[at]));
        }
        let mut start = 0;
        for (output, size) in node.outputs.iter().zip(&sizes) {
            let size = usize::try_from(*size).map_err(|_| "splits into a negative length")?;
            if start + size > shape[at] {
                return Err("splits more than there is".to_owned());
            }
            let mut part = self.sliced(x.clone(), at, start, size)?;
            part.sole = false;
            self.bind(output, part);
            start += size;
        }
        Ok(())
    }

    /// Concat: each part copied to its place.
    pub fn concat(&mut self, node: &'a Node, along: i64) -> Lower<Tensor> {
        let parts = (0..node.inputs.len())
            .map(|i| self.input(node, i))
            .collect::<Lower<Vec<_>>>()?;
        let mut shape = parts.first().ok_or("joins nothing")?.shape();
        let at = axis(along, shape.len()).ok_or("joins along an axis that is not there")?;
        shape[at] = 0;
        for part in &parts {
            let own = part.shape();
            let fits =
                own.len() == shape.len() && (0..own.len()).all(|i| i == at || own[i] == shape[i]);
            if !fits {
                return Err(format!("joins {own:?} to {shape:?}"));
            }
            shape[at] += own[at];
        }
        let whole = View::contiguous(&shape);
        let buffer = self.buffer(whole.len());
        let mut start = 0;
        for part in parts {
            let length = part.shape()[at];
            let part = self.viewed(part)?;
            let target = whole.sliced(at, start, length).ok_or("joins nothing")?;
            let view = part.view().ok_or("has no view")?;
            let shared = Shared::of([&target, view]).ok_or("has a layout that cannot be copied")?;
            self.push_into(
                node.made(),
                Work::Unary(Unary::Copy, shared),
                vec![part.place],
                buffer,
            );
            start += length;
        }
        Ok(Self::fresh(Place::Buffer(buffer), &shape))
    }
}

fn with_rows(x: &Tensor, shape: Vec<usize>, rows: Vec<Option<usize>>) -> Tensor {
    Tensor {
        layout: Layout::Rows { shape, rows },
        ..x.clone()
    }
}

/// The rows that a view of row numbers names.
fn pick(view: &View, rows: &[Option<usize>]) -> Lower<Vec<Option<usize>>> {
    let mut shape = view.shape();
    shape.push(1);
    let indices = view.reshaped(&shape).and_then(|view| view.rows());
    let indices = indices.ok_or("has rows in an order that cannot be seen")?;
    Ok(indices.into_iter().map(|i| rows[i]).collect())
}
