//! `QLinearMatMul`, `QLinearConv`, `QGemm` and their kin: scales and zero points stand among
//! a node's inputs.

use super::quantised::{UNEVEN, read_back, symmetric, times};
use super::{Constants, Rewriting, clamps, floats, plain, zero_points};
use crate::onnx::proto::NodeProto;
use crate::onnx::{Constant, Refused};

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
        if let Some(real) = self.real.get(name) {
            return Ok(real.clone());
        }
        let Some(codes) = constants.get(name) else {
            return Err(Refused::node(node, "reads codes that nothing here made"));
        };
        let zero = zero_points(node.input.get(i + 2), constants);
        let scales = floats(node, i + 1, constants)?;
        let quantised =
            symmetric(codes, scales, &zero, 0).ok_or_else(|| Refused::node(node, UNEVEN))?;
        let own = format!("{name}.of.{}", node.output[0]);
        let floats = Constant::float(&quantised.shape, quantised.floats());
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
        self.push_clamped(plain, node.input.get(slots.zero), constants);
        Ok(())
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
        self.push_clamped(plain, node.input.get(zero), constants);
        Ok(())
    }

    /// Pushes a node that once gave codes with this zero point.
    fn push_clamped(&mut self, mut node: NodeProto, zero: Option<&String>, constants: &Constants) {
        let codes = node.output[0].clone();
        let real = self.stands_for(&codes);
        let positive = matches!(node.op_type.as_str(), "Sigmoid" | "Softmax");
        if clamps(zero, constants) && !positive {
            node.output[0] = format!("{codes}.unclamped");
            let relu = plain("Relu", &[&node.output[0]], &real);
            self.push(node);
            self.push(relu);
        } else {
            node.output[0] = real;
            self.push(node);
        }
    }
}

/// The bias of an integer product: int32 in units of the product of both scales.
fn bias_floats(node: &NodeProto, bias: &str, constants: &Constants) -> Result<Constant, Refused> {
    let codes = constants.get(bias);
    let codes = codes.ok_or_else(|| Refused::node(node, "its bias is no constant"))?;
    let (x, weight) = (floats(node, 1, constants)?, floats(node, 4, constants)?);
    let scales = times(&x, &weight).ok_or_else(|| Refused::node(node, UNEVEN))?;
    let values = codes.ints().unwrap_or_default();
    let read = read_back(&[values.len()], &values, &scales, &[0], 0);
    let read = read.ok_or_else(|| Refused::node(node, UNEVEN))?;
    Ok(Constant::float(&[read.len()], read))
}
