//! Linear layers and convolutions, and what folds into them: the norm before, the second
//! half of an MLP behind, the residual, the order of rows on both sides.

use super::elementwise::{Shared, Unary};
use super::lower::{Layout, Lower, Lowering, Tensor};
use super::step::{Added, Geometry, Layer, Place, Product, Source, Target, Work};
use super::view::View;
use crate::engine::kernels::{Activation, NO_ROW, PackedLinear, PatchOrder, RowTable};
use crate::engine::onnx::{Attributes, NodeProto};

/// Orders of axes in which rows may lie whole: as they are, channels last of images,
/// channels last of flattened images.
const ROW_ORDERS: [&[usize]; 3] = [&[], &[0, 2, 3, 1], &[0, 2, 1]];

/// An order of axes, and the one that undoes it.
fn order_for(order: &'static [usize], rank: usize) -> Option<(Vec<usize>, Vec<usize>)> {
    let order: Vec<usize> = if order.is_empty() {
        (0..rank).collect()
    } else if order.len() == rank {
        order.to_vec()
    } else {
        return None;
    };
    let mut back = vec![0; rank];
    for (i, axis) in order.iter().enumerate() {
        back[*axis] = i;
    }
    Some((order, back))
}

impl<'a> Lowering<'a> {
    fn weight(&self, node: &NodeProto) -> Lower<(String, &'a PackedLinear)> {
        let name = node.text("weight");
        let weight = self.weights.get(name);
        let weight = weight.ok_or_else(|| format!("has no weights `{name}`"))?;
        Ok((name.to_owned(), weight))
    }

