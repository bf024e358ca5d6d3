//! `MatMulInteger` and `ConvInteger`: integer products whose scale comes later, as a `Mul`.

use super::codes::By;
use super::quantised::times;
use super::{Constants, OTHER_SCALE, Rewriting, plain};
use crate::onnx::proto::NodeProto;
use crate::onnx::{Constant, Refused};

/// An integer product whose scale has not been met yet.
#[derive(Clone)]
pub(super) struct Product {
    op: &'static str,
    x: String,
    weight: String,
    node: NodeProto,
}

impl Rewriting {
    /// `MatMulInteger` and `ConvInteger`: the product waits for its scale.
    pub(super) fn product(
        &mut self,
        node: NodeProto,
        op: &'static str,
        constants: &Constants,
    ) -> Result<(), Refused> {
        let real = self.real.get(&node.input[0]).cloned();
        let real =
            real.ok_or_else(|| Refused::node(&node, "reads codes that nothing here made"))?;
        let made = matches!(&real.by, By::Dynamic { zero, .. } if node.input.get(2) == Some(zero));
        if !made {
            return Err(Refused::node(&node, OTHER_SCALE));
        }
        let x = real.value;
        let weight = self.weight(&node, 1, vec![1.0], node.input.get(3), constants)?;
        let product = Product {
            op,
            x,
            weight,
            node: node.clone(),
        };
        self.products.insert(node.output[0].clone(), product);
        Ok(())
    }

    /// A `Mul` that makes or applies the scale of an integer product; or any other.
    pub(super) fn scale(
        &mut self,
        node: NodeProto,
        constants: &mut Constants,
    ) -> Result<(), Refused> {
        let [a, b] = [node.input[0].clone(), node.input[1].clone()];
        for (one, other) in [(&a, &b), (&b, &a)] {
            let constant = constants.get(other).and_then(Constant::floats);
            if let (Some((x, scales)), Some(factor)) = (self.scales.get(one), constant) {
                let scales = times(scales, factor)
                    .ok_or_else(|| Refused::node(&node, "scales that do not fit"))?;
                let entry = (x.clone(), scales);
                self.scales.insert(node.output[0].clone(), entry);
                return Ok(());
            }
            if let (Some(product), Some((x, scales))) =
                (self.products.get(one), self.scales.get(other))
            {
                if product.x != *x {
                    return Err(Refused::node(&node, "scales a product by another's scale"));
                }
                let (product, scales) = (product.clone(), scales.clone());
                return self.scaled(&node, product, scales);
            }
        }
        self.other(node, constants)
    }

    fn scaled(
        &mut self,
        node: &NodeProto,
        product: Product,
        scales: Vec<f32>,
    ) -> Result<(), Refused> {
        let mut weight = self.quantised[&product.weight].clone();
        weight.axis = if product.op == "Conv" {
            0
        } else {
            weight.shape.len().saturating_sub(1)
        };
        if scales.len() != 1 && weight.shape.get(weight.axis) != Some(&scales.len()) {
            return Err(Refused::node(node, "scales that do not fit the weights"));
        }
        weight.scales = times(&weight.scales, &scales)
            .ok_or_else(|| Refused::node(node, "scales that do not fit the weights"))?;
        let name = format!("{}.scaled", product.weight);
        self.quantised.insert(name.clone(), weight);
        let mut plain = plain(product.op, &[&product.x, &name], &node.output[0]);
        plain.attribute = product.node.attribute;
        self.push(plain);
        Ok(())
    }
}
