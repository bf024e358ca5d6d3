//! `QuantizeLinear` and `DequantizeLinear`: around nodes, or reading weights back.

use super::codes::{By, Range, Real};
use super::quantised::{UNEVEN, read_back, symmetric};
use super::{Constants, OTHER_SCALE, Rewriting, ZERO, floats, plain, zero_points};
use crate::onnx::proto::NodeProto;
use crate::onnx::{Attributes, Constant, Refused, Values};

impl Rewriting {
    pub(super) fn quantize(
        &mut self,
        node: &NodeProto,
        constants: &mut Constants,
    ) -> Result<(), Refused> {
        let (x, codes) = (&node.input[0], &node.output[0]);
        let range = Range::of(node, 1, constants)?;
        if let Some(constant) = constants.get(x) {
            let made = range.codes_of(constant);
            let made = made.ok_or_else(|| Refused::node(node, "quantises no floats"))?;
            constants.insert(codes.clone(), made);
            return Ok(());
        }
        let value = self.as_codes(x, range, codes, constants);
        let by = By::Fixed(range);
        self.real.insert(codes.clone(), Real { value, by });
        Ok(())
    }

    pub(super) fn dequantize(
        &mut self,
        node: &NodeProto,
        constants: &mut Constants,
    ) -> Result<(), Refused> {
        let (x, y) = (&node.input[0], &node.output[0]);
        if let Some(Real { value: real, by }) = self.real.get(x).cloned() {
            if !by.is(&node.input[1], node.input.get(2), constants) {
                return Err(Refused::node(node, OTHER_SCALE));
            }
            if self.outputs.contains(y) {
                self.push(plain("Identity", &[&real], y));
            } else {
                self.renamed.insert(y.clone(), real);
            }
            return Ok(());
        }
        let Some(codes) = constants.get(x) else {
            return Err(Refused::node(node, "reads codes that nothing here made"));
        };
        if node.int("block_size", 0) != 0 {
            return Err(Refused::node(node, "scales a block are not known here"));
        }
        let scales = floats(node, 1, constants)?;
        let axis = axis(node, codes.shape.len(), scales.len())?;
        let zero = zero_points(node.input.get(2), constants);
        let zero = zero.ok_or_else(|| Refused::node(node, ZERO))?;
        if let Values::Int(values) = &codes.values {
            let read = read_back(&codes.shape, values, &scales, &zero, axis);
            let read = read.ok_or_else(|| Refused::node(node, UNEVEN))?;
            constants.insert(y.clone(), Constant::float(&codes.shape.clone(), read));
            return Ok(());
        }
        let quantised = symmetric(codes, scales, &zero, axis);
        let quantised = quantised.ok_or_else(|| Refused::node(node, UNEVEN))?;
        self.quantised.insert(y.clone(), quantised);
        Ok(())
    }
}

fn axis(node: &NodeProto, rank: usize, scales: usize) -> Result<usize, Refused> {
    let axis = node.int("axis", 1);
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(axis) {
        _ if scales == 1 => Ok(0),
        Ok(axis) if axis < rank => Ok(axis),
        _ => Err(Refused::node(node, format!("has no axis {axis}"))),
    }
}
