//! Forms of older opsets as today's, so that nothing behind this needs to know an opset.
//!
//! In goes a checked graph and its opset; what cannot be said in today's form is refused.

use super::proto::NodeProto;
use super::{Attributes, Constant, Refused, Source, int, word};

/// Rewrites the graph in place.
///
/// # Errors
/// [`Refused`], with the node that means something else in its opset.
pub(super) fn renew(source: &mut Source, opset: i64) -> Result<(), Refused> {
    for node in &mut source.nodes {
        // ONNX's own domain has two names.
        if node.domain == "ai.onnx" {
            node.domain.clear();
        }
        match node.op_type.as_str() {
            // Before, all axes from this one on were taken together: the same, where it is the
            // last one; lowering tells them apart by this attribute.
            "Softmax" if opset < 13 => {
                if node.attribute("axis").is_none() {
                    node.attribute.push(int("axis", 1));
                }
                node.attribute.push(int("opset", opset));
            }
            // Another name of the same.
            "FastGelu" => {
                "Gelu".clone_into(&mut node.op_type);
                node.domain.clear();
                node.attribute = vec![word("approximate", "tanh")];
            }
            "Resize" if opset < 11 => {
                let why = format!("is a Resize of opset {opset}, which names no coordinates");
                return Err(Refused::node(node, why));
            }
            "Clip" => clip(node, &mut source.constants),
            _ => {}
        }
    }
    Ok(())
}

/// Bounds that stand in attributes (opset 6) become inputs.
fn clip(node: &mut NodeProto, constants: &mut std::collections::BTreeMap<String, Constant>) {
    let bounds = ["min", "max"].map(|name| node.attribute(name).map(|a| a.f));
    if bounds == [None, None] {
        return;
    }
    node.input.truncate(1);
    for (name, bound) in ["min", "max"].into_iter().zip(bounds) {
        let own = format!("{}.{name}", node.output[0]);
        node.input
            .push(bound.map_or_else(String::new, |_| own.clone()));
        if let Some(bound) = bound {
            constants.insert(own, Constant::float(&[], vec![bound]));
        }
    }
    node.attribute.clear();
}
