//! A graph as planner, audit and prepared file speak of it: nodes of our own [`Operator`]s, what
//! they read and make by name, and the constants.
//!
//! The ONNX reader makes it, once for a file; a prepared file holds it. Nothing here knows ONNX's
//! messages, an input's shape or how anything is computed.

mod constant;
mod operator;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::refused::Blamed;
pub(super) use constant::{Constant, Values};
pub(super) use operator::{
    Binary, Codes, Fill, Function, Number, Operator, Over, Product, Reduction, Resize, Window,
};

/// One input: its name, and its axes where the graph fixes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Input {
    pub name: String,
    pub axes: Vec<Option<usize>>,
}

/// One operator at its place: what it reads and what it makes, in ONNX's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub operator: Operator,
    /// An input that is left out has no name.
    pub inputs: Vec<String>,
    pub outputs: Vec<String>,
}

impl Node {
    /// A node of one output.
    pub fn new(operator: Operator, inputs: &[&str], output: &str) -> Self {
        Self {
            operator,
            inputs: inputs.iter().map(|name| (*name).to_owned()).collect(),
            outputs: vec![output.to_owned()],
        }
    }

    /// The first of what it makes, by which it is known.
    pub fn made(&self) -> &str {
        self.outputs.first().map_or("", String::as_str)
    }

    /// The name of an input, where it is not left out.
    pub fn input(&self, i: usize) -> Option<&str> {
        let name = self.inputs.get(i).map(String::as_str);
        name.filter(|name| !name.is_empty())
    }
}

impl Blamed for Node {
    fn operator(&self) -> &str {
        self.operator.name()
    }

    fn made(&self) -> &str {
        self.made()
    }
}

/// What goes in, what is done in which order, what comes out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TypedGraph {
    pub inputs: Vec<Input>,
    pub outputs: Vec<String>,
    pub nodes: Vec<Node>,
    pub constants: BTreeMap<String, Constant>,
}

impl TypedGraph {
    /// The same graph with these values known, and without what only they needed.
    pub fn with(mut self, known: Vec<(String, Constant)>) -> Self {
        let mut needed: HashSet<String> = self.outputs.iter().cloned().collect();
        for (name, constant) in known {
            self.nodes.retain(|node| node.outputs != [name.as_str()]);
            self.constants.insert(name, constant);
        }
        let mut nodes = Vec::with_capacity(self.nodes.len());
        for node in self.nodes.into_iter().rev() {
            if node.outputs.iter().any(|name| needed.contains(name)) {
                needed.extend(node.inputs.iter().cloned());
                nodes.push(node);
            }
        }
        nodes.reverse();
        self.nodes = nodes;
        self.constants.retain(|name, _| needed.contains(name));
        self
    }

    /// How many nodes and outputs read each value.
    pub fn uses(&self) -> HashMap<&str, usize> {
        let mut uses = HashMap::new();
        let reads = self.nodes.iter().flat_map(|node| &node.inputs);
        for name in reads.chain(&self.outputs) {
            *uses.entry(name.as_str()).or_default() += 1;
        }
        uses
    }
}
