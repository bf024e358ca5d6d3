//! `softmax(scale Q K^T) V` recognised while lowering, and run as one step.
//!
//! A product of two activations waits as [`Scores`]; a factor and a softmax over the last
//! axis leave it waiting; the product with the values makes it attention. If anything
//! else wants the scores, they are made after all.

use super::elementwise::Shared;
use super::heads::{Attention, INT8_FROM_QUERIES, Strides};
use super::lower::{Lower, Lowering};
use super::step::Work;
use super::tensor::{Layout, Scores, Tensor, Value};
use super::view::{Run, View, broadcast_shape};
use crate::Arithmetic;
use crate::kernels::{self, AttentionArithmetic, MatMul};
use crate::typed::{Binary, Node, Operator};

/// From this many keys on, the products of attention run in int8: there they decide the
/// time, and the softmax averages the rounding away.
const INT8_FROM_KEYS: usize = 256;

fn attention_arithmetic(asked: Arithmetic, queries: usize, keys: usize) -> AttentionArithmetic {
    let pays = queries >= INT8_FROM_QUERIES && keys >= INT8_FROM_KEYS;
    if asked == Arithmetic::Float || !pays {
        AttentionArithmetic::Float
    } else {
        AttentionArithmetic::Int8
    }
}

impl<'a> Lowering<'a> {
    /// A product of two activations: scores that wait, attention, or a plain product.
    pub fn matmul(&mut self, node: &'a Node) -> Lower<()> {
        let output = node.made();
        if let Some(first) = node.input(0)
            && let Ok(Value::Scores(scores)) = self.value(first)
            && scores.is_softmax
            && self.read_once(first)
        {
            let values = self.input(node, 1)?;
            let made = self.attend(node, *scores, values)?;
            self.bind(output, made);
            return Ok(());
        }
        let (queries, keys) = (self.tensor(node, 0)?, self.tensor(node, 1)?);
        let scores = Scores {
            node: output.to_owned(),
            factor: queries.factor * keys.factor,
            queries,
            keys,
            is_softmax: false,
        };
        if self.read_once(output) && self.becomes_softmax(output) {
            self.bind_scores(output, scores);
            return Ok(());
        }
        let made = self.materialise(scores)?;
        self.bind(output, made);
        Ok(())
    }

    /// Whether what reads this value, perhaps after a factor, is a softmax.
    fn becomes_softmax(&self, name: &str) -> bool {
        let reader = self
            .source
            .nodes
            .iter()
            .find(|n| n.inputs.iter().any(|i| i == name));
        reader.is_some_and(|node| match node.operator {
            Operator::Softmax { .. } => true,
            Operator::Binary(Binary::Mul | Binary::Div) => {
                let scaled = node.inputs.iter().any(|i| self.scalar(i).is_some());
                scaled && self.read_once(node.made()) && self.becomes_softmax(node.made())
            }
            _ => false,
        })
    }

    /// A softmax over the last axis, of scores or of anything.
    pub fn softmax(&mut self, node: &'a Node, along: i64, joins: bool) -> Lower<()> {
        let output = node.made();
        if let Some(Ok(Value::Scores(mut scores))) = node.input(0).map(|name| self.value(name))
            && super::known::axis(along, scores.rank()) == Some(scores.rank() - 1)
            && self.read_once(output)
            && !scores.is_softmax
        {
            scores.is_softmax = true;
            self.bind_scores(output, *scores);
            return Ok(());
        }
        let x = self.input(node, 0)?;
        let shape = x.shape();
        let at = super::known::axis(along, shape.len());
        let at = at.ok_or("is a softmax over an axis that is not there")?;
        let made = if at + 1 == shape.len() {
            self.softmax_of(output, x)?
        } else if joins {
            return Err("is a softmax of an old opset over another axis than the last".to_owned());
        } else {
            self.softmax_across(output, x, at)?
        };
        self.bind(output, made);
        Ok(())
    }

