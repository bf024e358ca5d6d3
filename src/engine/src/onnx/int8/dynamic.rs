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

/// A run-time scale: of which activation, times which constant scales of which shape.
#[derive(Clone)]
pub(super) struct Scale {
    x: String,
    factors: Vec<f32>,
    shape: Vec<usize>,
}

impl Scale {
    /// What a `DynamicQuantizeLinear` of `x` gives: one value without axes.
    pub fn of(x: String) -> Self {
        Self {
            x,
            factors: vec![1.0],
            shape: Vec::new(),
        }
    }

    /// Times a constant; `None` where both have axes of their own.
    fn times(&self, constant: &Constant) -> Option<Self> {
        let shape = match (&self.shape, &constant.shape) {
            (own, other) if own.is_empty() || own == other => other,
            (own, other) if other.is_empty() => own,
            _ => return None,
        };
        Some(Self {
            x: self.x.clone(),
            factors: times(&self.factors, constant.floats()?)?,
            shape: shape.clone(),
        })
    }

    /// Whether it is one factor for all, or one a channel of this product, and gives the product
    /// no further axis.
    fn fits(&self, op: &str, channels: Option<usize>) -> bool {
        let one = self.factors.len() == 1;
        match (op, &self.shape[..]) {
            (_, []) => true,
            ("MatMul", [n]) | ("Conv", [n, 1, 1] | [1, n, 1, 1]) => one || Some(*n) == channels,
            ("Conv", [1]) => true,
            _ => false,
        }
    }
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
            if let (Some(scale), Some(factor)) = (self.scales.get(one), constants.get(other)) {
                let scale = scale.times(factor);
                let scale = scale.ok_or_else(|| Refused::node(&node, "scales that do not fit"))?;
                self.scales.insert(node.output[0].clone(), scale);
                return Ok(());
            }
            if let (Some(product), Some(scale)) = (self.products.get(one), self.scales.get(other)) {
                if product.x != scale.x {
                    return Err(Refused::node(&node, "scales a product by another's scale"));
                }
                let (product, scale) = (product.clone(), scale.clone());
                return self.scaled(&node, product, &scale);
            }
        }
        self.other(node, constants)
    }

    fn scaled(&mut self, node: &NodeProto, product: Product, scale: &Scale) -> Result<(), Refused> {
        let mut weight = self.quantised[&product.weight].clone();
        weight.axis = if product.op == "Conv" {
            0
        } else {
            weight.shape.len().saturating_sub(1)
        };
        if !scale.fits(product.op, weight.shape.get(weight.axis).copied()) {
            return Err(Refused::node(node, "scales that do not fit the weights"));
        }
        weight.scales = times(&weight.scales, &scale.factors)
            .ok_or_else(|| Refused::node(node, "scales that do not fit the weights"))?;
        let name = format!("{}.scaled", product.weight);
        self.quantised.insert(name.clone(), weight);
        let mut plain = plain(product.op, &[&product.x, &name], &node.output[0]);
        plain.attribute = product.node.attribute;
        self.push(plain);
        Ok(())
    }
}
