//! `QLinearMatMul`, `QLinearConv`, `QGemm` and their kin: scales and zero points stand among
//! a node's inputs.

use super::codes::{By, Range, Real};
use super::quantised::{UNEVEN, read_back, times};
use super::{Constants, OTHER_SCALE, Rewriting, ZERO, floats, plain, zero_points};
use crate::onnx::proto::NodeProto;
use crate::onnx::{Constant, DOMAIN, Refused};

/// Where a `QLinear` product has its output's zero point and its bias.
pub(super) struct Slots {
    zero: usize,
    bias: usize,
}

pub(super) const QLINEAR: Slots = Slots { zero: 7, bias: 8 };
pub(super) const QGEMM: Slots = Slots { zero: 8, bias: 6 };

impl Rewriting {
    /// The float value that an integer input of a `QLinear` node stands for.
    fn real_input(
        &mut self,
        node: &NodeProto,
        i: usize,
        constants: &mut Constants,
    ) -> Result<String, Refused> {
        let name = &node.input[i];
        if let Some(Real { value, by }) = self.real.get(name) {
            if !by.is(&node.input[i + 1], node.input.get(i + 2), constants) {
                return Err(Refused::node(node, OTHER_SCALE));
            }
            return Ok(value.clone());
        }
        let Some(codes) = constants.get(name) else {
            return Err(Refused::node(node, "reads codes that nothing here made"));
        };
        let zero = zero_points(node.input.get(i + 2), constants);
        let zero = zero.ok_or_else(|| Refused::node(node, ZERO))?;
        let scales = floats(node, i + 1, constants)?;
        if scales.len() != 1 {
            return Err(Refused::node(node, "reads a constant along an axis"));
        }
        let values = codes.ints().unwrap_or_default();
        let read = read_back(&codes.shape, &values, &scales, &zero, 0);
        let read = read.ok_or_else(|| Refused::node(node, UNEVEN))?;
        let own = format!("{name}.of.{}", node.output[0]);
        let floats = Constant::float(&codes.shape.clone(), read);
        constants.insert(own.clone(), floats);
        Ok(own)
    }

    pub(super) fn qlinear(
        &mut self,
        node: &NodeProto,
        op: &str,
        slots: &Slots,
        constants: &mut Constants,
    ) -> Result<(), Refused> {
        let x = self.real_input(node, 0, constants)?;
        let inner = (op == "MatMul" && !constants.contains_key(&node.input[3]))
            .then(|| self.real_input(node, 3, constants))
            .transpose()?;
        let weight = match inner {
            Some(other) => other,
            None => {
                let scales = floats(node, 4, constants)?;
                self.weight(node, 3, scales, node.input.get(5), constants)?
            }
        };
        let mut inputs = vec![x, weight];
        if let Some(bias) = node.input.get(slots.bias).filter(|bias| !bias.is_empty()) {
            let own = format!("{bias}.of.{}", node.output[0]);
            let floats = bias_floats(node, bias, constants)?;
            constants.insert(own.clone(), floats);
            inputs.push(own);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut plain = plain(op, &inputs, &node.output[0]);
        plain.attribute.clone_from(&node.attribute);
        self.push_bounded(node, plain, slots.zero, constants)
    }

    pub(super) fn qlinear_float(
        &mut self,
        node: &NodeProto,
        op: &str,
        parts: &[usize],
        zero: usize,
        constants: &mut Constants,
    ) -> Result<(), Refused> {
        let inputs = parts
            .iter()
            .map(|&i| self.real_input(node, i, constants))
            .collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut plain = plain(op, &inputs, &node.output[0]);
        plain.attribute.clone_from(&node.attribute);
        if op == "Softmax" {
            // It names the opset that it is of.
            DOMAIN.clone_into(&mut plain.domain);
        }
        self.push_bounded(node, plain, zero, constants)
    }

    /// Pushes the float node that takes the place of one that gave codes, by the scale and zero
    /// point among its inputs.
    fn push_bounded(
        &mut self,
        node: &NodeProto,
        mut plain: NodeProto,
        zero: usize,
        constants: &mut Constants,
    ) -> Result<(), Refused> {
        let range = Range::of(node, zero - 1, constants)?;
        let codes = &node.output[0];
        plain.output[0] = format!("{codes}.real");
        let unbounded = plain.output[0].clone();
        self.push(plain);
        let value = self.as_codes(&unbounded, range, codes, constants);
        let by = By::Fixed(range);
        self.real.insert(codes.clone(), Real { value, by });
        Ok(())
    }
}

/// The bias of an integer product: int32 in units of the product of both scales.
fn bias_floats(node: &NodeProto, bias: &str, constants: &Constants) -> Result<Constant, Refused> {
    let codes = constants.get(bias);
    let codes = codes.ok_or_else(|| Refused::node(node, "its bias is no constant"))?;
    if !matches!(codes.shape[..], [_] | [1, _]) {
        return Err(Refused::node(node, "its bias is not one value a channel"));
    }
    let (x, weight) = (floats(node, 1, constants)?, floats(node, 4, constants)?);
    let scales = times(&x, &weight).ok_or_else(|| Refused::node(node, UNEVEN))?;
    let values = codes.ints().unwrap_or_default();
    let read = read_back(&[values.len()], &values, &scales, &[0], 0);
    let read = read.ok_or_else(|| Refused::node(node, UNEVEN))?;
    Ok(Constant::float(&[read.len()], read))
}