    /// A softmax over an axis that is not the last: it is, in another order.
    fn softmax_across(&mut self, node: &str, x: Tensor, at: usize) -> Lower<Tensor> {
        let x = self.viewed(x)?;
        let mut order: Vec<usize> = (0..x.shape().len()).collect();
        order.swap(at, x.shape().len() - 1);
        let turned = |x: &Tensor| Some(x.seen(x.view()?.transposed(&order)));
        let last = turned(&x).ok_or("has no view")?;
        let made = self.softmax_of(node, last)?;
        turned(&made).ok_or_else(|| "has no view".to_owned())
    }

    fn softmax_of(&mut self, node: &str, x: Tensor) -> Lower<Tensor> {
        let shape = x.shape();
        let width = shape.last().copied().unwrap_or(1);
        let x = self.dense(x)?;
        let work = Work::Softmax { width };
        let place = self.push(node, work, vec![x.place], shape.iter().product())?;
        Ok(Self::fresh(place, &shape))
    }

    /// Scores, or their softmax, that something else than attention reads.
    pub fn materialise(&mut self, scores: Scores) -> Lower<Tensor> {
        let mut product = self.product_of(&scores.node, scores.queries, scores.keys)?;
        product.factor = scores.factor;
        if !scores.is_softmax {
            return Ok(product);
        }
        let product = self.settled(Value::Tensor(product))?;
        self.softmax_of(&scores.node, product)
    }

    /// `A B` in float, batch by batch.
    fn product_of(&mut self, node: &str, a: Tensor, b: Tensor) -> Lower<Tensor> {
        let (a, b) = (self.plain(a)?, self.plain(b)?);
        let (left, right) = (a.shape(), b.shape());
        let ([.., rows, depth], [.., inner, columns]) = (left.as_slice(), right.as_slice()) else {
            return Err("multiplies vectors".to_owned());
        };
        let (rows, depth, columns) = (*rows, *depth, *columns);
        if depth != *inner {
            return Err(format!("multiplies {left:?} by {right:?}"));
        }
        let batch = broadcast_shape(&left[..left.len() - 2], &right[..right.len() - 2])?;
        let ([a_row, a_step], [b_step, b_column]) = (inner_strides(&a)?, inner_strides(&b)?);
        let outer = |t: &Tensor| -> Lower<View> {
            let view = t.view().ok_or("has no view")?;
            let rank = view.shape().len();
            let first = view
                .sliced(rank - 1, 0, 1)
                .and_then(|v| v.sliced(rank - 2, 0, 1));
            let mut shape = view.shape();
            shape.truncate(rank - 2);
            let batches = first.and_then(|v| v.reshaped(&shape)?.broadcast(&batch));
            batches.ok_or_else(|| "has a layout that cannot be walked".to_owned())
        };
        let mut shape = batch.clone();
        shape.extend([rows, columns]);
        let out = Self::fresh(a.place, &shape);
        let shared = Shared::of([&outer(&out)?, &outer(&a)?, &outer(&b)?]);
        let sides = MatMul {
            rows,
            columns,
            depth,
            left: [a_row, a_step],
            right: [b_step, b_column],
        };
        let work = Work::MatMul(shared.ok_or("has a layout that cannot be walked")?, sides);
        let place = self.push(node, work, vec![a.place, b.place], shape.iter().product())?;
        Ok(Self::fresh(place, &shape))
    }

    /// The tensor as a view whose last two axes are single runs.
    fn plain(&mut self, x: Tensor) -> Lower<Tensor> {
        if inner_strides(&x).is_ok() {
            return Ok(x);
        }
        let x = self.copied("copy", &x, super::elementwise::Unary::Copy)?;
        Ok(x)
    }

