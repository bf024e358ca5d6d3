//! Sums that fold into the product that makes one of their sides, whatever order its rows are to
//! lie in: residuals, window unpartition, pixel shuffle.

use super::elementwise::{Shared, Unary};
use super::lower::{Lower, Lowering};
use super::step::{Added, Place, Target, Work};
use super::tensor::{Layout, Tensor};
use super::view::View;
use crate::kernels::{Activation, NO_ROW, RowTable};

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

impl Lowering<'_> {
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
