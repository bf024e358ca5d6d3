//! Linear layers, and what folds into them: the norm before, the second half of an MLP behind,
//! the order of the rows that are read.

use super::elementwise::Unary;
use super::lower::{Lower, Lowering};
use super::step::{Added, Layer, Place, Product, RowsRead, Target, Work};
use super::tensor::{Layout, Tensor};
use super::view::View;
use crate::kernels::{NO_ROW, PackedLinear, RowTable};
use crate::typed::{self, Node};

impl<'a> Lowering<'a> {
    pub fn weight(&self, own: &typed::Product) -> Lower<&'a PackedLinear> {
        let name = &own.weights;
        let weight = self.weights.get(name);
        weight.ok_or_else(|| format!("has no weights `{name}`"))
    }

    /// The node's layer, its constants put among the reads.
    pub fn layer(
        &mut self,
        node: &'a Node,
        own: &typed::Product,
        reads: &mut Vec<Place>,
    ) -> Lower<Layer> {
        let outputs = self.weight(own)?.outputs();
        let bias_at = match node.input(1) {
            None => None,
            Some(_) => {
                let bias = self.input(node, 1)?;
                Some(Self::read_at(reads, self.repeated(&bias, outputs)?))
            }
        };
        Ok(Layer {
            weight: own.weights.clone(),
            bias_at,
            norm_at: None,
            activation: own.activation,
        })
    }

    /// A bias over all outputs: of a transposed convolution, one patch's pixels share it.
    fn repeated(&mut self, bias: &Tensor, outputs: usize) -> Lower<Place> {
        let length: usize = bias.shape().iter().product();
        if length == outputs {
            return Ok(bias.place);
        }
        if length == 0 || !outputs.is_multiple_of(length) {
            return Err(format!("has a bias of {length} for {outputs} outputs"));
        }
        let flat = View::contiguous(&[1, length]).broadcast(&[outputs / length, length]);
        let view = flat.ok_or("has a bias that does not fit")?;
        let repeated = self.copied("bias", &bias.seen(view), Unary::Copy)?;
        Ok(repeated.place)
    }

    /// `x W + b` over the last axis.
    pub fn linear(&mut self, node: &'a Node, own: &typed::Product) -> Lower<Tensor> {
        let weight = self.weight(own)?;
        let (inputs, outputs) = (weight.inputs(), weight.outputs());
        let x = self.input(node, 0)?;
        let mut shape = x.shape();
        self.bias_fits(node, shape.len(), 0)?;
        if shape.last() != Some(&inputs) {
            return Err(format!("takes rows of {inputs}; its input is {shape:?}"));
        }
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        let place = self.product(node, own, x, outputs)?;
        Ok(Self::fresh(place, &shape))
    }

    /// A bias with more axes than the product would give the sum more, which is no bias; nor is
    /// one that lies along another axis than the outputs, which stand before `behind` others.
    pub fn bias_fits(&self, node: &Node, rank: usize, behind: usize) -> Lower<()> {
        let constant = node
            .input(1)
            .and_then(|name| self.source.constants.get(name));
        let Some(shape) = constant.map(|constant| &constant.shape) else {
            return Ok(());
        };
        let channel = shape.len().checked_sub(1 + behind);
        let others =
            |(i, side): (usize, &usize)| *side == 1 || Some(i) == channel || shape.len() == 1;
        if shape.len() <= rank && shape.iter().enumerate().all(others) {
            return Ok(());
        }
        Err(format!("adds {shape:?} to a product of {rank} axes"))
    }

    /// A product over the rows of `x`, with whatever comes before folded in.
    pub fn product(
        &mut self,
        node: &'a Node,
        own: &typed::Product,
        x: Tensor,
        outputs: usize,
    ) -> Lower<Place> {
        let width = x.shape().last().copied().unwrap_or(1);
        let rows = x.shape().iter().product::<usize>() / width.max(1);
        if self.is_first_half(&x, rows) {
            return self.second_half(node, own, &x, [rows, outputs]);
        }
        let x = match x.layout.rows() {
            Some(_) => x,
            None => self.dense(x)?,
        };
        let input = rows_read(&x.layout, width, self.length(x.place))?;
        let mut reads = vec![x.place];
        let mut layer = self.layer(node, own, &mut reads)?;
        self.fold_norm(&x, &mut reads, &mut layer);
        let product = Product {
            rows,
            input,
            layer,
            second: None,
            residual: Added::Nothing,
            output: Target::rows(outputs),
        };
        self.push(
            node.made(),
            Work::Product(Box::new(product)),
            reads,
            rows * outputs,
        )
    }

    /// A norm that only this product reads is done on the product's way in.
    fn fold_norm(&mut self, x: &Tensor, reads: &mut Vec<Place>, layer: &mut Layer) {
        let epsilon = match self.maker(x) {
            Some(step) if x.sole => match step.work {
                Work::Norm { epsilon } => epsilon,
                _ => return,
            },
            _ => return,
        };
        if let Some(norm) = self.take_maker(x) {
            reads[0] = norm.reads[0];
            let gain = Self::read_at(reads, norm.reads[1]);
            let shift = Self::read_at(reads, norm.reads[2]);
            layer.norm_at = Some((gain, shift, epsilon));
        }
    }

    /// Whether `x` is the plain output of a product that nothing else reads.
    fn is_first_half(&self, x: &Tensor, rows: usize) -> bool {
        let contiguous = x
            .view()
            .is_some_and(|view| view.is_contiguous() && view.offset == 0);
        contiguous
            && x.sole
            && matches!(self.maker(x).map(|step| &step.work), Some(Work::Product(first))
                if first.rows == rows
                    && first.second.is_none()
                    && first.residual == Added::Nothing
                    && first.output.is_plain())
    }

    fn second_half(
        &mut self,
        node: &'a Node,
        own: &typed::Product,
        x: &Tensor,
        [rows, outputs]: [usize; 2],
    ) -> Lower<Place> {
        let first = self.take_maker(x).ok_or("lost its first half")?;
        let Work::Product(mut product) = first.work else {
            return Err("lost its first half".to_owned());
        };
        let mut reads = first.reads;
        product.second = Some(self.layer(node, own, &mut reads)?);
        product.output = Target::rows(outputs);
        self.push(node.made(), Work::Product(product), reads, rows * outputs)
    }
}

