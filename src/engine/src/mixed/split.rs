//! Which nodes of an opened file are ours, and in which groups they run.
//!
//! A node is ours if we know its operator and it makes floats of floats; whole numbers that are not
//! constants are tract's, which folds shapes away. Nodes that are ours stand together in as few
//! groups as can run without waiting for tract in between. A group without any matrix product
//! is left to tract where that can be: it would not be worth the way in and out.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::types::Types;
use crate::onnx::{NodeProto, Opened};

/// Nodes that run as one, in the file's order, with what they read and make.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub nodes: Vec<usize>,
    /// Values of others that they read, constants left out.
    pub inputs: Vec<String>,
    /// Values of theirs that others read.
    pub outputs: Vec<String>,
}

/// A file's nodes, shared out.
#[derive(Debug, Default)]
pub(super) struct Split {
    pub groups: Vec<Group>,
    /// The places of tract's nodes.
    pub tracts: Vec<usize>,
}

const PRODUCTS: [&str; 4] = ["MatMul", "Gemm", "Conv", "ConvTranspose"];

/// Why a group without a product is tract's.
const APART: &str = "stands apart from any matrix product";

/// Shares the nodes out. What `foreign` names (by what it makes first) is tract's; so is, from now
/// on, what stands in no group with a product and is known to tract.
pub(super) fn split(
    opened: &Opened,
    types: &Types<'_>,
    foreign: &mut BTreeMap<String, String>,
    tract_can: impl Fn(&NodeProto) -> bool,
) -> Split {
    let nodes = &opened.source.nodes;
    for node in nodes {
        let made = &node.output[0];
        if !foreign.contains_key(made)
            && let Some(why) = not_ours(opened, types, node)
        {
            foreign.insert(made.clone(), why);
        }
    }
    loop {
        let depths = depths(nodes, foreign);
        let groups = groups(opened, &depths);
        let apart = groups.iter().filter(|group| {
            let mut of = group.nodes.iter().map(|i| &nodes[*i]);
            !of.clone().any(is_product) && of.all(&tract_can)
        });
        let apart: Vec<&String> = apart
            .flat_map(|group| group.nodes.iter().map(|i| &nodes[*i].output[0]))
            .collect();
        if apart.is_empty() {
            let tracts = (0..nodes.len()).filter(|i| !depths[*i].is_ours).collect();
            return Split { groups, tracts };
        }
        foreign.extend(
            apart
                .into_iter()
                .map(|made| (made.clone(), APART.to_owned())),
        );
    }
}

/// Whether a node multiplies matrices.
pub(super) fn is_product(node: &NodeProto) -> bool {
    PRODUCTS.contains(&node.op_type.as_str())
}

/// How often the way to a node changes between us and tract. No way from one node of ours to
/// another of the same depth leads through tract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Depth {
    is_ours: bool,
    changes: usize,
}

fn depths(nodes: &[NodeProto], foreign: &BTreeMap<String, String>) -> Vec<Depth> {
    let mut makers: HashMap<&str, Depth> = HashMap::new();
    let mut depths = Vec::with_capacity(nodes.len());
    for node in nodes {
        let is_ours = !foreign.contains_key(&node.output[0]);
        let before = node
            .input
            .iter()
            .filter_map(|name| makers.get(name.as_str()));
        let changes = before
            .map(|depth| depth.changes + usize::from(depth.is_ours != is_ours))
            .max()
            .unwrap_or(0);
        let depth = Depth { is_ours, changes };
        makers.extend(node.output.iter().map(|made| (made.as_str(), depth)));
        depths.push(depth);
    }
    depths
}

fn groups(opened: &Opened, depths: &[Depth]) -> Vec<Group> {
    let nodes = &opened.source.nodes;
    let mut of_depth: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, depth) in depths.iter().enumerate().filter(|(_, depth)| depth.is_ours) {
        of_depth.entry(depth.changes).or_default().push(i);
    }
    let groups = of_depth.into_values().map(|own| {
        let inside: HashSet<usize> = own.iter().copied().collect();
        let made: HashSet<&str> = own
            .iter()
            .flat_map(|i| nodes[*i].output.iter().map(String::as_str))
            .collect();
        let mut inputs = BTreeSet::new();
        for name in own.iter().flat_map(|i| &nodes[*i].input) {
            let is_constant =
                opened.source.constants.contains_key(name) || opened.quantised.contains_key(name);
            if !name.is_empty() && !made.contains(name.as_str()) && !is_constant {
                inputs.insert(name.clone());
            }
        }
        let others = nodes
            .iter()
            .enumerate()
            .filter(|(i, _)| !inside.contains(i));
        let read: HashSet<&str> = others
            .flat_map(|(_, node)| &node.input)
            .chain(&opened.source.outputs)
            .map(String::as_str)
            .collect();
        let outputs = own.iter().flat_map(|i| &nodes[*i].output);
        let outputs = outputs.filter(|name| read.contains(name.as_str())).cloned();
        Group {
            outputs: outputs.collect(),
            inputs: inputs.into_iter().collect(),
            nodes: own,
        }
    });
    groups.filter(|group| !group.outputs.is_empty()).collect()
}

/// Why a node cannot be ours for its types; `None` where it can.
fn not_ours(opened: &Opened, types: &Types<'_>, node: &NodeProto) -> Option<String> {
    if node.output.iter().any(|made| !types.is_float(made)) {
        return Some("makes no 32-bit floats".to_owned());
    }
    let unread = node.input.iter();
    let unread = unread
        .into_iter()
        .find(|name| opened.unread.contains_key(*name));
    unread.map(|name| format!("reads `{name}`, whose type is not read here"))
}
