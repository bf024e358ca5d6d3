//! Convolutions as products: over patches of the image, or, transposed, over its pixels.

use super::lower::{Lower, Lowering};
use super::step::{Added, Geometry, Product, RowsRead, Target, Work};
use super::tensor::Tensor;
use super::view::View;
use crate::kernels::PatchOrder;
use crate::typed::{self, Node};

impl<'a> Lowering<'a> {
    /// A convolution, as a product over patches.
    pub fn convolution(
        &mut self,
        node: &'a Node,
        own: &typed::Product,
        order: PatchOrder,
        [kernel, stride]: [[usize; 2]; 2],
        padding: [usize; 4],
    ) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let [batch, channels, height, width] = x.shape()[..] else {
            return Err(format!("convolves {:?}; images are needed", x.shape()));
        };
        self.bias_fits(node, 4, 2)?;
        let weight = self.weight(own)?;
        let (inputs, outputs) = (weight.inputs(), weight.outputs());
        if channels * kernel[0] * kernel[1] != inputs {
            return Err(format!(
                "takes patches of {inputs}; its input has {channels} channels"
            ));
        }
        let last = order == PatchOrder::ChannelsLast;
        let x = if last {
            self.turned(x, &[0, 2, 3, 1])?
        } else {
            x
        };
        let geometry = Geometry {
            image: [batch, channels, height, width],
            order,
            kernel,
            stride,
            padding,
        };
        let [rows, columns] = geometry.output_size();
        if rows == 0 || columns == 0 {
            return Err("has a kernel larger than its image".to_owned());
        }
        let shape = [batch, rows, columns, outputs];
        let place = if last && geometry.is_plain() {
            self.product(node, own, x, outputs)?
        } else {
            let x = self.dense(x)?;
            let mut reads = vec![x.place];
            let product = Product {
                rows: batch * rows * columns,
                input: RowsRead::Patches(geometry),
                layer: self.layer(node, own, &mut reads)?,
                second: None,
                residual: Added::Nothing,
                output: Target::rows(outputs),
            };
            let length = shape.iter().product();
            self.push(node.made(), Work::Product(Box::new(product)), reads, length)?
        };
        let view = View::contiguous(&shape).transposed(&[0, 3, 1, 2]);
        Ok(Self::fresh_view(place, view))
    }

    /// A transposed convolution whose kernels do not overlap: a product over pixels, each
    /// of whose rows is a patch of the output.
    pub fn transposed_convolution(
        &mut self,
        node: &'a Node,
        own: &typed::Product,
        [down, right]: [usize; 2],
    ) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let [batch, channels, height, width] = x.shape()[..] else {
            return Err(format!("convolves {:?}; images are needed", x.shape()));
        };
        self.bias_fits(node, 4, 2)?;
        let weight = self.weight(own)?;
        let outputs = weight.outputs();
        let filters = outputs / (down * right);
        if channels != weight.inputs() {
            let inputs = weight.inputs();
            return Err(format!("takes {inputs} channels; its input has {channels}"));
        }
        let x = self.turned(x, &[0, 2, 3, 1])?;
        let place = self.product(node, own, x, outputs)?;
        let view = View::contiguous(&[batch, height, width, down, right, filters])
            .transposed(&[0, 5, 1, 3, 2, 4])
            .reshaped(&[batch, filters, height * down, width * right])
            .ok_or("has a shape that cannot be seen as an image")?;
        Ok(Self::fresh_view(place, view))
    }

    fn turned(&mut self, x: Tensor, order: &[usize]) -> Lower<Tensor> {
        let x = self.viewed(x)?;
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