    fn attend(&mut self, node: &'a Node, scores: Scores, values: Tensor) -> Lower<Tensor> {
        let turned = |t: &Tensor| -> Option<Tensor> {
            let view = t.view()?;
            let rank = view.shape().len();
            let mut order: Vec<usize> = (0..rank).collect();
            order.swap(rank - 1, rank - 2);
            Some(t.seen(view.transposed(&order)))
        };
        let keys = turned(&scores.keys).ok_or("has keys of no view")?;
        let parts = [scores.queries.clone(), keys, values.clone()];
        let shapes = parts.each_ref().map(Tensor::shape);
        let [.., queries, dim] = shapes[0][..] else {
            return Err("attends with vectors".to_owned());
        };
        let [.., keys, depth] = shapes[1][..] else {
            return Err("attends to vectors".to_owned());
        };
        let batch = shapes[0][..shapes[0].len() - 2].to_vec();
        let fits =
            shapes[2] == shapes[1] && depth == dim && shapes[1][..shapes[1].len() - 2] == batch;
        if !fits || batch.len() > 2 {
            // Heads of different widths, or broadcast ones: rare, and right as it stands.
            let probabilities = self.materialise(scores)?;
            return self.product_of(node.made(), probabilities, values);
        }
        let (heads, batches) = match batch[..] {
            [batches, heads] => (heads, batches),
            [batches] => (1, batches),
            _ => (1, 1),
        };
        let mut places = Vec::new();
        let mut inputs = [Strides {
            offset: 0,
            batch: 0,
            row: 0,
            head: 0,
        }; 3];
        for (part, at) in parts.into_iter().zip(&mut inputs) {
            let part = match strides(&part) {
                Some(_) => part,
                None => self.copied("copy", &part, super::elementwise::Unary::Copy)?,
            };
            *at = strides(&part).ok_or("has a layout that cannot be walked")?;
            places.push(part.place);
        }
        let output = Strides {
            offset: 0,
            batch: queries * heads * dim,
            row: heads * dim,
            head: dim,
        };
        let attention = Attention {
            shape: kernels::Attention {
                batch: batches,
                heads,
                queries,
                keys,
                dim,
                scale: scores.factor,
                arithmetic: attention_arithmetic(self.arithmetic, queries, keys),
            },
            inputs,
            output,
        };
        let length = batches * queries * heads * dim;
        let work = Work::Attention(Box::new(attention));
        let place = self.push(node.made(), work, places, length)?;
        let view = View::contiguous(&[batches, queries, heads, dim]).transposed(&[0, 2, 1, 3]);
        let shape: Vec<usize> = batch.into_iter().chain([queries, dim]).collect();
        let view = view
            .reshaped(&shape)
            .ok_or("has a shape that cannot be seen")?;
        Ok(Self::fresh_view(place, view))
    }
}

/// Strides of the last two axes, where each is a single run.
fn inner_strides(x: &Tensor) -> Lower<[usize; 2]> {
    let Layout::View(view) = &x.layout else {
        return Err("has no view".to_owned());
    };
    match view.axis_runs()[..] {
        [.., Some(rows), Some(columns)] => Ok([rows.stride, columns.stride]),
        _ => Err("has a layout that cannot be walked".to_owned()),
    }
}

/// Batch, row and head strides of `[batch, heads, rows, dim]`, `[batch, rows, dim]` or
/// `[rows, dim]`; the rows lie whole.
fn strides(x: &Tensor) -> Option<Strides> {
    let view = x.view()?;
    let runs: Option<Vec<Run>> = view.axis_runs().into_iter().collect();
    let runs = runs?;
    let (last, outer) = runs.split_last()?;
    if last.stride != 1 && last.length != 1 {
        return None;
    }
    let (batch, head, row) = match *outer {
        [batch, head, row] => (batch.stride, head.stride, row.stride),
        [batch, row] => (batch.stride, 0, row.stride),
        [row] => (0, 0, row.stride),
        _ => return None,
    };
    Some(Strides {
        offset: view.offset,
        batch,
        row,
        head,
    })
}
