//! Nodes that work value by value or row by row: sums, activations, norms, means.

use super::elementwise::{Shared, Unary};
use super::known::{Known, axis};
use super::lower::{Lower, Lowering};
use super::step::{Place, Work};
use super::tensor::{Layout, Tensor, Value};
use super::view::{View, broadcast_shape};
use crate::kernels::Activation;
use crate::typed::{Binary, Fill, Function, Node, Number, Reduction};

impl<'a> Lowering<'a> {
    /// A sum, folded into the product that makes one of its sides where that can be.
    pub fn add(&mut self, node: &'a Node) -> Lower<Tensor> {
        let (a, b) = (self.input(node, 0)?, self.input(node, 1)?);
        if let Some(sum) = self.residual(node.made(), &a, &b)? {
            return Ok(sum);
        }
        self.binary(node.made(), Binary::Add, a, b)
    }

    /// A product or quotient. By a constant number, the factor waits: attention and
    /// others take it in for nothing.
    pub fn scale(&mut self, node: &'a Node, by: Binary) -> Lower<()> {
        let [a, b] = node.inputs.as_slice() else {
            return Err("has not two inputs".to_owned());
        };
        let divides = by == Binary::Div;
        let found = match (self.scalar(a), self.scalar(b)) {
            (None, Some(by)) if self.keeps_shape(a, b)? => {
                Some((a, if divides { 1.0 / by } else { by }))
            }
            (Some(by), None) if !divides && self.keeps_shape(b, a)? => Some((b, by)),
            _ => None,
        };
        let output = node.made();
        if let Some((x, factor)) = found.filter(|(_, factor)| factor.is_finite()) {
            if let Ok(Value::Scores(scores)) = self.value(x)
                && self.read_once(x)
                && !scores.is_softmax
            {
                self.bind_scores(output, scores.scaled(factor));
                return Ok(());
            }
            let mut x = self.tensor_named(x)?;
            // A product of factors may leave the reach of floats where the values would not.
            if !(x.factor * factor).is_normal() {
                x = self.settled(Value::Tensor(x))?;
            }
            x.factor *= factor;
            // Read twice, it is better multiplied once.
            if !self.read_once(output) {
                x = self.settled(Value::Tensor(x))?;
            }
            self.bind(output, x);
            return Ok(());
        }
        let made = self.pointwise(node, by)?;
        self.bind(output, made);
        Ok(())
    }

    /// Whether `x` has as many axes as this constant of one value: with fewer it would get more.
    fn keeps_shape(&mut self, x: &'a str, constant: &str) -> Lower<bool> {
        let constant = self.source.constants.get(constant);
        let added = constant.map_or(0, |constant| constant.shape.len());
        // Most have none, and need no look at the other side.
        if added == 0 {
            return Ok(true);
        }
        let rank = match self.values.get(x) {
            Some(Value::Scores(scores)) => scores.rank(),
            _ => self.tensor_named(x)?.shape().len(),
        };
        Ok(added <= rank)
    }

    /// One value of one.
    pub fn one_of_one(&mut self, node: &'a Node, op: Unary) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        self.unary(node.made(), op, &x)
    }

    /// One value of two, or of more.
    pub fn pointwise(&mut self, node: &'a Node, op: Binary) -> Lower<Tensor> {
        let mut made = self.input(node, 0)?;
        for i in 1..node.inputs.len() {
            let next = self.input(node, i)?;
            made = self.binary(node.made(), op, made, next)?;
        }
        Ok(made)
    }

    /// An activation, in the kernel's own loops where the values lie without gaps.
    pub fn activation(&mut self, node: &'a Node, activation: Activation) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        // Merged nodes may have had constants of one axis, which the value would have taken over.
        let merged = matches!(activation, Activation::Gelu | Activation::QuickGelu);
        if merged && x.shape().is_empty() {
            return Err("is a GELU of a value without axes".to_owned());
        }
        let (x, to) = match self.packed(&x) {
            Some(packed) => (x, packed),
            None => {
                let x = self.dense(x)?;
                let to = View::contiguous(&x.shape());
                (x, to)
            }
        };
        let length = to.len();
        let place = self.push(
            node.made(),
            Work::Activate(activation),
            vec![x.place],
            length,
        )?;
        Ok(Self::fresh_view(place, to))
    }

    /// The tensor's view, where it covers the whole buffer in any order.
    fn packed(&self, x: &Tensor) -> Option<View> {
        let view = x.view()?;
        let packed = view.packed();
        (packed == *view && view.len() == self.length(x.place)).then_some(packed)
    }

    fn unary(&mut self, node: &str, op: Unary, x: &Tensor) -> Lower<Tensor> {
        let Layout::View(view) = &x.layout else {
            return self.copied(node, x, op);
        };
        let to = view.packed();
        let shared = Shared::of([&to, view]).ok_or("has a layout that cannot be walked")?;
        let length = to.len();
        let place = self.push(node, Work::Unary(op, shared), vec![x.place], length)?;
        Ok(Self::fresh_view(place, to))
    }

