//! Pooling and resizing of images, in whatever order their axes lie.

use super::lower::{Lower, Lowering};
use super::pixels::{Pool, Scale, Sides};
use super::step::Work;
use super::tensor::{Layout, Tensor};
use super::view::View;
use crate::typed::{Node, Resize};

impl<'a> Lowering<'a> {
    /// A 2 x 2 max-pool.
    pub fn max_pool(&mut self, node: &'a Node) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let [_, _, height, width] = x.shape()[..] else {
            return Err(format!("pools {:?}; images are needed", x.shape()));
        };
        self.pixels(node, x, [height / 2, width / 2], |sides| {
            Work::MaxPool(Box::new(Pool(sides)))
        })
    }

    /// Nearest by whole factors is a view; bilinear by half pixels is a step.
    pub fn resize(&mut self, node: &'a Node, by: Resize) -> Lower<Tensor> {
        let x = self.input(node, 0)?;
        let [batch, channels, height, width] = x.shape()[..] else {
            return Err(format!("resizes {:?}; images are needed", x.shape()));
        };
        let [new_height, new_width] = self.new_size(node, [batch, channels, height, width])?;
        match by {
            Resize::Repeat { most } => {
                let even = new_height % height == 0 && new_width % width == 0;
                let factors = [new_height / height, new_width / width];
                if !even || factors.iter().any(|factor| *factor > most) {
                    let why = "resizes to the nearest pixel by a rule that does not repeat each";
                    return Err(why.to_owned());
                }
                let [down, right] = factors;
                let x = self.reshaped(x, &[batch, channels, height, 1, width, 1])?;
                let view = x
                    .view()
                    .and_then(|v| v.broadcast(&[batch, channels, height, down, width, right]))
                    .and_then(|v| v.reshaped(&[batch, channels, new_height, new_width]));
                Ok(x.seen(view.ok_or("has a layout that cannot be stretched")?))
            }
            Resize::Bilinear => self.pixels(node, x, [new_height, new_width], |sides| {
                Work::Resize(Box::new(Scale(sides)))
            }),
        }
    }

    fn new_size(&mut self, node: &'a Node, shape: [usize; 4]) -> Lower<[usize; 2]> {
        if let Some(sizes) = self.numbers_if_any(node, 3)? {
            return match sizes[..] {
                [b, c, h, w] if b == shape[0] as i64 && c == shape[1] as i64 && h > 0 && w > 0 => {
                    Ok([h as usize, w as usize])
                }
                _ => Err(format!("resizes {shape:?} to {sizes:?}")),
            };
        }
        let scales = node
            .input(2)
            .and_then(|name| self.source.constants.get(name));
        match scales.and_then(|c| c.floats()).map(|floats| &**floats) {
            Some([b, c, h, w]) if *b == 1.0 && *c == 1.0 && *h > 0.0 && *w > 0.0 => {
                // Places are counted by the scale: where that gives no whole number of pixels,
                // it is another one than that of the sizes.
                let side = |side: usize, scale: f32| {
                    let length = side as f32 * scale;
                    (length.fract() == 0.0).then_some(length as usize)
                };
                let sides = side(shape[2], *h).zip(side(shape[3], *w));
                let (height, width) = sides.ok_or("resizes to a part of a pixel")?;
                Ok([height, width])
            }
            _ => Err("resizes by scales that are not known".to_owned()),
        }
    }

    /// A step over pixels; the output lies in the order of the input.
    fn pixels(
        &mut self,
        node: &Node,
        x: Tensor,
        [height, width]: [usize; 2],
        work: impl Fn(Sides) -> Work,
    ) -> Lower<Tensor> {
        let x = match strides(&x) {
            Some(_) => x,
            None => self.copied("copy", &x, super::elementwise::Unary::Copy)?,
        };
        let (offset, from, from_strides) =
            strides(&x).ok_or("has a layout that cannot be walked")?;
        let to = [from[0], height, width, from[3]];
        let last = from_strides[3] <= from_strides[2];
        let (view, to_strides) = if last {
            let view = View::contiguous(&to).transposed(&[0, 3, 1, 2]);
            (view, [height * width * to[3], width * to[3], to[3], 1])
        } else {
            let view = View::contiguous(&[to[0], to[3], height, width]);
            (view, [height * width * to[3], width, 1, height * width])
        };
        let sides = Sides {
            offset,
            from,
            from_strides,
            to,
            to_strides,
        };
        let place = self.push(node.made(), work(sides), vec![x.place], to.iter().product())?;
        Ok(Self::fresh_view(place, view))
    }
}

type Pixels = (usize, [usize; 4], [usize; 4]);

/// Offset, shape and strides of `[image, channel, row, column]` as image, row, column,
/// channel.
fn strides(x: &Tensor) -> Option<Pixels> {
    let Layout::View(view) = &x.layout else {
        return None;
    };
    let [b, c, h, w] = view.axis_runs()[..] else {
        return None;
    };
    let runs = [b?, h?, w?, c?];
    Some((
        view.offset,
        runs.map(|run| run.length),
        runs.map(|run| run.stride),
    ))
}