/// Rows of `width` as a product reads them.
fn rows_read(layout: &Layout, width: usize, length: usize) -> Lower<RowsRead> {
    let rows = layout.rows().ok_or("has rows that do not lie whole")?;
    let first = rows.iter().flatten().min().copied().unwrap_or(0);
    let stride = rows
        .iter()
        .flatten()
        .fold(0, |stride, row| common_divisor(stride, row - first));
    let stride = if stride == 0 { width.max(1) } else { stride };
    let even = rows
        .iter()
        .enumerate()
        .all(|(i, row)| *row == Some(first + i * stride));
    if even {
        return Ok(RowsRead::Rows {
            offset: first,
            stride,
        });
    }
    let entry = |row: &Option<usize>| match row {
        Some(row) => u32::try_from((row - first) / stride).ok(),
        None => Some(NO_ROW),
    };
    let entries: Option<Vec<u32>> = rows.iter().map(entry).collect();
    let entries = entries.ok_or("has more rows than can be counted")?;
    let limit = (length - first).saturating_sub(width) / stride + 1;
    let table = RowTable::new(entries, limit).map_err(|error| error.to_string())?;
    Ok(RowsRead::Table {
        offset: first,
        stride,
        table,
    })
}

fn common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

impl Target {
    /// Whole rows of this width, one after the other.
    pub fn rows(width: usize) -> Self {
        Self {
            row_stride: width,
            column_stride: 1,
            table: None,
            groups: 1,
        }
    }

    pub fn is_plain(&self) -> bool {
        self.table.is_none() && self.column_stride == 1 && self.groups == 1
    }
}
