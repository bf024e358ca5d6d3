//! Convolutions as products: over patches of the image, or, transposed, over its pixels.

use super::lower::{Lower, Lowering};
use super::step::{Added, Geometry, Product, RowsRead, Target, Work};
use super::tensor::{Layout, Tensor};
use super::view::View;
use crate::kernels::PatchOrder;
use crate::onnx::{Attributes, NodeProto};

impl<'a> Lowering<'a> {
    /// A convolution, as a product over patches.
    pub fn convolution(&mut self, node: &'a NodeProto) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let [batch, channels, height, width] = x.shape()[..] else {
            return Err(format!("convolves {:?}; images are needed", x.shape()));
        };
        self.bias_fits(node, 4, 2)?;
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
                input: RowsRead::Patches(geometry),
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
        self.bias_fits(node, 4, 2)?;
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