    /// The node's layer, its constants put among the reads.
    fn layer(&mut self, node: &'a NodeProto, reads: &mut Vec<Place>) -> Lower<Layer> {
        let (weight, packed) = self.weight(node)?;
        let outputs = packed.outputs();
        let bias_at = match node.input.get(1).filter(|name| !name.is_empty()) {
            None => None,
            Some(_) => {
                let bias = self.input(node, 1)?;
                Some(Self::read_at(reads, self.repeated(&bias, outputs)?))
            }
        };
        let activation = match node.text("activation") {
            "" => Activation::Identity,
            "relu" => Activation::Relu,
            "gelu" => Activation::Gelu,
            "quick_gelu" => Activation::QuickGelu,
            other => return Err(format!("has the activation {other}, which is not known")),
        };
        Ok(Layer {
            weight,
            bias_at,
            norm_at: None,
            activation,
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
    pub fn linear(&mut self, node: &'a NodeProto) -> Lower<Tensor> {
        let (_, weight) = self.weight(node)?;
        let (inputs, outputs) = (weight.inputs(), weight.outputs());
        let x = self.input(node, 0)?;
        let mut shape = x.shape();
        if shape.last() != Some(&inputs) {
            return Err(format!("takes rows of {inputs}; its input is {shape:?}"));
        }
        if let Some(last) = shape.last_mut() {
            *last = outputs;
        }
        let place = self.product(node, x, outputs)?;
        Ok(Self::fresh(place, &shape))
    }

    /// A product over the rows of `x`, with whatever comes before folded in.
    fn product(&mut self, node: &'a NodeProto, x: Tensor, outputs: usize) -> Lower<Place> {
        let width = x.shape().last().copied().unwrap_or(1);
        let rows = x.shape().iter().product::<usize>() / width.max(1);
        if self.is_first_half(&x, rows) {
            return self.second_half(node, &x, rows, outputs);
        }
        let x = match x.layout.rows() {
            Some(_) => x,
            None => self.dense(x)?,
        };
        let input = source(&x.layout, width, self.length(x.place))?;
        let mut reads = vec![x.place];
        let mut layer = self.layer(node, &mut reads)?;
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
            &node.output[0],
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
        node: &'a NodeProto,
        x: &Tensor,
        rows: usize,
        outputs: usize,
    ) -> Lower<Place> {
        let first = self.take_maker(x).ok_or("lost its first half")?;
        let Work::Product(mut product) = first.work else {
            return Err("lost its first half".to_owned());
        };
        let mut reads = first.reads;
        product.second = Some(self.layer(node, &mut reads)?);
        product.output = Target::rows(outputs);
        self.push(
            &node.output[0],
            Work::Product(product),
            reads,
            rows * outputs,
        )
    }

    /// A convolution, as a product over patches.
    pub fn convolution(&mut self, node: &'a NodeProto) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let [batch, channels, height, width] = x.shape()[..] else {
            return Err(format!("convolves {:?}; images are needed", x.shape()));
        };
        let (_, weight) = self.weight(node)?;
        let (inputs, outputs) = (weight.inputs(), weight.outputs());
        let kernel = pair(node, "kernel", 1)?;
        if channels * kernel[0] * kernel[1] != inputs {
            return Err(format!(
                "takes patches of {inputs}; its input has {channels} channels"
            ));
        }
        let last = node.text("order") == "channels_last";
        let order = if last {
            PatchOrder::ChannelsLast
        } else {
            PatchOrder::ChannelsFirst
        };
        let x = if last {
            self.turned(x, &[0, 2, 3, 1])?
        } else {
            x
        };
        let geometry = Geometry {
            image: [batch, channels, height, width],
            order,
            kernel,
            stride: pair(node, "strides", 1)?,
            padding: padding(node)?,
        };
        let [rows, columns] = geometry.output_size();
        if rows == 0 || columns == 0 {
            return Err("has a kernel larger than its image".to_owned());
        }
        let shape = [batch, rows, columns, outputs];
        let place = if last && geometry.is_plain() {
            self.product(node, x, outputs)?
        } else {
            let x = self.dense(x)?;
            let mut reads = vec![x.place];
            let product = Product {
                rows: batch * rows * columns,
                input: Source::Patches(geometry),
                layer: self.layer(node, &mut reads)?,
                second: None,
                residual: Added::Nothing,
                output: Target::rows(outputs),
            };
            let length = shape.iter().product();
            self.push(
                &node.output[0],
                Work::Product(Box::new(product)),
                reads,
                length,
            )?
        };
        let view = View::contiguous(&shape).transposed(&[0, 3, 1, 2]);
        Ok(Self::fresh_view(place, view))
    }

    /// A transposed convolution whose kernels do not overlap: a product over pixels, each
    /// of whose rows is a patch of the output.
    pub fn transposed_convolution(&mut self, node: &'a NodeProto) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let [batch, channels, height, width] = x.shape()[..] else {
            return Err(format!("convolves {:?}; images are needed", x.shape()));
        };
        let (_, weight) = self.weight(node)?;
        let [down, right] = pair(node, "kernel", 1)?;
        let outputs = weight.outputs();
        let filters = outputs / (down * right);
        if channels != weight.inputs() {
            let inputs = weight.inputs();
            return Err(format!("takes {inputs} channels; its input has {channels}"));
        }
        let x = self.turned(x, &[0, 2, 3, 1])?;
        let place = self.product(node, x, outputs)?;
        let view = View::contiguous(&[batch, height, width, down, right, filters])
            .transposed(&[0, 5, 1, 3, 2, 4])
            .reshaped(&[batch, filters, height * down, width * right])
            .ok_or("has a shape that cannot be seen as an image")?;
        Ok(Self::fresh_view(place, view))
    }

    fn turned(&mut self, x: Tensor, order: &[usize]) -> Lower<Tensor> {
        let x = match &x.layout {
            Layout::View(_) => x,
            Layout::Rows { .. } => self.dense(x)?,
        };
        let view = x.view().ok_or("has no view")?.transposed(order);
        Ok(x.seen(view))
    }

    /// `a + b` folded into the product that makes one of them; `None` where none does.
    pub fn residual(&mut self, node: &str, a: &Tensor, b: &Tensor) -> Lower<Option<Tensor>> {
        for (product, other) in [(b, a), (a, b)] {
            if let Some(sum) = self.residual_into(node, product, other)? {
                return Ok(Some(sum));
            }
        }
        Ok(None)
    }

    fn residual_into(
        &mut self,
        node: &str,
        product: &Tensor,
        other: &Tensor,
    ) -> Lower<Option<Tensor>> {
        let shape = product.shape();
        let Some(other_view) = other.view().and_then(|view| view.broadcast(&shape)) else {
            return Ok(None);
        };
        let Some(width) = self.open_product(product) else {
            return Ok(None);
        };
        let found = ROW_ORDERS.into_iter().find_map(|order| {
            let (order, back) = order_for(order, shape.len())?;
            let layout = match &product.layout {
                Layout::View(view) => Layout::View(view.transposed(&order)),
                Layout::Rows { .. } if back == order => product.layout.clone(),
                Layout::Rows { .. } => return None,
            };
            let rows = layout.rows()?;
            let inner = layout.shape().last().copied()?;
            let table = scatter(&rows, inner, width, self.length(product.place))?;
            Some((order, back, layout.shape(), inner, table))
        });
        let Some((order, back, laid_out, inner, table)) = found else {
            return Ok(None);
        };
        let other_view = other_view.transposed(&order);
        let target = View::contiguous(&laid_out);
        let length = target.len();
        let mut in_order = other_view.is_contiguous() && other_view.len() == length;
        let (mut other_place, mut offset) = (other.place, other_view.offset);
        if !in_order
            && let Some(copy) = self.earlier_copy(other.place, &other_view)
            && copy.shape() == laid_out
        {
            (other_place, offset, in_order) = (copy.place, 0, true);
        }
        // Where the other one lies in another order, it is laid out first, in the place
        // that the product then adds to.
        let laid = if in_order {
            None
        } else {
            let Some(shared) = Shared::of([&target, &other_view]) else {
                return Ok(None);
            };
            let buffer = self.buffer(length);
            self.push_into(
                node,
                Work::Unary(Unary::Copy, shared),
                vec![other_place],
                buffer,
            );
            Some(buffer)
        };
        let Some(mut step) = self.take_maker(product) else {
            return Ok(None);
        };
        if let Work::Product(work) = &mut step.work {
            work.output = Target {
                row_stride: inner,
                column_stride: 1,
                table,
                groups: width / inner,
            };
            work.residual = match laid {
                Some(_) => Added::InPlace,
                None => Added::From {
                    at: Self::read_at(&mut step.reads, other_place),
                    offset,
                },
            };
        }
        let place = match laid {
            Some(buffer) => {
                self.push_into(node, step.work, step.reads, buffer);
                Place::Buffer(buffer)
            }
            None => self.push(node, step.work, step.reads, length)?,
        };
        Ok(Some(Self::fresh_view(place, target.transposed(&back))))
    }

    /// The width of the rows of the product that makes this tensor, where nothing else
    /// reads it and it has no residual yet.
    fn open_product(&self, tensor: &Tensor) -> Option<usize> {
        let step = self.maker(tensor).filter(|_| tensor.sole)?;
        let Work::Product(product) = &step.work else {
            return None;
        };
        let layer = product.second.as_ref().unwrap_or(&product.layer);
        let open = product.residual == Added::Nothing
            && product.output.is_plain()
            && layer.activation == Activation::Identity;
        open.then_some(product.output.row_stride)
    }
}

/// For each part of a product's rows, its row in the sum; `None` where both are in the
/// same order, or (outer) where rows do not lie whole.
#[allow(clippy::option_option)] // not found, found and needless, found and needed
fn scatter(
    rows: &[Option<usize>],
    inner: usize,
    width: usize,
    length: usize,
) -> Option<Option<RowTable>> {
    if inner == 0 || !width.is_multiple_of(inner) {
        return None;
    }
    let mut table = vec![NO_ROW; length / inner];
    for (target, offset) in rows.iter().enumerate() {
        let offset = (*offset)?;
        if offset % inner != 0 {
            return None;
        }
        let entry = table.get_mut(offset / inner)?;
        if *entry != NO_ROW {
            return None;
        }
        *entry = u32::try_from(target).ok()?;
    }
    if table.iter().enumerate().all(|(i, row)| *row as usize == i) {
        return Some(None);
    }
    Some(Some(RowTable::new(table, rows.len()).ok()?))
}

/// Rows of `width` as a product reads them.
fn source(layout: &Layout, width: usize, length: usize) -> Lower<Source> {
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
        return Ok(Source::Rows {
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
    Ok(Source::Table {
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

impl Geometry {
    /// Rows and columns of the output.
    pub fn output_size(&self) -> [usize; 2] {
        let [_, _, height, width] = self.image;
        let [top, left, bottom, right] = self.padding;
        let steps = |side: usize, kernel: usize, stride: usize| {
            (side + 1)
                .checked_sub(kernel)
                .map_or(0, |n| n.div_ceil(stride))
        };
        [
            steps(height + top + bottom, self.kernel[0], self.stride[0]),
            steps(width + left + right, self.kernel[1], self.stride[1]),
        ]
    }

    /// Whether each patch is just its pixel.
    fn is_plain(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [0; 4]
    }
}

/// An attribute of two positive numbers.
pub(super) fn pair(node: &NodeProto, name: &str, otherwise: usize) -> Lower<[usize; 2]> {
    match *node.ints(name) {
        [] => Ok([otherwise; 2]),
        [a, b] if a > 0 && b > 0 => Ok([a as usize, b as usize]),
        ref other => Err(format!("has {name} {other:?}")),
    }
}

/// Top, left, bottom, right.
pub(super) fn padding(node: &NodeProto) -> Lower<[usize; 4]> {
    match *node.ints("pads") {
        [] => Ok([0; 4]),
        [t, l, b, r] if [t, l, b, r].iter().all(|p| (0..1 << 20).contains(p)) => {
            Ok([t as usize, l as usize, b as usize, r as usize])
        }
        ref other => Err(format!("has pads {other:?}")),
    }
}
