//! Forms of older opsets as today's, so that nothing behind this needs to know an opset.
//!
//! In goes a checked graph and its opset; what cannot be said in today's form is refused. Nodes that
//! are not ours stay as they are: tract knows the old forms.

use std::collections::{BTreeMap, HashMap};

use super::proto::NodeProto;
use super::{Attributes, Constant, Refused, Source, int, word};

/// What became of old forms.
#[derive(Default)]
pub(super) struct Renewed {
    /// Nodes that are others now, as they were, by what they make first.
    pub before: HashMap<String, NodeProto>,
    /// Nodes that mean something else in their opset than what is done here.
    pub refused: Vec<(NodeProto, Refused)>,
}

/// Rewrites the graph in place, but for nodes that are not ours.
pub(super) fn renew(
    source: &mut Source,
    opset: i64,
    foreign: &BTreeMap<String, String>,
) -> Renewed {
    let mut renewed = Renewed::default();
    for node in &mut source.nodes {
        // ONNX's own domain has two names.
        if node.domain == "ai.onnx" {
            node.domain.clear();
        }
        if foreign.contains_key(&node.output[0]) {
            continue;
        }
        if matches!(node.op_type.as_str(), "Softmax" | "FastGelu" | "Clip") {
            let own = node.output[0].clone();
            renewed.before.insert(own, node.clone());
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
                renewed
                    .refused
                    .push((node.clone(), Refused::node(node, why)));
            }
            "Clip" => clip(node, &mut source.constants),
            _ => {}
        }
    }
    renewed
}

/// Bounds that stand in attributes (opset 6) become inputs.
fn clip(node: &mut NodeProto, constants: &mut BTreeMap<String, Constant>) {
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