    fn binary(&mut self, node: &str, op: Binary, a: Tensor, b: Tensor) -> Lower<Tensor> {
        let shape = broadcast_shape(&a.shape(), &b.shape())?;
        if let Layout::Rows { rows, .. } = &a.layout
            && let Some(tail) = self.repeats(&b, &shape)
            && a.shape() == shape
        {
            let work = Work::Gathered {
                op,
                width: shape.last().copied().unwrap_or(1),
                rows: rows.clone(),
            };
            let place = self.push(node, work, vec![a.place, tail], shape.iter().product())?;
            return Ok(Self::fresh(place, &shape));
        }
        let (a, b) = (self.viewed(a)?, self.viewed(b)?);
        let (mut a, mut b) = (self.stretched(&a, &shape)?, self.stretched(&b, &shape)?);
        let contiguous = |t: &Tensor, this: &Self| {
            t.view()
                .is_some_and(|v| v.is_contiguous() && v.len() == this.length(t.place))
        };
        if op == Binary::Add && contiguous(&a, self) && contiguous(&b, self) {
            let length = shape.iter().product();
            let place = self.push(node, Work::Add, vec![a.place, b.place], length)?;
            return Ok(Self::fresh(place, &shape));
        }
        self.align(&mut a, &mut b)?;
        let views = a.view().zip(b.view()).ok_or("has no view")?;
        let leading = if broadcasts(views.0) {
            views.1
        } else {
            views.0
        };
        let to = leading.packed();
        let shared =
            Shared::of([&to, views.0, views.1]).ok_or("has layouts that cannot be walked")?;
        let length = to.len();
        let place = self.push(
            node,
            Work::Binary(op, shared),
            vec![a.place, b.place],
            length,
        )?;
        Ok(Self::fresh_view(place, to))
    }

    /// Two whole operands in different orders: the second is copied into the first's, tile
    /// by tile, which is quicker than to read it across.
    fn align(&mut self, a: &mut Tensor, b: &mut Tensor) -> Lower<()> {
        let Some((left, right)) = a.view().zip(b.view()) else {
            return Ok(());
        };
        if broadcasts(left) || broadcasts(right) || left.packed() == right.packed() {
            return Ok(());
        }
        let to = left.packed();
        let Some(shared) = Shared::of([&to, right]) else {
            return Ok(());
        };
        let length = to.len();
        let work = Work::Unary(Unary::Copy, shared);
        let place = self.push("align", work, vec![b.place], length)?;
        *b = Self::fresh_view(place, to);
        Ok(())
    }

    fn stretched(&mut self, x: &Tensor, shape: &[usize]) -> Lower<Tensor> {
        let view = x.view().and_then(|view| view.broadcast(shape));
        Ok(x.seen(view.ok_or("has shapes that do not fit")?))
    }

    /// The place of a tensor that, repeated end to end, broadcasts to `shape`.
    fn repeats(&self, x: &Tensor, shape: &[usize]) -> Option<Place> {
        let own = x.shape();
        let inner: Vec<usize> = own.iter().copied().skip_while(|side| *side == 1).collect();
        let whole = x.view()?.is_contiguous() && x.view()?.len() == self.length(x.place);
        (whole && !inner.is_empty() && shape.ends_with(&inner)).then_some(x.place)
    }

    /// Layer normalisation over the last axis.
    pub fn layer_norm(&mut self, node: &'a Node, along: i64, epsilon: f32) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let shape = x.shape();
        let width = shape.last().copied().unwrap_or(1);
        if axis(along, shape.len()) != shape.len().checked_sub(1) {
            return Err("normalises over more than the last axis".to_owned());
        }
        let x = self.dense(x)?;
        let gain = self.input(node, 1)?;
        let shift = if node.input(2).is_some() {
            self.input(node, 2)?
        } else {
            self.new_constant(vec![0.0; width], &[width])
        };
        for side in [&gain, &shift] {
            if side.shape().iter().product::<usize>() != width {
                return Err(format!("normalises rows of {width} by {:?}", side.shape()));
            }
        }
        let (gain, shift) = (self.dense(gain)?, self.dense(shift)?);
        let work = Work::Norm { epsilon };
        let reads = vec![x.place, gain.place, shift.place];
        let place = self.push(node.made(), work, reads, shape.iter().product())?;
        Ok(Self::fresh(place, &shape))
    }

    /// A mean over given axes.
    pub fn mean(&mut self, node: &'a Node, reduction: &Reduction) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let x = self.viewed(x)?;
        let shape = x.shape();
        let given = self.numbers_if_any(node, 1)?;
        let given = given.unwrap_or_else(|| reduction.axes.clone());
        let axes: Option<Vec<usize>> = given.iter().map(|a| axis(*a, shape.len())).collect();
        let mut axes = axes.ok_or("averages an axis that is not there")?;
        if (1..axes.len()).any(|i| axes[..i].contains(&axes[i])) {
            return Err("names an axis twice".to_owned());
        }
        if axes.is_empty() {
            axes = (0..shape.len()).collect();
        }
        let kept: Vec<usize> = (0..shape.len())
            .map(|i| if axes.contains(&i) { 1 } else { shape[i] })
            .collect();
        let to = View::contiguous(&kept);
        let count = axes.iter().map(|a| shape[*a]).product();
        let stretched = to.broadcast(&shape).ok_or("has shapes that do not fit")?;
        let view = x.view().ok_or("has no view")?;
        let shared = Shared::of([&stretched, view]).ok_or("has a layout that cannot be walked")?;
        let place = self.push(
            node.made(),
            Work::Mean(shared, count),
            vec![x.place],
            to.len(),
        )?;
        let made = Self::fresh(place, &kept);
        if reduction.keeps {
            return Ok(made);
        }
        let dropped: Vec<usize> = (0..shape.len())
            .filter(|i| !axes.contains(i))
            .map(|i| shape[i])
            .collect();
        self.reshaped(made, &dropped)
    }

    /// Where: one of two, by a condition of zeros and others.
    pub fn choose(&mut self, node: &'a Node) -> Lower<Tensor> {
        let parts = (0..3)
            .map(|i| {
                let part = self.input(node, i)?;
                self.viewed(part)
            })
            .collect::<Lower<Vec<_>>>()?;
        let shape = parts
            .iter()
            .try_fold(vec![], |shape, part| broadcast_shape(&shape, &part.shape()))?;
        let views: Option<Vec<View>> = parts
            .iter()
            .map(|part| part.view()?.broadcast(&shape))
            .collect();
        let Some([condition, a, b]) = views.as_deref() else {
            return Err("has shapes that do not fit".to_owned());
        };
        let to = View::contiguous(&shape);
        let shared = Shared::of([&to, condition, a, b]);
        let shared = shared.ok_or("has layouts that cannot be walked")?;
        let reads = parts.iter().map(|part| part.place).collect();
        let place = self.push(node.made(), Work::Choose(shared), reads, to.len())?;
        Ok(Self::fresh(place, &shape))
    }

    /// A cast: floats and truths stay as they are, whole numbers are cut.
    pub fn cast(&mut self, node: &'a Node, to: Number) -> Lower<()> {
        let output = node.made();
        let x = self.input(node, 0)?;
        let made = match to {
            Number::Float => x,
            Number::Bool => {
                let not = Unary::Function(Function::Not);
                let none = self.unary(output, not, &x)?;
                self.unary(output, not, &none)?
            }
            Number::Int32 | Number::Int64 => {
                // What the type cannot hold has no answer: the run is refused for it.
                let limit = 2.0_f32.powi(if to == Number::Int32 { 31 } else { 63 });
                let cut = self.unary(output, Unary::Truncate(limit), &x)?;
                if let Place::Constant(_) = cut.place {
                    let known = self.known_of(cut)?;
                    self.bind_known(output, known);
                    return Ok(());
                }
                cut
            }
        };
        self.bind(output, made);
        Ok(())
    }

    /// Whole numbers that were computed from constants alone: shapes, by way of floats.
    fn known_of(&mut self, constant: Tensor) -> Lower<Known> {
        let dense = self.dense(constant)?;
        let Place::Constant(id) = dense.place else {
            return Err("is no constant".to_owned());
        };
        if self.constants[id].iter().any(|v| v.is_nan()) {
            return Err("casts what is no whole number".to_owned());
        }
        let values = self.constants[id].iter().map(|v| *v as i64).collect();
        Ok(Known {
            shape: dense.shape(),
            values,
            bytes: false,
        })
    }

    /// A shape filled with one float; whole numbers are known beforehand.
    pub fn constant_of_shape(&mut self, node: &'a Node, fill: Fill) -> Lower<Tensor> {
        let shape = self.numbers(node, 0);
        let shape = shape.ok_or("fills a shape that is not known beforehand")?;
        let shape: Option<Vec<usize>> = shape.iter().map(|s| usize::try_from(*s).ok()).collect();
        let shape = shape.ok_or("fills a shape of negative length")?;
        let Fill::Float(value) = fill else {
            return Err("fills a shape with whole numbers that are too many".to_owned());
        };
        let count = shape
            .iter()
            .try_fold(1_usize, |n, side| n.checked_mul(*side));
        let count = count.filter(|count| *count <= 1 << 28);
        let count = count.ok_or("fills a shape that is too large")?;
        Ok(self.new_constant(vec![value; count], &shape))
    }

    /// A clip between two constants.
    pub fn clip(&mut self, node: &'a Node, least: Option<f32>, most: Option<f32>) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let bound = |i: usize, own: Option<f32>, otherwise: f32| match node.input(i) {
            Some(name) => self
                .scalar(name)
                .ok_or("clips at a bound that is not constant"),
            None => Ok(own.unwrap_or(otherwise)),
        };
        let op = Unary::Clip(
            bound(1, least, f32::NEG_INFINITY)?,
            bound(2, most, f32::INFINITY)?,
        );
        self.unary(node.made(), op, &x)
    }
}

/// Whether the view reads any element more than once.
fn broadcasts(view: &View) -> bool {
    view.joined().iter().any(|run| run.stride == 0)
}
